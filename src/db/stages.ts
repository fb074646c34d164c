/**
 * Publishes that wait for approval: rows in, rows out.
 * @module
 */
import { asc, eq, type InferSelectModel, lt, sum } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { stage } from './schema-stage.ts'

export type StageRow = InferSelectModel<typeof stage>

export class Stages {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  get(id: string): StageRow | null {
    return this.#db.orm.select().from(stage).where(eq(stage.id, id)).get() ?? null
  }

  /** All, the oldest first. @param name of one package only */
  list(name?: string): StageRow[] {
    const rows = this.#db.orm.select().from(stage)
    const chosen = name === undefined ? rows : rows.where(eq(stage.name, name))
    return chosen.orderBy(asc(stage.created), asc(stage.id)).all()
  }

  /** Those that were sent before this time. */
  olderThan(time: string): StageRow[] {
    return this.#db.orm.select().from(stage).where(lt(stage.created, time)).all()
  }

  add(row: StageRow): void {
    this.#db.orm.insert(stage).values(row).run()
  }

  remove(id: string): void {
    this.#db.orm.delete(stage).where(eq(stage.id, id)).run()
  }

  /** Bytes of all bodies. */
  bytes(): number {
    const found = this.#db.orm
      .select({ bytes: sum(stage.bytes) })
      .from(stage)
      .get()
    return Number(found?.bytes ?? 0)
  }

  /** Whether a body is still waited for. */
  isReferenced(body: string): boolean {
    return this.#db.orm.select().from(stage).where(eq(stage.body, body)).limit(1).all().length > 0
  }
}
