/**
 * Bodies of a few fields: read with a limit whatever their headers promise, then JSON or a form.
 * What was sent is repeated in no error: it may be a password.
 * @module
 */
import { type Static, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { RegistryError } from '../registries/errors.ts'

/** A name, a password and a list of packages; nothing that is read here is larger. */
const SMALL_BODY_BYTES_MAX = 64 * 1024

/** The body as JSON of a shape. @throws RegistryError bad-request, body-too-large */
export async function jsonBody<Shape extends TSchema>(
  request: Request,
  shape: Shape,
): Promise<Static<Shape>> {
  const body = parse(await textOf(request))
  if (Value.Check(shape, body)) return body
  const [first] = Value.Errors(shape, body)
  const where = first === undefined ? '' : `: ${first.path} ${first.message}`
  throw new RegistryError('bad-request', `the body is not of the expected form${where}`)
}

/** The body as the fields of a form. @throws RegistryError bad-request, body-too-large */
export async function formBody(request: Request): Promise<URLSearchParams> {
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/x-www-form-urlencoded(?:;|$)/i.test(type)) {
    throw new RegistryError('bad-request', 'this takes a form')
  }
  return new URLSearchParams(await textOf(request))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new RegistryError('bad-request', 'the body is not JSON')
  }
}

/** The bytes of a body; null when there are more. No more than that is ever held. */
export async function bytesWithin(
  request: Request,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) return null
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.byteLength
    if (length > bytesMax) return null
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

async function textOf(request: Request): Promise<string> {
  const bytes = await bytesWithin(request, SMALL_BODY_BYTES_MAX)
  if (bytes === null) {
    const why = `the body of this request has more than ${SMALL_BODY_BYTES_MAX} bytes`
    throw new RegistryError('body-too-large', why)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new RegistryError('bad-request', 'the body is not UTF-8')
  }
}
