/**
 * The connection to `cache.db`. Nothing in it is precious: damage, wherever it shows, is answered
 * by an empty file, never by an error to a client. (registry.db is treated the other way round.)
 * @module
 */
import { type Database, SQLiteError } from 'bun:sqlite'
import { SchemaError } from './migrations.ts'

const DAMAGE_CODES = /^SQLITE_(?:CORRUPT|NOTADB|IOERR_SHORT_READ)/

export class CacheDb implements Disposable {
  #database: Database
  readonly #open: () => Database
  readonly #wipe: () => void

  constructor(open: () => Database, wipe: () => void) {
    this.#open = open
    this.#wipe = wipe
    this.#database = this.#openOrRecreate()
  }

  /** The open file. Statements are taken from it anew each time, since it may be replaced. */
  get database(): Database {
    return this.#database
  }

  /** Throws everything away and starts with an empty file. */
  recreate(): void {
    this.#database.close()
    this.#wipe()
    this.#database = this.#open()
  }

  /** Runs `action`; when the file turns out to be damaged, once more on an empty one. */
  attempt<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      if (!isDamage(error)) throw error
      this.recreate()
      return action()
    }
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }

  #openOrRecreate(): Database {
    try {
      return this.#open()
    } catch (error) {
      // A cache of a newer program is no use either; it is given up like a damaged one.
      if (!isDamage(error) && !(error instanceof SchemaError)) throw error
      this.#wipe()
      return this.#open()
    }
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof SQLiteError && DAMAGE_CODES.test(error.code ?? '')
}
