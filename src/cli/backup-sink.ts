/**
 * Where a backup is written to: one tar file, a folder, or stdout as tar. A file or folder gets its
 * name only when it is whole and on the disk; until then it is `<name>.partial`.
 *
 * tar is POSIX ustar with pax headers for paths that are too long for it
 * (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html).
 * @module
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, write } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Header, Pax } from 'tar'
import { ConfigError } from '../config-values.ts'
import { syncFolder } from '../db/durable.ts'

/** A block of tar. */
const BLOCK_BYTES = 512
/** Two blocks of zeros say that nothing follows. */
const END = Buffer.alloc(2 * BLOCK_BYTES)
const STDOUT = 1
/** Whoever reads stdout is behind, and it was given to us as one that does not wait. */
const RETRY_MS = 10
/** Whoever can read a backup has the hashes of passwords and tokens. */
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export interface BackupSink {
  /** A folder on the same disk that is gone when the backup is done. */
  readonly scratch: string
  /** Adds one file of exactly this size. */
  add(path: string, bytes: number, chunks: Chunks): Promise<void>
  /** Everything is there: it gets its name. */
  finish(): Promise<void>
  /** Gives up what is not finished. */
  [Symbol.asyncDispose](): Promise<void>
}

/** `-` is stdout; a path that ends in a slash or is an empty folder is a folder; else a tar file. */
export async function openSink(target: string, dataDir: string, now: Date): Promise<BackupSink> {
  if (target === '-') return new TarSink({ writeFile: writeStdout }, null, now, dataDir)
  const path = resolve(target)
  const isFolder = existsSync(path) && statSync(path).isDirectory()
  if (existsSync(path) && !(isFolder && readdirSync(path).length === 0)) {
    throw new ConfigError(`${target} is there already: name a new file or an empty folder`)
  }
  if (!existsSync(dirname(path))) throw new ConfigError(`there is no folder ${dirname(path)}`)
  if (isFolder || target.endsWith('/')) return new FolderSink(path)
  const partial = `${path}.partial`
  rmSync(partial, { force: true })
  return new TarSink(await open(partial, 'wx', FILE_MODE), path, now, dirname(path))
}

/** Where the tar goes: a file, or stdout, which is nobody's to sync and close. */
type TarFile = {
  writeFile(bytes: Uint8Array): Promise<void>
  sync?(): Promise<void>
  close?(): Promise<void>
}

class TarSink implements BackupSink {
  readonly scratch: string
  readonly #file: TarFile
  readonly #path: string | null
  readonly #now: Date
  #isFinished = false

  /** @param path where the file belongs; null for a stream that nobody can give a name */
  constructor(file: TarFile, path: string | null, now: Date, scratchIn: string) {
    this.#file = file
    this.#path = path
    this.#now = now
    this.scratch = newFolder(join(scratchIn, `backup-${process.pid}.partial`))
  }

  async add(path: string, bytes: number, chunks: Chunks): Promise<void> {
    await this.#writeHeader(path, bytes)
    let written = 0
    for await (const chunk of chunks) {
      written += chunk.length
      await this.#file.writeFile(chunk)
    }
    if (written !== bytes) throw new Error(`${path} changed its size while it was copied`)
    await this.#file.writeFile(Buffer.alloc((BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES))
  }

  async finish(): Promise<void> {
    await this.#file.writeFile(END)
    this.#isFinished = true
    if (this.#path === null) return
    await this.#file.sync?.()
    renameSync(`${this.#path}.partial`, this.#path)
    syncFolder(dirname(this.#path))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close?.()
    rmSync(this.scratch, { recursive: true, force: true })
    if (!this.#isFinished && this.#path !== null) rmSync(`${this.#path}.partial`, { force: true })
  }

  async #writeHeader(path: string, bytes: number): Promise<void> {
    const fields = { path, size: bytes, mode: FILE_MODE, mtime: this.#now, uid: 0, gid: 0 }
    const header = new Header({ ...fields, type: 'File' })
    const block = Buffer.alloc(BLOCK_BYTES)
    if (header.encode(block)) await this.#file.writeFile(new Pax({ path, size: bytes }).encode())
    await this.#file.writeFile(block)
  }
}

class FolderSink implements BackupSink {
  readonly scratch: string
  readonly #path: string
  readonly #partial: string
  readonly #folders = new Set<string>()

  constructor(path: string) {
    this.#path = path
    this.#partial = newFolder(`${path}.partial`)
    this.scratch = newFolder(join(dirname(path), `backup-${process.pid}.partial`))
  }

  async add(path: string, bytes: number, chunks: Chunks): Promise<void> {
    const to = join(this.#partial, path)
    mkdirSync(dirname(to), { recursive: true, mode: FOLDER_MODE })
    for (let folder = dirname(to); folder.startsWith(this.#partial); folder = dirname(folder)) {
      this.#folders.add(folder)
    }
    const file = await open(to, 'wx', FILE_MODE)
    try {
      let written = 0
      for await (const chunk of chunks) {
        written += chunk.length
        await file.writeFile(chunk)
      }
      if (written !== bytes) throw new Error(`${path} changed its size while it was copied`)
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async finish(): Promise<void> {
    for (const folder of this.#folders) syncFolder(folder)
    // Takes the place of an empty folder too.
    renameSync(this.#partial, this.#path)
    syncFolder(dirname(this.#path))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.scratch, { recursive: true, force: true })
    rmSync(this.#partial, { recursive: true, force: true })
  }
}

function newFolder(path: string): string {
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { mode: FOLDER_MODE })
  return path
}

/** By its number: what is no file, such as the socket that ssh gives, cannot be opened by a name. */
async function writeStdout(bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const count = await writeOnce(bytes.subarray(written))
    if (count === 0) await Bun.sleep(RETRY_MS)
    written += count
  }
}

function writeOnce(bytes: Uint8Array): Promise<number> {
  const { promise, resolve: done, reject } = Promise.withResolvers<number>()
  write(STDOUT, bytes, (error, count) => {
    if (!(error instanceof Error)) done(count)
    else if (error.code === 'EAGAIN') done(0)
    else reject(error)
  })
  return promise
}
