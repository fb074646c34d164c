import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import pino from 'pino'
import { ERROR_CODES, type ErrorDetails, RegistryError } from '../../../src/registries/errors.ts'
import { errorResponse } from '../../../src/routes/errors.ts'

const BASE = 'https://npm.example.org/r/'
const SENTENCE_CHARS_MAX = 300

async function sentenceOf(error: unknown, base: string | undefined = BASE): Promise<string> {
  const report = { logger: pino({ level: 'silent' }), base, fatal: () => undefined }
  const response = errorResponse(error, new Request(`${BASE}alpha`), report)
  const { error: sentence } = Object(await response.json())
  return String(sentence)
}

describe('the sentence of an error on an npm route', () => {
  test('names the package and where to go on', async () => {
    const down = new RegistryError('upstream-unreachable', 'a.example is down', {
      package: 'alpha',
    })
    expect(await sentenceOf(down)).toBe(
      `alpha: a.example is down; try again later; whom this server asks: ${BASE}-/registries`,
    )
    const absent = new RegistryError('not-found', 'alpha was not found', { package: 'alpha' })
    expect(await sentenceOf(absent)).toStartWith('alpha was not found; ')
    expect(await sentenceOf(absent)).toEndWith(`${BASE}-/registries`)
  })

  test('adds nothing to one that has a page', async () => {
    const told = `alpha@1.0.0 refused by a.example: no. ${BASE}-/why/1`
    expect(await sentenceOf(new RegistryError('refused', told, { package: 'alpha' }))).toBe(told)
  })

  test('tells nothing of an error that is none of ours', async () => {
    expect(await sentenceOf(new Error('secret'))).not.toContain('secret')
  })

  test('is one line of at most 300 characters, whatever went wrong', async () => {
    const details = fc.record({ package: fc.string() }, { requiredKeys: [] })
    const cases = fc.tuple(fc.constantFrom(...ERROR_CODES), fc.string({ maxLength: 600 }), details)
    await fc.assert(
      fc.asyncProperty(cases, async ([code, message, given]) => {
        const asked: ErrorDetails = given
        const sentence = await sentenceOf(new RegistryError(code, message, asked))
        expect(sentence.length).toBeLessThanOrEqual(SENTENCE_CHARS_MAX)
        expect(sentence).not.toMatch(/[\r\n]/)
      }),
    )
  })
})
