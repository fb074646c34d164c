/**
 * `npm login`, `adduser` and `logout`: the web login with its page, npm's legacy login, and the end
 * of a token.
 *
 * Web login (npm-profile, `loginWeb`): POST answers with a page for the person and an address that
 * the client asks until the person is done. Legacy: one PUT with name and password, as npm's first
 * registry had it. Registration: registries/accounts/login.ts.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { AccountAdmin } from '../registries/accounts/accounts-admin.ts'
import type { Accounts } from '../registries/accounts/accounts.ts'
import { RegistryError } from '../registries/errors.ts'
import type { WebLogins } from '../registries/accounts/login-web.ts'
import type { Login } from '../registries/accounts/login.ts'
import { basicIn } from '../registries/accounts/token-secret.ts'
import { couchUser } from './account.ts'
import { headerSafe, type Report } from './errors.ts'
import { assertOwnForm, type Form, formPage, outcomePage } from './form-page.ts'
import { type Asked, fresh, guarded, guardedByPassword } from './guarded.ts'
import { queryOf, rawPath } from './request.ts'
import { formBody, jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const PAGE = '/-/web/login/'
const DONE = '/-/v1/done'
const SESSION = 'session'
const LOGOUT = '/-/user/token/'
/** Seconds between two questions of a waiting client. */
const POLL_SECONDS = 1
const NAME_CHARS_MAX = 120

/** What the surface needs. @property base the public URL, ending in `/` */
export type LoginRoutesNeeds = {
  who: Who
  accounts: Accounts
  accountAdmin: AccountAdmin
  login: Login
  webLogins: WebLogins
  base: string
  prefix: string
  report: Report
}

const CouchShape = Type.Object({
  name: Type.String(),
  password: Type.String(),
  email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})

/** The login surface. */
export function loginRoutes(needs: LoginRoutesNeeds) {
  const run = guarded(needs.report)
  const onPage = guarded(needs.report, `${PAGE}-`)
  const open = { detail: { 'x-scope': 'public' }, parse: 'none' } as const
  return new Elysia({ name: 'login' })
    .post(
      '/-/v1/login',
      run(asked => begin(asked, needs)),
      open,
    )
    .get(
      DONE,
      run(({ request }) => poll(request, needs)),
      open,
    )
    .get(
      `${PAGE}*`,
      onPage(asked => askPage(asked, needs)),
      open,
    )
    .post(
      `${PAGE}*`,
      onPage(asked => confirmPage(asked, needs)),
      open,
    )
    .put(
      '/-/user/*',
      guardedByPassword(needs.report)(asked => legacy(asked, needs)),
      open,
    )
    .delete(
      `${LOGOUT}*`,
      guarded(needs.report, `${LOGOUT}-`)(({ request }) => logout(request, needs)),
      open,
    )
}

/** A client as its person knows it; only what can be shown anywhere. */
function agentOf(request: Request): string {
  return headerSafe(request.headers.get('user-agent') ?? 'an unnamed client').slice(
    0,
    NAME_CHARS_MAX,
  )
}

function begin({ request, server }: Asked, needs: LoginRoutesNeeds): Response {
  const asks = { address: needs.who.addressOf(request, server), agent: agentOf(request) }
  const { page, done } = needs.webLogins.begin(asks)
  return fresh({
    loginUrl: `${needs.base}${PAGE.slice(1)}${page}`,
    doneUrl: `${needs.base}${DONE.slice(1)}?${SESSION}=${done}`,
  })
}

function poll(request: Request, needs: LoginRoutesNeeds): Response {
  const token = needs.webLogins.collect(queryOf(request).get(SESSION) ?? '')
  if (token !== null) return fresh({ token })
  return fresh({}, 202, { 'retry-after': String(POLL_SECONDS) })
}

function askPage(asked: Asked, needs: LoginRoutesNeeds): Response {
  return formPage(200, loginForm(asked, needs, null))
}

async function confirmPage(asked: Asked, needs: LoginRoutesNeeds): Promise<Response> {
  const { request, server } = asked
  assertOwnForm(request, needs.base)
  const form = await formBody(request)
  const page = pageId(request, needs)
  const given = { name: (form.get('name') ?? '').trim(), password: form.get('password') ?? '' }
  const csrf = form.get('csrf') ?? ''
  try {
    const name = await needs.webLogins.confirm(
      page,
      given,
      csrf,
      needs.who.addressOf(request, server),
    )
    const lead = `You are logged in as ${name}. Go back to your terminal; this page can be closed.`
    return outcomePage(200, 'Logged in', lead)
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    return again(error, asked, needs)
  }
}

/** The form once more, with what was wrong. */
function again(error: RegistryError, asked: Asked, needs: LoginRoutesNeeds): Response {
  switch (error.code) {
    case 'unauthorized':
      return formPage(401, loginForm(asked, needs, error.message))
    case 'forbidden':
      return formPage(403, loginForm(asked, needs, error.message))
    case 'unprocessable':
      return formPage(422, loginForm(asked, needs, error.message))
    case 'too-many-requests': {
      const headers = { 'retry-after': String(error.retryAfterSeconds ?? POLL_SECONDS) }
      return formPage(429, loginForm(asked, needs, error.message), headers)
    }
    default:
      throw error
  }
}

function loginForm(
  { request, server }: Asked,
  needs: LoginRoutesNeeds,
  problem: string | null,
): Form {
  const { address, agent, csrf } = needs.webLogins.asked(pageId(request, needs))
  const here = needs.who.addressOf(request, server)
  const warning =
    here === address ? '' : ' It began at another address than yours: go on only if that was you.'
  return {
    title: `Log in to ${new URL(needs.base).host}`,
    lead: `A program asks to act as you. Log in only if you started it yourself.${warning}`,
    facts: [
      ['program', agent],
      ['its address', address ?? 'unknown'],
      ['your address', here ?? 'unknown'],
    ],
    fields: [
      { name: 'name', label: 'User name', type: 'text', complete: 'username' },
      { name: 'password', label: 'Password', type: 'password', complete: 'current-password' },
    ],
    hidden: { csrf },
    button: 'Log in',
    problem,
  }
}

function pageId(request: Request, needs: LoginRoutesNeeds): string {
  return rawPath(request, needs.prefix).slice(PAGE.length)
}

/** 201 `{ok, token}`. `/-rev/…` is where a client goes after a 409, with the password in Basic too. */
async function legacy({ request, server }: Asked, needs: LoginRoutesNeeds): Promise<Response> {
  const { name, rest } = couchUser(request, needs.prefix)
  if (rest !== '' && !rest.startsWith('/-rev/')) {
    throw new RegistryError('not-found', 'there is nothing here')
  }
  const body = await jsonBody(request, CouchShape)
  const basic = basicIn(request.headers.get('authorization') ?? '')
  if (body.name !== name || (rest !== '' && basic !== null && basic.name !== name)) {
    throw new RegistryError('bad-request', 'the body is about another user than the path')
  }
  const given = { name, password: body.password, email: body.email || null }
  const label = `npm login, ${agentOf(request)}`
  const token = await needs.login.token(given, label, needs.who.addressOf(request, server))
  return fresh({ ok: true, id: `org.couchdb.user:${name}`, rev: '1-0', token }, 201)
}

/**
 * Ends a token. Whoever holds its secret may do so, and is told the same whatever became of it:
 * afterwards nobody is logged in by it.
 */
async function logout(request: Request, needs: LoginRoutesNeeds): Promise<Response> {
  const secret = decodedSecret(rawPath(request, needs.prefix).slice(LOGOUT.length))
  const row = needs.accounts.tokenOf(secret)
  if (row !== null && row.revoked === null) {
    const actor = row.user === null ? `token:${row.id}` : `user:${row.user}`
    await needs.accountAdmin.as(actor).revokeToken(row.id)
  }
  return fresh({ ok: true })
}

function decodedSecret(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw new RegistryError('bad-request', 'this path is not well formed')
  }
}
