/**
 * When stored files may go. A backup copies, from a process of its own, the blobs that its copy of
 * the database refers to, while a server goes on removing what its own database no longer does: so
 * a backup holds them all, and what is to go meanwhile goes when nobody holds them any more.
 *
 * The hold is a lock of SQLite (https://sqlite.org/lockingv3.html) on `hold.db`: shared for whoever
 * copies, exclusive for the moment of a removal. The operating system frees it when the holder ends,
 * however it ends. What is put off is known in memory only: after a crash the next start finds again
 * what nothing refers to.
 * @module
 */
import { Database, SQLiteError } from 'bun:sqlite'
import { chmodSync, chownSync, existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

const FILE = 'hold.db'
const FILE_MODE = 0o600
/** A removal takes far less; a holder that comes meanwhile waits for it. */
const HOLD_TIMEOUT_MS = 5000
/** What is put off is in nobody's way: a backup takes seconds to hours. */
const RETRY_MS = 1000

/**
 * Holds all blobs of a data dir. What was there when the database was read after this is there until
 * the end. It writes nothing, so that a backup of another user leaves no file that the server cannot
 * open; without the file no server has been here that could remove anything.
 */
export function holdBlobs(dataDir: string): Disposable {
  const path = join(dataDir, FILE)
  if (!existsSync(path)) return { [Symbol.dispose]: () => undefined }
  const database = new Database(path, { readonly: true })
  try {
    database.run(`PRAGMA busy_timeout = ${HOLD_TIMEOUT_MS}`)
    database.run('BEGIN')
    // A transaction takes its lock when it first reads.
    database.query('SELECT count(*) FROM sqlite_schema').get()
  } catch (error) {
    database.close()
    throw error
  }
  return { [Symbol.dispose]: () => database.close() }
}

/** The files that a server removes. It has the data dir's lock. */
export class Removals implements Disposable {
  readonly #database: Database
  readonly #warn: (message: string) => void
  readonly #putOff = new Set<string>()
  #timer: Timer | null = null

  /** @param warn hears of a file that cannot be removed: the next start finds it again */
  constructor(dataDir: string, warn: (message: string) => void) {
    this.#warn = warn
    const path = join(dataDir, FILE)
    this.#database = new Database(path, { create: true, readwrite: true })
    chmodSync(path, FILE_MODE)
    // A command that root runs may be the first to open a data dir that is a service's.
    const { uid, gid } = statSync(dataDir)
    if (process.geteuid?.() === 0) chownSync(path, uid, gid)
    this.#database.run('PRAGMA busy_timeout = 0')
    // Nothing is ever written: a crash leaves no journal that a reader could not do away with.
    this.#database.run('PRAGMA journal_mode = MEMORY')
  }

  /** Removes a file, now or when nobody holds it any more. */
  remove(path: string): void {
    this.#putOff.add(path)
    this.#run()
  }

  /** Removes a file that no row ever named, so that no copy of the database does. */
  removeAtOnce(path: string): void {
    this.#putOff.delete(path)
    this.#unlink(path)
  }

  /** The file is needed again: it stays if it is still there. */
  keep(path: string): void {
    this.#putOff.delete(path)
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#database.close()
  }

  #run(): void {
    if (this.#putOff.size === 0) return
    if (!this.#begin()) {
      this.#timer ??= setTimeout(() => {
        this.#timer = null
        this.#run()
      }, RETRY_MS).unref()
      return
    }
    try {
      for (const path of this.#putOff) this.#unlink(path)
      this.#putOff.clear()
    } finally {
      this.#database.run('ROLLBACK')
    }
  }

  /** One that stays must not keep the others, nor fail the change that is committed already. */
  #unlink(path: string): void {
    try {
      rmSync(path, { force: true })
    } catch (error) {
      this.#warn(`a file that nothing refers to stays: ${String(error)}`)
    }
  }

  #begin(): boolean {
    try {
      this.#database.run('BEGIN EXCLUSIVE')
      return true
    } catch (error) {
      if (error instanceof SQLiteError && error.code?.startsWith('SQLITE_BUSY') === true)
        return false
      throw error
    }
  }
}
