/**
 * The log's store: state, leaves and keys in `registry.db`, full tiles and bundles as files under
 * `tiles/` in the data dir. Only storage; what is written when is decided in log/log.ts.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LogFile } from '../log/full-tiles.ts'
import { LogFatalError, type LogState, type LogStore } from '../log/log.ts'
import { DurableError, writeImmutable } from './durable.ts'
import type { RegistryDb } from './registry-db.ts'

type StateColumns = {
  size: number
  root: Uint8Array
  edge: Uint8Array
  note: string
  published_size: number
}

/** Where the tiles of a data dir are. */
export const tilesDir = (dataDir: string): string => join(dataDir, 'tiles')

export class SqliteLogStore implements LogStore {
  readonly #db: RegistryDb
  readonly #tilesDir: string
  readonly #state: Statement<StateColumns, []>
  readonly #create: Statement<unknown, [number, Uint8Array, Uint8Array, string, number]>
  readonly #advance: Statement<
    unknown,
    [number, Uint8Array, Uint8Array, string, number, number, string]
  >
  readonly #find: Statement<{ idx: number }, [Uint8Array]>
  readonly #insert: Statement<unknown, [number, Uint8Array, Uint8Array]>
  readonly #leaves: Statement<{ text: Uint8Array }, [number, number]>
  readonly #end: Statement<{ last: number | null }, []>

  constructor(db: RegistryDb, dataDir: string) {
    const { database } = db
    this.#db = db
    this.#tilesDir = tilesDir(dataDir)
    this.#state = database.prepare(
      'SELECT size, root, edge, note, published_size FROM log_state WHERE id = 1',
    )
    this.#create = database.prepare(
      `INSERT INTO log_state (id, size, root, edge, note, published_size) VALUES (1, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    this.#advance = database.prepare(
      `UPDATE log_state SET size = ?, root = ?, edge = ?, note = ?, published_size = ?
       WHERE id = 1 AND size = ? AND note = ?`,
    )
    this.#find = database.prepare('SELECT idx FROM leaf WHERE key = ?')
    this.#insert = database.prepare('INSERT INTO leaf (idx, key, text) VALUES (?, ?, ?)')
    this.#leaves = database.prepare('SELECT text FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx')
    this.#end = database.prepare('SELECT max(idx) AS last FROM leaf')
  }

  get inTransaction(): boolean {
    return this.#db.database.inTransaction
  }

  transaction<T>(action: () => T): T {
    return this.#db.transaction(action)
  }

  readState(): LogState | null {
    const row = this.#state.get()
    if (row === null) return null
    const { size, root, edge, note } = row
    return { size, root, edge, note, publishedSize: row.published_size }
  }

  advance(from: LogState | null, to: LogState): boolean {
    const { size, root, edge, note, publishedSize } = to
    const { changes } =
      from === null
        ? this.#create.run(size, root, edge, note, publishedSize)
        : this.#advance.run(size, root, edge, note, publishedSize, from.size, from.note)
    return changes === 1
  }

  findIndex(key: Uint8Array): number | null {
    return this.#find.get(key)?.idx ?? null
  }

  insertLeaf(index: number, key: Uint8Array, leaf: Uint8Array): void {
    this.#insert.run(index, key, leaf)
  }

  readLeaves(start: number, end: number): Uint8Array[] {
    const rows = this.#leaves.all(start, end)
    if (rows.length === end - start) return rows.map(row => row.text)
    const reason = `has ${rows.length} of the rows ${start} to ${end - 1}`
    throw new LogFatalError('contradiction', `table leaf ${reason}`)
  }

  leafEnd(): number {
    return (this.#end.get()?.last ?? -1) + 1
  }

  hasFile(path: string): boolean {
    return existsSync(join(this.#tilesDir, path))
  }

  readFile(path: string): Uint8Array {
    return readFileSync(join(this.#tilesDir, path))
  }

  writeFiles(files: readonly LogFile[]): void {
    try {
      writeImmutable(files.map(file => ({ ...file, path: join(this.#tilesDir, file.path) })))
    } catch (error) {
      if (!(error instanceof DurableError)) throw error
      switch (error.code) {
        case 'fsync-failed':
          throw new LogFatalError('storage-failed', error.message, error)
        case 'exists-different':
          throw new LogFatalError('contradiction', error.message, error)
        case 'write-failed':
          // Nothing got its name; disk full, say. The same files are written at the next publish.
          throw error
      }
    }
  }
}
