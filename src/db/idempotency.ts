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

/** In place of the status: the change was committed, its answer was not kept yet, or never will be. */
const NO_STATUS = 0
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

  /**
   * Keeps that a request is carried out, in the transaction of the change that is open: either both
   * happened or neither. Lets go of rows from before `oldest` and of the oldest beyond the bound.
   */
  begin(
    { id, body, created }: Pick<IdempotencyRow, 'id' | 'body' | 'created'>,
    oldest: string,
  ): void {
    this.#put(
      { id, body, created, status: NO_STATUS, location: null, etag: null, answer: null },
      oldest,
    )
  }

  /** Keeps its answer, once it is made; bounded as `begin`. */
  keep(row: IdempotencyRow, oldest: string): void {
    this.#put(row, oldest)
  }

  #put(row: IdempotencyRow, oldest: string): void {
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
      const set = row
      orm.insert(idempotency).values(row).onConflictDoUpdate({ target: idempotency.id, set }).run()
    })
  }
}
