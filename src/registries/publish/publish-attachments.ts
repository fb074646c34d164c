/**
 * The attachments of a publish body: the tarball, and the Sigstore bundle of a publish with
 * provenance, each under the one name that belongs to its version.
 *
 * Base64 is read strictly (RFC 4648, section 3.5: no white space, no missing or wrong padding), and
 * the length that the client says must be that of the bytes. The tarball is decoded into the place
 * of its own text: what a publish needs in memory is its body.
 *
 * @module
 */
import { hash } from 'node:crypto'
import { RegistryError } from '../errors.ts'
import { garbageCollector } from '../garbage.ts'
import { integrityOf } from '../integrity.ts'
import type { StrictObject } from './publish-json.ts'
import type { Provenance } from './publish-provenance.ts'

/** Leaves room for the manifest in a body of the largest size. */
export const TARBALL_BYTES_MAX = 94 * 1024 * 1024
/** An empty gzip file has 20 bytes: what is shorter is no tarball. */
const TARBALL_BYTES_MIN = 20
/** A real bundle has 12 kB. */
const BUNDLE_CHARS_MAX = 1024 * 1024
/** Characters decoded at once, whole groups of four: they pass through a string. */
const PIECE_CHARS = 256 * 1024
/** A tarball and a bundle. */
const ATTACHMENTS_MAX = 2
const BUNDLE_MEDIA_TYPE =
  /^application\/vnd\.dev\.sigstore\.bundle(?:\+json;version=0\.[123]|\.v0\.3\+json)$/

export type AttachedTarball = { bytes: Uint8Array; integrity: string; shasum: string }

export class Attachments {
  readonly #found: StrictObject | undefined

  constructor(found: StrictObject | undefined) {
    this.#found = found
  }

  get size(): number {
    return this.#found?.keys.length ?? 0
  }

  /** What belongs to this version; throws unless that is all there is. */
  take(name: string, version: string): { tarball: AttachedTarball; bundle: Provenance | null } {
    const tarballKey = `${name}-${version}.tgz`
    const bundleKey = `${name}-${version}.sigstore`
    const keys = this.#found?.keys ?? []
    const other = keys.find(key => key !== tarballKey && key !== bundleKey)
    if (keys.length > ATTACHMENTS_MAX || other !== undefined) {
      const found = JSON.stringify((other ?? '').slice(0, 80).toWellFormed())
      throw bad(`the attachment ${found} does not belong to ${name}@${version} (${tarballKey})`)
    }
    const tarball = this.#found?.object(tarballKey)
    if (tarball === undefined) throw bad(`${name}@${version} comes without its tarball`)
    const bundle = this.#found?.object(bundleKey)
    return {
      tarball: readTarball(tarball, tarballKey),
      bundle: bundle === undefined ? null : readBundle(bundle, bundleKey),
    }
  }
}

/** @param found the member `_attachments`; absent and empty both mean that there are none */
export function readAttachments(found: StrictObject | undefined): Attachments {
  return new Attachments(found)
}

function readTarball(attachment: StrictObject, key: string): AttachedTarball {
  const text = attachment.rawText('data')
  if (text === undefined) throw bad(`the attachment ${key} has no data`)
  // Four characters for three bytes: refused before anything is decoded.
  if (text.length > Math.ceil(TARBALL_BYTES_MAX / 3) * 4) {
    throw new RegistryError('body-too-large', `${key} is larger than ${TARBALL_BYTES_MAX} bytes`)
  }
  const bytes = decodeStrict(text, key)
  if (bytes.length < TARBALL_BYTES_MIN) throw bad(`the attachment ${key} is empty`)
  checkLength(attachment, bytes.length, key)
  return { bytes, integrity: integrityOf(bytes), shasum: hash('sha1', bytes) }
}

function readBundle(attachment: StrictObject, key: string): Provenance {
  const mediaType = attachment.value('content_type')
  if (typeof mediaType !== 'string' || !BUNDLE_MEDIA_TYPE.test(mediaType)) {
    throw bad(`the attachment ${key} is no Sigstore bundle by its content_type`)
  }
  const data = attachment.value('data')
  if (typeof data !== 'string') throw bad(`the attachment ${key} has no data`)
  if (data.length > BUNDLE_CHARS_MAX) {
    throw new RegistryError(
      'body-too-large',
      `${key} is longer than ${BUNDLE_CHARS_MAX} characters`,
    )
  }
  checkLength(attachment, data.length, key)
  return { mediaType, data }
}

function checkLength(attachment: StrictObject, actual: number, key: string): void {
  const length = attachment.value('length')
  if (length === actual) return
  const said = typeof length === 'number' ? `${length}` : 'none'
  throw bad(`the length of the attachment ${key} is ${actual}, the body says ${said}`)
}

/** Over the text itself: what is written never reaches the characters that are still to be read. */
function decodeStrict(text: Buffer, key: string): Uint8Array {
  const collect = garbageCollector()
  let length = 0
  for (let at = 0; at < text.length; at += PIECE_CHARS) {
    collect(at)
    const piece = text.toString('latin1', at, at + PIECE_CHARS)
    const written = decodePiece(piece, text.subarray(length))
    // White space is skipped by the decoder: more characters than the bytes need.
    const isWhole = written !== null && Math.ceil(written / 3) * 4 === piece.length
    // Padding belongs to the last piece.
    const isEnd = at + PIECE_CHARS >= text.length
    if (!isWhole || !(isEnd || written % 3 === 0)) {
      throw bad(`the data of the attachment ${key} is not base64`)
    }
    length += written
  }
  return text.subarray(0, length)
}

/** How many bytes it is; null: it is not base64. */
function decodePiece(piece: string, into: Uint8Array): number | null {
  try {
    return into.setFromBase64(piece, { lastChunkHandling: 'strict' }).written
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return null
  }
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
