/**
 * The audit trail: who changed what, with what stood there before and after. It can be added to and
 * read; triggers of the table refuse everything else. The caller sees to it that no secret is in it
 * and that the entry is written in the transaction of the change itself.
 *
 * So the line is also the place where whatever must be true exactly when a change is can join it
 * (`alongChanges`), without each operation knowing of it.
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { desc, type InferSelectModel, lt } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { audit } from './schema-registry.ts'

export type AuditRow = InferSelectModel<typeof audit>

/** `before` and `after` are JSON texts; null where there was, or is, nothing. */
export type NewAudit = Omit<AuditRow, 'id'>

/** What joins the changes of a piece of work, wherever in it they happen. */
const joining = new AsyncLocalStorage<() => void>()

/** Carries `work` out; with each line that it writes here, `write` runs in the same transaction. */
export function alongChanges<T>(write: () => void, work: () => T): T {
  return joining.run(write, work)
}

export class Audit {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  append(entry: NewAudit): void {
    this.#db.orm.insert(audit).values(entry).run()
    joining.getStore()?.()
  }

  /** The newest first. @param olderThan the id of the last row of the page before */
  page(limit: number, olderThan: number = Number.MAX_SAFE_INTEGER): AuditRow[] {
    return this.#db.orm
      .select()
      .from(audit)
      .where(lt(audit.id, olderThan))
      .orderBy(desc(audit.id))
      .limit(limit)
      .all()
  }
}
