/**
 * Tarballs of hosted packages, by the SHA-512 of their bytes: each content once, whoever published
 * it. Here on disk, `blobs/<first two digits>/<128 hex digits>`; behind an interface that an object
 * store can satisfy.
 *
 * A blob is durable when `put` returns: temporary file, fsync, rename, fsync of the folder. The two
 * fsyncs, which wait for the disk, hold up no other request; the rest is shorter than the way to
 * another thread and back. (Bun 1.4's `writeFile` with `flush` hides a failed fsync.) What a version
 * refers to is known in SQLite; a blob that nothing refers to is removed by whoever knows that.
 * @module
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsync,
  mkdir,
  open,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { LogFatalError } from '../log/log.ts'
import { makeFolder } from './durable.ts'
import type { Removals } from './removals.ts'

/** What a store of blobs can do. @property digest SHA-512 of the bytes in hex */
export interface BlobStore {
  /** Durable when it returns. The same bytes again change nothing. @returns whether they are new */
  put(digest: string, bytes: Uint8Array): Promise<boolean>
  /** The bytes, checked just now; undefined when there are none. @throws BlobError damaged */
  get(digest: string): Promise<Blob | undefined>
  has(digest: string): boolean
  /** Gone by and by: not while a backup is made. `put` before that takes it back. */
  remove(digest: string): void
  /** Gone now: of bytes that were put and never referred to. */
  discard(digest: string): void
  /** Every blob, in no order. */
  list(): Iterable<string>
}

/** A stored blob is not what it was. */
export class BlobError extends Error {
  override readonly name = 'BlobError'
  readonly code = 'damaged'
}

const DIGEST = /^[0-9a-f]{128}$/
/** 256 folders: some thousand files in each of a large company's. */
const FOLDER_CHARS = 2
const FOLDER_MODE = 0o700
/** Read at once and sent as it was hashed; nearly all tarballs are smaller. */
const IN_MEMORY_BYTES_MAX = 8 * 1024 * 1024
/** Written at a time, so that one large tarball does not hold up the thread pool. */
const PIECE_BYTES = 1024 * 1024

export class DiskBlobs implements BlobStore {
  readonly #dir: string
  readonly #removals: Removals
  #partials = 0
  /** Folders that are known to be durable. */
  readonly #folders = new Set<string>()

  /** Opens the folder; what a crash left half written is removed. */
  constructor(dir: string, removals: Removals) {
    this.#dir = dir
    this.#removals = removals
    makeFolder(dir)
    for (const folder of readdirSync(dir)) {
      for (const name of readdirSync(join(dir, folder))) {
        if (!DIGEST.test(name)) rmSync(join(dir, folder, name), { force: true })
      }
    }
  }

  async put(digest: string, bytes: Uint8Array): Promise<boolean> {
    const path = this.#path(digest)
    this.#removals.keep(path)
    if (existsSync(path)) {
      // Its rename may not have reached the disk yet: whoever wrote it may still be waiting.
      await syncFolder(dirname(path))
      return false
    }
    await this.#makeFolder(dirname(path))
    this.#partials += 1
    const partial = `${path}.${this.#partials}.partial`
    try {
      await writeSynced(partial, bytes)
      renameSync(partial, path)
    } catch (error) {
      rmSync(partial, { force: true })
      throw error
    }
    await syncFolder(dirname(path))
    return true
  }

  async get(digest: string): Promise<Blob | undefined> {
    const path = this.#path(digest)
    if (!existsSync(path)) return undefined
    const file = Bun.file(path)
    const hash = createHash('sha512')
    if (file.size <= IN_MEMORY_BYTES_MAX) {
      const bytes = await file.bytes()
      return checked(new Blob([bytes]), hash.update(bytes).digest('hex'), digest)
    }
    for await (const chunk of file.stream()) hash.update(chunk)
    return checked(file, hash.digest('hex'), digest)
  }

  has(digest: string): boolean {
    return existsSync(this.#path(digest))
  }

  remove(digest: string): void {
    this.#removals.remove(this.#path(digest))
  }

  discard(digest: string): void {
    this.#removals.removeAtOnce(this.#path(digest))
  }

  *list(): Iterable<string> {
    for (const folder of readdirSync(this.#dir)) {
      for (const name of readdirSync(join(this.#dir, folder))) {
        if (DIGEST.test(name)) yield name
      }
    }
  }

  async #makeFolder(path: string): Promise<void> {
    if (this.#folders.has(path)) return
    await made(path)
    // Also when it was there: whoever made it may have crashed before this.
    await syncFolder(this.#dir)
    this.#folders.add(path)
  }

  #path(digest: string): string {
    if (!DIGEST.test(digest)) throw new TypeError('not the hex form of a SHA-512')
    return join(this.#dir, digest.slice(0, FOLDER_CHARS), digest)
  }
}

function checked(blob: Blob, found: string, digest: string): Blob {
  if (found === digest) return blob
  throw new BlobError(`a stored tarball is damaged: ${digest} has ${found}`)
}

/** Small ones reach the page cache at once; what may take long, the fsync, is waited for aside. */
async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const descriptor = await opened(path)
  try {
    for (let written = 0; written < bytes.length;) {
      const end = Math.min(bytes.length, written + PIECE_BYTES)
      if (written > 0) await new Promise(resolve => setImmediate(resolve))
      // A write may be short (disk nearly full, signal), so it is asked again for the rest.
      written += writeSync(descriptor, bytes, written, end - written)
    }
    await synced(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function made(folder: string): Promise<void> {
  return new Promise((resolve, reject) => {
    mkdir(folder, { recursive: true, mode: FOLDER_MODE }, error => {
      if (error instanceof Error) reject(error)
      else resolve()
    })
  })
}

/** Making a name waits for the file system's journal while others are fsynced: so it is aside too. */
function opened(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, 'wx', 0o400, (error, descriptor) => {
      if (error instanceof Error) reject(error)
      else resolve(descriptor)
    })
  })
}

function synced(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(descriptor, error => {
      if (error instanceof Error) reject(error)
      else resolve()
    })
  })
}

/**
 * A blob that has its name but not durably must not count as there for whoever sends the same bytes
 * next: when this fails the process ends, as durable.ts has it.
 */
async function syncFolder(path: string): Promise<void> {
  const descriptor = openSync(path, 'r')
  try {
    await synced(descriptor)
  } catch (error) {
    throw new LogFatalError('storage-failed', `${path}: fsync failed`, error)
  } finally {
    closeSync(descriptor)
  }
}
