/**
 * The cryptography of the log, by the runtime: SHA-256, SHA-512 (FIPS 180-4) and Ed25519 (RFC 8032).
 * Imported as `#hash` by Bun; browsers get `hash-noble.ts`, which exports the same names.
 * Nothing here knows about trees or notes. A test compares the two files on every vector.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'

/** Length of a SHA-256 digest, and so of every hash in the log. */
export const HASH_BYTES = 32
const SHA512_BYTES = 64
/** Length of an Ed25519 seed and of an Ed25519 public key (RFC 8032, section 5.1.5). */
export const KEY_BYTES = 32
/** Length of an Ed25519 signature (RFC 8032, section 5.1.6). */
export const SIGNATURE_BYTES = 64

// DER around a raw 32-byte key, RFC 8410: node:crypto reads keys in no shorter form.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** SHA-256 of the parts, one after the other. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const digest = new Uint8Array(HASH_BYTES)
  Bun.SHA256.hash(joined(parts), digest)
  return digest
}

/** SHA-512 of the parts, one after the other. */
export function sha512(...parts: Uint8Array[]): Uint8Array {
  const digest = new Uint8Array(SHA512_BYTES)
  Bun.SHA512.hash(joined(parts), digest)
  return digest
}

/** The public key of an Ed25519 seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  const spki = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' })
  return Uint8Array.from(spki.subarray(SPKI_PREFIX.length))
}

/** A function that signs with this Ed25519 seed; the key is read once. */
export function ed25519Signer(seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  const key = privateKey(seed)
  return message => Uint8Array.from(sign(null, message, key))
}

/** A function that checks signatures of this Ed25519 public key; the key is read once. */
export function ed25519Verifier(
  publicKey: Uint8Array,
): (message: Uint8Array, signature: Uint8Array) => boolean {
  checkKeyLength(publicKey)
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, publicKey]),
    format: 'der',
    type: 'spki',
  })
  return (message, signature) =>
    signature.length === SIGNATURE_BYTES && verify(null, message, key, signature)
}

function privateKey(seed: Uint8Array) {
  checkKeyLength(seed)
  return createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, seed]),
    format: 'der',
    type: 'pkcs8',
  })
}

/** One call on joined bytes is four times faster than a hash object that is updated part by part. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  return only !== undefined && parts.length === 1 ? only : join(parts)
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const all = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

function checkKeyLength(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) {
    throw new RangeError(`an Ed25519 key or seed has ${KEY_BYTES} bytes, not ${key.length}`)
  }
}
