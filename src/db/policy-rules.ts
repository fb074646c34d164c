/**
 * The rules for serving, and what they may ask of a version besides its row: rows in, rows out.
 * What a rule means is registries/policy/policy-rule.ts.
 * @module
 */
import { and, asc, eq, type InferSelectModel, isNull } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { policyRule, versionProvenance } from './schema-policy.ts'

export type RuleRow = InferSelectModel<typeof policyRule>
export type ProvenanceRow = InferSelectModel<typeof versionProvenance>

export class PolicyRules {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** Those of one view alone, in order; null: those that hold for everybody. */
  ofView(view: string | null): RuleRow[] {
    const rows = this.#db.orm.select().from(policyRule).where(whereView(view))
    return rows.orderBy(asc(policyRule.place)).all()
  }

  /** Puts `rows` in the place of those of a view, in the caller's transaction when there is one. */
  replace(view: string | null, rows: readonly Omit<RuleRow, 'id' | 'view' | 'place'>[]): void {
    this.#db.transaction(() => {
      this.#db.orm.delete(policyRule).where(whereView(view)).run()
      for (const [i, row] of rows.entries()) {
        this.#db.orm
          .insert(policyRule)
          .values({ ...row, view, place: i + 1 })
          .run()
      }
    })
  }
}

/** Which versions came with provenance. */
export class Provenances {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** Notes what came with a version when it was first recorded; the first word stays. */
  add(row: ProvenanceRow): void {
    this.#db.orm.insert(versionProvenance).values(row).onConflictDoNothing().run()
  }

  /** The versions of a package that have one. */
  ofPackage(namespace: string, name: string): Set<string> {
    const where = and(eq(versionProvenance.namespace, namespace), eq(versionProvenance.name, name))
    const rows = this.#db.orm
      .select({ version: versionProvenance.version })
      .from(versionProvenance)
      .where(where)
      .all()
    return new Set(rows.map(({ version }) => version))
  }
}

function whereView(view: string | null) {
  return view === null ? isNull(policyRule.view) : eq(policyRule.view, view)
}
