/**
 * `/-/api/sessions`: from a name and a password to a short session of a browser, and its end.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import { hasScope, type Identity, type Scope, SCOPES } from '../registries/accounts/access.ts'
import type { AccountAdmin } from '../registries/accounts/accounts-admin.ts'
import type { Accounts } from '../registries/accounts/accounts.ts'
import { RegistryError } from '../registries/errors.ts'
import type { Login } from '../registries/accounts/login.ts'
import { timestamp } from '../registries/timestamp.ts'
import { type ApiRoute, apiRoute, None } from './api-route.ts'
import type { BrowserSessions } from './api-session-cookie.ts'

/** A person at work logs in again after lunch; a forgotten browser is nobody soon. */
const SESSION_SECONDS = 60 * 60
const MS_PER_SECOND = 1000
/** A name and a password. */
const SESSION_BODY_BYTES_MAX = 8 * 1024

const TAG = 'sessions'
const CURRENT = '/-/api/sessions/current'

const Words = Type.Union([Type.String(), Type.Null()])
const Session = Type.Object(
  {
    user: Words,
    role: Type.Union([Type.Literal('anonymous'), Type.Literal('member'), Type.Literal('admin')]),
    scopes: Type.Array(Type.String()),
    expires: Words,
    csrf: Type.Union([
      Type.String({ description: 'Goes into the header x-csrf-token with every change.' }),
      Type.Null(),
    ]),
    problem: Words,
  },
  { $id: 'Session' },
)
const Credentials = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    password: Type.String({ minLength: 1, maxLength: 1024 }),
  },
  { additionalProperties: false, $id: 'Credentials' },
)

const example = {
  user: 'ada',
  role: 'admin',
  scopes: ['public', 'read', 'publish', 'account', 'team', 'admin:read', 'admin:write'],
  expires: '2026-11-22T09:31:07Z',
  csrf: 'q3ZrN0Yt4s0N3VfQ4g0m0m8i1m2b9p5l7w6x8y0z1A4',
  problem: null,
}

/** What the routes work with. */
export type SessionRoutesNeeds = {
  login: Login
  admin: AccountAdmin
  accounts: Accounts
  browserSessions: BrowserSessions
  now: () => Date
}

/** The routes. */
export function sessionRoutes(needs: SessionRoutesNeeds): ApiRoute[] {
  return [beginRoute(needs), currentRoute(needs), endRoute(needs)]
}

function beginRoute({ login, admin, browserSessions, now }: SessionRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: '/-/api/sessions',
    operationId: 'beginSession',
    summary: 'Log in with a name and a password',
    description:
      'Sets a cookie for an hour. Changes in a session need its `csrf` in the header x-csrf-token.',
    tag: TAG,
    scope: 'public',
    params: None,
    query: None,
    body: Credentials,
    bodyBytesMax: SESSION_BODY_BYTES_MAX,
    bodyExample: { name: 'ada', password: 'correct horse battery staple' },
    isRepeatable: false,
    problems: [401, 403, 429, 503],
    success: { status: 201, description: 'The session.', schema: Session, example },
    handle: async ({ body, address }) => {
      const user = await login.confirm(body.name, body.password, address)
      const expires = timestamp(new Date(now().getTime() + SESSION_SECONDS * MS_PER_SECOND))
      const { secret, row } = admin.as(`user:${user}`).issue({
        user,
        kind: 'session',
        name: 'browser session',
        scopes: SCOPES,
        packages: ['**'],
        expires,
      })
      const { role } = await admin.user(user)
      const scopes = SCOPES.filter(scope => role === 'admin' || !scope.startsWith('admin:'))
      const csrf = browserSessions.csrfOf(secret)
      const value: Static<typeof Session> = {
        user,
        role,
        scopes,
        expires: row.expires,
        csrf,
        problem: null,
      }
      return {
        value,
        isSecret: true,
        location: CURRENT.slice(1),
        headers: { 'set-cookie': browserSessions.cookieOf(secret, SESSION_SECONDS) },
      }
    },
  })
}

function currentRoute({ accounts, browserSessions }: SessionRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'GET',
    path: CURRENT,
    operationId: 'getSession',
    summary: 'Who am I',
    description: 'Of this session or token; of nobody too, with the reason when a token is bad.',
    tag: TAG,
    scope: 'public',
    params: None,
    query: None,
    body: None,
    success: { status: 200, description: 'Who asks.', schema: Session, example },
    handle: async ({ identity, request }) => {
      const isToken = request.headers.has('authorization')
      const secret = isToken ? null : browserSessions.secretIn(request)
      const row = secret === null ? null : accounts.tokenOf(secret)
      const isLive = identity.role !== 'anonymous' && secret !== null
      const value: Static<typeof Session> = {
        user: identity.user,
        role: identity.role,
        scopes: scopesOf(identity),
        expires: isLive ? (row?.expires ?? null) : null,
        csrf: isLive ? browserSessions.csrfOf(secret) : null,
        problem: identity.problem,
      }
      return { value, isSecret: true }
    },
  })
}

function endRoute({ admin, accounts, browserSessions }: SessionRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'DELETE',
    path: CURRENT,
    operationId: 'endSession',
    summary: 'Log out',
    description: 'Ends this session; a token that is sent instead of a cookie is no session.',
    tag: TAG,
    scope: 'account',
    params: None,
    query: None,
    body: None,
    problems: [404, 410],
    success: { status: 204, description: 'It is over, and the cookie is taken back.' },
    handle: async ({ identity, request }) => {
      const isToken = request.headers.has('authorization')
      const secret = isToken ? null : browserSessions.secretIn(request)
      const row = secret === null ? null : accounts.tokenOf(secret)
      if (row === null) throw new RegistryError('not-found', 'this request is in no session')
      await admin.as(identity.actor).revokeToken(row.id)
      return { headers: { 'set-cookie': browserSessions.endedCookie() } }
    },
  })
}

function scopesOf(identity: Identity): Scope[] {
  return SCOPES.filter(scope => hasScope(identity, scope))
}
