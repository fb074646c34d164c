/**
 * Who is asking, for npm: `whoami`, one's profile and password (`npm profile`), and what `npm owner`
 * asks of another person.
 *
 * The wire forms are npm's: npm-profile and lib/commands/profile.js of npm 12. Two-factor
 * authentication is not among them: there is none here.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { assertScope, type Identity } from '../registries/accounts/access.ts'
import type { AccountAdmin } from '../registries/accounts/accounts-admin.ts'
import type { UserView } from '../registries/accounts/accounts-view.ts'
import { RegistryError } from '../registries/errors.ts'
import type { Login } from '../registries/accounts/login.ts'
import type { Report } from './errors.ts'
import { type Asked, fresh, guarded } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const PROFILE = '/-/npm/v1/user'
const USER = '/-/user/'
/** Before the name of a person in npm's paths, since its registry was a CouchDB. */
const COUCH = 'org.couchdb.user:'

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type AccountRoutesNeeds = {
  who: Who
  accountAdmin: AccountAdmin
  login: Login
  prefix: string
  report: Report
}

const Maybe = Type.Union([Type.String(), Type.Null()])
const ProfileShape = Type.Object({
  email: Type.Optional(Maybe),
  password: Type.Optional(
    Type.Union([Type.Object({ old: Type.String(), new: Type.String() }), Type.Null()]),
  ),
})
/** npm sends all that it knows back: what is not kept here must be empty. */
const KEPT = new Set(['email', 'password'])

/** The account surface. */
export function accountRoutes(needs: AccountRoutesNeeds) {
  const run = guarded(needs.report)
  return new Elysia({ name: 'account' })
    .get(
      '/-/whoami',
      run(asked => whoami(needs.who(asked.request, asked.server))),
      { detail: { 'x-scope': 'public' } },
    )
    .get(
      PROFILE,
      run(async ({ request, server }) => {
        const identity = needs.who(request, server)
        return fresh(profileOf(await needs.accountAdmin.user(personOf(identity))))
      }),
      { detail: { 'x-scope': 'account' } },
    )
    .post(
      PROFILE,
      run(asked => changeProfile(asked, needs)),
      { detail: { 'x-scope': 'account' }, parse: 'none' },
    )
    .get(
      `${USER}*`,
      run(asked => somebody(asked, needs)),
      { detail: { 'x-scope': 'read' } },
    )
}

/** The name in `/-/user/org.couchdb.user:NAME` and what follows it. @throws RegistryError not-found */
export function couchUser(request: Request, prefix: string): { name: string; rest: string } {
  const path = rawPath(request, prefix).slice(USER.length)
  const cut = path.indexOf('/')
  const segment = decoded(cut === -1 ? path : path.slice(0, cut))
  if (!segment.startsWith(COUCH)) throw new RegistryError('not-found', 'there is nothing here')
  return { name: segment.slice(COUCH.length), rest: cut === -1 ? '' : path.slice(cut) }
}

/** The person behind an identity that may see its account. @throws RegistryError */
export function personOf(identity: Identity): string {
  assertScope(identity, 'account')
  if (identity.user !== null) return identity.user
  throw new RegistryError('forbidden', `${identity.actor} is no person, so it has no account`)
}

/** As `personOf`, for a change. @throws RegistryError forbidden for a read-only token */
export function changingPerson(identity: Identity): string {
  const name = personOf(identity)
  if (identity.grant?.readOnly !== true) return name
  throw new RegistryError('forbidden', 'this token is read-only')
}

function whoami(identity: Identity): Response {
  // Every token that is good may know whose it is, whatever else it may do.
  if (identity.role === 'anonymous') assertScope(identity, 'account')
  return fresh({ username: identity.user ?? identity.actor })
}

function profileOf({ name, email, created }: UserView) {
  return {
    name,
    email: email ?? '',
    email_verified: false,
    tfa: null,
    fullname: '',
    homepage: '',
    freenode: '',
    twitter: '',
    github: '',
    created,
    updated: created,
    cidr_whitelist: null,
  }
}

async function changeProfile(asked: Asked, needs: AccountRoutesNeeds): Promise<Response> {
  const { request, server } = asked
  const identity = needs.who(request, server)
  const name = changingPerson(identity)
  const body = await jsonBody(request, ProfileShape)
  const other = Object.entries(body).find(
    ([field, value]) => !KEPT.has(field) && value !== null && value !== '',
  )
  if (other !== undefined) {
    const why = 'only the e-mail address and the password of a profile are kept here'
    throw new RegistryError('unprocessable', why)
  }
  const { email, password } = body
  if (password !== undefined && password !== null) {
    await needs.login.confirm(name, password.old, needs.who.addressOf(request, server))
  }
  const view = await needs.accountAdmin.as(identity.actor).setUser(
    name,
    {
      ...(email !== undefined && { email: email === '' ? null : email }),
      ...(password !== undefined && password !== null && { password: password.new }),
    },
    identity.grant?.id ?? null,
  )
  return fresh(profileOf(view))
}

/** What `npm owner add` looks up: that there is such a person. An address is for its owner alone. */
async function somebody(asked: Asked, needs: AccountRoutesNeeds): Promise<Response> {
  const identity = needs.who(asked.request, asked.server)
  assertScope(identity, 'read')
  const { name, rest } = couchUser(asked.request, needs.prefix)
  if (rest !== '') throw new RegistryError('not-found', 'there is nothing here')
  const view = await needs.accountAdmin.user(name)
  const isOwn = identity.user === name || identity.role === 'admin'
  const email = isOwn && view.email !== null ? { email: view.email } : {}
  return fresh({ _id: COUCH + name, name, ...email, type: 'user', roles: [], date: view.created })
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new RegistryError('bad-request', 'this path is not well formed')
  }
}
