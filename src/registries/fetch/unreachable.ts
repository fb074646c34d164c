/**
 * What it is called when a request got no whole answer, and what may be done about it.
 *
 * Only error codes of the runtime are repeated, never its messages: those quote the whole URL, and
 * the URL of a redirect often carries a signature that opens the file (a secret).
 *
 * @module
 */
import { RegistryError } from '../errors.ts'

/** Where it broke: not even tried, no connection, no trust in it, no answer in time, not whole. */
export type Phase = 'down' | 'connect' | 'tls' | 'timeout' | 'headers' | 'body'

/** No whole answer came. Nothing of it may be used. */
export class UnreachableError extends RegistryError {
  readonly phase: Phase

  constructor(phase: Phase, message: string, retryAfterSeconds?: number) {
    super(
      'upstream-unreachable',
      message,
      retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
    )
    this.phase = phase
  }

  /** It is about the origin, whatever was asked of it. */
  get isOrigin(): boolean {
    return this.phase === 'connect' || this.phase === 'tls'
  }

  /** A second try can end otherwise: not after a timeout (the time is gone), not without trust. */
  get isTransient(): boolean {
    return this.phase === 'connect' || this.phase === 'headers' || this.phase === 'body'
  }
}

const CONNECT_CODES = new Set([
  'ConnectionRefused',
  'ECONNREFUSED',
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'ENODATA',
  'ESERVFAIL',
  'ETIMEDOUT',
  'FailedToOpenSocket',
])
const TLS_CODE = /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/
const DECODER_CODE = /^(?:Zlib|Brotli|Zstd)/
const CODE = /^\w{1,60}$/

/** The runtime's code of a network error; undefined when the error is something else: a bug. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && CODE.test(error.code) ? error.code : undefined
}

/** The error to throw in place of one that `fetch` or a body reader threw. */
export function networkError(error: unknown, host: string, phase: 'headers' | 'body'): unknown {
  const code = codeOf(error)
  if (code === undefined) return error
  if (DECODER_CODE.test(code)) {
    return new RegistryError(
      'upstream-bad-answer',
      `${host} sent a broken compressed body (${code})`,
    )
  }
  if (CONNECT_CODES.has(code)) {
    return new UnreachableError('connect', `${host} cannot be reached (${code})`)
  }
  if (TLS_CODE.test(code)) {
    return new UnreachableError('tls', `${host} is not trusted: tls (${code})`)
  }
  const what = phase === 'body' ? 'broke off in the middle of its answer' : 'gave no answer'
  return new UnreachableError(phase, `${host} ${what} (${code})`)
}

/** It was down a moment ago and is not asked again yet. */
export function downError(host: string, waitMs: number): UnreachableError {
  const seconds = Math.ceil(waitMs / 1000)
  return new UnreachableError('down', `${host} is down; it is asked again in ${seconds} s`, seconds)
}
