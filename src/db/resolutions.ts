/**
 * What operators settled of incidents: rows in, rows out. A later word replaces an earlier one; the
 * audit trail has both.
 * @module
 */
import { eq, type InferSelectModel, inArray } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { resolution } from './schema-policy.ts'

export type ResolutionRow = InferSelectModel<typeof resolution>

export class Resolutions {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  get(incident: string): ResolutionRow | null {
    const where = eq(resolution.incident, incident)
    return this.#db.orm.select().from(resolution).where(where).get() ?? null
  }

  /** Those of these incidents that have one, by incident. */
  of(incidents: readonly string[]): Map<string, ResolutionRow> {
    if (incidents.length === 0) return new Map()
    const where = inArray(resolution.incident, [...incidents])
    const rows = this.#db.orm.select().from(resolution).where(where).all()
    return new Map(rows.map(row => [row.incident, row]))
  }

  put(row: ResolutionRow): void {
    const { incident: _, ...set } = row
    this.#db.orm
      .insert(resolution)
      .values(row)
      .onConflictDoUpdate({ target: resolution.incident, set })
      .run()
  }
}
