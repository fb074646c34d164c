/**
 * `/-/api`: the admin API. A list of routes (api-route.ts), each answered the same way
 * (api-answer.ts); what is not in the list is a problem too: 404 for other paths, 405 with Allow for
 * other methods.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import { type AccountRoutesNeeds, accountApiRoutes } from './api-accounts.ts'
import { answerApi, type ApiNeeds } from './api-answer.ts'
import { apiDocument, detailOf, DOCUMENT_PATH } from './api-document.ts'
import { incidentRoutes, type IncidentRoutesNeeds } from './api-incidents.ts'
import { problemResponse } from './api-problem.ts'
import { type ApiRoute, apiRoute, None } from './api-route.ts'
import { operatorRoutes, type OperatorRoutesNeeds } from './api-operator.ts'
import { serverRoutes, type ServerRoutesNeeds } from './api-server.ts'
import { sessionRoutes, type SessionRoutesNeeds } from './api-sessions.ts'
import { upstreamRoutes, type UpstreamRoutesNeeds } from './api-upstreams.ts'
import { viewRoutes, type ViewRoutesNeeds } from './api-views.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** What the surface needs. */
export type ApiRoutesNeeds = ApiNeeds &
  UpstreamRoutesNeeds &
  IncidentRoutesNeeds &
  AccountRoutesNeeds &
  SessionRoutesNeeds &
  OperatorRoutesNeeds &
  ViewRoutesNeeds &
  ServerRoutesNeeds

/** The admin surface. */
export function apiRoutes(needs: ApiRoutesNeeds) {
  const routes = listRoutes(needs)
  const app = new Elysia({ name: 'api' })
  for (const route of routes) {
    app.route(
      route.method,
      route.path,
      ({ request, server, params }) =>
        // A route without parameters gets none, not an empty object.
        answerApi(route, { request, server, params: { ...params } }, needs),
      { parse: 'none', detail: detailOf(route) },
    )
  }
  const hidden = { parse: 'none', detail: { 'hide': true, 'x-scope': 'public' } } as const
  for (const [path, allowed] of methodsByPath(routes)) {
    for (const method of METHODS) {
      if (allowed.includes(method)) continue
      app.route(method, path, ({ request }) => notAllowed(request, allowed, needs), hidden)
    }
  }
  for (const method of METHODS) {
    for (const path of ['/-/api', '/-/api/*']) {
      app.route(method, path, ({ request }) => noSuchPath(request, needs), hidden)
    }
  }
  return app
}

function listRoutes(needs: ApiRoutesNeeds): ApiRoute[] {
  const routes = [
    ...upstreamRoutes(needs),
    ...incidentRoutes(needs),
    ...operatorRoutes(needs),
    ...viewRoutes(needs),
    ...accountApiRoutes(needs),
    ...sessionRoutes(needs),
    ...serverRoutes(needs),
  ]
  let made: Promise<unknown> | null = null
  const document = apiRoute({
    method: 'GET',
    path: DOCUMENT_PATH,
    operationId: 'getDocument',
    summary: 'Read this document',
    description: 'The API as OpenAPI 3.0.3 has it; `/-/docs` shows it.',
    tag: 'server',
    scope: 'public',
    params: None,
    query: None,
    body: None,
    success: {
      status: 200,
      description: 'The document.',
      schema: Type.Object({
        openapi: Type.String(),
        info: Type.Unknown(),
        servers: Type.Unknown(),
        tags: Type.Unknown(),
        paths: Type.Unknown(),
        components: Type.Unknown(),
      }),
      example: { openapi: '3.0.3', info: { title: 'npmx-registry admin API' }, paths: {} },
    },
    handle: async () => {
      // Made when first asked for: a start has other things to do.
      made ??= apiDocument([...routes, document], {
        base: needs.base,
        version: needs.server.version,
      })
      return { value: await made }
    },
  })
  return [...routes, document]
}

function methodsByPath(routes: readonly ApiRoute[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { path, method } of routes) found.set(path, [...(found.get(path) ?? []), method])
  return found
}

function notAllowed(request: Request, allowed: readonly string[], needs: ApiNeeds): Response {
  const shown = allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed
  const why = `this path answers ${shown.join(', ')}`
  const answer = problemResponse(new RegistryError('method-not-allowed', why), request, needs)
  answer.headers.set('allow', shown.join(', '))
  return answer
}

function noSuchPath(request: Request, needs: ApiNeeds): Response {
  const why = `there is nothing here: ${needs.base}-/docs lists what there is`
  return problemResponse(new RegistryError('not-found', why), request, needs)
}
