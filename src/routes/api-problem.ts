/**
 * Errors of `/-/api` as RFC 9457 has them (https://www.rfc-editor.org/rfc/rfc9457): a type that is a
 * page of ours, a title, a status, a detail, the id of the request, and for a document that is not
 * of the declared form the places as JSON pointers. Nothing that the client sent is repeated.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { type ErrorCode, RegistryError } from '../registries/errors.ts'
import { adminStatusOf, type Report, requestIdOf } from './errors.ts'

/** Seconds a client is asked to wait when the error does not know better. */
const RETRY_AFTER_SECONDS = 5
/** A detail is one sentence; whatever is longer was put together from a document. */
const DETAIL_CHARS_MAX = 500

/** What each type of problem is called, and what to do about it. */
export const PROBLEMS: Record<ErrorCode, { title: string; remedy: string }> = {
  'bad-request': {
    title: 'The request cannot be carried out',
    remedy: 'Read the detail: it says what of the request is wrong. Nothing was changed.',
  },
  'invalid-name': {
    title: 'This is no name of a package',
    remedy: 'Package names are lower case, at most 214 characters, and may have one @scope/.',
  },
  'unauthorized': {
    title: 'Nobody is logged in',
    remedy: 'Send a token in the Authorization header (Bearer), or begin a session.',
  },
  'forbidden': {
    title: 'This identity may not do this',
    remedy: 'Each operation names its scope in the API document: use a token that has it.',
  },
  'not-found': {
    title: 'There is no such thing',
    remedy: 'List what there is; names and ids in paths are percent-encoded.',
  },
  'method-not-allowed': {
    title: 'This path does not answer this method',
    remedy: 'The Allow header names the methods that it answers.',
  },
  'conflict': {
    title: 'The present state does not allow this',
    remedy: 'Read the detail, look at the present state, and decide again. Nothing was changed.',
  },
  'gone': { title: 'This is gone for good', remedy: 'It does not come back under this name.' },
  'precondition-failed': {
    title: 'Somebody else changed it meanwhile',
    remedy: 'Read it again, and repeat the change with the new ETag in If-Match.',
  },
  'body-too-large': {
    title: 'The body is too large',
    remedy: 'The limit of each operation is in the API document.',
  },
  'unsupported-media-type': {
    title: 'The body is not said to be JSON',
    remedy: 'Send it with content-type: application/json.',
  },
  'unprocessable': {
    title: 'The document is not of the declared form',
    remedy: '`errors` names each place by a JSON pointer and what is expected there.',
  },
  'too-many-requests': {
    title: 'Too many attempts',
    remedy: 'Wait as long as Retry-After says.',
  },
  'busy': {
    title: 'This server has too much to do',
    remedy: 'Wait as long as Retry-After says.',
  },
  'upstream-unreachable': {
    title: 'The other server does not answer',
    remedy: 'Check its URL, its certificate and the network between. Nothing was saved.',
  },
  'upstream-bad-answer': {
    title: 'The other server does not answer as a registry does',
    remedy: 'Check that the URL is the root of a registry. Nothing was saved.',
  },
  'too-large': {
    title: 'The other server answers with too much',
    remedy: 'The limits of answers are the same as in serving. Nothing was saved.',
  },
  'refused': {
    title: 'The other server refuses',
    remedy: 'It wants a credential, or another one. Nothing was saved.',
  },
  'internal': {
    title: 'A fault of this server',
    remedy: "Its details are in this server's log under the id of the request.",
  },
}

export const ProblemShape = Type.Object(
  {
    type: Type.String({ format: 'uri', description: 'A page about this type of problem.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'One sentence about this occurrence.' }),
    instance: Type.String({ description: 'The id of the request, as in the log of the server.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({
            description: 'JSON pointer into the body, or `?name` and `/{name}` of parameters.',
          }),
          detail: Type.String(),
        }),
      ),
    ),
  },
  { $id: 'Problem', description: 'A problem as RFC 9457 has it.' },
)

/** One place in a document and what is expected there. */
export type PlaceError = { pointer: string; detail: string }

/** A document that is not of the declared form, with the places. */
export class FormError extends RegistryError {
  readonly places: readonly PlaceError[]

  constructor(code: 'bad-request' | 'unprocessable', message: string, places: PlaceError[]) {
    super(code, message)
    this.places = places
  }
}

/** What answers are made with. @property base public URL, ends in `/` */
export type ProblemNeeds = { base: string; report: Report }

/** The answer for an error of `/-/api`. */
export function problemResponse(error: unknown, request: Request, needs: ProblemNeeds): Response {
  const { report } = needs
  report.fatal(error)
  const requestId = requestIdOf(request)
  const isOurs = error instanceof RegistryError
  const code = isOurs ? error.code : 'internal'
  const status = adminStatusOf(code)
  // Without its query, which can hold anything.
  const path = request.url.split('?', 1)[0] ?? ''
  if (!isOurs) report.logger.error({ err: error, requestId, path }, 'unexpected error')
  else if (status >= 500) report.logger.warn({ code, requestId, detail: error.message }, 'failed')
  const body = {
    type: `${needs.base}-/docs/problems/${code}`,
    title: PROBLEMS[code].title,
    status,
    detail: isOurs ? error.message.slice(0, DETAIL_CHARS_MAX) : PROBLEMS.internal.remedy,
    instance: requestId,
    ...(error instanceof FormError && { errors: error.places }),
  }
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  }
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="npmx-registry"'
  if (status === 429 || status === 503) {
    const seconds = isOurs ? error.retryAfterSeconds : undefined
    headers['retry-after'] = String(seconds ?? RETRY_AFTER_SECONDS)
  }
  // What is still to come of a body is not read: the connection is of no more use.
  if (status === 413) headers['connection'] = 'close'
  return new Response(JSON.stringify(body), { status, headers })
}
