/**
 * The OpenAPI 3.0.3 document of `/-/api`, made by @elysiajs/swagger from the routes.
 *
 * That plugin derives responses without descriptions, bodies in three media types and no path with
 * a dot: what it makes of each route is completed here from the route itself (`completed`, pure).
 * Its own page, which loads scripts from elsewhere, is never served: the document is made in an
 * application of its own that listens nowhere.
 * @module
 */
import { Elysia } from 'elysia'
import { ProblemShape } from './api-problem.ts'
import { type ApiRoute, None } from './api-route.ts'
import { type Named, openApiSchema } from './api-schema.ts'
import { CSRF_HEADER, SESSION_COOKIE } from './api-session-cookie.ts'

type Json = Record<string, unknown>

/** Where the document is. */
export const DOCUMENT_PATH = '/-/api/openapi.json'
/** Where the plugin's own page and document would be: paths that no route has. */
const PLUGIN_PAGE_PATH = '/-/swagger'
const PLUGIN_DOCUMENT_PATH = '/-/swagger/json'

const PROBLEM_TYPE = 'application/problem+json'

/** What each status of a problem says. */
const PROBLEM_WORDS: Record<number, string> = {
  400: 'A parameter or the body is malformed, or names something impossible.',
  401: 'Nobody is logged in, or the token is not taken; `detail` says why.',
  403: 'This identity may not do this, or a session sent no CSRF token.',
  404: 'There is no such thing.',
  409: 'The present state does not allow it, or the same request is under way.',
  410: 'It is over already, for good.',
  412: 'If-Match names a state that is not the present one.',
  413: 'The body is too large.',
  415: 'The body is not said to be application/json.',
  422: 'The body is not of the declared form, or another server does not answer as it should.',
  429: 'Too many attempts; Retry-After says when to come back.',
  500: 'A fault of this server, in its log under the id of the request.',
  503: 'This server has too much to do; Retry-After says when to come back.',
}

const TAGS = [
  { name: 'upstreams', description: 'Registries and mirrors, and the keys that are trusted.' },
  { name: 'incidents', description: 'What was refused, with its evidence.' },
  { name: 'audit', description: 'Who changed what.' },
  { name: 'accounts', description: 'People and their tokens.' },
  { name: 'policy', description: 'Rules for what is served.' },
  { name: 'views', description: 'What a token may carry: its own registries, keys and mirrors.' },
  { name: 'sessions', description: 'Browsers that log in.' },
  { name: 'server', description: 'This server and whom it trusts.' },
]

const RESPONSE_HEADERS: Record<string, Json> = {
  'etag': { description: 'Of this representation.', schema: { type: 'string' } },
  'link': { description: 'The next page, while there is one.', schema: { type: 'string' } },
  'location': { description: 'Where it is.', schema: { type: 'string' } },
  'set-cookie': { description: 'The session.', schema: { type: 'string' } },
}

/** Everything that a route may answer with, besides its success. */
export function problemStatuses(route: ApiRoute): number[] {
  const found = new Set<number>([400, 500, ...(route.problems ?? [])])
  if (route.scope !== 'public') for (const status of [401, 403]) found.add(status)
  if (route.current !== null) found.add(412)
  if (route.body !== None) for (const status of [413, 415, 422]) found.add(status)
  if (isRepeatable(route)) for (const status of [409, 422]) found.add(status)
  return [...found].toSorted((a, b) => a - b)
}

/** What the framework keeps of a route, and the plugin takes over as it is. */
export function detailOf(route: ApiRoute) {
  const { summary, description, operationId, tag, scope } = route
  return {
    summary,
    'description': `${description}\n\nScope: \`${scope}\`.`,
    operationId,
    'tags': [tag],
    'x-scope': scope,
    'security': securityOf(route),
  }
}

function isRepeatable(route: ApiRoute): boolean {
  return route.method === 'POST' && route.isRepeatable !== false
}

function securityOf({ scope, method }: ApiRoute): Record<string, string[]>[] {
  if (scope === 'public') return []
  return [{ token: [] }, method === 'GET' ? { session: [] } : { session: [], csrf: [] }]
}

function parametersOf(route: ApiRoute, named: Named): Json[] {
  const of = (place: 'path' | 'query', shape: ApiRoute['params']) =>
    Object.entries(shape.properties).map(([name, value]) => {
      const { description, ...schema } = openApiSchema(value, named)
      const found: Json = { name, in: place, required: place === 'path', schema }
      if (description !== undefined) found['description'] = description
      if (route.examples?.[name] !== undefined) found['example'] = route.examples[name]
      return found
    })
  return [...of('path', route.params), ...of('query', route.query)]
}

function headersOf(route: ApiRoute): Json[] {
  const found: Json[] = []
  const add = (name: string, description: string) =>
    found.push({ name, in: 'header', required: false, description, schema: { type: 'string' } })
  if (route.method === 'GET')
    add('If-None-Match', 'An ETag that is at hand: 304 when it is current.')
  if (route.current !== null) add('If-Match', 'The ETag that is to be changed: 412 when it is not.')
  if (isRepeatable(route)) {
    add('Idempotency-Key', 'Of your choice; for a day the same key gets the same answer.')
  }
  return found
}

function requestBodyOf(route: ApiRoute, named: Named): Json {
  const schema = openApiSchema(route.body, named)
  const example = route.bodyExample === undefined ? {} : { example: route.bodyExample }
  return {
    required: true,
    description: `At most ${route.bodyBytesMax} bytes.`,
    content: { 'application/json': { schema, ...example } },
  }
}

function responsesOf(route: ApiRoute, named: Named): Json {
  const { status, description, schema, example } = route.success
  const found: Json = {}
  const content = { 'application/json': { schema: openApiSchema(schema, named), example } }
  const headers = successHeaders(route)
  found[String(status)] = { description, ...headers, ...(schema !== undefined && { content }) }
  if (route.method === 'GET') found['304'] = { description: 'What If-None-Match names is current.' }
  const problem = { schema: openApiSchema(ProblemShape, named) }
  for (const each of problemStatuses(route)) {
    const words = PROBLEM_WORDS[each] ?? ''
    found[String(each)] = { description: words, content: { [PROBLEM_TYPE]: problem } }
  }
  return found
}

function successHeaders({ success, query, tag, method }: ApiRoute): { headers?: Json } {
  const names: string[] = []
  if (success.schema !== undefined) names.push('etag')
  if ('after' in query.properties) names.push('link')
  if (success.status === 201) names.push('location')
  if (tag === 'sessions' && method !== 'GET') names.push('set-cookie')
  if (names.length === 0) return {}
  return { headers: Object.fromEntries(names.map(name => [name, RESPONSE_HEADERS[name]])) }
}

/** @property base public URL, ends in `/` */
export type DocumentFacts = { base: string; version: string }

/** The document. */
export async function apiDocument(
  routes: readonly ApiRoute[],
  { base, version }: DocumentFacts,
): Promise<Json> {
  // Loaded when somebody first asks: it takes as long as the rest of a start.
  const { swagger } = await import('@elysiajs/swagger')
  const app = new Elysia().use(
    swagger({
      provider: 'swagger-ui',
      path: PLUGIN_PAGE_PATH,
      specPath: PLUGIN_DOCUMENT_PATH,
      excludeStaticFile: false,
      documentation: {
        info: {
          title: 'npmx-registry admin API',
          version,
          description:
            'What an operator does, over HTTP. Errors are problems as RFC 9457 has them; lists ' +
            'come in pages with a Link header; If-Match guards changes against other changes.',
          license: { name: 'MIT' },
        },
        servers: [{ url: base.replace(/\/$/, ''), description: 'This server.' }],
        tags: TAGS.filter(({ name }) => routes.some(route => route.tag === name)),
        components: { securitySchemes: SECURITY_SCHEMES },
      },
    }),
  )
  for (const route of routes) {
    // The handler is never run: only the surface (api.ts) answers.
    app.route(route.method, route.path, () => '', { detail: detailOf(route) })
  }
  const answer = await app.handle(new Request(`http://localhost${PLUGIN_DOCUMENT_PATH}`))
  const document: unknown = await answer.json()
  return completed(document, routes)
}

const SECURITY_SCHEMES = {
  token: { type: 'http', scheme: 'bearer', description: 'A token with the scope of the route.' },
  session: { type: 'apiKey', in: 'cookie', name: SESSION_COOKIE },
  csrf: { type: 'apiKey', in: 'header', name: CSRF_HEADER },
} as const

/** What the plugin made, with what it leaves out or gets wrong. @throws TypeError */
function completed(document: unknown, routes: readonly ApiRoute[]): Json {
  const found = json(document)
  const named: Named = new Map()
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
    const method = route.method.toLowerCase()
    const made = json(json(json(found['paths'])[path])[method])
    paths[path] = { ...paths[path], [method]: { ...made, ...operationOf(route, named) } }
  }
  const schemas = Object.fromEntries([...named].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  return { ...found, paths, components: { ...json(found['components']), schemas } }
}

function operationOf(route: ApiRoute, named: Named): Json {
  return {
    parameters: [...parametersOf(route, named), ...headersOf(route)],
    ...(route.body !== None && { requestBody: requestBodyOf(route, named) }),
    responses: responsesOf(route, named),
  }
}

function json(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('the API document is not of the expected form')
  }
  return { ...value }
}
