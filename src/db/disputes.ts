/**
 * Versions about which the sources of one registry disagree: rows in, rows out. What makes a
 * dispute, and what it does to a version, is registries/agreement.ts and registries/ledger.ts.
 * @module
 */
import { and, eq, type InferSelectModel } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { dispute } from './schema-registry.ts'

export type DisputeRow = InferSelectModel<typeof dispute>

export class Disputes {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** Keeps a dispute; the first one of a version stays. True when this was it. */
  add(row: DisputeRow): boolean {
    const added = this.#db.orm.insert(dispute).values(row).onConflictDoNothing().returning().all()
    return added.length === 1
  }

  /** Those of one package, by version. */
  ofPackage(namespace: string, name: string): Map<string, DisputeRow> {
    const where = and(eq(dispute.namespace, namespace), eq(dispute.name, name))
    const rows = this.#db.orm.select().from(dispute).where(where).all()
    return new Map(rows.map(row => [row.version, row]))
  }
}
