/**
 * `npm org`, `npm team` and the teams' side of `npm access`. The wire forms are libnpmorg's,
 * libnpmteam's and libnpmaccess's (https://github.com/npm/cli/tree/latest/workspaces).
 *
 *     GET|PUT|DELETE /-/org/<org>/user            body {user, role}
 *     GET|PUT        /-/org/<org>/team            body {name, description}
 *     DELETE         /-/team/<org>/<team>
 *     GET|PUT|DELETE /-/team/<org>/<team>/user    body {user}
 *     GET|PUT|DELETE /-/team/<org>/<team>/package body {package, permissions}
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { TeamPermission } from '../db/teams.ts'
import type { Identity, Scope } from '../registries/accounts/access.ts'
import { RegistryError } from '../registries/errors.ts'
import { checkName } from '../registries/name.ts'
import type { Organisations } from '../registries/hosted/organisations.ts'
import type { Report } from './errors.ts'
import { fresh, scoped } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const Word = Type.String({ minLength: 1, maxLength: 214 })
const Role = Type.Union([Type.Literal('developer'), Type.Literal('admin'), Type.Literal('owner')])
const MemberShape = Type.Object({ user: Word, role: Type.Optional(Role) })
const PersonShape = Type.Object({ user: Word })
const TeamShape = Type.Object({
  name: Word,
  description: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})
const PackageShape = Type.Object({ package: Word })
const GrantShape = Type.Object({
  package: Word,
  permissions: Type.Union([Type.Literal('read-only'), Type.Literal('read-write')]),
})

/** What libnpmaccess turns back into `read-only` and `read-write`. */
export const SHOWN_PERMISSION: Record<TeamPermission, string> = {
  'read-only': 'read',
  'read-write': 'write',
}

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type TeamRoutesNeeds = {
  who: Who
  organisations: Organisations
  prefix: string
  report: Report
}

type Target = { identity: Identity; org: string; team: string; request: Request }
type Work = (target: Target) => Response | Promise<Response>

/** The surface of organisations and teams. */
export function teamRoutes(needs: TeamRoutesNeeds) {
  const app = new Elysia({ name: 'teams' })
  const route = scoped(needs)
  const on = (scope: Scope, work: Work) =>
    route(scope, ({ identity, request }) => work(targetOf(identity, request, needs)))
  addOrgs(app, needs.organisations, on)
  addTeams(app, needs.organisations, on)
  addPackages(app, needs.organisations, on)
  return app
}

type App = Elysia
type On = (scope: Scope, work: Work) => ReturnType<ReturnType<typeof scoped>>

function addOrgs(app: App, orgs: Organisations, on: On): void {
  const path = '/-/org/:org/user'
  app.get(path, ...on('read', ({ identity, org }) => fresh(orgs.roster(identity, org))))
  app.put(
    path,
    ...on('team', async ({ identity, org, request }) => {
      const { user, role } = await jsonBody(request, MemberShape)
      return fresh(orgs.setMember(identity, org, user, role ?? 'developer'))
    }),
  )
  app.delete(
    path,
    ...on('team', async ({ identity, org, request }) => {
      orgs.removeMember(identity, org, (await jsonBody(request, PersonShape)).user)
      return gone()
    }),
  )
  app.get(
    '/-/org/:org/team',
    ...on('read', ({ identity, org }) => fresh(orgs.teams(identity, org))),
  )
  app.put(
    '/-/org/:org/team',
    ...on('team', async ({ identity, org, request }) => {
      const { name, description } = await jsonBody(request, TeamShape)
      orgs.addTeam(identity, org, name, description ?? '')
      return fresh({ name }, 201)
    }),
  )
}

function addTeams(app: App, orgs: Organisations, on: On): void {
  const path = '/-/team/:org/:team'
  app.delete(
    path,
    ...on('team', ({ identity, org, team }) => {
      orgs.removeTeam(identity, org, team)
      return gone()
    }),
  )
  app.get(
    `${path}/user`,
    ...on('read', ({ identity, org, team }) => fresh(orgs.teamMembers(identity, org, team))),
  )
  app.put(
    `${path}/user`,
    ...on('team', async ({ identity, org, team, request }) => {
      orgs.addTeamMember(identity, org, team, (await jsonBody(request, PersonShape)).user)
      return fresh({}, 201)
    }),
  )
  app.delete(
    `${path}/user`,
    ...on('team', async ({ identity, org, team, request }) => {
      orgs.removeTeamMember(identity, org, team, (await jsonBody(request, PersonShape)).user)
      return gone()
    }),
  )
}

function addPackages(app: App, orgs: Organisations, on: On): void {
  const path = '/-/team/:org/:team/package'
  app.get(
    path,
    ...on('read', ({ identity, org, team }) => {
      const packages = orgs.teamPackages(identity, org, team)
      const shown = [...packages].map(([name, may]) => [name, SHOWN_PERMISSION[may]])
      return fresh(Object.fromEntries(shown))
    }),
  )
  app.put(
    path,
    ...on('team', async ({ identity, org, team, request }) => {
      const { package: name, permissions } = await jsonBody(request, GrantShape)
      checkName(name)
      orgs.grant(identity, org, team, name, permissions)
      return fresh({}, 201)
    }),
  )
  app.delete(
    path,
    ...on('team', async ({ identity, org, team, request }) => {
      orgs.revoke(identity, org, team, (await jsonBody(request, PackageShape)).package)
      return gone()
    }),
  )
}

/** `/-/org/<org>/…` and `/-/team/<org>/<team>…`, from the path as it came. */
function targetOf(identity: Identity, request: Request, { prefix }: TeamRoutesNeeds): Target {
  const [, , kind, org = '', team = ''] = rawPath(request, prefix).split('/')
  return { identity, org: decoded(org), team: kind === 'team' ? decoded(team) : '', request }
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new RegistryError('bad-request', 'this path is not well formed')
  }
}

function gone(): Response {
  return new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
}
