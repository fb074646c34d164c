/**
 * A data dir as the file system has it, for `doctor`: who may read it, who uses it, how much room
 * there is. It changes nothing.
 * @module
 */
import { Database, SQLiteError } from 'bun:sqlite'
import { existsSync, readFileSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Group and others: no bit may be set. */
const OTHERS_MASK = 0o077

/** The folder and the key files, those that others than their owner may open. */
export function readableByOthers(dataDir: string): string[] {
  const keys = join(dataDir, 'keys')
  const files = existsSync(keys) ? readdirSync(keys).map(name => join(keys, name)) : []
  return [dataDir, ...files].filter(path => (statSync(path).mode & OTHERS_MASK) !== 0)
}

/** The user that the folder belongs to. */
export function ownerOf(dataDir: string): number {
  return statSync(dataDir).uid
}

/** Whether a process has the data dir, as it says of itself; lock.ts takes it. */
export function holderOf(dataDir: string): { isHeld: boolean; pid: string } {
  const path = join(dataDir, 'lock.db')
  if (!existsSync(path)) return { isHeld: false, pid: '' }
  const database = new Database(path, { readonly: true })
  try {
    database.run('PRAGMA busy_timeout = 0')
    // Whoever has it holds an exclusive lock: then nobody else can even read.
    database.query('SELECT count(*) FROM sqlite_schema').get()
    return { isHeld: false, pid: '' }
  } catch (error) {
    const isBusy = error instanceof SQLiteError && error.code?.startsWith('SQLITE_BUSY') === true
    if (!isBusy) throw error
    const pid = join(dataDir, 'lock.pid')
    return { isHeld: true, pid: existsSync(pid) ? readFileSync(pid, 'utf8').trim() : 'unknown' }
  } finally {
    database.close()
  }
}

/** What this user can still write, in bytes and in files. */
export function roomIn(dataDir: string): { bytes: number; files: number } {
  const { bavail, bsize, ffree, files } = statfsSync(dataDir)
  // Some file systems count no files.
  return { bytes: bavail * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree }
}
