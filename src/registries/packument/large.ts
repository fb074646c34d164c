/**
 * Where the bytes of a cached document or rendering are: in its row, or, when they would stop the
 * process for too long there, in a file of the cache.
 * @module
 */
import type { CacheFiles } from '../../db/cache-files.ts'
import type { PackumentPool } from './packument-pool.ts'

/** SQLite writes a row of this size in about 5 ms; one of 40 MB would stop everything for 400. */
const IN_ROW_BYTES_MAX = 1024 * 1024

/**
 * Documents above this are kept as they came: to compress and inflate 100 MB costs seconds of a
 * small machine and twice the memory; giants are few, and the disk is bounded.
 */
const PACKED_BYTES_MAX = 32 * 1024 * 1024

/** Keeps a raw document; what goes into its row. The bytes are used up. @param sha256 hex */
export async function stowDocument(
  stores: { files: CacheFiles; pool: PackumentPool },
  sha256: string,
  bytes: ArrayBuffer,
): Promise<Uint8Array> {
  if (bytes.byteLength > PACKED_BYTES_MAX) {
    await stores.files.put(rawFile(sha256), new Uint8Array(bytes))
    bytes.transfer(0) // A hundred megabytes are not left to the collector's leisure,
    Bun.gc(true) // nor is what recording 20,000 versions left behind: rendering comes next.
    return new Uint8Array(0)
  }
  const { packed } = await stores.pool.pack(bytes)
  return await stow(stores.files, packedFile(sha256), packed)
}

/** A raw document again; undefined when it was given up since. */
export async function fetchDocument(
  stores: { files: CacheFiles; pool: PackumentPool },
  head: { sha256: string; length: number },
  inRow: Uint8Array,
): Promise<ArrayBuffer | undefined> {
  if (head.length > PACKED_BYTES_MAX) {
    return await stores.files.file(rawFile(head.sha256))?.arrayBuffer()
  }
  const stored = fetchStowed(stores.files, packedFile(head.sha256), inRow)
  return stored && (await stores.pool.unpack(await stored.bytes()))
}

function rawFile(sha256: string): string {
  return `raw-${sha256}`
}

function packedFile(sha256: string): string {
  return `packed-${sha256}`
}

/** What goes into the row: the bytes, or nothing when they were put into the file. */
export async function stow(
  files: CacheFiles,
  name: string,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  if (bytes.byteLength <= IN_ROW_BYTES_MAX) return bytes
  await files.put(name, bytes)
  return new Uint8Array(0)
}

/** The bytes again, as a Blob; undefined when the file was given up since. */
export function fetchStowed(files: CacheFiles, name: string, inRow: Uint8Array): Blob | undefined {
  return inRow.byteLength > 0 ? new Blob([new Uint8Array(inRow)]) : files.file(name)
}
