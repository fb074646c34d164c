/**
 * Integrity values: the real ones of test/vectors/npm, hex forms, and the stream that never lets a
 * complete wrong file out.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import {
  integrityFromHex,
  integrityOf,
  integrityToHex,
  parseIntegrity,
  verifyStream,
} from '../../../src/registries/integrity.ts'
import { integrityFor, realSignatures } from './vectors.ts'

const good = integrityFor('a')
const other = integrityFor('b')
const sha1 = `sha1-${createHash('sha1').update('a').digest('base64')}`
const sha256 = `sha256-${createHash('sha256').update('a').digest('base64')}`
const digest = good.slice('sha512-'.length)

describe('parseIntegrity()', () => {
  test('reads all real values as they are', () => {
    for (const { integrity } of realSignatures) expect(parseIntegrity(integrity)).toBe(integrity)
  })

  test.each([`${sha1} ${good}`, `${good} ${sha256}`, ` ${good}\n`, `${good} ${good}`, `${good}?x`])(
    'picks the sha512 of %j',
    value => {
      expect(parseIntegrity(value)).toBe(good)
    },
  )

  test.each([
    undefined,
    null,
    1,
    {},
    { 0: good },
    '',
    'sha512-',
    sha1,
    sha256,
    `${good} ${other}`,
    `SHA512-${digest}`,
    `sha512-${digest.slice(0, -2)}`,
    `sha512-${digest}=`,
    `sha512-${digest.slice(0, -4)}`,
    `sha512-${digest.replaceAll('+', '-').replaceAll('/', '_')}_`,
    `sha512-${digest.slice(0, 85)}${digest.charAt(85) === 'B' ? 'C' : 'B'}==`,
    `sha512 ${digest}`,
    `${good} `.repeat(20),
  ])('finds no single sha512 in %j', value => {
    expect(parseIntegrity(value)).toBeUndefined()
  })
})

describe('hex forms', () => {
  test('integrityFromHex() is the inverse of integrityToHex()', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), bytes => {
        const hex = bytes.toHex()
        expect(integrityToHex(integrityFromHex(hex))).toBe(hex)
      }),
    )
    expect(integrityOf(new TextEncoder().encode('a'))).toBe(good)
  })

  test.each(['', sha1, `${good} `, 'sha512-AAAA', digest])('integrityToHex() refuses %j', value => {
    expect(() => integrityToHex(value)).toThrow(RangeError)
  })

  test.each(['', 'ab', 'A'.repeat(128), `${'a'.repeat(128)}\n`])(
    'integrityFromHex() refuses %j',
    value => {
      expect(() => integrityFromHex(value)).toThrow(RangeError)
    },
  )
})

async function* chunked(bytes: Uint8Array, sizes: readonly number[]) {
  let pos = 0
  for (const size of sizes) {
    yield bytes.subarray(pos, pos + size)
    pos += size
  }
  yield bytes.subarray(pos)
}

async function collect(source: AsyncIterable<Uint8Array>) {
  const chunks: Uint8Array[] = []
  let failure: unknown
  try {
    for await (const chunk of source) chunks.push(chunk)
  } catch (error) {
    failure = error
  }
  return { bytes: Buffer.concat(chunks), failure }
}

describe('verifyStream()', () => {
  const pieces = fc.array(fc.nat({ max: 40 }), { maxLength: 8 })

  test('passes the right bytes on, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), pieces, async (bytes, sizes) => {
        const out = await collect(verifyStream(chunked(bytes, sizes), integrityOf(bytes)))
        expect(out.failure).toBeUndefined()
        expect(out.bytes.equals(Buffer.from(bytes))).toBe(true)
      }),
    )
  })

  test('never lets all of the wrong bytes out, and says which hash came', async () => {
    const wrong = fc.uint8Array({ minLength: 1, maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(wrong, pieces, async (bytes, sizes) => {
        const out = await collect(verifyStream(chunked(bytes, sizes), good))
        expect(out.failure).toMatchObject({ code: 'upstream-bad-answer' })
        expect(String(out.failure)).toContain(integrityOf(bytes))
        expect(out.bytes.length).toBeLessThan(bytes.length)
      }),
    )
  })

  test('fails with the source, before the end', async () => {
    async function* broken() {
      yield Buffer.from('a')
      throw new Error('reset')
    }
    const out = await collect(verifyStream(broken(), good))
    expect(out.bytes).toHaveLength(0)
    expect(out.failure).toMatchObject({ message: 'reset' })
  })
})
