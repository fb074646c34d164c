/**
 * The lockfiles of a project on disk: finds them and reads them, never more of a file than a
 * lockfile may have. What they say is `registries/lockfile/lockfile.ts`.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  LOCKFILE_BYTES_MAX,
  LockfileError,
  type Lockfile,
} from '../registries/lockfile/lockfile-entry.ts'
import { LOCKFILE_NAMES, parseLockfile } from '../registries/lockfile/lockfile.ts'

/** The lockfiles in a folder itself, as paths. */
export function findLockfiles(folder: string): string[] {
  return LOCKFILE_NAMES.map(name => join(folder, name)).filter(path => existsSync(path))
}

/** Throws `LockfileError`, also for a file that cannot be read. */
export function readLockfile(path: string): Lockfile {
  const size = attempt(() => statSync(path).size)
  // Never read whole what would be refused: the size is looked at first.
  if (size > LOCKFILE_BYTES_MAX) {
    throw new LockfileError(1, `has ${size} bytes, more than ${LOCKFILE_BYTES_MAX}`)
  }
  return parseLockfile(
    basename(path),
    attempt(() => readFileSync(path)),
  )
}

function attempt<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new LockfileError(1, `cannot be read: ${reason}`, error)
  }
}
