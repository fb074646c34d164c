/**
 * The one place that writes files: tiles, bundles, keys. A name is only ever seen with all of its
 * bytes behind it, also after a power cut: temporary file, write loop, fsync, rename, fsync of the
 * folder; new folders are fsynced into their parents first. The syscall order follows
 * FiloSottile/sunlight `internal/durable/path.go`.
 *
 * After a failed fsync nothing is tried again (Rebello et al., ATC'20: the page cache may say that
 * dirty pages are clean); the error says so and the process must end.
 *
 * The temporary file is `<path>.tmp`: one process holds the data dir (lock.ts), so names cannot
 * meet, and what a crash left behind is replaced when the same file is written again.
 * @module
 */
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

export type DurableErrorCode = 'fsync-failed' | 'write-failed' | 'exists-different'

/** A file could not be made durable. `fsync-failed` is fatal: end the process. */
export class DurableError extends Error {
  override readonly name = 'DurableError'
  readonly code: DurableErrorCode
  readonly path: string

  constructor(code: DurableErrorCode, path: string, message: string, cause?: unknown) {
    super(`${path}: ${message}`, { cause })
    this.code = code
    this.path = path
  }
}

export type DurableFile = { path: string; bytes: Uint8Array }

/** Folders hold keys and logs of one user. */
const FOLDER_MODE = 0o700

/**
 * Writes files that never change. One that is already there must be equal, byte for byte; it is
 * then left alone. Folders are synced once for all files in them, before this returns.
 */
export function writeImmutable(files: readonly DurableFile[], mode = 0o444): void {
  const folders = new Set<string>()
  for (const file of files) {
    makeFolder(dirname(file.path))
    // Also for a file that exists: a crash may have come between its rename and this fsync.
    folders.add(dirname(file.path))
    if (existsSync(file.path)) checkEqual(file)
    else writeAndRename(file, mode)
  }
  for (const folder of folders) syncFolder(folder)
}

/** Replaces a small file as a whole: readers see the old bytes or the new ones. */
export function writeReplacing(file: DurableFile, mode = 0o600): void {
  makeFolder(dirname(file.path))
  writeAndRename(file, mode)
  syncFolder(dirname(file.path))
}

/** Makes a folder and its parents, private to this user, each fsynced into its parent. */
export function makeFolder(path: string): void {
  if (existsSync(path)) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent)
  attempt(path, 'cannot make the folder', () => mkdirSync(path, { mode: FOLDER_MODE }))
  syncFolder(parent)
}

function checkEqual(file: DurableFile): void {
  const found = attempt(file.path, 'cannot be read', () => readFileSync(file.path))
  if (Buffer.compare(found, file.bytes) === 0) return
  throw new DurableError(
    'exists-different',
    file.path,
    `exists with other bytes (${found.length} there, ${file.bytes.length} expected)`,
  )
}

function writeAndRename(file: DurableFile, mode: number): void {
  const temporary = `${file.path}.tmp`
  attempt(file.path, 'cannot be written', () => {
    rmSync(temporary, { force: true })
    writeSynced(temporary, file.bytes, mode)
    renameSync(temporary, file.path)
  })
}

function writeSynced(path: string, bytes: Uint8Array, mode: number): void {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode)
  try {
    // A write may be short (disk nearly full, signal), so it is asked again for the rest.
    for (let written = 0; written < bytes.length;) {
      written += writeSync(descriptor, bytes, written, bytes.length - written)
    }
    syncDescriptor(descriptor, path)
  } finally {
    closeSync(descriptor)
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(path: string): void {
  const descriptor = attempt(path, 'cannot be opened', () => openSync(path, constants.O_RDONLY))
  try {
    syncDescriptor(descriptor, path)
  } finally {
    closeSync(descriptor)
  }
}

function syncDescriptor(descriptor: number, path: string): void {
  try {
    fsyncSync(descriptor)
  } catch (error) {
    throw new DurableError('fsync-failed', path, 'fsync failed, the process must end', error)
  }
}

function attempt<T>(path: string, what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof DurableError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new DurableError('write-failed', path, `${what}: ${reason}`, error)
  }
}
