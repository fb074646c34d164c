/**
 * The room's error class and its way across the border of a Worker.
 *
 * @module
 */
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  ERROR_CODES,
  type ErrorDetails,
  packError,
  RegistryError,
  unpackError,
} from '../../../src/registries/errors.ts'

const text = fc.string()

test('a RegistryError comes out of packing as it went in', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ERROR_CODES),
      text,
      fc.record(
        {
          package: text,
          version: text,
          reason: text,
          retryAfterSeconds: fc.nat(),
          evidenceUrl: text,
        },
        { requiredKeys: [] },
      ),
      (code, message, details: ErrorDetails) => {
        const error = new RegistryError(code, message, details)
        const back = unpackError(structuredClone(packError(error)))
        expect(back).toBeInstanceOf(RegistryError)
        expect(back.message).toBe(message)
        expect(packError(back)).toEqual({ code, message, details })
      },
    ),
  )
})

test('a RegistryError keeps its cause to itself', () => {
  const cause = new Error('secret')
  const error = new RegistryError('internal', 'a sentence', {}, cause)
  expect(error.cause).toBe(cause)
  expect(JSON.stringify(packError(error))).not.toContain('secret')
})
