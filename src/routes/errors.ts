/**
 * Error code -> HTTP status -> body, in this file alone.
 *
 * npm clients print only a string `error`, so every body carries one (facts: of the rest of the body
 * no client shows anything). 409 is never used on reads: two clients retry it for a minute.
 * Unknown errors become 500 without their message: it may hold anything.
 * @module
 */
import type { Logger } from 'pino'
import type { ErrorCode } from '../registries/errors.ts'
import { RegistryError } from '../registries/errors.ts'
import { page } from './page.ts'
import { wantsPage } from './request.ts'

/** Seconds a client is asked to wait when the error does not know better. */
const RETRY_AFTER_SECONDS = 5
/** A request id from outside is repeated only when it is short and plain. */
const REQUEST_ID = /^[\w.-]{1,64}$/

const STATUS: Record<ErrorCode, number> = {
  'bad-request': 400,
  'invalid-name': 400,
  'unauthorized': 401,
  'refused': 403,
  'not-found': 404,
  'too-large': 502,
  'conflict': 409,
  'forbidden': 403,
  'gone': 410,
  'method-not-allowed': 405,
  'unsupported-media-type': 415,
  'precondition-failed': 412,
  'body-too-large': 413,
  'unprocessable': 422,
  'too-many-requests': 429,
  'internal': 500,
  'upstream-bad-answer': 502,
  'upstream-unreachable': 503,
  'busy': 503,
}

/**
 * The statuses of the admin API where they differ: there another server that does not answer, or
 * wants a credential, is something wrong with what was asked, not with this server.
 */
const ADMIN_STATUS: Partial<Record<ErrorCode, number>> = {
  'refused': 422,
  'too-large': 422,
  'upstream-bad-answer': 422,
  'upstream-unreachable': 422,
}

/** The status of an error on `/-/api`. */
export function adminStatusOf(code: ErrorCode): number {
  return ADMIN_STATUS[code] ?? STATUS[code]
}

/** The request id that the client gave, or a new one. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get('x-request-id')
  return given !== null && REQUEST_ID.test(given) ? given : crypto.randomUUID()
}

/** npm prints it on one line, behind a URL of its own (CONTRACT.md, "Errors of npm routes"). */
const SENTENCE_CHARS_MAX = 300

/** Where a sentence that names no page of ours leads on to. @param base public URL, ends in `/` */
const NEXT: Partial<Record<ErrorCode, (base: string) => string>> = {
  'unauthorized': base => ` (${base})`,
  'not-found': base => `; who is asked for which names: ${base}-/registries`,
  'forbidden': base => ` (${base})`,
  'upstream-unreachable': base => `; try again later; whom this server asks: ${base}-/registries`,
  'upstream-bad-answer': base => `; whom this server asks: ${base}-/registries`,
  'refused': base => `; whom this server asks: ${base}-/registries`,
  'busy': base => `; try again later (${base})`,
}

/**
 * Where failures go. @property fatal ends the process when the error says that it must end
 * @property base public URL, ends in `/`
 */
export type Report = {
  logger: Logger
  base?: string
  fatal: (error: unknown) => void
  /** Counts a refusal by its reason. */
  refused?: (reason: string) => void
}

/** The answer for an error on an npm route. */
export function errorResponse(error: unknown, request: Request, report: Report): Response {
  report.fatal(error)
  const log = report.logger
  if (error instanceof RegistryError && error.code === 'refused') {
    report.refused?.(error.reason ?? 'other')
  }
  const requestId = requestIdOf(request)
  if (!(error instanceof RegistryError)) {
    log.error({ err: error, requestId, path: pathOnly(request) }, 'unexpected error')
    return json(500, {
      error: `internal error; its details are in this server's log as ${requestId}`,
      code: 'internal',
      requestId,
    })
  }
  const status = STATUS[error.code]
  if (status >= 500)
    log.warn({ code: error.code, requestId, detail: error.message }, 'request failed')
  if (status === 403 && wantsPage(request)) return refusalPage(error)
  const sentence = sentenceOf(error, report.base)
  const headers: Record<string, string> = {}
  if (status === 503 || status === 429)
    headers['retry-after'] = String(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS)
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  // Of a 401 with a challenge npm shows nothing else.
  if (status === 401 || status === 403) headers['npm-notice'] = headerSafe(sentence)
  return json(
    status,
    {
      error: sentence,
      code: error.code,
      reason: error.reason ?? error.code,
      package: error.package,
      version: error.version,
      url: error.evidenceUrl,
      requestId,
    },
    headers,
  )
}

/** One line with the package, what happened, and where to go on. */
function sentenceOf(error: RegistryError, base: string | undefined): string {
  const { message, code, package: name } = error
  const named = name === undefined || message.includes(name) ? message : `${name}: ${message}`
  const line = named.replaceAll(/\s+/g, ' ')
  // Of a path that is no package's, nobody was asked.
  const isAtEnd = line.includes('://') || (code === 'not-found' && name === undefined)
  const next = base === undefined || isAtEnd ? undefined : NEXT[code]?.(base)
  const whole = next === undefined ? line : line.replace(/\.$/, '') + next
  if (whole.length <= SENTENCE_CHARS_MAX) return whole
  return line.length <= SENTENCE_CHARS_MAX ? line : `${line.slice(0, SENTENCE_CHARS_MAX - 1)}…`
}

function refusalPage(error: RegistryError): Response {
  return page(403, 'This version is refused', error.message, [
    ['package', error.package ?? ''],
    ['version', error.version ?? ''],
    ['reason', error.reason ?? error.code],
  ])
}

function json(
  status: number,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  })
}

/** Header values are Latin-1 without control characters; anything else is shown as `?`. */
export function headerSafe(text: string): string {
  return text.replaceAll(/[^\u0020-\u007e]/g, '?')
}

/** Where it happened, without the query: queries can carry tokens. */
function pathOnly(request: Request): string {
  return request.url.split('?', 1)[0] ?? ''
}
