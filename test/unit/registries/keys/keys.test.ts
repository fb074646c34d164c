/**
 * The answer of a keys endpoint: the real one (test/vectors/npm), and what must not be imported
 * (fault table U13, U14).
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import * as fc from 'fast-check'
import { RegistryError } from '../../../../src/registries/errors.ts'
import {
  KEYS_BYTES_MAX,
  KEYS_MAX,
  keyidOf,
  parseKeys,
} from '../../../../src/registries/keys/keys.ts'
import npmKeys from '../../../vectors/npm/npm-keys.json'
import { encode, keysAnswer, makeKey, realKeys } from '../vectors.ts'

const TYPE = 'ecdsa-sha2-nistp256'
const key = makeKey()
const other = makeKey()

function entry(more: Record<string, unknown> = {}): Record<string, unknown> {
  const { keyid, spki } = key
  return { keyid, keytype: TYPE, scheme: TYPE, key: spki, expires: null, ...more }
}

function parse(...entries: unknown[]) {
  return parseKeys(encode({ keys: entries }))
}

describe('parseKeys()', () => {
  test('reads the real answer of the public registry', () => {
    const { keys, refused: none } = parseKeys(keysAnswer)
    expect(keys).toMatchObject(realKeys)
    expect(keys.map(({ json }): unknown => JSON.parse(json))).toEqual(npmKeys.keys)
    expect(none).toEqual([])
  })

  test('takes an entry once however often it is repeated, and ignores unknown fields', () => {
    const usual = { keyid: key.keyid, spki: key.spki, expires: null }
    expect(parse(entry(), entry())).toMatchObject({ keys: [usual], refused: [] })
    expect(parse(entry(), entry()).keys).toHaveLength(1)
    expect(parse(entry({ comment: 'x' })).keys).toMatchObject([usual])
    expect(parse(entry({ expires: undefined })).keys).toMatchObject([usual])
    expect(parse().keys).toEqual([])
  })

  const refused: [string, Record<string, unknown>, string][] = [
    ['a keyid of another key', { keyid: other.keyid }, "not the key's own"],
    ['a padded keyid', { keyid: `${key.keyid}=` }, "not the key's own"],
    ['the other key under this keyid', { key: other.spki }, "not the key's own"],
    ['another type', { keytype: 'ed25519' }, '/keytype'],
    ['another scheme', { scheme: 'x' }, '/scheme'],
    ['no key', { key: undefined }, '/key'],
    ['a key with white space', { key: `${key.spki} ` }, 'P-256'],
    ['a key that is cut', { key: key.spki.slice(0, -4) }, 'P-256'],
    ['an RSA-like key', { key: 'MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAM==' }, 'P-256'],
    ['a point off the curve', { key: offCurve() }, 'P-256'],
    ['a P-384 key', { key: p384() }, 'P-256'],
    ['an expiry in words', { expires: 'tomorrow' }, 'expiry'],
    ['an expiry without a zone', { expires: '2025-01-29T00:00:00' }, 'expiry'],
    ['an expiry that no calendar has', { expires: '2025-13-41T00:00:00Z' }, 'expiry'],
    ['an expiry as a number', { expires: 1 }, '/expires'],
  ]

  test.each(refused)('refuses %s and keeps the others', (_, more, reason) => {
    const good = entry({ keyid: other.keyid, key: other.spki })
    const answer = parse(good, entry(more))
    if (more['keyid'] !== other.keyid) {
      expect(answer.keys.map(({ keyid }) => keyid)).toEqual([other.keyid])
    }
    expect(answer.refused).toHaveLength(1)
    expect(answer.refused[0]?.reason).toContain(more['keyid'] === other.keyid ? 'twice' : reason)
  })

  test('refuses a keyid that comes twice with different content, in any order', () => {
    const forged = entry({ key: other.spki })
    const later = entry({ expires: '2030-01-01T00:00:00.000Z' })
    for (const pair of [
      [entry(), forged],
      [forged, entry()],
      [entry(), later],
    ]) {
      const answer = parse(...pair)
      expect(answer.keys).toEqual([])
      expect(answer.refused.map(({ keyid }) => keyid)).toEqual([key.keyid])
    }
  })

  test('refuses entries that are no objects without stumbling', () => {
    const answer = parse(null, 1, 'x', [], {}, { keyid: 1 }, { keyid: '\ud800' }, entry())
    expect(answer.keys).toHaveLength(1)
    expect(answer.refused.length).toBeGreaterThan(0)
  })

  const nonsense = [
    '',
    'null',
    '[]',
    '{}',
    '{"keys":{}}',
    '{"keys":null}',
    '<!doctype html><title>x</title>',
    '\ufeff{"keys":[]}',
    '{"keys":[]',
    JSON.stringify({ keys: Array.from({ length: KEYS_MAX + 1 }, () => entry()) }),
    `{"keys":[]${' '.repeat(KEYS_BYTES_MAX)}}`,
    '['.repeat(60_000),
  ]

  test.each(nonsense)('throws upstream-bad-answer for %.40j', text => {
    expect(() => parseKeys(encode(text))).toThrow(
      expect.objectContaining({ code: 'upstream-bad-answer' }),
    )
  })

  test('throws upstream-bad-answer for what is not UTF-8', () => {
    expect(() => parseKeys(Buffer.from('{"keys":["\xff"]}', 'latin1'))).toThrow('not UTF-8')
  })

  test('answers or throws a RegistryError for any JSON', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        try {
          expect(parse(JSON.parse(text)).keys).toEqual([])
          expect(parseKeys(encode(text)).keys).toEqual([])
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError)
        }
      }),
    )
  })
})

describe('keyidOf()', () => {
  test('is the OpenSSH fingerprint: both real keyids come out', () => {
    for (const { keyid, spki } of realKeys) expect(keyidOf(spki)).toBe(keyid)
  })

  test('changes with any byte of the point, or is undefined', () => {
    const der = Buffer.from(key.spki, 'base64')
    for (let i = 0; i < der.length; i++) {
      const mutated = Buffer.from(der)
      mutated[i] = (mutated[i] ?? 0) ^ 1
      expect(keyidOf(mutated.toString('base64'))).not.toBe(key.keyid)
    }
  })
})

function offCurve(): string {
  const der = Buffer.from(key.spki, 'base64')
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1
  return der.toString('base64')
}

function p384(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  return publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
}
