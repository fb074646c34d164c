/**
 * Full-text search over the packages that live here (SQLite FTS5, https://sqlite.org/fts5.html). The
 * index follows the rows by triggers (drizzle/registry), in the transaction of each change. Who may
 * see what it finds is decided by whoever calls.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import type { RegistryDb } from './registry-db.ts'

/** What is looked for. @property words each begins a word of the name, description or keywords */
export type SearchedFor = { words: readonly string[]; keywords: readonly string[] }

/** Matches that are looked at: beyond the first thousand nobody pages. */
const FOUND_MAX = 1000

/** A name counts most, then keywords (the columns are name, description, keywords). */
const RANKED = `SELECT name FROM hosted_search WHERE hosted_search MATCH ?
  ORDER BY bm25(hosted_search, 10, 2, 5), name LIMIT ${FOUND_MAX}`
const ALL = `SELECT name FROM hosted_search ORDER BY name LIMIT ${FOUND_MAX}`

export class HostedSearch {
  readonly #ranked: Statement<{ name: string }, [string]>
  readonly #all: Statement<{ name: string }, []>

  constructor(db: RegistryDb) {
    this.#ranked = db.database.prepare(RANKED)
    this.#all = db.database.prepare(ALL)
  }

  /** The names of what matches, the best first; for no words at all every package, by name. */
  find({ words, keywords }: SearchedFor): string[] {
    const terms = [
      ...words.map(word => phrase(word)),
      ...keywords.map(word => `keywords : ${phrase(word)}`),
    ]
    const rows = terms.length === 0 ? this.#all.all() : this.#ranked.all(terms.join(' AND '))
    return rows.map(({ name }) => name)
  }
}

/** A word as a string of FTS5's query language, so that nothing in it is an operator. */
function phrase(word: string): string {
  return `"${word.replaceAll('"', '""').replaceAll('\0', '')}" *`
}
