/**
 * The list of surfaces. One Elysia plugin per surface; the catch-all for packages comes last.
 *
 * Two defaults of the framework are switched off: its own router over Bun's (they rank routes
 * differently), and finding the path by a fixed offset (a short Host header would cut it).
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import type { Explanations } from '../registries/reading/explanations.ts'
import type { GoRecords } from '../registries/reading/go-records.ts'
import type { Metrics } from '../registries/metrics/metrics.ts'
import type { RequestCounts } from '../registries/metrics/metrics-requests.ts'
import { PUBLISH_BYTES_MAX } from '../registries/publish/publish-document.ts'
import type { Collaborators } from '../registries/hosted/collaborators.ts'
import type { Organisations } from '../registries/hosted/organisations.ts'
import type { Passing } from '../registries/sources/passing.ts'
import type { Records } from '../registries/reading/records.ts'
import type { Search } from '../registries/hosted/search.ts'
import type { Sources } from '../registries/sources/source.ts'
import type { TrustedParties } from '../registries/sources/trusted-parties.ts'
import { accessRoutes } from './access.ts'
import { type AccountRoutesNeeds, accountRoutes } from './account.ts'
import { apiRoutes, type ApiRoutesNeeds } from './api.ts'
import { docsRoutes } from './docs.ts'
import { distTagRoutes } from './dist-tags.ts'
import { errorResponse } from './errors.ts'
import { healthRoutes, type ReadinessCheck } from './health.ts'
import { identityRoutes } from './identity.ts'
import { keyRoutes } from './keys.ts'
import { type LoginRoutesNeeds, loginRoutes } from './login.ts'
import { counted, metricsRoutes } from './metrics.ts'
import { type PackageRoutesNeeds, packageRoutes } from './packages.ts'
import { passedRoutes } from './passed.ts'
import { type SetupRoutesNeeds, setupRoutes } from './setup.ts'
import { Admission } from './publish-admission.ts'
import { atOrigin, oidcRoutes, type OidcRoutesNeeds } from './oidc.ts'
import { publishRoutes, type PublishRoutesNeeds } from './publish.ts'
import { type StageRoutesNeeds, stageRoutes } from './stage.ts'
import { sumdbGoRoutes } from './sumdb-go.ts'
import { sumdbRoutes } from './sumdb.ts'
import { teamRoutes } from './teams.ts'
import { type TokenRoutesNeeds, tokenRoutes } from './tokens.ts'
import { whyRoutes } from './why.ts'
import { type Surfaces, throughViews } from './through.ts'
import { lensRoutes } from './views.ts'
import type { AddressSource, Who } from './who.ts'

/** Seconds a connection may be silent. A giant packument's first fetch may take half a minute. */
const IDLE_TIMEOUT_SECONDS = 60

type AccountNeeds = AccountRoutesNeeds & LoginRoutesNeeds & TokenRoutesNeeds & SetupRoutesNeeds

/** What the surfaces need. */
export type AppNeeds = PackageRoutesNeeds &
  AccountNeeds &
  OidcRoutesNeeds & {
    api: ApiRoutesNeeds
    hosting: Pick<PublishRoutesNeeds, 'access' | 'publisher' | 'changes' | 'read'>
    /** Public URL, ends in `/`. */
    base: string
    /** The other ways of reading this server. */
    surfaces: Surfaces
    who: Who
    records: Records
    goRecords: GoRecords
    explanations: Explanations
    passing: Passing
    parties: TrustedParties
    organisations: Organisations
    collaborators: Collaborators
    search: Search
    sources: Sources
    staging: StageRoutesNeeds['staging']
    requests: RequestCounts
    metrics: Metrics
    checks: readonly ReadinessCheck[]
  }

/** The whole HTTP application, not yet listening. */
export function buildApp(needs: AppNeeds) {
  const { prefix, report, surfaces, who } = needs
  const listening: { app?: { server: AddressSource | null } } = {}
  const views = { surfaces, prefix, report, server: () => listening.app?.server ?? null }
  // One for all ways to publish: they share the memory.
  const admission = new Admission()
  const through = throughViews(views, who)
  const app = new Elysia({
    prefix,
    systemRouter: false,
    handler: { standardHostname: false },
    serve: {
      reusePort: false,
      development: false,
      idleTimeout: IDLE_TIMEOUT_SECONDS,
      // Every route has a limit of its own, and a sentence about it; Bun says none, so it comes later.
      maxRequestBodySize: 2 * PUBLISH_BYTES_MAX,
    },
  })
    .onError({ as: 'global' }, ({ error, code, request }) =>
      errorResponse(code === 'NOT_FOUND' ? noSuchRoute(request) : error, request, report),
    )
    .wrap(atOrigin(needs))
    .wrap(counted(needs.requests, prefix))
    .use(healthRoutes(needs.checks))
    .use(metricsRoutes({ metrics: needs.metrics, who: needs.who, report }))
    .use(accountRoutes(needs))
    .use(loginRoutes(needs))
    .use(tokenRoutes(needs))
    .use(setupRoutes(needs))
    .use(apiRoutes(needs.api))
    .use(docsRoutes({ report }))
    .use(keyRoutes(needs.parties, through))
    .use(identityRoutes(needs.parties))
    .use(sumdbGoRoutes({ goRecords: needs.goRecords, prefix, report }))
    .use(sumdbRoutes({ records: needs.records, prefix, report }))
    .use(whyRoutes(needs))
    .use(passedRoutes({ ...needs, searching: needs, through }))
    .use(lensRoutes(views, who))
    .use(oidcRoutes(needs))
    .use(distTagRoutes({ ...needs, ...needs.hosting, through }))
    .use(accessRoutes({ ...needs, ...needs.hosting }))
    .use(teamRoutes(needs))
    .use(stageRoutes({ ...needs, admission }))
    .use(publishRoutes({ ...needs, ...needs.hosting, admission }))
    .use(packageRoutes({ ...needs, through }))
  listening.app = app
  return app
}

/** A route and what it asks of whoever comes. */
export type RouteScope = { method: string; path: string; scope: string | null }

/** The table of routes, as the framework has it. */
export function scopesOf({ routes }: Pick<Elysia, 'routes'>): RouteScope[] {
  return routes.map(({ method, path, hooks }) => {
    const detail: unknown = hooks?.detail
    const isDeclared = typeof detail === 'object' && detail !== null && 'x-scope' in detail
    return { method, path, scope: isDeclared ? String(detail['x-scope']) : null }
  })
}

function noSuchRoute(request: Request): RegistryError {
  return new RegistryError('not-found', `this server answers no ${request.method} here`)
}
