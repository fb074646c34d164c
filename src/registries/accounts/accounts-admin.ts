/**
 * Managing people and tokens: the operations of the command line, of the control socket and of the
 * admin API, once; npm's own routes for one's profile and tokens use them too.
 *
 * Each change is one transaction with its line of the audit trail, which holds no secret; then
 * whatever is remembered of tokens is forgotten, so that the change counts from the next request
 * on. Who may do this is decided by whoever calls.
 * @module
 */
import type { TokenRow, Tokens, UserChange, UserRow, Users } from '../../db/accounts.ts'
import type { Audit } from '../../db/audit.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import { SCOPES } from './access.ts'
import {
  checkEmail,
  checkExpiry,
  checkLabel,
  checkPatterns,
  checkScopes,
  checkUserName,
  type NewUser,
  type TokenRequest,
  type UserSettings,
} from './accounts-request.ts'
import {
  type IssuedTokenView,
  tokenView,
  type TokenView,
  userView,
  type UserView,
} from './accounts-view.ts'
import type { Accounts, IssuedToken, NewToken } from './accounts.ts'
import { RegistryError } from '../errors.ts'
import type { Passwords } from './passwords.ts'
import { timestamp } from '../timestamp.ts'
import { checkCidrs } from './token-network.ts'

/** Against a script that makes one for each job; whoever revokes old ones never meets it. */
const TOKENS_PER_USER_MAX = 1000
const DAY_MS = 86_400_000
/** A machine that was given away and forgotten stops being somebody after a year. */
const LOGIN_DAYS = 365

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface AccountOperations {
  users(): Promise<UserView[]>
  user(name: string): Promise<UserView>
  addUser(asked: NewUser): Promise<UserView>
  /** Another password, and disabling, end what the person has logged in with. */
  setUser(name: string, settings: UserSettings): Promise<UserView>
  /** Those that were not revoked, the newest first. @param user of one person only */
  tokens(user?: string): Promise<TokenView[]>
  createToken(asked: TokenRequest): Promise<IssuedTokenView>
  revokeToken(id: string): Promise<TokenView>
}

/** What the operations work on. @property views the names of views that a token may carry */
export type AccountAdminNeeds = {
  db: RegistryDb
  users: Users
  tokens: Tokens
  audit: Audit
  accounts: Accounts
  passwords: Passwords
  hasView: (name: string) => boolean
  now: () => Date
}

/** The operations on this data dir. */
export class AccountAdmin implements AccountOperations {
  readonly #needs: AccountAdminNeeds
  readonly #actor: string

  /** @param actor who is written into the audit trail */
  constructor(needs: AccountAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): AccountAdmin {
    return new AccountAdmin(this.#needs, actor)
  }

  async users(): Promise<UserView[]> {
    return this.#needs.users.list().map(userView)
  }

  async user(name: string): Promise<UserView> {
    return userView(this.#user(name))
  }

  /** @param isStillAllowed asked again in the transaction: hashing takes its time */
  async addUser(asked: NewUser, isStillAllowed: () => void = () => undefined): Promise<UserView> {
    const { users, passwords } = this.#needs
    const name = checkUserName(asked.name)
    this.#assertFree(name)
    const row: UserRow = {
      name,
      email: checkEmail(asked.email ?? null),
      password: asked.password === null ? null : await passwords.hash(asked.password),
      role: asked.role ?? 'member',
      state: 'active',
      created: this.#now(),
    }
    return this.#save('user.add', name, () => {
      isStillAllowed()
      this.#assertFree(name)
      users.add(row)
      return { before: null, after: userView(row) }
    })
  }

  /** @param keep the token that stays though the password changes: the one it is changed with */
  async setUser(
    name: string,
    settings: UserSettings,
    keep: string | null = null,
  ): Promise<UserView> {
    const { users, tokens, passwords } = this.#needs
    this.#user(name)
    const { email, password, role, state } = settings
    const change: UserChange = {
      ...(email !== undefined && { email: checkEmail(email) }),
      ...(role !== undefined && { role }),
      ...(state !== undefined && { state }),
    }
    if (password === null) change.password = null
    else if (password !== undefined) change.password = await passwords.hash(password)
    if (Object.keys(change).length === 0) return userView(this.#user(name))
    return this.#save('user.set', name, () => {
      const before = userView(this.#user(name))
      users.change(name, change)
      const after = userView(this.#user(name))
      if (isAdmin(before) && !isAdmin(after) && !users.hasAdmin()) {
        throw new RegistryError('conflict', `${name} is the only admin: make another one first`)
      }
      const isEnded = password !== undefined || after.state === 'disabled'
      const ended = isEnded ? tokens.revokeLoginsOf(name, this.#now(), keep) : []
      const told = password === undefined ? {} : { passwordChanged: true }
      return { before, after, notes: { ...told, ...(ended.length > 0 && { revoked: ended }) } }
    })
  }

  async tokens(user?: string): Promise<TokenView[]> {
    if (user !== undefined) this.#user(user)
    return this.#needs.tokens.list(user).map(tokenView)
  }

  async createToken(asked: TokenRequest): Promise<IssuedTokenView> {
    const now = this.#needs.now()
    const view = asked.view ?? null
    if (view !== null && !this.#needs.hasView(view)) {
      throw new RegistryError('bad-request', `there is no view ${JSON.stringify(view)}`)
    }
    const scopes = checkScopes(asked.scopes ?? ['read'])
    if (scopes.length === 0) throw new RegistryError('bad-request', 'a token has a scope at least')
    const { secret, row } = this.#issue({
      user: asked.user,
      kind: 'granular',
      name: checkLabel(asked.name),
      scopes,
      packages: checkPatterns(asked.packages ?? ['**']),
      orgs: asked.orgs?.map(checkUserName) ?? null,
      readOnly: asked.readOnly ?? false,
      cidrs: checkCidrs(asked.cidrs ?? []),
      expires: checkExpiry(asked.expires ?? null, now),
      view,
    })
    return { token: tokenView(row), secret }
  }

  /** The token of a login: all that its person may do, for a year. */
  issueLogin(user: string, name: string): IssuedToken {
    const expires = timestamp(new Date(this.#needs.now().getTime() + LOGIN_DAYS * DAY_MS))
    return this.#issue({ user, kind: 'login', name, scopes: SCOPES, packages: ['**'], expires })
  }

  /** A token that this program makes for a session or a job: what is asked is not checked again. */
  issue(asked: NewToken): IssuedToken {
    return this.#issue(asked)
  }

  async revokeToken(id: string): Promise<TokenView> {
    const { tokens } = this.#needs
    return this.#save('token.revoke', id, () => {
      const before = this.#token(id)
      if (before.revoked !== null) throw new RegistryError('gone', `${id} is revoked already`)
      tokens.revoke(id, this.#now())
      return { before: tokenView(before), after: tokenView(this.#token(id)) }
    })
  }

  #issue(asked: NewToken): IssuedToken {
    const { accounts, db, audit, tokens } = this.#needs
    return db.transaction(() => {
      if (asked.user !== null) {
        if (this.#user(asked.user).state !== 'active') {
          throw new RegistryError('forbidden', `the account ${asked.user} is disabled`)
        }
        const now = this.#now()
        const live = tokens.list(asked.user).filter(({ expires: end }) => end === null || end > now)
        if (live.length >= TOKENS_PER_USER_MAX) {
          const why = `${asked.user} has ${TOKENS_PER_USER_MAX} tokens: revoke some first`
          throw new RegistryError('forbidden', why)
        }
      }
      const issued = accounts.issue(asked)
      const after = JSON.stringify(tokenView(issued.row))
      audit.append({
        time: this.#now(),
        actor: this.#actor,
        action: 'token.create',
        target: issued.row.id,
        before: null,
        after,
      })
      return issued
    })
  }

  /** One transaction with its line of the audit trail; then the tokens in memory are dropped. */
  #save<View>(
    action: string,
    target: string,
    change: () => { before: View | null; after: View; notes?: object },
  ): View {
    const { db, audit, accounts } = this.#needs
    const saved = db.transaction(() => {
      const { before, after, notes } = change()
      audit.append({
        time: this.#now(),
        actor: this.#actor,
        action,
        target,
        before: before === null ? null : JSON.stringify(before),
        after: JSON.stringify({ ...after, ...notes }),
      })
      return after
    })
    accounts.forget()
    return saved
  }

  #assertFree(name: string): void {
    if (this.#needs.users.get(name) === null) return
    throw new RegistryError('conflict', `there is a user ${name} already`)
  }

  #user(name: string): UserRow {
    const row = this.#needs.users.get(name)
    if (row === null) throw new RegistryError('not-found', 'there is no user of that name')
    return row
  }

  #token(id: string): TokenRow {
    const row = this.#needs.tokens.get(id)
    if (row === null) throw new RegistryError('not-found', 'there is no token of that id')
    return row
  }

  #now(): string {
    return timestamp(this.#needs.now())
  }
}

function isAdmin(user: UserView): boolean {
  return user.role === 'admin' && user.state === 'active'
}
