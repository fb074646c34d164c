/**
 * What became of looks into tarballs, and where mirrors keep them when that is not the usual place:
 * rows in, rows out. What a look means is decided in registries/.
 * @module
 */
import { and, eq, type InferSelectModel, sql } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { tarballCheck, tarballPlace } from './schema-samples.ts'

export type CheckRow = InferSelectModel<typeof tarballCheck>
export type PlaceRow = InferSelectModel<typeof tarballPlace>

/** Looks into tarballs. */
export class Samples {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** Keeps the last look at a version at a place; it takes the place of the one before. */
  put(row: CheckRow): void {
    const { namespace: _1, name: _2, version: _3, place: _4, ...set } = row
    const { namespace, name, version, place } = tarballCheck
    const target = [namespace, name, version, place]
    this.#db.orm.insert(tarballCheck).values(row).onConflictDoUpdate({ target, set }).run()
  }

  /** The last look at one place; null when there was none. */
  get(namespace: string, name: string, version: string, place: string): CheckRow | null {
    const where = and(
      eq(tarballCheck.namespace, namespace),
      eq(tarballCheck.name, name),
      eq(tarballCheck.version, version),
      eq(tarballCheck.place, place),
    )
    return this.#db.orm.select().from(tarballCheck).where(where).get() ?? null
  }

  /** All looks at a package. */
  ofPackage(namespace: string, name: string): CheckRow[] {
    const where = and(eq(tarballCheck.namespace, namespace), eq(tarballCheck.name, name))
    return this.#db.orm.select().from(tarballCheck).where(where).all()
  }

  /** Notes where an upstream keeps a tarball. */
  putPlace(row: PlaceRow): void {
    const { url, seen } = row
    const target = [tarballPlace.upstream, tarballPlace.name, tarballPlace.version]
    const set = { url, seen }
    this.#db.orm.insert(tarballPlace).values(row).onConflictDoUpdate({ target, set }).run()
  }

  /** It keeps this one where everybody does, as far as is known. */
  dropPlace(upstream: string, name: string, version: string): void {
    this.#db.orm
      .delete(tarballPlace)
      .where(placeIs(upstream, name, version))
      .run()
  }

  /** Where an upstream keeps a tarball; null: at the usual place. */
  place(upstream: string, name: string, version: string): string | null {
    const { orm } = this.#db
    const found = orm
      .select()
      .from(tarballPlace)
      .where(placeIs(upstream, name, version))
      .get()
    return found?.url ?? null
  }

  /** The versions of a package that an upstream keeps at places of their own. */
  placesOf(upstream: string, name: string): Map<string, string> {
    const where = and(eq(tarballPlace.upstream, upstream), eq(tarballPlace.name, name))
    const rows = this.#db.orm.select().from(tarballPlace).where(where).all()
    return new Map(rows.map(row => [row.version, row.url]))
  }

  /** How many looks had which result, for metrics. */
  countByResult(): { bytes: string; manifest: string; count: number }[] {
    return this.#db.orm
      .select({
        bytes: tarballCheck.bytes,
        manifest: tarballCheck.manifest,
        count: sql<number>`count(*)`,
      })
      .from(tarballCheck)
      .groupBy(tarballCheck.bytes, tarballCheck.manifest)
      .all()
  }
}

function placeIs(upstream: string, name: string, version: string) {
  return and(
    eq(tarballPlace.upstream, upstream),
    eq(tarballPlace.name, name),
    eq(tarballPlace.version, version),
  )
}
