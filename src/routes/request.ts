/**
 * What a route needs to know of a request: its raw path, the form and the encoding it asks for.
 *
 * Follows RFC 9110 sections 8.4 (encodings), 12.5 (negotiation) and 13.1 (conditions).
 * The path is taken from the bytes the client sent, never from a router's decoded parameters:
 * `/@s%2fn` and `/@s/n` must mean the same, and `%2e%2e` must not mean anything.
 * Does not decide what is served.
 * @module
 */
import Negotiator from 'negotiator'
import type { Encoding } from '../registries/encoding.ts'
import { RegistryError } from '../registries/errors.ts'

/** Distinct header values remembered. Real clients send about a dozen; more is somebody probing. */
const NEGOTIATED_MAX = 256

const ABBREVIATED_TYPE = 'application/vnd.npm.install-v1+json'
const FULL_TYPE = 'application/json'

/** Forms of a packument, as npm names them. */
export type Form = 'full' | 'abbreviated'

const forms = new Map<string, Form>()
const encodings = new Map<string, Encoding>()

/**
 * The path as it came, below the mount point, with its leading slash and without its query.
 * @throws RegistryError bad-request when the request line or Host header is malformed
 */
export function rawPath(request: Request, prefix: string): string {
  const path = pathAndQuery(request)
  const query = path.indexOf('?')
  const bare = query === -1 ? path : path.slice(0, query)
  if (prefix !== '' && !bare.startsWith(`${prefix}/`) && bare !== prefix) {
    throw new RegistryError('not-found', `nothing is served outside ${prefix}/`)
  }
  return bare.slice(prefix.length) || '/'
}

/** The query parameters of a request; never throws on a malformed escape. */
export function queryOf(request: Request): URLSearchParams {
  const path = pathAndQuery(request)
  const query = path.indexOf('?')
  return new URLSearchParams(query === -1 ? '' : path.slice(query + 1))
}

function pathAndQuery(request: Request): string {
  // Bun hands on a relative URL when the Host header is malformed: nothing may be routed by it.
  const start = request.url.startsWith('http') ? request.url.indexOf('/', 8) : -1
  if (start === -1)
    throw new RegistryError('bad-request', 'the Host header of this request is malformed')
  return request.url.slice(start)
}

/** Full or abbreviated packument, by Accept. No Accept at all means full, as npm's registry does. */
export function wantedForm(accept: string | null): Form {
  if (accept === null || accept === '*/*' || accept === FULL_TYPE) return 'full'
  return remembered(forms, accept, () =>
    negotiate({ accept }).mediaType([FULL_TYPE, ABBREVIATED_TYPE]) === ABBREVIATED_TYPE
      ? 'abbreviated'
      : 'full',
  )
}

/** Content type of a packument in `form`. */
export function typeOf(form: Form): string {
  return form === 'abbreviated' ? ABBREVIATED_TYPE : FULL_TYPE
}

/** The encoding to answer in: zstd only where the client names it, else gzip, else identity. */
export function wantedEncoding(acceptEncoding: string | null): Encoding {
  if (acceptEncoding === null) return 'identity'
  return remembered(encodings, acceptEncoding, () => {
    const accepted = new Set(negotiate({ 'accept-encoding': acceptEncoding }).encodings())
    if (accepted.has('zstd')) return 'zstd'
    return accepted.has('gzip') || accepted.has('*') ? 'gzip' : 'identity'
  })
}

/** True when the client wants a page for people rather than JSON. */
export function wantsPage(request: Request): boolean {
  const accept = request.headers.get('accept')
  return accept !== null && accept.includes('text/html')
}

/** True when the client asks for an answer checked with the upstream now (npm's `?write=true` too). */
export function wantsFresh(request: Request): boolean {
  const control = request.headers.get('cache-control')
  if (control !== null && /\bno-cache\b/.test(control)) return true
  return request.url.includes('write=true') && queryOf(request).get('write') === 'true'
}

/**
 * Does the client hold this representation already? If-None-Match wins over If-Modified-Since.
 * @param etag strong or weak entity tag, quoted
 * @param modifiedMs when OUR rendering last changed, not the upstream's document; a whole second
 */
export function isNotModified(headers: Headers, etag: string, modifiedMs: number): boolean {
  const tags = headers.get('if-none-match')
  if (tags !== null) {
    const opaque = etag.replace(/^W\//, '')
    return tags.split(',').some(tag => {
      const trimmed = tag.trim()
      return trimmed === '*' || trimmed.replace(/^W\//, '') === opaque
    })
  }
  const since = headers.get('if-modified-since')
  if (since === null) return false
  const sinceMs = Date.parse(since)
  return Number.isFinite(sinceMs) && modifiedMs <= sinceMs
}

function negotiate(headers: Record<string, string>): Negotiator {
  return new Negotiator({ headers })
}

function remembered<V>(cache: Map<string, V>, header: string, find: () => V): V {
  const known = cache.get(header)
  if (known !== undefined) return known
  const value = find()
  if (cache.size >= NEGOTIATED_MAX) cache.clear()
  cache.set(header, value)
  return value
}
