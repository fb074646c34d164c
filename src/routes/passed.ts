/**
 * Surfaces that are passed on to the registry that owns the question: search, audit, attestations.
 *
 * The answer is the registry's own, byte for byte, within limits; no header of the client that
 * could name a person or carry a credential goes with the question. What is passed on is not
 * verified and nothing of it is logged.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import { parseIdentity } from '../registries/identity.ts'
import type { Passing } from '../registries/passing.ts'
import { errorResponse, type Report } from './errors.ts'
import { queryOf, rawPath } from './request.ts'

/** An audit names every package and version of a tree: 100,000 of them are below this. */
const AUDIT_BODY_BYTES_MAX = 8 * 1024 * 1024

const ATTESTATIONS = '/-/npm/v1/attestations/'
const SEARCH = '/-/v1/search'
const AUDITS = [
  '/-/npm/v1/security/advisories/bulk',
  '/-/npm/v1/security/audits/quick',
  '/-/npm/v1/security/audits',
]

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type PassedRoutesNeeds = { passing: Passing; prefix: string; report: Report }

/** The passed-on surface. */
export function passedRoutes(needs: PassedRoutesNeeds) {
  const guarded = (work: (request: Request) => Promise<Response>) => {
    return async ({ request }: { request: Request }) => {
      try {
        return await work(request)
      } catch (error) {
        return errorResponse(error, request, needs.report)
      }
    }
  }
  const app = new Elysia({ name: 'passed' })
    .get(
      SEARCH,
      guarded(request => needs.passing.search(queryOf(request))),
    )
    .get(
      `${ATTESTATIONS}*`,
      guarded(request => attestations(request, needs)),
    )
  for (const path of AUDITS) {
    app.post(
      path,
      guarded(request => audit(request, path, needs)),
      { parse: 'none' },
    )
  }
  return app
}

async function attestations(request: Request, needs: PassedRoutesNeeds): Promise<Response> {
  const identity = parseIdentity(rawPath(request, needs.prefix).slice(ATTESTATIONS.length))
  return await needs.passing.attestations(identity.name, identity.version)
}

async function audit(request: Request, path: string, needs: PassedRoutesNeeds): Promise<Response> {
  const declared = Number(request.headers.get('content-length') ?? 0)
  const body = declared > AUDIT_BODY_BYTES_MAX ? null : await request.arrayBuffer()
  if (body === null || body.byteLength > AUDIT_BODY_BYTES_MAX) {
    throw new RegistryError(
      'bad-request',
      `an audit of more than ${AUDIT_BODY_BYTES_MAX} bytes is not passed on`,
    )
  }
  return await needs.passing.audit(path, body, {
    'content-type': request.headers.get('content-type') ?? 'application/json',
    'content-encoding': request.headers.get('content-encoding'),
  })
}
