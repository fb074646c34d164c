/**
 * Logging in with a name and a password, for every surface that takes them: npm's legacy login, the
 * page of the web login, the confirmation that npm asks for before it makes a token.
 *
 * Registration is closed unless the settings open it. Whether there is a user of some name is no
 * secret (packages name their maintainers), how long an answer takes says nothing either way.
 * @module
 */
import type { UserRow, Users } from '../../db/accounts.ts'
import type { AccountAdmin } from './accounts-admin.ts'
import { RegistryError } from '../errors.ts'
import type { LoginLimits } from './login-limits.ts'
import type { Passwords } from './passwords.ts'

export type LoginNeeds = {
  users: Users
  passwords: Passwords
  limits: LoginLimits
  admin: AccountAdmin
  /** Whether everybody may make an account. */
  isOpen: boolean
}

/** What somebody types. @property email for an account that is to be made */
export type Credentials = { name: string; password: string; email?: string | null }

export class Login {
  readonly #needs: LoginNeeds

  constructor(needs: LoginNeeds) {
    this.#needs = needs
  }

  /**
   * The name of whoever has this password; where registration is open, a new account.
   * @throws RegistryError unauthorized, forbidden, too-many-requests, busy
   */
  async enter(given: Credentials, address: string | null): Promise<string> {
    const { users, isOpen } = this.#needs
    if (isOpen && users.get(given.name) === null) return await this.#register(given, address)
    return await this.confirm(given.name, given.password, address)
  }

  /** As `enter`, for accounts that there are. */
  async confirm(name: string, password: string, address: string | null): Promise<string> {
    const { users, passwords, limits } = this.#needs
    const attempt = limits.attempt(name, address)
    const row = users.get(name)
    const isRight = await passwords.verify(password, row?.password ?? null)
    if (row === null) {
      const why = `there is no user of that name, and registration is closed: ask the admin`
      throw new RegistryError('forbidden', why)
    }
    if (!isRight) throw new RegistryError('unauthorized', 'wrong password')
    assertActive(row)
    attempt.succeeded()
    return row.name
  }

  /** Logs in and makes the token of it. @param client shown in the list of tokens */
  async token(given: Credentials, client: string, address: string | null): Promise<string> {
    const name = await this.enter(given, address)
    return this.issue(name, client)
  }

  /** The token of somebody who just logged in. @throws RegistryError forbidden when disabled since */
  issue(name: string, client: string): string {
    return this.#needs.admin.as(`user:${name}`).issueLogin(name, client).secret
  }

  async #register(given: Credentials, address: string | null): Promise<string> {
    const { name, password, email } = given
    this.#needs.limits.registration(address)
    const admin = this.#needs.admin.as(`user:${name}`)
    await admin.addUser({ name, password, email: email ?? null })
    return name
  }
}

function assertActive(row: UserRow): void {
  if (row.state === 'active') return
  throw new RegistryError('forbidden', `the account ${row.name} is disabled: ask the admin`)
}
