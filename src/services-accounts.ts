/**
 * The accounts of an instance, built in order over its storage: who a token is, logging in, the
 * first admin, and the operations on people and tokens.
 * @module
 */
import type { Config } from './config.ts'
import type { Tokens, Users } from './db/accounts.ts'
import { Audit } from './db/audit.ts'
import type { RegistryDb } from './db/registry-db.ts'
import { AccountAdmin } from './registries/accounts/accounts-admin.ts'
import { FirstAdmin } from './registries/accounts/accounts-setup.ts'
import { Accounts } from './registries/accounts/accounts.ts'
import { LoginLimits } from './registries/accounts/login-limits.ts'
import { WebLogins } from './registries/accounts/login-web.ts'
import { Login } from './registries/accounts/login.ts'
import { Passwords } from './registries/accounts/passwords.ts'
import { makeWho } from './routes/who.ts'

/** What accounts are made of. @property hasView whether a token may carry this view */
export type AccountParts = {
  db: RegistryDb
  users: Users
  tokens: Tokens
  hasView: (name: string) => boolean
  now: () => Date
  warn: (message: string) => void
}

/** Everything about accounts. @param actor who is written into the audit trail of operations */
export function makeAccounts(config: Config, parts: AccountParts, actor: string) {
  const { users, now } = parts
  const accounts = new Accounts({ ...parts, adminToken: config.adminToken })
  const passwords = new Passwords()
  const audit = new Audit(parts.db)
  const accountAdmin = new AccountAdmin({ ...parts, audit, accounts, passwords }, actor)
  const limits = new LoginLimits(now)
  const isOpen = config.registration === 'open'
  const login = new Login({ users, passwords, limits, admin: accountAdmin, isOpen })
  return {
    accounts,
    accountAdmin,
    login,
    webLogins: new WebLogins(login, limits, now),
    firstAdmin: new FirstAdmin(users, accountAdmin),
    who: makeWho(accounts, config.trustedProxies),
  }
}
