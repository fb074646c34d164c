import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import * as native from '../../../src/log/hash-native.ts'
import * as noble from '../../../src/log/hash-noble.ts'
import { flip } from './memory-log.ts'

const sides = [
  ['native', native],
  ['noble', noble],
] as const

const bytes = (hex: string) => Uint8Array.fromHex(hex)
const text = (value: string) => new TextEncoder().encode(value)

// FIPS 180-4 examples (NIST, "SHA256.pdf" and "SHA512.pdf": "abc", and the message of no bits).
const DIGESTS = [
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
] as const
const SHA512_ABC =
  'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
  '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f'

// RFC 8032, section 7.1, tests 1 to 3.
const ED25519 = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
] as const

describe.each(sides)('%s', (_, side) => {
  test('sha256() and sha512() match FIPS 180-4', () => {
    for (const [message, digest] of DIGESTS) {
      expect(side.sha256(text(message)).toHex()).toBe(digest)
    }
    expect(side.sha256().toHex()).toBe(DIGESTS[0][1])
    expect(side.sha512(text('a'), text('bc')).toHex()).toBe(SHA512_ABC)
  })

  test('Ed25519 matches RFC 8032', () => {
    for (const vector of ED25519) {
      const seed = bytes(vector.seed)
      const publicKey = bytes(vector.publicKey)
      expect(side.ed25519PublicKey(seed).toHex()).toBe(vector.publicKey)
      expect(side.ed25519Signer(seed)(bytes(vector.message)).toHex()).toBe(vector.signature)
      const verify = side.ed25519Verifier(publicKey)
      expect(verify(bytes(vector.message), bytes(vector.signature))).toBe(true)
    }
  })

  test('ed25519Verifier() refuses a signature with any byte changed, and other lengths', () => {
    const [, , vector] = ED25519
    const verify = side.ed25519Verifier(bytes(vector.publicKey))
    const message = bytes(vector.message)
    const signature = bytes(vector.signature)
    for (let i = 0; i < signature.length; i++) {
      expect(verify(message, flip(signature, i))).toBe(false)
    }
    for (let i = 0; i < message.length; i++) expect(verify(flip(message, i), signature)).toBe(false)
    expect(verify(message, signature.subarray(1))).toBe(false)
    expect(verify(message, new Uint8Array([...signature, 0]))).toBe(false)
    expect(verify(message, new Uint8Array(0))).toBe(false)
  })

  test('keys of another length are refused', () => {
    for (const length of [0, 31, 33, 64]) {
      const key = new Uint8Array(length)
      expect(() => side.ed25519PublicKey(key)).toThrow(RangeError)
      expect(() => side.ed25519Signer(key)).toThrow(RangeError)
      expect(() => side.ed25519Verifier(key)).toThrow(RangeError)
    }
  })
})

test('native and noble agree on every input', () => {
  const part = fc.uint8Array({ maxLength: 300 })
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(fc.array(part, { maxLength: 4 }), parts => {
      expect(native.sha256(...parts)).toEqual(noble.sha256(...parts))
      expect(native.sha512(...parts)).toEqual(noble.sha512(...parts))
    }),
  )
  fc.assert(
    fc.property(seed, part, fc.nat(63), (key, message, at) => {
      const publicKey = native.ed25519PublicKey(key)
      expect(noble.ed25519PublicKey(key)).toEqual(publicKey)
      const signature = native.ed25519Signer(key)(message)
      expect(noble.ed25519Signer(key)(message)).toEqual(signature)
      for (const side of [native, noble]) {
        const verify = side.ed25519Verifier(publicKey)
        expect(verify(message, signature)).toBe(true)
        expect(verify(message, flip(signature, at, 0x80))).toBe(false)
      }
    }),
    { numRuns: 20 },
  )
})

test('both sides export the same names', () => {
  expect(Object.keys(native).toSorted()).toEqual(Object.keys(noble).toSorted())
})
