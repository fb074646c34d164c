/**
 * People and their tokens: rows in, rows out. What a token allows is
 * registries/accounts/accounts.ts.
 * @module
 */
import { and, asc, desc, eq, inArray, type InferSelectModel, isNull } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { token, user } from './schema-accounts.ts'

export type UserRow = InferSelectModel<typeof user>
export type TokenRow = InferSelectModel<typeof token>

/** What may change of a person; the name stays. */
export type UserChange = Partial<Pick<UserRow, 'email' | 'password' | 'role' | 'state'>>

export class Users {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  get(name: string): UserRow | null {
    return this.#db.orm.select().from(user).where(eq(user.name, name)).get() ?? null
  }

  list(): UserRow[] {
    return this.#db.orm.select().from(user).orderBy(asc(user.name)).all()
  }

  /** Adds a person; throws when the name is taken. */
  add(row: UserRow): void {
    this.#db.orm.insert(user).values(row).run()
  }

  /** False when there is nobody of that name. */
  change(name: string, change: UserChange): boolean {
    const changed = this.#db.orm.update(user).set(change).where(eq(user.name, name))
    return changed.returning({ name: user.name }).all().length === 1
  }

  /** Whether somebody can administer this: an admin that is not disabled. */
  hasAdmin(): boolean {
    const where = and(eq(user.role, 'admin'), eq(user.state, 'active'))
    return (
      this.#db.orm.select({ name: user.name }).from(user).where(where).limit(1).all().length > 0
    )
  }
}

/** By rowid, which drizzle's typed queries do not know. */
const SPAN = `SELECT max(row) AS last, count(*) AS seen
  FROM (SELECT rowid AS row FROM token WHERE rowid > ? ORDER BY rowid LIMIT ?)`
const ENDED = `SELECT id FROM token
  WHERE rowid > ? AND rowid <= ? AND (expires < ? OR revoked < ?)`

export class Tokens {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  get(id: string): TokenRow | null {
    return this.#db.orm.select().from(token).where(eq(token.id, id)).get() ?? null
  }

  byHash(hash: string): TokenRow | null {
    return this.#db.orm.select().from(token).where(eq(token.hash, hash)).get() ?? null
  }

  /** Those that were not revoked, the newest first. @param of one person's only */
  list(of?: string): TokenRow[] {
    const live = isNull(token.revoked)
    const where = of === undefined ? live : and(live, eq(token.user, of))
    const rows = this.#db.orm.select().from(token).where(where)
    return rows.orderBy(desc(token.created), asc(token.id)).all()
  }

  add(row: TokenRow): void {
    this.#db.orm.insert(token).values(row).run()
  }

  /** True when it was live until now. */
  revoke(id: string, now: string): boolean {
    const where = and(eq(token.id, id), isNull(token.revoked))
    const changed = this.#db.orm.update(token).set({ revoked: now }).where(where)
    return changed.returning({ id: token.id }).all().length === 1
  }

  /** Revokes what a person has logged in with; answers with the ids. @param keep one that stays */
  revokeLoginsOf(name: string, now: string, keep: string | null): string[] {
    const logins = this.list(name).filter(({ kind }) => kind === 'login' || kind === 'session')
    return logins.flatMap(({ id }) => (id !== keep && this.revoke(id, now) ? [id] : []))
  }

  used(id: string, now: string): void {
    this.#db.orm.update(token).set({ lastUsed: now }).where(eq(token.id, id)).run()
  }

  /**
   * Looks at the next `rows` rows after the row `after`, in the order of the file, and deletes those
   * that expired or were revoked before `endedBefore`.
   * @returns the row to go on after; null at the end of the table
   */
  forgetSome(after: number, rows: number, endedBefore: string): number | null {
    const { database } = this.#db
    const last = database.query<{ last: number | null; seen: number }, [number, number]>(SPAN)
    const span = last.get(after, rows)
    if (span === null || span.last === null) return null
    const bounds = [after, span.last, endedBefore, endedBefore] as const
    // Most often there is nothing, and nothing is written then.
    const found = database.query<{ id: string }, [number, number, string, string]>(ENDED)
    const ids = found.all(...bounds).map(({ id }) => id)
    if (ids.length > 0) {
      this.#db.transaction(() => this.#db.orm.delete(token).where(inArray(token.id, ids)).run())
    }
    return span.seen < rows ? null : span.last
  }
}
