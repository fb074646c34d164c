/**
 * Incidents and disputes in the order in which they were first recorded, the newest first, a page at
 * a time: an incident that is seen again keeps its place, so that no page repeats or skips one.
 * @module
 */
import { and, desc, eq, type SQL, sql } from 'drizzle-orm'
import type { DisputeRow } from './disputes.ts'
import type { IncidentRow } from './incidents.ts'
import type { RegistryDb } from './registry-db.ts'
import { dispute, incident } from './schema-registry.ts'

/** What to show. A field that is absent leaves nothing out. */
export type IncidentFilter = Partial<Pick<IncidentRow, 'code' | 'namespace' | 'name' | 'version'>>

/** An incident without its evidence, which can be long. */
export type IncidentLine = Omit<IncidentRow, 'evidence'>

export class IncidentPages {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** @param after the id of the last one of the page before; null when there is none of that id */
  incidents(filter: IncidentFilter, limit: number, after?: string): IncidentLine[] | null {
    const { orm } = this.#db
    const wanted: SQL[] = []
    if (filter.code !== undefined) wanted.push(eq(incident.code, filter.code))
    if (filter.namespace !== undefined) wanted.push(eq(incident.namespace, filter.namespace))
    if (filter.name !== undefined) wanted.push(eq(incident.name, filter.name))
    if (filter.version !== undefined) wanted.push(eq(incident.version, filter.version))
    if (after !== undefined) {
      const place = sql<number>`"incident".rowid`
      const [row] = orm.select({ place }).from(incident).where(eq(incident.id, after)).all()
      if (row === undefined) return null
      wanted.push(sql`"incident".rowid < ${row.place}`)
    }
    const { id, code, namespace, name, version, sentence, created, lastSeen, count } = incident
    return orm
      .select({ id, code, namespace, name, version, sentence, created, lastSeen, count })
      .from(incident)
      .where(and(...wanted))
      .orderBy(desc(sql`"incident".rowid`))
      .limit(limit)
      .all()
  }

  /** @param after the incident of the last one of the page before */
  disputes(limit: number, after?: string): DisputeRow[] | null {
    const { orm } = this.#db
    const wanted: SQL[] = []
    if (after !== undefined) {
      const place = sql<number>`"dispute".rowid`
      const [row] = orm.select({ place }).from(dispute).where(eq(dispute.incident, after)).all()
      if (row === undefined) return null
      wanted.push(sql`"dispute".rowid < ${row.place}`)
    }
    return orm
      .select()
      .from(dispute)
      .where(and(...wanted))
      .orderBy(desc(sql`"dispute".rowid`))
      .limit(limit)
      .all()
  }
}
