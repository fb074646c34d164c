/**
 * npm registry signatures: ECDSA over P-256 with SHA-256, DER, in base64 (npm RFC 0051).
 *
 *     message  lodash@4.17.21:sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3v...
 *     sig      MEUCIQC...                (70 to 72 bytes of DER; half of them high-S, which is valid)
 *
 * The signature covers name, version and integrity and nothing else: not the dependencies, scripts,
 * tarball URL or tags of the manifest that it comes with. (r, n - s) verifies as well as (r, s), so
 * the bytes of a signature identify nothing. Verification is the platform's; a test holds
 * `@noble/curves` beside it. Whether a key is trusted is decided elsewhere.
 *
 * @module
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { decodeBase64 } from '../../log/text.ts'

const SCALAR_BYTES = 32
const DER_SEQUENCE = 0x30
const DER_INTEGER = 0x02
/** Two integers of 33 bytes with their headers: nothing longer is a P-256 signature. */
const DER_BYTES_MAX = 2 + 2 * (2 + SCALAR_BYTES + 1)
/** Parsed keys at hand. A process knows a few dozen; the rest is parsed again. */
const PARSED_KEYS_MAX = 64

const parsedKeys = new Map<string, KeyObject>()

/** What a registry signs for a version. @param integrity one `sha512-…`, as records hold it */
export function signedMessage(name: string, version: string, integrity: string): string {
  return `${name}@${version}:${integrity}`
}

/** Whether `sig` is this key's signature over the message. @param spki base64 of the DER form */
export function checkSignature(spki: string, message: string, sig: string): boolean {
  const der = decodeBase64(sig)
  if (der === undefined || !isStrictDer(der) || !message.isWellFormed()) return false
  return verify('sha256', Buffer.from(message), parsedKey(spki), der)
}

/**
 * Whether bytes are a P-256 signature in DER as it can be written in one way only (X.690, section
 * 10): short lengths, minimal positive integers, nothing behind. Verifiers differ in what else they
 * take; what one of them refuses must not be accepted here.
 */
export function isStrictDer(der: Uint8Array): boolean {
  if (der.length > DER_BYTES_MAX || der[0] !== DER_SEQUENCE || der[1] !== der.length - 2) {
    return false
  }
  const afterR = integerEnd(der, 2)
  return afterR !== undefined && integerEnd(der, afterR) === der.length
}

// The end of the positive integer at `start`, when there is one.
function integerEnd(der: Uint8Array, start: number): number | undefined {
  const length = der[start + 1]
  if (der[start] !== DER_INTEGER || length === undefined) return undefined
  const first = der[start + 2]
  const end = start + 2 + length
  if (first === undefined || end > der.length || length < 1) return undefined
  const second = der[start + 3] ?? 0
  if (first >= 0x80) return undefined
  if (first === 0 && (length === 1 || second < 0x80)) return undefined
  return length <= SCALAR_BYTES + (first === 0 ? 1 : 0) ? end : undefined
}

function parsedKey(spki: string): KeyObject {
  const known = parsedKeys.get(spki)
  if (known !== undefined) return known
  const key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })
  if (parsedKeys.size >= PARSED_KEYS_MAX) parsedKeys.clear()
  parsedKeys.set(spki, key)
  return key
}
