/**
 * `npm access`: who may see and change a hosted package. The wire forms are libnpmaccess's
 * (https://github.com/npm/cli/tree/latest/workspaces/libnpmaccess).
 *
 *     GET  /-/package/<name>/visibility       {public}
 *     POST /-/package/<name>/access           {access}
 *     GET  /-/package/<name>/collaborators    {<user>: read|write}
 *     GET  /-/org/<org>/package               {<name>: read|write}
 *     GET  /-/user/<user>/package             {<name>: read|write}
 *
 * There is no two-factor authentication here, so a rule that asks for it is refused, not forgotten.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { TeamPermission } from '../db/teams.ts'
import type { Collaborators } from '../registries/hosted/collaborators.ts'
import { RegistryError } from '../registries/errors.ts'
import type { HostedChanges } from '../registries/hosted/hosted-changes.ts'
import { parsePackagePath } from '../registries/name.ts'
import type { Report } from './errors.ts'
import { type Allowed, fresh, scoped } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import { SHOWN_PERMISSION } from './teams.ts'
import type { Who } from './who.ts'

const PACKAGE = '/-/package/'
/** The name is one segment, or two where something decoded it on the way. */
const PACKAGES = ['/-/package/:package', '/-/package/:package/:rest'] as const

const AccessShape = Type.Object({
  access: Type.Optional(
    Type.Union([Type.Literal('public'), Type.Literal('restricted'), Type.Literal('private')]),
  ),
  publish_requires_tfa: Type.Optional(Type.Boolean()),
})

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type AccessRoutesNeeds = {
  who: Who
  collaborators: Collaborators
  changes: HostedChanges
  prefix: string
  report: Report
}

/** The surface of access. */
export function accessRoutes(needs: AccessRoutesNeeds) {
  const { collaborators, prefix } = needs
  const route = scoped(needs)
  const visibility = route('public', ({ identity, request }) =>
    fresh({ public: collaborators.isPublic(identity, nameIn(request, prefix)) }),
  )
  const people = route('read', ({ identity, request }) =>
    fresh(shown(collaborators.ofPackage(identity, nameIn(request, prefix)))),
  )
  const app = new Elysia({ name: 'access' })
  for (const path of PACKAGES) {
    app.get(`${path}/visibility`, ...visibility)
    app.get(`${path}/collaborators`, ...people)
    app.post(`${path}/access`, ...route('publish', allowed => setAccess(allowed, needs)))
  }
  const ofOrganisation = route('read', ({ identity, request }) =>
    fresh(shown(collaborators.ofOrganisation(identity, segmentIn(request, prefix)))),
  )
  const ofPerson = route('read', ({ identity, request }) =>
    fresh(shown(collaborators.ofPerson(identity, segmentIn(request, prefix)))),
  )
  return app.get('/-/org/:org/package', ...ofOrganisation).get('/-/user/:user/package', ...ofPerson)
}

async function setAccess({ request, identity }: Allowed, needs: AccessRoutesNeeds) {
  const name = nameIn(request, needs.prefix)
  const { access, publish_requires_tfa: needsSecondFactor } = await jsonBody(request, AccessShape)
  if (needsSecondFactor === true) {
    const why = 'this registry knows no second factor: limit who may publish with tokens'
    throw new RegistryError('unprocessable', why, { package: name })
  }
  if (access !== undefined) {
    const wanted = access === 'public' ? 'public' : 'restricted'
    needs.changes.setAccess({ identity, name, rev: null }, wanted)
  } else if (needsSecondFactor === undefined) {
    throw new RegistryError('bad-request', 'the body says neither access nor publish_requires_tfa')
  }
  return fresh({ ok: true })
}

function shown(permissions: ReadonlyMap<string, TeamPermission>): Record<string, string> {
  return Object.fromEntries([...permissions].map(([name, may]) => [name, SHOWN_PERMISSION[may]]))
}

/** The package in `/-/package/<name>/<what>`. */
function nameIn(request: Request, prefix: string): string {
  const path = rawPath(request, prefix).slice(PACKAGE.length)
  const target = parsePackagePath(`/${path.slice(0, path.lastIndexOf('/'))}`)
  if (target.kind === 'packument') return target.name
  throw new RegistryError('bad-request', 'this names no package')
}

/** The second part of `/-/org/<org>/package`. */
function segmentIn(request: Request, prefix: string): string {
  const [, , , segment = ''] = rawPath(request, prefix).split('/')
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new RegistryError('bad-request', 'this path is not well formed')
  }
}
