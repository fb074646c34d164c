/**
 * The first admin: a link that is printed at the start, good until there is an admin, and for this
 * process alone. Its secret is kept nowhere but as a hash in memory.
 * @module
 */
import { timingSafeEqual } from 'node:crypto'
import type { Users } from '../../db/accounts.ts'
import type { AccountAdmin } from './accounts-admin.ts'
import { RegistryError } from '../errors.ts'
import { hashSecret, makeTokenSecret, TOKEN_PREFIX } from './token-secret.ts'

export class FirstAdmin {
  readonly #users: Users
  readonly #admin: AccountAdmin
  #hash: Buffer | null = null

  constructor(users: Users, admin: AccountAdmin) {
    this.#users = users
    this.#admin = admin
  }

  /** A new secret, in place of the one before; null when there is an admin already. */
  begin(): string | null {
    if (this.#users.hasAdmin()) return null
    const secret = makeTokenSecret().slice(TOKEN_PREFIX.length)
    this.#hash = Buffer.from(hashSecret(secret))
    return secret
  }

  /** @throws RegistryError not-found for another secret, and for every one once there is an admin */
  assertOpen(secret: string): void {
    const given = Buffer.from(hashSecret(secret))
    const isRight = this.#hash !== null && timingSafeEqual(given, this.#hash)
    if (isRight && !this.#users.hasAdmin()) return
    const why = 'this setup link is not good (any more): the newest one is printed at each start'
    throw new RegistryError('not-found', why)
  }

  /** Makes the first admin. @throws RegistryError as `assertOpen`, bad-request */
  async finish(secret: string, name: string, password: string): Promise<void> {
    this.assertOpen(secret)
    const asked = { name, password, role: 'admin' } as const
    await this.#admin.as('setup').addUser(asked, () => this.assertOpen(secret))
    this.#hash = null
  }
}
