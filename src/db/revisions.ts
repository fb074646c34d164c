/**
 * Contents that versions had before: rows in, rows out. Only registries that re-issue bytes have
 * any (registries/packument/revisions.ts), and few: nothing here is hot.
 * @module
 */
import { and, eq, type InferSelectModel } from 'drizzle-orm'
import type { VersionRow, VersionSummary } from './packages.ts'
import type { RegistryDb } from './registry-db.ts'
import { versionProvenance } from './schema-policy.ts'
import { version as versionTable } from './schema-registry.ts'
import { revision } from './schema-revisions.ts'
import { tarballCheck } from './schema-samples.ts'

/** What a revision says of a version: its content and where it is, not whether it is served. */
export type Revision = Omit<VersionRow, 'state' | 'detail' | 'incident' | 'signature'> & {
  integrity: string
  leafIndex: number
}

export class Revisions {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  /** The content of a version that has this integrity, when it had it before. */
  get(namespace: string, name: string, version: string, integrity: string): Revision | null {
    const where = and(
      eq(revision.namespace, namespace),
      eq(revision.name, name),
      eq(revision.version, version),
      eq(revision.integrity, integrity),
    )
    return toRevision(this.#db.orm.select().from(revision).where(where).get())
  }

  /** The content behind `/<name>/-/<file>`, when it is none that a version has now. */
  byFile(namespace: string, name: string, file: string): Revision | null {
    const where = and(
      eq(revision.namespace, namespace),
      eq(revision.name, name),
      eq(revision.file, file),
    )
    return toRevision(this.#db.orm.select().from(revision).where(where).get())
  }

  /**
   * Sets the content that a version has now aside, for another one to take its place: with it goes
   * whatever was found out about these bytes and must not be taken for the word on others. In the
   * caller's transaction.
   */
  setAside(row: VersionRow & { integrity: string; leafIndex: number }): void {
    const { namespace, name, version, integrity, manifestHash, projection } = row
    const { leafIndex: leafIdx, firstSeen, sinceFirstSight, tarball, file } = row
    const { shasum, published } = row
    const content = { integrity, manifestHash, projection, firstSeen, sinceFirstSight }
    const { orm } = this.#db
    this.#db.transaction(() => {
      orm
        .insert(revision)
        .values({ namespace, name, version, ...content, leafIdx, tarball, file, shasum, published })
        .onConflictDoUpdate({
          target: [revision.namespace, revision.name, revision.version, revision.integrity],
          set: { tarball, file },
        })
        .run()
      for (const table of [versionTable, tarballCheck, versionProvenance]) {
        const where = and(
          eq(table.namespace, namespace),
          eq(table.name, name),
          eq(table.version, version),
        )
        orm.delete(table).where(where).run()
      }
    })
  }
}

/** A content of before, with what holds for its version now. */
export function asVersion(row: VersionSummary, found: Revision): VersionSummary {
  const { projection: _, ...content } = found
  return { ...row, ...content, signature: null }
}

function toRevision(row: InferSelectModel<typeof revision> | undefined): Revision | null {
  if (row === undefined) return null
  const { leafIdx: leafIndex, ...content } = row
  return { ...content, leafIndex }
}
