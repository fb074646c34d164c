/**
 * Which recorded versions hold given bytes, and the other hash of bytes that passed through here:
 * rows in, rows out. What may be handed out is decided in registries/reading/content.ts.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import type { RegistryDb } from './registry-db.ts'

/** Versions that are the same bytes: forks and re-publications are a handful. */
const HOLDERS_MAX = 100

/** A recorded version and the state it is in. */
export type Holder = {
  namespace: string
  name: string
  version: string
  state: string
  /** Its registry's time, else when it was first seen here. */
  published: string
}

export class Contents {
  readonly #note: Statement<unknown, [string, string]>
  readonly #integrityOf: Statement<{ integrity: string }, [string]>
  readonly #holders: Statement<Holder, [string, number]>

  constructor({ database }: RegistryDb) {
    this.#note = database.prepare(
      'INSERT INTO content (sha256, integrity) VALUES (?, ?) ON CONFLICT DO NOTHING',
    )
    this.#integrityOf = database.prepare('SELECT integrity FROM content WHERE sha256 = ?')
    this.#holders = database.prepare(
      `SELECT namespace, name, version, state, coalesce(published, first_seen) AS published
       FROM version
       WHERE integrity = ? AND leaf_idx IS NOT NULL ORDER BY leaf_idx LIMIT ?`,
    )
  }

  /** Keeps the SHA-256, in hex, of bytes that were just verified to have this integrity. */
  note(sha256: string, integrity: string): void {
    // Most are known: a look costs no fsync.
    if (this.integrityOf(sha256) === null) this.#note.run(sha256, integrity)
  }

  /** The integrity of bytes by their SHA-256 in hex; null when they never passed through here. */
  integrityOf(sha256: string): string | null {
    return this.#integrityOf.get(sha256)?.integrity ?? null
  }

  /** The recorded versions of these bytes, the first recorded one first. */
  holders(integrity: string): Holder[] {
    return this.#holders.all(integrity, HOLDERS_MAX)
  }
}
