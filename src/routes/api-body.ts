/**
 * The body and the query of a request to `/-/api`: JSON of a bounded size, said to be JSON
 * (RFC 8259; RFC 9110 sections 8.3 and 15.5.14); a query in which each name is there once.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import { queryOf } from './request.ts'

/** `application/json`, with or without parameters; nothing that a form of a page can send. */
const JSON_TYPE = /^application\/json\s*(?:;|$)/i

/** The only way for half a character to come in: the bytes themselves are checked UTF-8. */
const SURROGATE = /\\u[dD][89a-fA-F]/

/** The text of the body. @throws RegistryError unsupported-media-type, body-too-large, bad-request */
export async function readText(request: Request, bytesMax: number): Promise<string> {
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? '')) {
    throw new RegistryError('unsupported-media-type', 'the body must be application/json')
  }
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge(bytesMax)
  const pieces: Uint8Array[] = []
  let bytes = 0
  if (request.body === null) return ''
  for await (const piece of request.body) {
    bytes += piece.byteLength
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    pieces.push(piece)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces))
  } catch {
    throw new RegistryError('bad-request', 'the body is not UTF-8')
  }
}

/** The value of a body. @throws RegistryError bad-request */
export function parseBody(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (!SURROGATE.test(text) || isWellFormed(value)) return value
  } catch {
    // What the parser says repeats a part of the text.
    throw new RegistryError('bad-request', 'the body is not JSON')
  }
  throw new RegistryError('bad-request', 'the body holds half a character (a lone surrogate)')
}

/** Whether every string in it, names of properties too, is well-formed Unicode. */
function isWellFormed(value: unknown): boolean {
  const left: unknown[] = [value]
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    if (typeof at === 'string' && !at.isWellFormed()) return false
    if (typeof at !== 'object' || at === null) continue
    for (const [name, inner] of Object.entries(at)) {
      left.push(name)
      if (inner !== null) left.push(inner)
    }
  }
  return true
}

/** The query by name. @throws RegistryError bad-request when a name is there twice */
export function queryParts(request: Request): Record<string, string> {
  const parts = new Map<string, string>()
  for (const [name, value] of queryOf(request)) {
    if (parts.has(name)) throw new RegistryError('bad-request', 'a parameter is there twice')
    parts.set(name, value)
  }
  return Object.fromEntries(parts)
}

function tooLarge(bytesMax: number): RegistryError {
  return new RegistryError('body-too-large', `a body here may have ${bytesMax} bytes`)
}
