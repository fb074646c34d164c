/**
 * Tarballs kept here (mode `cache`): files of the cache named by their SHA-512, checked again on
 * every reading. Nothing rests on them: one that is damaged is given up and fetched anew.
 *
 * They are written from a stream that was verified while it passed (integrity.ts), and appear when
 * all of it is there. A disk that is full costs the copy, not the answer.
 * @module
 */
import { createHash } from 'node:crypto'
import type { CacheFiles, CacheFileWriter } from '../../db/cache-files.ts'
import { integrityToHex } from '../integrity.ts'

/** Read at once and sent as it was hashed; nearly all tarballs are smaller. */
const IN_MEMORY_BYTES_MAX = 8 * 1024 * 1024

/** What the cache works with. */
export type TarballCacheNeeds = { files: CacheFiles; warn: (message: string) => void }

/** Kept tarballs. */
export class TarballCache {
  readonly #needs: TarballCacheNeeds

  constructor(needs: TarballCacheNeeds) {
    this.#needs = needs
  }

  /** The bytes of this integrity, checked just now; undefined when they are not here. */
  async get(integrity: string): Promise<Blob | undefined> {
    const { files, warn } = this.#needs
    const file = files.file(fileOf(integrity))
    if (file === undefined) return undefined
    try {
      const found = await checked(file, integrity)
      if (found !== undefined) return found
      warn(`a cached tarball is damaged and given up: ${integrity}`)
    } catch (error) {
      warn(`a cached tarball cannot be read: ${String(error)}`)
    }
    files.remove(fileOf(integrity))
    return undefined
  }

  /** Passes verified bytes on and keeps them, if they come to their end. */
  async *keeping(
    chunks: AsyncGenerator<Uint8Array, void, undefined>,
    integrity: string,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let writer: CacheFileWriter | undefined = this.#needs.files.begin(fileOf(integrity))
    try {
      for await (const chunk of chunks) {
        writer = await this.#tried(writer, each => each.write(chunk))
        yield chunk
      }
      await this.#tried(writer, each => each.keep())
      writer = undefined
    } finally {
      // Not whole: the stream broke, its bytes were wrong, or its reader went away.
      await writer?.drop()
    }
  }

  async #tried(
    writer: CacheFileWriter | undefined,
    action: (writer: CacheFileWriter) => Promise<void>,
  ): Promise<CacheFileWriter | undefined> {
    if (writer === undefined) return undefined
    try {
      await action(writer)
      return writer
    } catch (error) {
      this.#needs.warn(`a tarball cannot be kept: ${String(error)}`)
      await writer.drop()
      return undefined
    }
  }
}

function fileOf(integrity: string): string {
  // The name of the file is its hash; 128 characters, all that a name may have.
  return integrityToHex(integrity)
}

async function checked(file: Blob, integrity: string): Promise<Blob | undefined> {
  const hash = createHash('sha512')
  if (file.size <= IN_MEMORY_BYTES_MAX) {
    const bytes = await file.bytes()
    return `sha512-${hash.update(bytes).digest('base64')}` === integrity
      ? new Blob([bytes])
      : undefined
  }
  for await (const chunk of file.stream()) hash.update(chunk)
  return `sha512-${hash.digest('base64')}` === integrity ? file : undefined
}
