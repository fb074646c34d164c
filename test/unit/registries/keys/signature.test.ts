/**
 * Registry signatures: real ones of the public npm registry (test/vectors/npm), each also with one
 * character changed; malformed DER in the manner of Wycheproof; `@noble/curves` as the judge.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { p256 } from '@noble/curves/nist.js'
import * as fc from 'fast-check'
import {
  checkSignature,
  isStrictDer,
  signedMessage,
} from '../../../../src/registries/keys/signature.ts'
import { makeKey, realSignatures, spkiOf, wrongSignatures } from '../vectors.ts'

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const FIELDS = ['name', 'version', 'integrity', 'sig'] as const
const POINT_BYTES = 65

type Vector = (typeof realSignatures)[number]

function isGood({ name, version, integrity, keyid, sig }: Vector): boolean {
  return checkSignature(spkiOf(keyid), signedMessage(name, version, integrity), sig)
}

function nobleSays(spki: string, message: string, sig: Uint8Array): boolean {
  const point = Buffer.from(spki, 'base64').subarray(-POINT_BYTES)
  try {
    return p256.verify(sig, Buffer.from(message), point, { format: 'der', lowS: false })
  } catch {
    return false
  }
}

// Another character at `index`: the next one in base64, which differs by the lowest bit alone.
function changed(text: string, index: number): string {
  const at = BASE64.indexOf(text.charAt(index))
  const other = at < 0 ? 'A' : BASE64.charAt(at ^ 1)
  return text.slice(0, index) + other + text.slice(index + 1)
}

describe('checkSignature() on real signatures', () => {
  test('accepts all 130, and so does noble', () => {
    expect(realSignatures).toHaveLength(130)
    for (const vector of realSignatures) {
      expect(isGood(vector)).toBe(true)
      const message = signedMessage(vector.name, vector.version, vector.integrity)
      expect(nobleSays(spkiOf(vector.keyid), message, Buffer.from(vector.sig, 'base64'))).toBe(true)
    }
  })

  test('refuses the 4 that belong to another name', () => {
    expect(wrongSignatures).toHaveLength(4)
    for (const vector of wrongSignatures) expect(isGood(vector)).toBe(false)
  })

  test('refuses each of 8 with any one character of any field changed', () => {
    for (const vector of realSignatures.filter((_, i) => i % 17 === 0)) {
      for (const field of FIELDS) {
        for (let i = 0; i < vector[field].length; i++) {
          expect(isGood({ ...vector, [field]: changed(vector[field], i) })).toBe(false)
        }
      }
    }
  })

  test('refuses every one with one character of each field changed', () => {
    for (const [n, vector] of realSignatures.entries()) {
      for (const field of FIELDS) {
        for (const step of [0, 7, 31]) {
          const mutated = changed(vector[field], (n + step) % vector[field].length)
          expect(isGood({ ...vector, [field]: mutated })).toBe(false)
        }
      }
    }
  })

  test('agrees with noble on single bits changed in the DER', () => {
    for (const vector of realSignatures.filter((_, i) => i % 43 === 0)) {
      const message = signedMessage(vector.name, vector.version, vector.integrity)
      const bytes = Buffer.from(vector.sig, 'base64')
      for (let i = 0; i < bytes.length; i++) {
        const mutated = Buffer.from(bytes)
        mutated[i] = (mutated[i] ?? 0) ^ (1 << (i % 8))
        const spki = spkiOf(vector.keyid)
        expect(checkSignature(spki, message, mutated.toString('base64'))).toBe(false)
        expect(nobleSays(spki, message, mutated)).toBe(false)
      }
    }
  })

  test('refuses the right signature under the other key', () => {
    const other = realSignatures.find(({ keyid }) => keyid !== realSignatures[0]?.keyid)
    for (const vector of realSignatures.slice(0, 5)) {
      expect(isGood({ ...vector, keyid: other?.keyid ?? '' })).toBe(false)
    }
  })

  test('refuses other spellings of the same base64', () => {
    for (const vector of realSignatures.slice(0, 20)) {
      const { sig } = vector
      const spellings = [
        ` ${sig}`,
        `${sig}\n`,
        `${sig.slice(0, 10)} ${sig.slice(10)}`,
        `${sig}=`,
        `${sig}AA`,
        '',
      ]
      if (sig.endsWith('=')) spellings.push(sig.replace(/=+$/, ''), spareBits(sig))
      if (/[+/]/.test(sig)) spellings.push(sig.replaceAll('+', '-').replaceAll('/', '_'))
      for (const spelling of spellings) expect(isGood({ ...vector, sig: spelling })).toBe(false)
    }
  })
})

// The last character before the padding holds bits that decoders throw away.
function spareBits(sig: string): string {
  return changed(sig, sig.indexOf('=') - 1)
}

describe('checkSignature() on made ones', () => {
  const key = makeKey()
  const message = signedMessage('pkg', '1.0.0', 'sha512-x')
  const { r, s } = p256.Signature.fromBytes(Buffer.from(key.sign(message), 'base64'), 'der')
  const order = p256.Point.CURVE().n

  function check(bytes: Uint8Array): boolean {
    const got = checkSignature(key.spki, message, Buffer.from(bytes).toString('base64'))
    expect(got).toBe(nobleSays(key.spki, message, bytes))
    return got
  }

  test('accepts s and n - s: signatures are malleable and identify nothing', () => {
    expect(check(der(integer(r), integer(s)))).toBe(true)
    expect(check(der(integer(r), integer(order - s)))).toBe(true)
  })

  test('refuses r or s of 0, 1, n, n + 1, or the right one plus n', () => {
    for (const wrong of [0n, 1n, order - 1n, order, order + 1n]) {
      expect(check(der(integer(wrong), integer(s)))).toBe(false)
      expect(check(der(integer(r), integer(wrong)))).toBe(false)
      expect(check(der(integer(wrong), integer(wrong)))).toBe(false)
    }
    expect(check(der(integer(r + order), integer(s)))).toBe(false)
    expect(check(der(integer(r), integer(s + order)))).toBe(false)
  })

  const good = der(integer(r), integer(s))
  const malformed: [string, Uint8Array][] = [
    ['nothing', Buffer.alloc(0)],
    ['an empty sequence', Buffer.from('3000', 'hex')],
    ['one integer', sequence(integer(r))],
    ['three integers', sequence(integer(r), integer(s), integer(1n))],
    ['bytes behind the sequence', Buffer.concat([good, Buffer.from([0])])],
    ['bytes behind the integers', sequence(integer(r), integer(s), Buffer.from('0500', 'hex'))],
    ['a cut end', good.subarray(0, -1)],
    ['a long form of the length', longLength(good, 1)],
    ['a longer form of the length', longLength(good, 2)],
    ['an indefinite length', indefinite(good)],
    ['a length that is too small', withByte(good, 1, good.length - 3)],
    ['a length that is too large', withByte(good, 1, good.length - 1)],
    ['a wrong tag of the sequence', withByte(good, 0, 0x31)],
    ['a wrong tag of an integer', withByte(good, 2, 0x03)],
    ['a zero in front', der(tagged(Buffer.concat([Buffer.alloc(1), body(r)])), integer(s))],
    ['negative integers', der(tagged(Buffer.from([0xff, ...body(r)])), integer(s))],
    ['an empty integer', der(tagged(Buffer.alloc(0)), integer(s))],
    ['the raw form', Buffer.from(r.toString(16).padStart(64, '0') + s.toString(16), 'hex')],
  ]

  test.each(malformed)('refuses %s', (_, bytes) => {
    expect(isStrictDer(bytes)).toBe(false)
    expect(check(bytes)).toBe(false)
  })

  test('isStrictDer() takes what noble writes and nothing that noble reads differently', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, order - 1n), fc.bigInt(1n, order - 1n), (a, b) => {
        const bytes = new p256.Signature(a, b).toBytes('der')
        expect(isStrictDer(bytes)).toBe(true)
        expect(Buffer.from(bytes).equals(der(integer(a), integer(b)))).toBe(true)
      }),
      { numRuns: 200 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), bytes => {
        if (isStrictDer(bytes)) expect(bytes[0]).toBe(0x30)
      }),
    )
  })

  test('refuses a message with a lone surrogate, which has no bytes', () => {
    const sig = key.sign('\ufffd')
    expect(checkSignature(key.spki, '\ufffd', sig)).toBe(true)
    expect(checkSignature(key.spki, '\ud800', sig)).toBe(false)
  })
})

function body(value: bigint): Buffer {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes
}

function tagged(content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0x02, content.length]), content])
}

function integer(value: bigint): Buffer {
  return tagged(body(value))
}

function sequence(...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([0x30, content.length]), content])
}

function der(r: Uint8Array, s: Uint8Array): Buffer {
  return sequence(r, s)
}

function withByte(bytes: Uint8Array, index: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[index] = value
  return copy
}

function longLength(bytes: Uint8Array, octets: number): Buffer {
  const zeros = Buffer.alloc(octets - 1)
  const header = Buffer.concat([Buffer.from([0x30, 0x80 + octets]), zeros])
  return Buffer.concat([header, bytes.subarray(1)])
}

function indefinite(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0x30, 0x80]), bytes.subarray(2), Buffer.alloc(2)])
}
