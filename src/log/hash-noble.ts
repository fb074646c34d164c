/**
 * The cryptography of the log in plain JavaScript, for browsers: SHA-256, SHA-512 (FIPS 180-4) and
 * Ed25519 (RFC 8032) from noble. The same exports as `hash-native.ts`, which Bun gets for `#hash`.
 * Slower by an order of magnitude; the web pages check single proofs with it.
 *
 * @module
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js'

/** Length of a SHA-256 digest, and so of every hash in the log. */
export const HASH_BYTES = 32
/** Length of an Ed25519 seed and of an Ed25519 public key (RFC 8032, section 5.1.5). */
export const KEY_BYTES = 32
/** Length of an Ed25519 signature (RFC 8032, section 5.1.6). */
export const SIGNATURE_BYTES = 64

// RFC 8032's rules, as the native side applies them, not ZIP 215's more lenient ones.
const RFC8032 = { zip215: false }

/** SHA-256 of the parts, one after the other. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const state = nobleSha256.create()
  for (const part of parts) state.update(part)
  return state.digest()
}

/** SHA-512 of the parts, one after the other. */
export function sha512(...parts: Uint8Array[]): Uint8Array {
  const state = nobleSha512.create()
  for (const part of parts) state.update(part)
  return state.digest()
}

/** The public key of an Ed25519 seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  checkKeyLength(seed)
  return ed25519.getPublicKey(seed)
}

/** A function that signs with this Ed25519 seed. */
export function ed25519Signer(seed: Uint8Array): (message: Uint8Array) => Uint8Array {
  checkKeyLength(seed)
  const kept = Uint8Array.from(seed)
  return message => ed25519.sign(message, kept)
}

/** A function that checks signatures of this Ed25519 public key. */
export function ed25519Verifier(
  publicKey: Uint8Array,
): (message: Uint8Array, signature: Uint8Array) => boolean {
  checkKeyLength(publicKey)
  const kept = Uint8Array.from(publicKey)
  return (message, signature) =>
    signature.length === SIGNATURE_BYTES && ed25519.verify(signature, message, kept, RFC8032)
}

function checkKeyLength(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) {
    throw new RangeError(`an Ed25519 key or seed has ${KEY_BYTES} bytes, not ${key.length}`)
  }
}
