/**
 * One process per data dir. The lock is an SQLite file held in exclusive mode
 * (https://sqlite.org/pragma.html#pragma_locking_mode): the operating system frees it when the
 * holder ends, however it ends, and a second process is refused at once.
 *
 * `lock.pid` beside it only names the holder for people; it decides nothing.
 * @module
 */
import { Database, SQLiteError } from 'bun:sqlite'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, writeReplacing } from './durable.ts'

/** The data dir belongs to another process, or to another part of this one. */
export class LockedError extends Error {
  override readonly name = 'LockedError'
  readonly code = 'locked'
  readonly path: string
  readonly pid: number | null

  constructor(path: string, pid: number | null) {
    super(`${path}: in use by another process${pid === null ? '' : ` (pid ${pid})`}`)
    this.path = path
    this.pid = pid
  }
}

export type DataDirLock = Disposable & { release: () => void }

/**
 * The locks of this process. A connection that nobody refers to is closed by the garbage collector,
 * and the lock with it; a caller that drops its handle must not lose the data dir that way.
 */
const held = new Set<Database>()

/** Takes the data dir or throws `LockedError`, without waiting. */
export function lockDataDir(dataDir: string, pid: number): DataDirLock {
  makeFolder(dataDir)
  const pidPath = join(dataDir, 'lock.pid')
  const database = new Database(join(dataDir, 'lock.db'), { create: true, readwrite: true })
  try {
    database.run('PRAGMA busy_timeout = 0')
    database.run('PRAGMA locking_mode = EXCLUSIVE')
    // The first exclusive lock is kept until the connection closes; nothing needs to be written.
    database.run('BEGIN EXCLUSIVE')
    database.run('COMMIT')
    chmodSync(join(dataDir, 'lock.db'), 0o600)
    writeReplacing({ path: pidPath, bytes: new TextEncoder().encode(`${pid}\n`) })
  } catch (error) {
    database.close()
    if (error instanceof SQLiteError && error.code?.startsWith('SQLITE_BUSY') === true) {
      throw new LockedError(dataDir, readPid(pidPath))
    }
    throw error
  }
  held.add(database)
  const release = () => {
    held.delete(database)
    database.close()
  }
  return { release, [Symbol.dispose]: release }
}

function readPid(path: string): number | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null // Between taking the lock and writing the name, or never written: only a hint.
  }
  return /^[1-9]\d{0,9}\n$/.test(text) ? Number(text) : null
}
