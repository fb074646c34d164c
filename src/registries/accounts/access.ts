/**
 * Who is asking and what they may do: the words that every surface shares.
 *
 * An `Identity` is made from a request's authorization (accounts.ts) and is never null: nobody is
 * `ANONYMOUS`. A token that is unknown, revoked, expired or used from elsewhere makes nobody too,
 * with the reason in `problem`: reading what everybody may read goes on, and whoever needs more is
 * told why not. Default deny: what no function here allows is refused. Nothing here does I/O.
 * @module
 */
import { matchesName } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'

/**
 * What a route asks for. `public`: nothing. `read`: packages that not everybody may see. `publish`:
 * changes of hosted packages. `stage`: sending versions that somebody else approves. `account`:
 * one's own tokens and profile. `team`: organisations and teams. `admin:read`, `admin:write`: the
 * operator's side.
 */
export const SCOPES = [
  'public',
  'read',
  'publish',
  'stage',
  'account',
  'team',
  'admin:read',
  'admin:write',
] as const

export type Scope = (typeof SCOPES)[number]

/**
 * What a token limits its user to. @property packages patterns as in authority.ts; `**` is all
 * @property view name of the view (views.ts) that it reads through; null is the common one
 * @property isOfJob it was exchanged for that of a CI job (oidc.ts): for new versions alone
 */
export type TokenGrant = {
  id: string
  isOfJob: boolean
  scopes: readonly Scope[]
  packages: readonly string[]
  readOnly: boolean
  view: string | null
}

/**
 * Somebody who asks. @property user null for nobody, and for a token of the operator without a
 * person
 * @property actor who is written into the audit trail @property problem why a token was not taken
 */
export type Identity = {
  user: string | null
  role: 'anonymous' | 'member' | 'admin'
  grant: TokenGrant | null
  actor: string
  problem: string | null
}

export const ANONYMOUS: Identity = {
  user: null,
  role: 'anonymous',
  grant: null,
  actor: 'anonymous',
  problem: null,
}

/** What only an admin may have, whatever a token says. */
const ADMIN_SCOPES: ReadonlySet<Scope> = new Set(['admin:read', 'admin:write'])
/** What changes something, so that a read-only token has none of it. */
const WRITE_SCOPES: ReadonlySet<Scope> = new Set(['publish', 'stage', 'team', 'admin:write'])

/** Does `identity` have `scope`? */
export function hasScope(identity: Identity, scope: Scope): boolean {
  if (scope === 'public') return true
  const { role, grant } = identity
  if (role === 'anonymous') return false
  if (ADMIN_SCOPES.has(scope) && role !== 'admin') return false
  if (grant === null) return true
  if (grant.readOnly && WRITE_SCOPES.has(scope)) return false
  // Whoever may publish may do it in two steps.
  return grant.scopes.includes(
    scope === 'stage' && grant.scopes.includes('publish') ? 'publish' : scope,
  )
}

/** Refuses who lacks `scope`. @throws RegistryError unauthorized (nobody), forbidden (somebody) */
export function assertScope(identity: Identity, scope: Scope): void {
  if (hasScope(identity, scope)) return
  if (identity.role === 'anonymous') {
    const why = identity.problem ?? 'this needs a login: run `npm login`, or send a token'
    throw new RegistryError('unauthorized', why)
  }
  throw new RegistryError('forbidden', `${identity.actor} may not do this: it lacks ${scope}`)
}

/** Does the token reach this package? Without a token's limit: yes. */
export function reachesPackage(identity: Identity, name: string): boolean {
  return identity.grant === null || identity.grant.packages.some(each => matchesName(each, name))
}
