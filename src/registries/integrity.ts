/**
 * Integrity values as `dist.integrity` carries them: Subresource Integrity text
 * (https://www.w3.org/TR/SRI/, section 3.1) as read by npm's own `ssri`.
 *
 *     sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==
 *
 * For this program the integrity of a version is one SHA-512 in canonical base64. Weaker hashes
 * beside it are allowed and ignored; in its place they are not.
 *
 * @module
 */
import { createHash, hash as hashOnce } from 'node:crypto'
import ssri from 'ssri'
import { decodeBase64 } from '../log/text.ts'
import { RegistryError } from './errors.ts'

const SHA512_BYTES = 64
const PREFIX = 'sha512-'
/** Room for a value with several hashes; the longest real ones are three times shorter. */
const INTEGRITY_CHARS_MAX = 1024
const HEX_SHA512 = /^[0-9a-f]{128}$/

/**
 * The one `sha512-<base64>` of a `dist.integrity`, without options; undefined unless there is
 * exactly one and it is well formed.
 */
export function parseIntegrity(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > INTEGRITY_CHARS_MAX) return undefined
  const hashes = ssri.parse(value)?.['sha512'] ?? []
  const digests = new Set(hashes.map(hash => hash.digest))
  const [digest] = digests
  // Two different SHA-512 would leave the choice of the bytes to whoever serves them.
  if (digest === undefined || digests.size !== 1) return undefined
  return decodeBase64(digest)?.length === SHA512_BYTES ? PREFIX + digest : undefined
}

/** The digest of `sha512-…` in hex, as file names and tables hold it. */
export function integrityToHex(integrity: string): string {
  const digest = integrity.startsWith(PREFIX)
    ? decodeBase64(integrity.slice(PREFIX.length))
    : undefined
  if (digest?.length !== SHA512_BYTES) throw new RangeError('not one sha512 integrity value')
  return digest.toHex()
}

/** The inverse of `integrityToHex`. */
export function integrityFromHex(hex: string): string {
  if (!HEX_SHA512.test(hex)) throw new RangeError('not the hex form of a SHA-512')
  return PREFIX + Uint8Array.fromHex(hex).toBase64()
}

/** The integrity of bytes at hand. */
export function integrityOf(bytes: Uint8Array): string {
  return PREFIX + hashOnce('sha512', bytes, 'base64')
}

/**
 * Passes bytes on while hashing them, always one chunk behind: the last chunk leaves only when the
 * hash of all of them is right, so that nobody can hold a complete wrong file.
 * Throws `upstream-bad-answer` in its place otherwise.
 */
export async function* verifyStream(
  source: AsyncIterable<Uint8Array>,
  integrity: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha512')
  let held: Uint8Array | undefined
  for await (const chunk of source) {
    if (chunk.length === 0) continue
    if (held !== undefined) yield held
    hash.update(chunk)
    held = chunk
  }
  const found = PREFIX + hash.digest('base64')
  if (found !== integrity) {
    throw new RegistryError(
      'upstream-bad-answer',
      `the bytes that came have ${found}, the log says ${integrity}`,
    )
  }
  if (held !== undefined) yield held
}
