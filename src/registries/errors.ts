/**
 * The one class of error that this room throws for a reason somebody outside can act on.
 *
 * A `code` says what kind of thing went wrong; `reason` is the refusal code of a single version
 * (CONTRACT.md, "Refusals"). HTTP statuses live in `routes/errors.ts` alone. Anything thrown that
 * is not a `RegistryError` is a bug and is shown to nobody.
 *
 * @module
 */

export const ERROR_CODES = [
  'not-found',
  'upstream-unreachable',
  'upstream-bad-answer',
  'too-large',
  'invalid-name',
  'refused',
  'bad-request',
  'unauthorized',
  'busy',
  'conflict',
  'forbidden',
  'gone',
  'method-not-allowed',
  'unsupported-media-type',
  'precondition-failed',
  'body-too-large',
  'unprocessable',
  'too-many-requests',
  'internal',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

export type ErrorDetails = {
  package?: string
  version?: string
  /** Refusal code, when `code` is `refused`. */
  reason?: string
  retryAfterSeconds?: number
  evidenceUrl?: string
}

export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: ErrorCode
  readonly package: string | undefined
  readonly version: string | undefined
  readonly reason: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly evidenceUrl: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.package = details.package
    this.version = details.version
    this.reason = details.reason
    this.retryAfterSeconds = details.retryAfterSeconds
    this.evidenceUrl = details.evidenceUrl
  }
}

/** The fields of a `RegistryError` as plain data, so that it can cross the border of a Worker. */
export type ErrorRecord = { code: ErrorCode; message: string; details: ErrorDetails }

export function packError(error: RegistryError): ErrorRecord {
  const details: ErrorDetails = {}
  if (error.package !== undefined) details.package = error.package
  if (error.version !== undefined) details.version = error.version
  if (error.reason !== undefined) details.reason = error.reason
  if (error.retryAfterSeconds !== undefined) details.retryAfterSeconds = error.retryAfterSeconds
  if (error.evidenceUrl !== undefined) details.evidenceUrl = error.evidenceUrl
  return { code: error.code, message: error.message, details }
}

export function unpackError(record: ErrorRecord): RegistryError {
  return new RegistryError(record.code, record.message, record.details)
}

/** There is no such package. @param source who says so @param status 404, or 410: it was there */
export function absentError(name: string, source: string, status: number): RegistryError {
  const sentence = `${name} was not found in ${source} (${status})`
  return new RegistryError('not-found', sentence, { package: name })
}
