/**
 * Large parts of the cache as files: documents and bodies that would stop the process for too long
 * if they went through a row of the database, and plain forms that the kernel sends by itself.
 *
 * Part of the cache: written without fsync, bounded, wiped without loss. A file appears under its
 * final name only when it is whole, and its name says its content, so it never changes. Durable
 * files are `durable.ts`'s.
 * @module
 */
import { createWriteStream, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { LRUCache } from 'lru-cache'

/** Bytes of files kept: some hundred giant packuments in all their forms. */
const FILES_BYTES_MAX = 2 * 1024 * 1024 * 1024
/** A name is made of hashes and a kind; nothing else reaches the disk. */
const NAME = /^[\w-]{1,128}$/

/** Written at a time: the runtime copies what it is given to write, and 100 MB at once are felt. */
const PIECE_BYTES = 1024 * 1024

/** The folder of large cached files; one per process, since the data dir is locked. */
export class CacheFiles {
  readonly #dir: string
  #partials = 0
  readonly #files: LRUCache<string, string>

  /** Opens the folder; files of an earlier process are taken over, oldest first. */
  constructor(dir: string, bytesMax = FILES_BYTES_MAX) {
    this.#dir = dir
    this.#files = new LRUCache<string, string>({
      maxSize: bytesMax,
      // An open response keeps its bytes: the kernel frees them when the last reader is done.
      dispose: path => {
        rmSync(path, { force: true })
      },
    })
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const found = readdirSync(dir).flatMap(name => {
      const path = join(dir, name)
      if (NAME.test(name)) return [{ name, path, stat: statSync(path) }]
      rmSync(path, { recursive: true, force: true })
      return []
    })
    for (const { name, path, stat } of found.toSorted((a, b) => a.stat.mtimeMs - b.stat.mtimeMs)) {
      this.#files.set(name, path, { size: stat.size + 1 })
    }
  }

  /** Bytes that are kept, for metrics. */
  get bytes(): number {
    return this.#files.calculatedSize
  }

  /** The file of this name, to read or to send; undefined when it was given up. */
  file(name: string): Blob | undefined {
    const path = this.#files.get(name)
    return path === undefined ? undefined : Bun.file(path)
  }

  /** Keeps bytes under a name that stands for exactly them. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    if (this.#files.has(name)) return
    await this.#make(name, Readable.from(pieces(bytes)))
  }

  /** Keeps the plain form of gzip'd bytes and returns it. */
  async inflated(name: string, gzip: Blob): Promise<Blob> {
    const known = this.file(name)
    if (known !== undefined) return known
    const source = Readable.from(gzip.stream())
    const path = await this.#make(name, source.pipe(createGunzip()))
    return Bun.file(path)
  }

  /** Begins a file whose bytes come piece by piece; it is there once it is kept, and not before. */
  begin(name: string): CacheFileWriter {
    const { partial, path } = this.#paths(name)
    return new CacheFileWriter(partial, () => this.#appear(name, partial, path))
  }

  /** Gives a file up: it is damaged. */
  remove(name: string): void {
    this.#files.delete(name)
  }

  #paths(name: string): { partial: string; path: string } {
    if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a cached file`)
    const path = join(this.#dir, name)
    this.#partials += 1
    return { partial: `${path}.${this.#partials}.partial`, path }
  }

  #appear(name: string, partial: string, path: string): void {
    // Were the old entry replaced, giving it up would remove the new file.
    if (this.#files.has(name)) return rmSync(partial, { force: true })
    renameSync(partial, path)
    this.#files.set(name, path, { size: statSync(path).size + 1 })
  }

  async #make(name: string, source: NodeJS.ReadableStream): Promise<string> {
    const { partial, path } = this.#paths(name)
    await pipeline(source, createWriteStream(partial, { mode: 0o600 }))
    this.#appear(name, partial, path)
    return path
  }
}

/** One file on its way into the cache. */
export class CacheFileWriter {
  readonly #partial: string
  readonly #appear: () => void
  #handle: FileHandle | undefined

  constructor(partial: string, appear: () => void) {
    this.#partial = partial
    this.#appear = appear
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#handle ??= await open(this.#partial, 'wx', 0o600)
    await this.#handle.writeFile(bytes)
  }

  /** All of it is written: from now on it is found under its name. */
  async keep(): Promise<void> {
    await this.write(new Uint8Array(0))
    await this.#handle?.close()
    this.#appear()
  }

  /** It is given up. */
  async drop(): Promise<void> {
    await this.#handle?.close()
    rmSync(this.#partial, { force: true })
  }
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    yield bytes.subarray(start, start + PIECE_BYTES)
  }
}
