/**
 * The connection to `registry.db` and its transactions. One connection writes; everything on it is
 * synchronous (https://bun.com/docs/runtime/sqlite), so nothing runs between BEGIN and COMMIT but
 * the action itself.
 * @module
 */
import { type Database, SQLiteError } from 'bun:sqlite'
import { type BunSQLiteDatabase, drizzle } from 'drizzle-orm/bun-sqlite'
import { LogFatalError } from '../log/log.ts'

/** The storage may no longer agree with memory: whatever comes next could sign a wrong tree. */
const FATAL_CODES = /^SQLITE_(?:IOERR|CORRUPT|NOTADB|PROTOCOL)/

export class RegistryDb implements Disposable {
  readonly database: Database
  /** Typed queries for whatever is not hot. */
  readonly orm: BunSQLiteDatabase
  #active = false
  #doomed = false
  #fatal: LogFatalError | undefined
  #after: (() => void)[] = []

  constructor(database: Database) {
    this.database = database
    this.orm = drizzle(database)
  }

  /**
   * Runs `action` in one `BEGIN IMMEDIATE` transaction, or joins the one that is open. An error
   * takes the whole outer transaction back, also when an outer action swallows it.
   *
   * COMMIT is durable when it returns (WAL, synchronous=FULL). When it fails, nobody can say
   * whether it happened; this connection then refuses everything and the process must end. Only
   * "disk full" is told before the commit frame is complete, and may be tried again.
   */
  transaction<T>(action: () => T): T {
    if (this.#fatal !== undefined) throw this.#fatal
    return this.#active ? this.#join(action) : this.#outermost(action)
  }

  /**
   * Runs `action` once the open transaction is committed, in the order of the calls and before the
   * outermost `transaction` returns; never when it is rolled back. What memory holds of the rows is
   * brought up to them here, so that a change can be a part of a larger one.
   */
  afterCommit(action: () => void): void {
    if (!this.#active) throw new Error('there is no transaction whose end could be waited for')
    this.#after.push(action)
  }

  [Symbol.dispose](): void {
    this.database.close()
  }

  #join<T>(action: () => T): T {
    try {
      return synchronous(action())
    } catch (error) {
      this.#doomed = true
      throw error
    }
  }

  #outermost<T>(action: () => T): T {
    this.#guarded(() => this.database.run('BEGIN IMMEDIATE'))
    this.#active = true
    this.#doomed = false
    this.#after = []
    const result = this.#committed(action)
    runAll(this.#after.splice(0))
    return result
  }

  #committed<T>(action: () => T): T {
    try {
      return this.#guarded(() => {
        const result = synchronous(action())
        if (this.#doomed) throw new Error('a part of this transaction failed: rolled back')
        this.database.run('COMMIT')
        return result
      })
    } finally {
      this.#active = false
      // Gone already after COMMIT, and where SQLite itself rolled back.
      if (this.database.inTransaction) this.#guarded(() => this.database.run('ROLLBACK'))
    }
  }

  #guarded<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      if (error instanceof LogFatalError) this.#fatal = error
      if (error instanceof SQLiteError && FATAL_CODES.test(error.code ?? '')) {
        this.#fatal = new LogFatalError('storage-failed', `registry.db: ${error.message}`, error)
        throw this.#fatal
      }
      throw error
    }
  }
}

/** It is committed: what follows from that happens whatever else fails, and the first fault is told. */
function runAll(actions: readonly (() => void)[]): void {
  const faults: unknown[] = []
  for (const action of actions) {
    try {
      action()
    } catch (error) {
      faults.push(error)
    }
  }
  if (faults.length > 0) throw faults[0]
}

/** An async action would commit at its first await, and its later writes would stay without it. */
function synchronous<T>(result: T): T {
  if (result instanceof Promise) throw new TypeError('a transaction must be synchronous')
  return result
}
