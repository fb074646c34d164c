/**
 * Which reading of this server a request means: a token can carry a view
 * (registries/reading/views.ts), and whoever sends it is answered by the surface of that view. What
 * such a surface is: views.ts.
 * @module
 */
import { RegistryError } from '../registries/errors.ts'
import { errorResponse, type Report } from './errors.ts'
import type { AddressSource, Who } from './who.ts'

/** Answers a request that is to be read through a view; undefined: it is everybody's. */
export type Through = (request: Request) => Promise<Response> | undefined

/** A reading surface. @property server set so that it knows where a connection comes from */
export type Surface = {
  fetch(request: Request): Response | Promise<Response>
  server: AddressSource | null
}

/** Finds surfaces. */
export type Surfaces = {
  /** Of one registry, by the name of its upstream, in a view or in none; undefined: no such one. */
  ofRegistry(name: string, view: string | null): Surface | undefined
  /** Of a view by its name; undefined when there is none of that name. */
  ofView(name: string): Surface | undefined
  /** Whether there is any view: until then nobody's authorization is looked at for one. */
  readonly hasViews: boolean
}

/** What finding a surface needs. @property server of the app, once it listens */
export type ViewsNeeds = {
  surfaces: Surfaces
  prefix: string
  report: Report
  server: () => AddressSource | null
}

/** The view that the token of a request carries; null when there is none to look for. */
export function viewOf(request: Request, needs: ViewsNeeds, who: Who): string | null {
  const { surfaces, server } = needs
  if (!surfaces.hasViews || request.headers.get('authorization') === null) return null
  return who(request, server()).grant?.view ?? null
}

/** Sends those on whose token carries a view. */
export function throughViews(needs: ViewsNeeds, who: Who): Through {
  const { surfaces, report, server } = needs
  return request => {
    const view = viewOf(request, needs, who)
    if (view === null) return undefined
    const surface = surfaces.ofView(view)
    if (surface === undefined) {
      const why = `the view ${view} of this token is no more: ask the operator of this server`
      return Promise.resolve(errorResponse(new RegistryError('forbidden', why), request, report))
    }
    surface.server = server()
    return Promise.resolve(surface.fetch(request))
  }
}
