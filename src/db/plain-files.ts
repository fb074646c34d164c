/**
 * Plain (not compressed) forms of very large bodies, as files that the kernel sends.
 *
 * Part of the cache: wiped at start, bounded in number, written without fsync. A file appears
 * under its final name only when it is whole. Durable files are `durable.ts`'s.
 * @module
 */
import { createWriteStream, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { LRUCache } from 'lru-cache'

/** Files kept: each is the plain form of a giant packument (24 MB and more), so 16 are ~2 GB at worst. */
const PLAIN_FILES_MAX = 16

/** The folder of plain bodies; one per process, since the data dir is locked. */
export class PlainFiles {
  readonly #dir: string
  readonly #files = new LRUCache<string, string>({
    max: PLAIN_FILES_MAX,
    // An open response keeps its bytes: the kernel frees them when the last reader is done.
    dispose: path => {
      rmSync(path, { force: true })
    },
  })

  constructor(dir: string) {
    this.#dir = dir
    rmSync(dir, { recursive: true, force: true })
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  }

  /** The plain form of a gzip'd body as a file-backed Blob. @param id hex name of the body */
  async inflated(id: string, gzip: Uint8Array): Promise<Blob> {
    const known = this.#files.get(id)
    if (known !== undefined) return Bun.file(known)
    const path = join(this.#dir, id)
    const partial = `${path}.partial`
    await pipeline(
      Readable.from([gzip]),
      createGunzip(),
      createWriteStream(partial, { mode: 0o600 }),
    )
    renameSync(partial, path)
    this.#files.set(id, path)
    return Bun.file(path)
  }
}
