/**
 * The audit trail: who changed what, with what stood there before and after. It can be added to and
 * read; triggers of the table refuse everything else. The caller sees to it that no secret is in it
 * and that the entry is written in the transaction of the change itself.
 * @module
 */
import { desc, type InferSelectModel, lt } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { audit } from './schema-registry.ts'

export type AuditRow = InferSelectModel<typeof audit>

/** `before` and `after` are JSON texts; null where there was, or is, nothing. */
export type NewAudit = Omit<AuditRow, 'id'>

export class Audit {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  append(entry: NewAudit): void {
    this.#db.orm.insert(audit).values(entry).run()
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
