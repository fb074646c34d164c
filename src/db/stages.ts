/**
 * Publishes that wait for approval: rows in, rows out.
 * @module
 */
import { asc, eq, type InferSelectModel, lt, sql } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { stage } from './schema-stage.ts'

export type StageRow = InferSelectModel<typeof stage>

/** What a small body costs at least: a file, and a row that every list reads. */
const BODY_BYTES_MIN = 64 * 1024

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

  /** What all bodies take, or those that `actor` sent. */
  bytes(actor?: string): number {
    const taken = sql<number | null>`sum(max(${stage.bytes}, ${BODY_BYTES_MIN}))`
    const rows = this.#db.orm.select({ bytes: taken }).from(stage)
    const found = (actor === undefined ? rows : rows.where(eq(stage.actor, actor))).get()
    return found?.bytes ?? 0
  }

  /** Whether a body is still waited for. */
  isReferenced(body: string): boolean {
    return this.#db.orm.select().from(stage).where(eq(stage.body, body)).limit(1).all().length > 0
  }
}
