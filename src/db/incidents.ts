/**
 * Refusals and changes with their evidence, as `/-/why/<id>` shows them. The same incident again
 * does not make a new row: it counts up, and keeps its first evidence.
 * @module
 */
import {
  and,
  desc,
  eq,
  getTableColumns,
  gt,
  type InferSelectModel,
  isNull,
  or,
  sql,
} from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { resolution } from './schema-policy.ts'
import { incident } from './schema-registry.ts'

export type IncidentRow = InferSelectModel<typeof incident>

export type NewIncident = {
  code: string
  namespace: string
  name: string
  version: string
  /** What makes it another incident when it differs: the integrity that was claimed, say. */
  claim: string
  /** One line for people. */
  sentence: string
  /** JSON text; self-contained, so that a stranger can check it. */
  evidence: string
}

export type RecordedIncident = { id: string; count: number }

/** 128 bits are more than enough for a name in a URL; nothing is decided by it. */
const ID_HEX_DIGITS = 32

export class Incidents {
  readonly #db: RegistryDb
  readonly #listeners = new Set<(id: string, code: string) => void>()

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /**
   * Tells of each new incident, inside of the transaction that records it: who acts on it looks
   * afterwards whether it was kept.
   */
  onNew(listener: (id: string, code: string) => void): void {
    this.#listeners.add(listener)
  }

  /** Keeps a new incident, or counts a known one up; what listeners write is kept with it. */
  record(found: NewIncident, now: string): RecordedIncident {
    return this.#db.transaction(() => this.#record(found, now))
  }

  #record(found: NewIncident, now: string): RecordedIncident {
    const { claim, ...row } = found
    const id = incidentId(found, claim)
    const [kept] = this.#db.orm
      .insert(incident)
      .values({ ...row, id, created: now, lastSeen: now, count: 1 })
      .onConflictDoUpdate({
        target: incident.id,
        set: { lastSeen: now, count: sql`${incident.count} + 1` },
      })
      .returning({ id: incident.id, count: incident.count })
      .all()
    if (kept === undefined) throw new Error(`incident ${id} was not kept`)
    if (kept.count === 1) for (const tell of this.#listeners) tell(id, found.code)
    return kept
  }

  get(id: string): IncidentRow | null {
    return this.#db.orm.select().from(incident).where(eq(incident.id, id)).get() ?? null
  }

  /** Those of one version, newest first. */
  ofVersion(namespace: string, name: string, version: string): IncidentRow[] {
    const where = and(
      eq(incident.namespace, namespace),
      eq(incident.name, name),
      eq(incident.version, version),
    )
    return this.#db.orm.select().from(incident).where(where).orderBy(desc(incident.lastSeen)).all()
  }

  /** Those of one kind about any version of a package that are not settled, or came back since. */
  openOf(namespace: string, name: string, code: string): IncidentRow[] {
    const isOpen = or(isNull(resolution.incident), gt(incident.count, resolution.count))
    const where = and(
      eq(incident.namespace, namespace),
      eq(incident.name, name),
      eq(incident.code, code),
      isOpen,
    )
    return this.#db.orm
      .select(getTableColumns(incident))
      .from(incident)
      .leftJoin(resolution, eq(resolution.incident, incident.id))
      .where(where)
      .orderBy(incident.id)
      .all()
  }

  /** The newest ones of all. */
  latest(limit: number): IncidentRow[] {
    return this.#db.orm
      .select()
      .from(incident)
      .orderBy(desc(incident.lastSeen), desc(incident.id))
      .limit(limit)
      .all()
  }
}

/** The id that `record` keeps an incident under: the same incident has the same id everywhere. */
export function incidentId(
  found: Pick<NewIncident, 'code' | 'namespace' | 'name' | 'version'>,
  claim: string,
): string {
  // JSON: no two lists of strings look alike.
  const identity = [found.code, found.namespace, found.name, found.version, claim]
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify(identity)).digest('hex')
  return hash.slice(0, ID_HEX_DIGITS)
}
