/**
 * `/-/metrics` in Prometheus' text format, for whoever has the scope `admin:read`; and the counting
 * of requests by surface. What is shown is gathered in registries/metrics/metrics.ts.
 * @module
 */
import { Elysia } from 'elysia'
import { assertScope } from '../registries/accounts/access.ts'
import type { Metrics } from '../registries/metrics/metrics.ts'
import type { RequestCounts } from '../registries/metrics/metrics-requests.ts'
import { errorResponse, type Report } from './errors.ts'
import type { Who } from './who.ts'

const OURS = '/-/'
/** First parts of paths below `/-/`; anything else is counted as `other`. */
const BELOW = [
  'api',
  'blocked',
  'docs',
  'healthz',
  'metrics',
  'npm',
  'oidc',
  'org',
  'package',
  'ping',
  'readyz',
  'registries',
  'stage',
  'sumdb',
  'team',
  'user',
  'v1',
  'web',
  'whoami',
  'why',
] as const
const [PACKAGE, TARBALL, OTHER] = [0, 1, 2]
/** The surfaces that requests are counted by. */
export const SURFACES: readonly string[] = ['package', 'tarball', 'other', ...BELOW]
const INDEXES: ReadonlyMap<string, number> = new Map(SURFACES.map((name, i) => [name, i]))

/** What the surface needs. */
export type MetricsRoutesNeeds = { metrics: Metrics; who: Who; report: Report }

/** The metrics surface. */
export function metricsRoutes({ metrics, who, report }: MetricsRoutesNeeds) {
  return new Elysia({ name: 'metrics' }).get(
    '/-/metrics',
    async ({ request, server }) => {
      try {
        assertScope(who(request, server), 'admin:read')
        const { text, contentType } = await metrics.read()
        const headers = { 'content-type': contentType, 'cache-control': 'no-store' }
        return new Response(text, { headers })
      } catch (error) {
        return errorResponse(error, request, report)
      }
    },
    {
      detail: {
        'summary': 'Metrics',
        'description': "In Prometheus' text format. No label holds the name of a package.",
        'tags': ['operating'],
        'x-scope': 'admin:read',
      },
    },
  )
}

/** The surface that a URL belongs to, as an index of `SURFACES`. @param prefix of every route */
export function surfaceOf(url: string, prefix: string): number {
  const start = url.indexOf('/', 8) + prefix.length
  if (!url.startsWith(OURS, start)) return url.includes('/-/', start) ? TARBALL : PACKAGE
  const from = start + OURS.length
  let end = from
  while (end < url.length && !'/?'.includes(url.charAt(end))) end += 1
  return INDEXES.get(url.slice(from, end)) ?? OTHER
}

type Handler = (...args: unknown[]) => unknown

/**
 * Counts what the application answers. It stands around all of it and not in a hook of its router,
 * which would cost every request a turn of the loop.
 */
export function counted(counts: RequestCounts, prefix: string): (handler: Handler) => Handler {
  let inner: Handler | undefined
  const outer: Handler = (...args) => {
    const [request] = args
    const answer = inner?.(...args)
    if (!(request instanceof Request)) return answer
    const surface = surfaceOf(request.url, prefix)
    const count = (response: unknown) => {
      if (response instanceof Response) counts.count(surface, response.status)
      return response
    }
    return answer instanceof Promise ? answer.then(count) : count(answer)
  }
  // Asked anew for each request, with the same handler each time.
  return handler => {
    inner = handler
    return outer
  }
}
