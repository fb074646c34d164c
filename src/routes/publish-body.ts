/**
 * The body of a publish, also of one that is only staged: how large it may be, and the line that npm
 * shows when it was published.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import type { Receipt } from '../registries/hosted-publish.ts'
import { PUBLISH_BYTES_MAX } from '../registries/publish-document.ts'

/** What the body says of its size; one that says nothing may have any. */
export function declaredBytes(request: Request): number {
  const header = request.headers.get('content-length')
  const declared = header === null ? PUBLISH_BYTES_MAX : Number(header)
  if (Number.isSafeInteger(declared) && declared <= PUBLISH_BYTES_MAX) return declared
  throw tooLarge()
}

/** The whole body. @throws RegistryError body-too-large */
export async function publishBody(request: Request): Promise<Uint8Array> {
  const body = new Uint8Array(await request.arrayBuffer())
  if (body.byteLength > PUBLISH_BYTES_MAX) throw tooLarge()
  return body
}

/** One line that npm shows to whoever publishes. */
export function noticeOf({ name, version, leafIndex }: Receipt, base: string): string {
  const { host } = new URL(base)
  if (leafIndex === null) return `${name}@${version} is private: signed by ${host}, in no log`
  const proof = `${base}-/sumdb/proof/${name}@${version}`
  return `${name}@${version} is leaf ${leafIndex} of the log of ${host}: ${proof}`
}

function tooLarge(): RegistryError {
  const why = `the body of a publish has at most ${PUBLISH_BYTES_MAX} bytes`
  return new RegistryError('body-too-large', why)
}
