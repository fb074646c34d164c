/**
 * Who is asking: from an Authorization header to an `Identity` (access.ts), and what is issued and
 * taken back so that it is so.
 *
 * Known tokens are remembered by their hash; any change of a token or a person forgets all of them
 * at once, so that a revoked token is nobody's in the next request. Unknown ones are not
 * remembered: a flood of them would push out the rest.
 * @module
 */
import { timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { TokenRow, Tokens, UserRow, Users } from '../../db/accounts.ts'
import { ANONYMOUS, type Identity, type Scope, SCOPES } from './access.ts'
import { timestamp } from '../timestamp.ts'
import { isInside } from './token-network.ts'
import { hashSecret, makeTokenId, makeTokenSecret, tokenIn } from './token-secret.ts'

/** Tokens in use at one time: a company's people and jobs, about 1 MB. */
const REMEMBERED_MAX = 2048
/** A use is written down once a minute per token: each writing waits for the disk. */
const USED_EVERY_MS = 60_000
/** Who is written into the audit trail for the admin token. */
export const ADMIN_TOKEN_ACTOR = 'admin-token'

/** A token that is to be. @property user null for one without a person */
export type NewToken = Pick<TokenRow, 'user' | 'kind' | 'name'> & {
  scopes: readonly Scope[]
  packages: readonly string[]
  readOnly?: boolean
  orgs?: readonly string[] | null
  cidrs?: readonly string[]
  expires?: string | null
  view?: string | null
}

/** A token that was just made: the only moment at which its secret is known. */
export type IssuedToken = { secret: string; row: TokenRow }

/** What it works on. @property adminToken the operator's token from the settings; null: none */
export type AccountsNeeds = {
  users: Users
  tokens: Tokens
  adminToken: string | null
  now: () => Date
  warn: (message: string) => void
}

type Known = { row: TokenRow; user: UserRow | null; identity: Identity; usedMs: number }

export class Accounts {
  readonly #needs: AccountsNeeds
  readonly #adminHash: Buffer | null
  readonly #known = new LRUCache<string, Known>(atMost(REMEMBERED_MAX))

  constructor(needs: AccountsNeeds) {
    this.#needs = needs
    const { adminToken } = needs
    this.#adminHash = adminToken === null ? null : Buffer.from(hashSecret(adminToken))
  }

  /** Who sends this header from this address. Never throws: a bad token makes nobody, and why. */
  identify(authorization: string | null, address: string | null): Identity {
    if (authorization === null || authorization === '') return ANONYMOUS
    const secret = tokenIn(authorization)
    if (secret === null) return nobody('the authorization header holds no token')
    const hash = hashSecret(secret)
    if (this.#isAdminToken(hash)) return ADMIN
    const known = this.#known.get(hash) ?? this.#find(hash)
    if (known === null) {
      return nobody('this token is not known here: log in again, or see `npm token list`')
    }
    const problem = this.#problemOf(known, address)
    if (problem !== null) return nobody(problem)
    this.#use(known)
    return known.identity
  }

  /** Makes a token. The caller has a transaction open and writes the audit trail. */
  issue(asked: NewToken): IssuedToken {
    const secret = makeTokenSecret()
    const row: TokenRow = {
      id: makeTokenId(),
      hash: hashSecret(secret),
      user: asked.user,
      kind: asked.kind,
      name: asked.name,
      scopes: [...asked.scopes],
      packages: [...asked.packages],
      orgs: asked.orgs === undefined || asked.orgs === null ? null : [...asked.orgs],
      readOnly: asked.readOnly === true,
      cidrs: [...(asked.cidrs ?? [])],
      view: asked.view ?? null,
      created: timestamp(this.#needs.now()),
      expires: asked.expires ?? null,
      lastUsed: null,
      revoked: null,
    }
    this.#needs.tokens.add(row)
    return { secret, row }
  }

  /** The row of a secret, whatever became of it; null when it is not known. */
  tokenOf(secret: string): TokenRow | null {
    return this.#needs.tokens.byHash(hashSecret(secret))
  }

  /** May this identity's token manage this organisation? Without a token's limit: yes. */
  reachesOrg(identity: Identity, org: string): boolean {
    if (identity.grant === null) return true
    const row = this.#needs.tokens.get(identity.grant.id)
    return row !== null && (row.orgs === null || row.orgs.includes(org))
  }

  /** To be called after every change of a token or a person: the next request asks the rows. */
  forget(): void {
    this.#known.clear()
  }

  #isAdminToken(hash: string): boolean {
    return this.#adminHash !== null && timingSafeEqual(this.#adminHash, Buffer.from(hash))
  }

  #find(hash: string): Known | null {
    const row = this.#needs.tokens.byHash(hash)
    if (row === null) return null
    const user = row.user === null ? null : this.#needs.users.get(row.user)
    const found = {
      row,
      user,
      identity: identityOf(row, user),
      usedMs: Date.parse(row.lastUsed ?? ''),
    }
    this.#known.set(hash, found)
    return found
  }

  #problemOf({ row, user }: Known, address: string | null): string | null {
    if (row.revoked !== null) return 'this token was revoked'
    if (row.expires !== null && Date.parse(row.expires) <= this.#needs.now().getTime()) {
      return `this token expired at ${row.expires}`
    }
    if (!isInside(address, row.cidrs)) return 'this token may not be used from this address'
    if (row.user !== null && user?.state !== 'active')
      return 'the account of this token is disabled'
    return null
  }

  #use(known: Known): void {
    const now = this.#needs.now()
    if (now.getTime() - known.usedMs < USED_EVERY_MS) return
    known.usedMs = now.getTime()
    try {
      this.#needs.tokens.used(known.row.id, timestamp(now))
    } catch (error) {
      // Nothing rests on it, and a full disk must not keep anybody from reading.
      this.#needs.warn(`the use of token ${known.row.id} is not written down: ${String(error)}`)
    }
  }
}

const ADMIN: Identity = {
  user: null,
  role: 'admin',
  grant: null,
  actor: ADMIN_TOKEN_ACTOR,
  problem: null,
}

function nobody(problem: string): Identity {
  return { ...ANONYMOUS, problem }
}

function identityOf(row: TokenRow, user: UserRow | null): Identity {
  const scopes = SCOPES.filter(scope => row.scopes.includes(scope))
  // A token without a person was made by the operator, who named its scopes.
  const isAdmin = scopes.some(scope => scope === 'admin:read' || scope === 'admin:write')
  const { id, packages, readOnly, view } = row
  return {
    user: row.user,
    role: user?.role ?? (isAdmin ? 'admin' : 'member'),
    grant: { id, isOfJob: row.kind === 'oidc', scopes, packages, readOnly, view },
    actor: row.user === null ? `token:${id}` : `user:${row.user}`,
    problem: null,
  }
}
