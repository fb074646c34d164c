/**
 * The few response headers that decide something here, parsed strictly: what is malformed counts
 * as absent, and what forbids wins over what allows.
 *
 * Cache-Control, Age: RFC 9111, sections 5.1 and 5.2.2. Retry-After: RFC 9110, section 10.2.3.
 *
 * @module
 */

/** Numbers of more digits mean "for ever" (RFC 9111, section 1.2.2). */
const SECONDS_MAX = 2 ** 31
const SECONDS = /^\d{1,32}$/
/** `max-age=300`, `no-cache`, `ext="a, b"`: a directive, or the rest up to the next comma. */
const DIRECTIVE =
  /\s*([\w!#$%&'*+.^`|~-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?\s*(?:,|$)|[^,]*(?:,|$)/g
const HEADER_LENGTH_MAX = 1024
/** What a validator may be made of (RFC 9110, section 8.8.3), so that it can be sent back as it is. */
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]*"$/
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

function parseSeconds(text: string | undefined): number | null {
  if (text === undefined || !SECONDS.test(text)) return null
  return Math.min(Number(text), SECONDS_MAX)
}

/**
 * For how many seconds more the answer says it is fresh: 0 when it must be asked for each time,
 * null when it says nothing. A shared cache: `s-maxage` goes before `max-age`.
 */
export function freshSeconds(headers: Headers): number | null {
  const directives = parseDirectives(headers.get('cache-control') ?? '')
  if (['no-store', 'no-cache', 'private'].some(name => directives.has(name))) return 0
  const shared = parseSeconds(directives.get('s-maxage'))
  const maxAge = shared ?? parseSeconds(directives.get('max-age'))
  if (maxAge === null) return null
  const age = parseSeconds(headers.get('age')?.trim()) ?? 0
  return Math.max(0, maxAge - age)
}

/** Names in small letters; of a repeated one with two values the first counts. */
function parseDirectives(text: string): Map<string, string> {
  const directives = new Map<string, string>()
  if (text.length > HEADER_LENGTH_MAX) return directives
  for (const [, name, quoted, token] of text.matchAll(DIRECTIVE)) {
    const key = name?.toLowerCase()
    if (key !== undefined && !directives.has(key)) directives.set(key, quoted ?? token ?? '')
  }
  return directives
}

/** The entity tag, when it can be sent back in If-None-Match. */
export function parseEtag(headers: Headers): string | null {
  const etag = headers.get('etag')
  return etag !== null && etag.length <= HEADER_LENGTH_MAX && ETAG.test(etag) ? etag : null
}

/** The date of the last change, when it can be sent back in If-Modified-Since. */
export function parseLastModified(headers: Headers): string | null {
  const date = headers.get('last-modified')
  return date !== null && HTTP_DATE.test(date) ? date : null
}

/** Seconds to wait, from either form of Retry-After. @param now in milliseconds since 1970 */
export function parseRetryAfter(headers: Headers, now: number): number | null {
  const text = headers.get('retry-after')?.trim()
  if (text === undefined) return null
  if (!HTTP_DATE.test(text)) return parseSeconds(text)
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - now) / 1000))
}

/** Bytes of the body on the wire; null when the header is missing or malformed. */
export function parseContentLength(headers: Headers): number | null {
  const text = headers.get('content-length')
  if (text === null || !/^\d{1,15}$/.test(text)) return null
  return Number(text)
}
