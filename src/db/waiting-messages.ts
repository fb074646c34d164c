/**
 * Messages of alerts that a webhook has not taken yet: rows in, rows out. The caller sees to it that
 * a message is put in the transaction of its incident. Which are sent, and for how long, is
 * registries/metrics/alerts-outbox.ts.
 * @module
 */
import { and, asc, count, eq, lt } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { waitingMessage } from './schema-alerts.ts'

export class WaitingMessages {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** Puts one, unless so many wait for this target. Known ones stay as they are. */
  put(row: { target: string; incident: string; created: string }, max: number): void {
    const { orm } = this.#db
    const where = eq(waitingMessage.target, row.target)
    const found = orm.select({ rows: count() }).from(waitingMessage).where(where).get()
    if ((found?.rows ?? 0) >= max) return
    orm.insert(waitingMessage).values(row).onConflictDoNothing().run()
  }

  remove(target: string, incident: string): void {
    const where = and(eq(waitingMessage.target, target), eq(waitingMessage.incident, incident))
    this.#db.transaction(() => this.#db.orm.delete(waitingMessage).where(where).run())
  }

  /** Lets go of those from before `oldest`, whomever they are for. */
  forget(oldest: string): void {
    const where = lt(waitingMessage.created, oldest)
    this.#db.transaction(() => this.#db.orm.delete(waitingMessage).where(where).run())
  }

  /** The incidents that `target` is to be told of, the oldest first. */
  of(target: string, max: number): string[] {
    const rows = this.#db.orm
      .select({ incident: waitingMessage.incident })
      .from(waitingMessage)
      .where(eq(waitingMessage.target, target))
      .orderBy(asc(waitingMessage.created), asc(waitingMessage.incident))
      .limit(max)
      .all()
    return rows.map(({ incident }) => incident)
  }
}
