/**
 * `token create|list|revoke`: the tokens of a running server, or of a data dir that no server has
 * open. The secret of a new one goes to stdout, once.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import { SCOPES } from '../registries/accounts/access.ts'
import { checkScopes, type TokenRequest } from '../registries/accounts/accounts-request.ts'
import type { TokenView } from '../registries/accounts/accounts-view.ts'
import { parseExpiry } from './account-input.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { table } from './table.ts'

export type CreateFlags = {
  user?: string
  name?: string
  scope?: string[]
  packages?: string[]
  org?: string[]
  readOnly?: true
  cidr?: string[]
  expires?: string
  view?: string
}

type Shape = { json: boolean }

export async function tokenCreate(
  flags: Flags,
  given: CreateFlags,
  shape: Shape,
  io: Io,
  now: Date = new Date(),
): Promise<number> {
  const asked = requestOf(given, now)
  return await withOperations(flags, io, async ({ accounts }) => {
    const { token, secret } = await accounts.createToken(asked)
    if (shape.json) {
      io.out(`${JSON.stringify({ token, secret })}\n`)
      return EXIT.ok
    }
    io.err(`${lineOf(token)}This secret is shown once:\n`)
    io.out(`${secret}\n`)
    return EXIT.ok
  })
}

export async function tokenList(
  flags: Flags,
  given: { user?: string },
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withOperations(flags, io, async ({ accounts }) => {
    const tokens = await accounts.tokens(given.user)
    io.out(shape.json ? `${JSON.stringify({ tokens })}\n` : listText(tokens))
    return EXIT.ok
  })
}

export async function tokenRevoke(flags: Flags, id: string, shape: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ accounts }) => {
    const token = await accounts.revokeToken(id)
    io.out(shape.json ? `${JSON.stringify({ token })}\n` : `${id} is revoked\n`)
    return EXIT.ok
  })
}

function requestOf(given: CreateFlags, now: Date): TokenRequest {
  const { user, name, scope, packages, org, cidr, expires, view } = given
  const named = scope?.flatMap(text => text.split(','))
  const unknown = named?.find(text => !SCOPES.some(known => known === text))
  if (unknown !== undefined) {
    throw new ConfigError(`--scope: '${unknown}' is none of ${SCOPES.join(', ')}`)
  }
  return {
    user: user ?? null,
    name: name ?? `cli ${now.toISOString().slice(0, 10)}`,
    readOnly: given.readOnly === true,
    ...(named !== undefined && { scopes: checkScopes(named) }),
    ...(packages !== undefined && { packages }),
    ...(org !== undefined && { orgs: org }),
    ...(cidr !== undefined && { cidrs: cidr }),
    ...(expires !== undefined && { expires: parseExpiry(expires, now) }),
    ...(view !== undefined && { view }),
  }
}

function listText(tokens: readonly TokenView[]): string {
  if (tokens.length === 0) return 'no tokens\n'
  return table(
    ['id', 'user', 'kind', 'name', 'may'],
    tokens.map(token => [token.id, token.user ?? '-', token.kind, token.name, limitsOf(token)]),
  )
}

function lineOf(token: TokenView): string {
  return `${token.id}\t${token.user ?? '-'}\t${token.kind}\t${token.name}\t${limitsOf(token)}\n`
}

function limitsOf(token: TokenView): string {
  return [
    token.scopes.join(','),
    token.packages.join(','),
    ...(token.readOnly ? ['read-only'] : []),
    ...token.cidrs,
    ...(token.view === null ? [] : [`view ${token.view}`]),
    token.expires === null ? 'for ever' : `until ${token.expires}`,
    token.lastUsed === null ? 'never used' : `used ${token.lastUsed}`,
  ].join(' ')
}
