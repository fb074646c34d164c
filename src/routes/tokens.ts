/**
 * `npm token list|create|revoke`, for the tokens of whoever asks. The wire forms are those of
 * lib/commands/token.js of npm 12 and of npm-profile before it. A new token needs the password: a
 * stolen one must not be able to make others.
 * @module
 */
import { Elysia } from 'elysia'
import type { AccountAdmin } from '../registries/accounts/accounts-admin.ts'
import type { TokenView } from '../registries/accounts/accounts-view.ts'
import type { Accounts } from '../registries/accounts/accounts.ts'
import { RegistryError } from '../registries/errors.ts'
import type { Login } from '../registries/accounts/login.ts'
import { NpmTokenShape, tokenRequestOf } from '../registries/accounts/token-grant.ts'
import { TOKEN_PREFIX } from '../registries/accounts/token-secret.ts'
import { changingPerson, personOf } from './account.ts'
import type { Report } from './errors.ts'
import { type Asked, fresh, guarded } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const TOKENS = '/-/npm/v1/tokens'
const ONE = `${TOKENS}/token/`

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type TokenRoutesNeeds = {
  who: Who
  accounts: Accounts
  accountAdmin: AccountAdmin
  login: Login
  now: () => Date
  prefix: string
  report: Report
}

/** The tokens surface. */
export function tokenRoutes(needs: TokenRoutesNeeds) {
  const run = guarded(needs.report)
  return new Elysia({ name: 'tokens' })
    .get(
      TOKENS,
      run(asked => list(asked, needs)),
      { detail: { 'x-scope': 'account' } },
    )
    .post(
      TOKENS,
      run(asked => create(asked, needs)),
      { detail: { 'x-scope': 'account' }, parse: 'none' },
    )
    .delete(
      `${ONE}*`,
      // npm sends the secret itself when that is what it was given.
      guarded(needs.report, `${ONE}-`)(asked => revoke(asked, needs)),
      { detail: { 'x-scope': 'account' }, parse: 'none' },
    )
}

async function list({ request, server }: Asked, needs: TokenRoutesNeeds): Promise<Response> {
  const tokens = await needs.accountAdmin.tokens(personOf(needs.who(request, server)))
  return fresh({ objects: tokens.map(npmToken), total: tokens.length, urls: {} })
}

async function create({ request, server }: Asked, needs: TokenRoutesNeeds): Promise<Response> {
  const identity = needs.who(request, server)
  const user = changingPerson(identity)
  const body = await jsonBody(request, NpmTokenShape)
  await needs.login.confirm(user, body.password, needs.who.addressOf(request, server))
  // A view limits what its token sees: what is made by such a token stays within it.
  const asked = tokenRequestOf(body, { user, view: identity.grant?.view ?? null }, needs.now())
  const { token, secret } = await needs.accountAdmin.as(identity.actor).createToken(asked)
  return fresh({ ...npmToken(token), token: secret })
}

async function revoke({ request, server }: Asked, needs: TokenRoutesNeeds): Promise<Response> {
  const identity = needs.who(request, server)
  const user = changingPerson(identity)
  const key = decodeKey(rawPath(request, needs.prefix).slice(ONE.length))
  const row = key.startsWith(TOKEN_PREFIX) ? needs.accounts.tokenOf(key) : null
  const id = row?.id ?? key
  const own = await needs.accountAdmin.tokens(user)
  if (!own.some(token => token.id === id)) {
    throw new RegistryError('not-found', 'you have no token of that id')
  }
  await needs.accountAdmin.as(identity.actor).revokeToken(id)
  return new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
}

/** A token as npm shows it. Its `token` begins every secret, which is how npm takes one for an id. */
function npmToken(view: TokenView) {
  return {
    token: TOKEN_PREFIX,
    key: view.id,
    name: view.name,
    kind: view.kind,
    created: view.created,
    updated: view.created,
    expires: view.expires,
    last_used: view.lastUsed,
    readonly: view.readOnly,
    cidr_whitelist: view.cidrs.length === 0 ? null : view.cidrs,
    packages: view.packages,
    permissions: view.scopes,
    orgs: view.orgs,
  }
}

function decodeKey(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new RegistryError('bad-request', 'this path is not well formed')
  }
}
