/**
 * Versions about which the sources of one registry disagree: rows in, rows out. What makes a
 * dispute, and what it does to a version, is registries/reading/agreement.ts and ledger.ts beside
 * it.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import { eq, type InferSelectModel } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { dispute } from './schema-registry.ts'

export type DisputeRow = InferSelectModel<typeof dispute>

/** By hand: it is asked for with every check of a package. */
const OPEN = `SELECT namespace, name, version, detail, incident, created FROM dispute
  WHERE namespace = ? AND name = ?
  AND NOT EXISTS (SELECT 1 FROM resolution WHERE resolution.incident = dispute.incident)`

export class Disputes {
  readonly #db: RegistryDb
  readonly #open: Statement<DisputeRow, [string, string]>

  constructor(db: RegistryDb) {
    this.#db = db
    this.#open = db.database.prepare(OPEN)
  }

  /** Keeps a dispute; the first one of a version stays. True when this was it. */
  add(row: DisputeRow): boolean {
    const added = this.#db.orm.insert(dispute).values(row).onConflictDoNothing().returning().all()
    return added.length === 1
  }

  /** Those of one package that no operator settled, by version. */
  ofPackage(namespace: string, name: string): Map<string, DisputeRow> {
    const rows = this.#open.all(namespace, name)
    return new Map(rows.map(row => [row.version, row]))
  }

  /** The one of which this is the incident, settled or not. */
  ofIncident(incident: string): DisputeRow | null {
    const where = eq(dispute.incident, incident)
    return this.#db.orm.select().from(dispute).where(where).get() ?? null
  }
}
