/**
 * The attachments of a publish body: the tarball, and the Sigstore bundle of a publish with
 * provenance, each under the one name that belongs to its version.
 *
 * Base64 is read strictly (RFC 4648, section 3.5: no white space, no missing or wrong padding), and
 * the length that the client says must be that of the bytes.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { RegistryError } from '../errors.ts'
import { integrityOf } from '../integrity.ts'
import type { StrictObject } from './publish-json.ts'
import type { Provenance } from './publish-provenance.ts'

/** Leaves room for the manifest in a body of the largest size. */
export const TARBALL_BYTES_MAX = 94 * 1024 * 1024
/** An empty gzip file has 20 bytes: what is shorter is no tarball. */
const TARBALL_BYTES_MIN = 20
/** A real bundle has 12 kB. */
const BUNDLE_CHARS_MAX = 1024 * 1024
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
  const shasum = createHash('sha1').update(bytes).digest('hex')
  return { bytes, integrity: integrityOf(bytes), shasum }
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

function decodeStrict(text: string, key: string): Uint8Array {
  try {
    const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
    // White space is skipped by the decoder: more characters than the bytes need.
    if (Math.ceil(bytes.length / 3) * 4 === text.length) return bytes
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw bad(`the data of the attachment ${key} is not base64`)
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
