/**
 * The versions of packages that live here, as their documents are made of them: rows out. By hand
 * and without what documents do not hold (a provenance has some kilobytes): it runs for every
 * document that is made. All other queries of these rows are hosted.ts's.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import type { HostedVersionRow } from './hosted.ts'
import type { RegistryDb } from './registry-db.ts'

/** A published version, but for what no document tells of it. */
export type ListedVersionRow = Omit<HostedVersionRow, 'provenance' | 'unpublished'>

const PAGE = `SELECT name, version, manifest, integrity, shasum, file, file_count AS fileCount,
  unpacked_size AS unpackedSize, published, publisher, keyid, sig, deprecated,
  predicate_type AS predicateType
  FROM hosted_version WHERE name = ? AND version > ? AND unpublished IS NULL
  ORDER BY version LIMIT ?`

export class HostedPages {
  readonly #page: Statement<ListedVersionRow, [string, string, number]>

  constructor({ database }: RegistryDb) {
    this.#page = database.prepare(PAGE)
  }

  /** The next published versions after `after`, in the order of their text. */
  page(name: string, after: string, limit: number): ListedVersionRow[] {
    return this.#page.all(name, after, limit)
  }
}
