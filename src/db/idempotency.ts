/**
 * What was answered to requests with an Idempotency-Key
 * (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header): rows in, rows
 * out, never more than a bound. What a repeated request means is routes/api-repeat.ts.
 * @module
 */
import { asc, count, eq, inArray, type InferSelectModel, lt } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { idempotency } from './schema-admin.ts'

export type IdempotencyRow = InferSelectModel<typeof idempotency>

/** A script that sets up a large company makes some hundred requests a day. */
const ROWS_MAX = 10_000

export class Idempotency {
  readonly #db: RegistryDb
  readonly #rowsMax: number

  constructor(db: RegistryDb, rowsMax: number = ROWS_MAX) {
    this.#db = db
    this.#rowsMax = rowsMax
  }

  get(id: string): IdempotencyRow | null {
    const { orm } = this.#db
    return orm.select().from(idempotency).where(eq(idempotency.id, id)).get() ?? null
  }

  /** Keeps an answer, and lets go of those from before `oldest` and of the oldest beyond the bound. */
  keep(row: IdempotencyRow, oldest: string): void {
    const { orm } = this.#db
    this.#db.transaction(() => {
      orm.delete(idempotency).where(lt(idempotency.created, oldest)).run()
      const kept = orm.select({ rows: count() }).from(idempotency).get()?.rows ?? 0
      if (kept >= this.#rowsMax) {
        // Half of them at once: the next many requests need not delete again.
        const first = orm.select({ id: idempotency.id }).from(idempotency)
        const oldHalf = first.orderBy(asc(idempotency.created)).limit(Math.ceil(kept / 2))
        orm.delete(idempotency).where(inArray(idempotency.id, oldHalf)).run()
      }
      orm.insert(idempotency).values(row).onConflictDoNothing().run()
    })
  }
}
