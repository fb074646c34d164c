/**
 * Tarballs of hosted packages, each content once, checked on every reading.
 *
 * A small one is a row of `registry.db`: it becomes durable in the very transaction that refers to
 * it, with the same fsync, and a failed publish leaves nothing of it. As a file it would cost two
 * fsyncs and a name of its own, which is more than all the rest of a publish (and SQLite reads what
 * is this small no slower, https://sqlite.org/fasterthanfs.html). A larger one is a file
 * (blobs.ts), durable before that transaction begins.
 *
 * What refers to them is known by whoever writes the rows of versions.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import { createHash } from 'node:crypto'
import { BlobError, type BlobStore } from './blobs.ts'
import type { RegistryDb } from './registry-db.ts'

/**
 * Most tarballs of code are smaller. Above it a row would fill much of SQLite's page cache, and the
 * fsyncs of a file are a small part of what it takes to receive it.
 */
export const ROW_BYTES_MAX = 64 * 1024

export class Tarballs {
  /** The larger ones. */
  readonly files: BlobStore
  readonly #add: Statement<unknown, [string, Uint8Array]>
  readonly #find: Statement<{ bytes: Uint8Array<ArrayBuffer> }, [string]>
  readonly #remove: Statement<unknown, [string]>

  constructor({ database }: RegistryDb, files: BlobStore) {
    this.files = files
    this.#add = database.prepare(
      'INSERT INTO hosted_tarball (integrity, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING',
    )
    this.#find = database.prepare('SELECT bytes FROM hosted_tarball WHERE integrity = ?')
    this.#remove = database.prepare('DELETE FROM hosted_tarball WHERE integrity = ?')
  }

  /** Adds a small one in the transaction that is open. @param integrity `sha512-<base64>` */
  addRow(integrity: string, bytes: Uint8Array): void {
    if (!isRow(bytes)) throw new TypeError(`a tarball of ${bytes.byteLength} bytes is no row`)
    this.#add.run(integrity, bytes)
  }

  /** Removes a small one in the transaction that is open, where there is one. */
  removeRow(integrity: string): void {
    this.#remove.run(integrity)
  }

  /** The bytes, checked just now; undefined when there are none. @throws BlobError damaged */
  async get(integrity: string): Promise<Blob | undefined> {
    const row = this.#find.get(integrity)
    if (row === null) return await this.files.get(fileDigest(integrity))
    checkTarball(integrity, row.bytes)
    return new Blob([row.bytes])
  }
}

/** Whether these bytes are kept as a row. */
export function isRow({ byteLength }: Uint8Array): boolean {
  return byteLength <= ROW_BYTES_MAX
}

/** The name of the file of a tarball: its SHA-512 in hex. */
export function fileDigest(integrity: string): string {
  return Uint8Array.fromBase64(integrity.slice('sha512-'.length)).toHex()
}

/** @throws BlobError damaged */
export function checkTarball(integrity: string, bytes: Uint8Array): void {
  const found = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  if (found === integrity) return
  throw new BlobError(`a stored tarball is damaged: ${integrity} has ${found}`)
}
