/**
 * Trusted publishing, as npm, pnpm and yarn 4 ask for it (npm: lib/utils/oidc.js, lib/trust-cmd.js):
 *
 *     POST   /-/npm/v1/oidc/token/exchange/package/<name>   Authorization: Bearer <id token>
 *     GET    /-/package/<name>/trust
 *     POST   /-/package/<name>/trust                        one publisher, or a list of them
 *     DELETE /-/package/<name>/trust/<id>
 *
 * and for the operator the list of issuers:
 *
 *     GET | POST | DELETE /-/oidc/issuers                   { "issuer": "https://…", "type": "gitlab" }
 *
 * Clients build the URL of the exchange from the origin alone, so that a prefix in the public URL is
 * lost: `atOrigin` answers it there as well.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import { parsePackagePath } from '../registries/name.ts'
import { IssuerShape, TrustShape } from '../registries/accounts/oidc-claims.ts'
import type { TrustedPublishing } from '../registries/hosted/oidc.ts'
import type { Report } from './errors.ts'
import { type Allowed, type Asked, fresh, guarded, scoped } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const EXCHANGE = '/-/npm/v1/oidc/token/exchange/package/'
const PACKAGE = '/-/package/'
const TRUST_PATHS = ['/-/package/:package/trust', '/-/package/:package/:rest/trust'] as const
const TRUST = /^(.+)\/trust(?:\/([^/]+))?\/?$/
const ISSUERS = '/-/oidc/issuers'
const BEARER = /^bearer +([\w-]+\.[\w-]+\.[\w-]+) *$/i
const REQUESTS_MAX = 10

const TrustBody = Type.Union([TrustShape, Type.Array(TrustShape, { maxItems: REQUESTS_MAX })])
const IssuerName = Type.Object({ issuer: Type.String() })

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type OidcRoutesNeeds = {
  who: Who
  trustedPublishing: TrustedPublishing
  prefix: string
  report: Report
}

/** The surface. */
export function oidcRoutes(needs: OidcRoutesNeeds) {
  const { trustedPublishing } = needs
  const route = scoped(needs)
  // The id token is the authorization: nobody is logged in there.
  const exchanging = guarded(needs.report)(asked => exchange(asked, needs, needs.prefix))
  const open = { detail: { 'x-scope': 'public' }, parse: 'none' } as const
  const issuers = route('admin:read', ({ identity }) => fresh(trustedPublishing.issuers(identity)))
  const app = new Elysia({ name: 'oidc' })
    .post(`${EXCHANGE}*`, exchanging, open)
    .get(ISSUERS, ...issuers)
    .post(ISSUERS, ...route('admin:write', allowed => addIssuer(allowed, needs)))
    .delete(ISSUERS, ...route('admin:write', allowed => removeIssuer(allowed, needs)))
  for (const path of TRUST_PATHS) {
    app.get(path, ...route('account', allowed => list(allowed, needs)))
    app.post(path, ...route('account', allowed => add(allowed, needs)))
    app.delete(`${path}/:id`, ...route('account', allowed => remove(allowed, needs)))
  }
  return app
}

type Handler = (...args: unknown[]) => unknown

/** Answers the exchange at the root of the origin too; stands around the whole application. */
export function atOrigin(needs: OidcRoutesNeeds): (handler: Handler) => Handler {
  const run = guarded(needs.report)(asked => exchange(asked, needs, ''))
  if (needs.prefix === '') return handler => handler
  return handler =>
    (...args) => {
      const [request] = args
      const isExchange =
        request instanceof Request && request.method === 'POST' && isAtRoot(request)
      return isExchange ? run({ request, server: null }) : handler(...args)
    }
}

function isAtRoot({ url }: Request): boolean {
  return url.startsWith('http') && url.startsWith(EXCHANGE, url.indexOf('/', 8))
}

async function exchange(
  { request }: Asked,
  { trustedPublishing }: OidcRoutesNeeds,
  prefix: string,
): Promise<Response> {
  const name = nameIn(rawPath(request, prefix).slice(EXCHANGE.length))
  const idToken = BEARER.exec(request.headers.get('authorization') ?? '')?.[1]
  if (idToken === undefined) {
    throw new RegistryError('unauthorized', 'the authorization header holds no id token')
  }
  const exchanged = await trustedPublishing.exchange(name, idToken)
  return fresh({ token_type: 'oidc', ...exchanged }, 201)
}

function list({ request, identity }: Allowed, needs: OidcRoutesNeeds): Response {
  const { name } = targetOf(request, needs)
  return fresh(needs.trustedPublishing.list(identity, name))
}

async function add({ request, identity }: Allowed, needs: OidcRoutesNeeds): Promise<Response> {
  const { name } = targetOf(request, needs)
  const body = await jsonBody(request, TrustBody)
  const wanted = Array.isArray(body) ? body : [body]
  return fresh(needs.trustedPublishing.add(identity, name, wanted), 201)
}

function remove({ request, identity }: Allowed, needs: OidcRoutesNeeds): Response {
  const { name, id } = targetOf(request, needs)
  needs.trustedPublishing.remove(identity, name, id)
  return fresh({ ok: true })
}

async function addIssuer({ request, identity }: Allowed, needs: OidcRoutesNeeds) {
  const { issuer, type } = await jsonBody(request, IssuerShape)
  return fresh(needs.trustedPublishing.addIssuer(identity, issuer, type), 201)
}

async function removeIssuer({ request, identity }: Allowed, needs: OidcRoutesNeeds) {
  const { issuer } = await jsonBody(request, IssuerName)
  needs.trustedPublishing.removeIssuer(identity, issuer)
  return fresh({ ok: true })
}

function targetOf(request: Request, { prefix }: OidcRoutesNeeds): { name: string; id: string } {
  const [, name = '', id = ''] = TRUST.exec(rawPath(request, prefix).slice(PACKAGE.length)) ?? []
  return { name: nameIn(name), id }
}

function nameIn(path: string): string {
  const parsed = parsePackagePath(`/${path}`)
  if (parsed.kind === 'packument') return parsed.name
  throw new RegistryError('invalid-name', 'this path names no package')
}
