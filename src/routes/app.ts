/**
 * The list of surfaces. One Elysia plugin per surface; the catch-all for packages comes last.
 *
 * Two defaults of the framework are switched off: its own router over Bun's (they rank routes
 * differently), and finding the path by a fixed offset (a short Host header would cut it).
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import type { Explanations } from '../registries/explanations.ts'
import type { GoRecords } from '../registries/go-records.ts'
import type { Passing } from '../registries/passing.ts'
import type { Records } from '../registries/records.ts'
import type { TrustedParties } from '../registries/trusted-parties.ts'
import { accountRoutes } from './account.ts'
import { errorResponse } from './errors.ts'
import { healthRoutes, type ReadinessCheck } from './health.ts'
import { identityRoutes } from './identity.ts'
import { keyRoutes } from './keys.ts'
import { type PackageRoutesNeeds, packageRoutes } from './packages.ts'
import { passedRoutes } from './passed.ts'
import { sumdbGoRoutes } from './sumdb-go.ts'
import { sumdbRoutes } from './sumdb.ts'
import { whyRoutes } from './why.ts'

/** The largest body of any route: an audit. Publishing has limits of its own. */
const REQUEST_BODY_BYTES_MAX = 16 * 1024 * 1024
/** Seconds a connection may be silent. A giant packument's first fetch may take half a minute. */
const IDLE_TIMEOUT_SECONDS = 60

/** What the surfaces need. */
export type AppNeeds = PackageRoutesNeeds & {
  records: Records
  goRecords: GoRecords
  explanations: Explanations
  passing: Passing
  parties: TrustedParties
  checks: readonly ReadinessCheck[]
}

/** The whole HTTP application, not yet listening. */
export function buildApp(needs: AppNeeds) {
  const { prefix, report } = needs
  return new Elysia({
    prefix,
    systemRouter: false,
    handler: { standardHostname: false },
    serve: {
      reusePort: false,
      development: false,
      idleTimeout: IDLE_TIMEOUT_SECONDS,
      maxRequestBodySize: REQUEST_BODY_BYTES_MAX,
    },
  })
    .onError({ as: 'global' }, ({ error, code, request }) =>
      errorResponse(code === 'NOT_FOUND' ? noSuchRoute(request) : error, request, report),
    )
    .use(healthRoutes(needs.checks))
    .use(accountRoutes())
    .use(keyRoutes(needs.parties))
    .use(identityRoutes(needs.parties))
    .use(sumdbGoRoutes({ goRecords: needs.goRecords, prefix, report }))
    .use(sumdbRoutes({ records: needs.records, prefix, report }))
    .use(whyRoutes({ explanations: needs.explanations, prefix, report }))
    .use(passedRoutes({ passing: needs.passing, prefix, report }))
    .use(packageRoutes(needs))
}

function noSuchRoute(request: Request): RegistryError {
  return new RegistryError('not-found', `this server answers no ${request.method} here`)
}
