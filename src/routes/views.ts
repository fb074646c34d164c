/**
 * Other ways of reading the same server: `/~/<upstream>/…`, which is a registry URL of its own and
 * answers of exactly that registry, and views, which a token carries.
 *
 * Both are whole reading surfaces (`buildReadingApp`) over the same records; through.ts finds the
 * one of a view, this file that of a registry. Nothing is written through either.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import type { Explanations } from '../registries/reading/explanations.ts'
import type { Passing } from '../registries/sources/passing.ts'
import type { Records } from '../registries/reading/records.ts'
import type { TrustedParties } from '../registries/sources/trusted-parties.ts'
import { tagReadingRoutes } from './dist-tags.ts'
import { errorResponse } from './errors.ts'
import { healthRoutes, type ReadinessCheck } from './health.ts'
import { keyRoutes } from './keys.ts'
import { type PackageRoutesNeeds, packageRoutes } from './packages.ts'
import { passedRoutes } from './passed.ts'
import { rawPath } from './request.ts'
import { sumdbRoutes } from './sumdb.ts'
import { viewOf, type ViewsNeeds } from './through.ts'
import type { Who } from './who.ts'
import { whyRoutes } from './why.ts'

const LENS = '/~/'

/** What a reading surface needs. */
export type ReadingNeeds = PackageRoutesNeeds & {
  records: Records
  explanations: Explanations
  passing: Passing
  parties: TrustedParties
  checks: readonly ReadinessCheck[]
}

/** Everything that is read of a registry, below `needs.prefix`. */
export function buildReadingApp(needs: ReadingNeeds) {
  const { prefix, report } = needs
  return new Elysia({ prefix, systemRouter: false, handler: { standardHostname: false } })
    .onError({ as: 'global' }, ({ error, code, request }) =>
      errorResponse(code === 'NOT_FOUND' ? readOnly(request) : error, request, report),
    )
    .use(healthRoutes(needs.checks))
    .use(keyRoutes(needs.parties))
    .use(sumdbRoutes({ records: needs.records, prefix, report }))
    .use(whyRoutes(needs))
    .use(passedRoutes({ passing: needs.passing, prefix, report }))
    .use(tagReadingRoutes(needs))
    .use(packageRoutes(needs))
}

function readOnly(request: Request): RegistryError {
  return new RegistryError(
    'not-found',
    `this answers no ${request.method}: one registry alone, or a view, is for reading`,
  )
}

/** `/~/<upstream>/…`. */
export function lensRoutes(needs: ViewsNeeds, who: Who) {
  const answer = async ({ request }: { request: Request }): Promise<Response> => {
    try {
      const path = rawPath(request, needs.prefix).slice(LENS.length)
      const [name = ''] = path.split('/', 1)
      const surface = needs.surfaces.ofRegistry(name, viewOf(request, needs, who))
      if (surface === undefined) {
        const why = `this server uses no registry ${JSON.stringify(name.slice(0, 40).toWellFormed())}`
        throw new RegistryError('not-found', `${why}; /-/registries lists those that it uses`)
      }
      if (path === name) {
        // A registry URL ends in a slash: what is asked below it would else go to its parent.
        const headers = { location: `${needs.prefix}${LENS}${name}/` }
        return new Response(null, { status: 308, headers })
      }
      surface.server = needs.server()
      return await surface.fetch(request)
    } catch (error) {
      return errorResponse(error, request, needs.report)
    }
  }
  const open = { detail: { 'x-scope': 'public' }, parse: 'none' } as const
  const paths = `${LENS}*`
  return new Elysia({ name: 'lens' }).get(paths, answer, open).post(paths, answer, open)
}
