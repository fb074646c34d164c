/**
 * Versions about which the sources of one registry disagree: rows in, rows out. What makes a
 * dispute, and what it does to a version, is registries/reading/agreement.ts and ledger.ts beside
 * it.
 * @module
 */
import { and, eq, getTableColumns, type InferSelectModel, isNull, sql } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { resolution } from './schema-policy.ts'
import { dispute } from './schema-registry.ts'

export type DisputeRow = InferSelectModel<typeof dispute>

export class Disputes {
  readonly #db: RegistryDb
  readonly #open: ReturnType<typeof openOf>

  constructor(db: RegistryDb) {
    this.#db = db
    this.#open = openOf(db)
  }

  /** Keeps a dispute; the first one of a version stays. True when this was it. */
  add(row: DisputeRow): boolean {
    const added = this.#db.orm.insert(dispute).values(row).onConflictDoNothing().returning().all()
    return added.length === 1
  }

  /** Those of one package that no operator settled, by version. */
  ofPackage(namespace: string, name: string): Map<string, DisputeRow> {
    const rows = this.#open.all({ namespace, name })
    return new Map(rows.map(row => [row.version, row]))
  }

  /** The one of which this is the incident, settled or not. */
  ofIncident(incident: string): DisputeRow | null {
    const where = eq(dispute.incident, incident)
    return this.#db.orm.select().from(dispute).where(where).get() ?? null
  }
}

/** Asked for with every check of a package. */
function openOf({ orm }: RegistryDb) {
  return orm
    .select(getTableColumns(dispute))
    .from(dispute)
    .leftJoin(resolution, eq(resolution.incident, dispute.incident))
    .where(
      and(
        eq(dispute.namespace, sql.placeholder('namespace')),
        eq(dispute.name, sql.placeholder('name')),
        isNull(resolution.incident),
      ),
    )
    .prepare()
}
