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
import type { Passing } from '../registries/sources/passing.ts'
import type { Search } from '../registries/hosted/search.ts'
import { PASS_BODY_BYTES_MAX } from '../registries/sources/upstream.ts'
import { errorResponse, type Report } from './errors.ts'
import { queryOf, rawPath } from './request.ts'
import { bytesWithin } from './small-body.ts'
import type { Through } from './through.ts'
import type { AddressSource, Who } from './who.ts'

const ATTESTATIONS = '/-/npm/v1/attestations/'
const SEARCH = '/-/v1/search'
const PUBLIC = { detail: { 'x-scope': 'public' } } as const
const AUDITS = [
  '/-/npm/v1/security/advisories/bulk',
  '/-/npm/v1/security/audits/quick',
  '/-/npm/v1/security/audits',
]

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type PassedRoutesNeeds = {
  passing: Passing
  /** Where packages that live here are found too. */
  searching?: { who: Who; search: Search }
  prefix: string
  report: Report
  through?: Through
}

type Server = AddressSource | null

/** The passed-on surface. */
export function passedRoutes(needs: PassedRoutesNeeds) {
  const guarded = (work: (request: Request, server: Server) => Promise<Response>) => {
    return async ({ request, server }: { request: Request; server: Server }) => {
      try {
        return await (needs.through?.(request) ?? work(request, server))
      } catch (error) {
        return errorResponse(error, request, needs.report)
      }
    }
  }
  const app = new Elysia({ name: 'passed' })
    .get(
      SEARCH,
      guarded((request, server) => search(request, server, needs)),
      PUBLIC,
    )
    .get(
      `${ATTESTATIONS}*`,
      guarded(request => attestations(request, needs)),
      PUBLIC,
    )
  for (const path of AUDITS) {
    app.post(
      path,
      guarded(request => audit(request, path, needs)),
      { ...PUBLIC, parse: 'none' },
    )
  }
  return app
}

async function search(
  request: Request,
  server: Server,
  { searching, passing }: PassedRoutesNeeds,
): Promise<Response> {
  const query = queryOf(request)
  if (searching === undefined) return await passing.search(query)
  return await searching.search.answer(searching.who(request, server), query)
}

async function attestations(request: Request, needs: PassedRoutesNeeds): Promise<Response> {
  const identity = parseIdentity(rawPath(request, needs.prefix).slice(ATTESTATIONS.length))
  return await needs.passing.attestations(identity.name, identity.version)
}

async function audit(request: Request, path: string, needs: PassedRoutesNeeds): Promise<Response> {
  const body = await bytesWithin(request, PASS_BODY_BYTES_MAX)
  if (body === null) {
    const sentence = `an audit of more than ${PASS_BODY_BYTES_MAX} bytes is not passed on`
    const refused = errorResponse(new RegistryError('bad-request', sentence), request, needs.report)
    // What is still to come of the body is not read, so the connection is of no more use: kept open
    // it would hold up a stop of the server.
    refused.headers.set('connection', 'close')
    return refused
  }
  return await needs.passing.audit(path, body.buffer, {
    'content-type': request.headers.get('content-type') ?? 'application/json',
    'content-encoding': request.headers.get('content-encoding'),
  })
}
