/**
 * The views that tokens can carry: rows in, rows out, through drizzle's typed queries (a server
 * reads all of them when one changes, and none in between). What they mean is
 * registries/reading/views.ts.
 * @module
 */
import { asc, eq, type InferSelectModel } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { policyRule } from './schema-policy.ts'
import { view } from './schema-views.ts'

export type ViewRow = InferSelectModel<typeof view>

/** What an operator may change. */
export type ViewChange = Partial<Pick<ViewRow, 'registries' | 'keys' | 'mirrors'>>

export class Views {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  list(): ViewRow[] {
    return this.#db.orm.select().from(view).orderBy(asc(view.name)).all()
  }

  get(name: string): ViewRow | null {
    return this.#db.orm.select().from(view).where(eq(view.name, name)).get() ?? null
  }

  /** Adds a new one; throws when the name is taken. */
  add(row: ViewRow): void {
    this.#db.orm.insert(view).values(row).run()
  }

  change(name: string, change: ViewChange): void {
    if (Object.keys(change).length === 0) return
    this.#db.orm.update(view).set(change).where(eq(view.name, name)).run()
  }

  /** With its rules: a later view of that name begins without any. */
  remove(name: string): void {
    this.#db.orm.delete(policyRule).where(eq(policyRule.view, name)).run()
    this.#db.orm.delete(view).where(eq(view.name, name)).run()
  }
}
