/**
 * Upstream answers and rendered bodies in `cache.db`: rows in, rows out. Whether a row may still be
 * served is decided in registries/. Damage of the file empties it (cache-db.ts).
 * @module
 */
import type { CacheDb } from './cache-db.ts'

/** What is known of an upstream's answer, without its bytes. */
export type DocumentHead = {
  upstream: string
  name: string
  status: number
  sha256: string
  length: number
  etag: string | null
  lastModified: string | null
  checkedAtMs: number
  freshUntilMs: number
  modified: string | null
}

/** With the bytes, zstd'd; null when the status brought none. */
export type DocumentRow = DocumentHead & { packed: Uint8Array | null }

/** What a 304 changes. */
export type Revalidation = {
  checkedAtMs: number
  freshUntilMs: number
  etag: string | null
  lastModified: string | null
}

export type RenderedHead = {
  upstream: string
  name: string
  variant: string
  documentSha: string
  planHash: string
  etag: string
  length: number
  modified: string | null
}

export type RenderedRow = RenderedHead & { gzip: Uint8Array }

const HEAD = `upstream, name, status, sha256, length, etag, last_modified AS lastModified,
  checked_at_ms AS checkedAtMs, fresh_until_ms AS freshUntilMs, modified`

const RENDERED = `upstream, name, variant, document_sha AS documentSha, plan_hash AS planHash, etag,
  length, modified, gzip`

/** Documents given up per step of `trim`: small, so that one step stays far below 50 ms. */
const TRIM_STEP = 32

export class Documents {
  readonly #cache: CacheDb

  constructor(cache: CacheDb) {
    this.#cache = cache
  }

  head(upstream: string, name: string): DocumentHead | null {
    const sql = `SELECT ${HEAD} FROM document WHERE upstream = ? AND name = ?`
    return this.#cache.attempt(() =>
      this.#cache.database.query<DocumentHead, [string, string]>(sql).get(upstream, name),
    )
  }

  get(upstream: string, name: string): DocumentRow | null {
    const sql = `SELECT ${HEAD}, packed FROM document WHERE upstream = ? AND name = ?`
    return this.#cache.attempt(() =>
      this.#cache.database.query<DocumentRow, [string, string]>(sql).get(upstream, name),
    )
  }

  put(row: DocumentRow): void {
    const sql = `INSERT OR REPLACE INTO document (upstream, name, status, packed, sha256, length,
      etag, last_modified, checked_at_ms, fresh_until_ms, modified)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
    const { upstream, name, status, packed, sha256, length, etag, lastModified } = row
    const { checkedAtMs, freshUntilMs, modified } = row
    this.#run(sql, [
      upstream,
      name,
      status,
      packed,
      sha256,
      length,
      etag,
      lastModified,
      checkedAtMs,
      freshUntilMs,
      modified,
    ])
  }

  /** After a 304: the bytes stay. False when there is nothing to renew. */
  renew(upstream: string, name: string, renewal: Revalidation): boolean {
    const sql = `UPDATE document SET checked_at_ms = ?, fresh_until_ms = ?,
      etag = coalesce(?, etag), last_modified = coalesce(?, last_modified)
      WHERE upstream = ? AND name = ?`
    const { checkedAtMs, freshUntilMs, etag, lastModified } = renewal
    const changes = this.#run(sql, [checkedAtMs, freshUntilMs, etag, lastModified, upstream, name])
    return changes === 1
  }

  /** Forgets a document and what was rendered from it. */
  remove(upstream: string, name: string): void {
    this.#run('DELETE FROM document WHERE upstream = ? AND name = ?', [upstream, name])
    this.removeRendered(upstream, name)
  }

  rendered(upstream: string, name: string, variant: string): RenderedRow | null {
    const sql = `SELECT ${RENDERED} FROM rendered
      WHERE upstream = ? AND name = ? AND variant = ?`
    return this.#cache.attempt(() =>
      this.#cache.database
        .query<RenderedRow, [string, string, string]>(sql)
        .get(upstream, name, variant),
    )
  }

  putRendered(row: RenderedRow): void {
    const sql = `INSERT OR REPLACE INTO rendered (upstream, name, variant, document_sha, plan_hash,
      etag, gzip, length, modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
    const { upstream, name, variant, documentSha, planHash, etag, gzip, length, modified } = row
    this.#run(sql, [upstream, name, variant, documentSha, planHash, etag, gzip, length, modified])
  }

  removeRendered(upstream: string, name: string): void {
    this.#run('DELETE FROM rendered WHERE upstream = ? AND name = ?', [upstream, name])
  }

  /** Bytes of the file that hold rows. */
  bytes(): number {
    return this.#cache.attempt(() => {
      const page = this.#pragma('page_size')
      return page * (this.#pragma('page_count') - this.#pragma('freelist_count'))
    })
  }

  /**
   * One step towards `bytesMax`: forgets the documents that were asked for longest ago. True while
   * there is more to do; the caller yields between steps.
   */
  trim(bytesMax: number): boolean {
    if (this.bytes() <= bytesMax) return false
    const sql = 'SELECT upstream, name FROM document ORDER BY checked_at_ms LIMIT ?'
    const oldest = this.#cache.attempt(() =>
      this.#cache.database.query<{ upstream: string; name: string }, [number]>(sql).all(TRIM_STEP),
    )
    for (const { upstream, name } of oldest) this.remove(upstream, name)
    return oldest.length === TRIM_STEP
  }

  /**
   * One step of forgetting all of an upstream. True while there is more to do; the caller yields
   * between steps.
   */
  forgetSome(upstream: string): boolean {
    const sql = 'SELECT name FROM document WHERE upstream = ? LIMIT ?'
    const some = this.#cache.attempt(() =>
      this.#cache.database.query<{ name: string }, [string, number]>(sql).all(upstream, TRIM_STEP),
    )
    for (const { name } of some) this.remove(upstream, name)
    return some.length === TRIM_STEP
  }

  /** Forgets everything. */
  clear(): void {
    this.#cache.recreate()
  }

  #run(sql: string, parameters: (string | number | Uint8Array | null)[]): number {
    return this.#cache.attempt(() => this.#cache.database.query(sql).run(...parameters).changes)
  }

  #pragma(name: 'page_size' | 'page_count' | 'freelist_count'): number {
    const row = this.#cache.database.query<Record<string, number>, []>(`PRAGMA ${name}`).get()
    return row?.[name] ?? 0
  }
}
