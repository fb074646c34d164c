/**
 * Stored tarballs: the small ones are rows of the transaction that refers to them, the others files;
 * each is what it was when it is read, or nothing is.
 * @module
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync, chmodSync } from 'node:fs'
import { join } from 'node:path'
import { blobFiles, checkTarballRows } from '../../../src/db/backup-contents.ts'
import { snapshotRegistry } from '../../../src/db/backup-snapshot.ts'
import { BlobError, DiskBlobs } from '../../../src/db/blobs.ts'
import { openRegistry } from '../../../src/db/open.ts'
import type { RegistryDb } from '../../../src/db/registry-db.ts'
import { Removals } from '../../../src/db/removals.ts'
import { fileDigest, isRow, ROW_BYTES_MAX, Tarballs } from '../../../src/db/tarballs.ts'
import { temporaryDir, type TemporaryDir } from './data-dir.ts'

let dir: TemporaryDir
let db: RegistryDb
let removals: Removals
let tarballs: Tarballs

beforeEach(() => {
  dir = temporaryDir()
  db = openRegistry(dir.path)
  removals = new Removals(dir.path, message => expect(message).toBe(''))
  tarballs = new Tarballs(db, new DiskBlobs(join(dir.path, 'blobs'), removals))
})

afterEach(() => {
  removals[Symbol.dispose]()
  db[Symbol.dispose]()
  dir[Symbol.dispose]()
})

const integrityOf = (bytes: Uint8Array) =>
  `sha512-${createHash('sha512').update(bytes).digest('base64')}`
const bytesOf = (length: number) => new Uint8Array(length).map((_, i) => i % 251)
const files = () =>
  readdirSync(join(dir.path, 'blobs'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))

async function store(bytes: Uint8Array): Promise<string> {
  const integrity = integrityOf(bytes)
  if (isRow(bytes)) db.transaction(() => tarballs.addRow(integrity, bytes))
  else await tarballs.files.put(fileDigest(integrity), bytes)
  return integrity
}

async function read(integrity: string): Promise<Uint8Array | undefined> {
  const found = await tarballs.get(integrity)
  return found && new Uint8Array(await found.arrayBuffer())
}

describe('tarballs', () => {
  test.each([0, 1, ROW_BYTES_MAX, ROW_BYTES_MAX + 1, 3 * ROW_BYTES_MAX])(
    '%i bytes and back',
    async length => {
      const bytes = bytesOf(length)
      const integrity = await store(bytes)
      expect(await read(integrity)).toEqual(bytes)
      expect(files()).toHaveLength(length > ROW_BYTES_MAX ? 1 : 0)
      // The same again changes nothing.
      await store(bytes)
      expect(await read(integrity)).toEqual(bytes)
      checkTarballRows(db)
    },
  )

  test('what is not there is undefined', async () => {
    expect(await read(integrityOf(bytesOf(5)))).toBeUndefined()
  })

  test('a row is there with its transaction, and gone without it', async () => {
    const bytes = bytesOf(100)
    const integrity = integrityOf(bytes)
    const fails = () =>
      db.transaction(() => {
        tarballs.addRow(integrity, bytes)
        throw new Error('impossible')
      })
    expect(fails).toThrow('impossible')
    expect(await read(integrity)).toBeUndefined()
    await store(bytes)
    db.transaction(() => tarballs.removeRow(integrity))
    expect(await read(integrity)).toBeUndefined()
  })

  test('what is too large for a row is none', () => {
    const bytes = bytesOf(ROW_BYTES_MAX + 1)
    expect(() => tarballs.addRow(integrityOf(bytes), bytes)).toThrow('is no row')
  })

  test('with any one byte changed, cut or longer it is not read', async () => {
    const bytes = bytesOf(64)
    const integrity = await store(bytes)
    const set = db.database.prepare<unknown, [Uint8Array]>('UPDATE hosted_tarball SET bytes = ?')
    const changed = [...bytes.keys()].map(i => bytes.map((byte, j) => (i === j ? byte ^ 1 : byte)))
    for (const other of [...changed, bytes.subarray(1), new Uint8Array([...bytes, 0])]) {
      set.run(other)
      await expect(tarballs.get(integrity)).rejects.toBeInstanceOf(BlobError)
      expect(() => checkTarballRows(db)).toThrow(BlobError)
    }
    set.run(bytes)
    expect(await read(integrity)).toEqual(bytes)
  })

  test('a damaged file is not read either', async () => {
    const bytes = bytesOf(ROW_BYTES_MAX + 1)
    const integrity = await store(bytes)
    const [path = ''] = files()
    const changed = readFileSync(path)
    changed[7] = (changed[7] ?? 0) ^ 1
    chmodSync(path, 0o600)
    writeFileSync(path, changed)
    await expect(tarballs.get(integrity)).rejects.toBeInstanceOf(BlobError)
  })

  test('one that an earlier version of this program kept as a file is found, small as it is', async () => {
    const bytes = bytesOf(100)
    const integrity = integrityOf(bytes)
    await tarballs.files.put(fileDigest(integrity), bytes)
    expect(await read(integrity)).toEqual(bytes)
  })

  test('what is removed is in no copy that is made later', async () => {
    // Of noise: every part of it can be told from anything else.
    const bytes = new Uint8Array(randomBytes(ROW_BYTES_MAX))
    const integrity = await store(bytes)
    const copyOf = async (name: string) => {
      await snapshotRegistry(dir.path, join(dir.path, name))
      return readFileSync(join(dir.path, name))
    }
    const parts = Array.from({ length: bytes.length / 32 }, (_, i) =>
      bytes.subarray(32 * i, 32 * i + 32),
    )
    const left = (copy: Buffer) => parts.filter(part => copy.includes(part)).length
    // Some lie across two pages.
    expect(left(await copyOf('before.db'))).toBeGreaterThan(parts.length * 0.9)
    db.transaction(() => tarballs.removeRow(integrity))
    expect(left(await copyOf('after.db'))).toBe(0)
  })

  test('a backup copies the files of versions whose tarballs are no rows', async () => {
    const [small, large] = [await store(bytesOf(9)), await store(bytesOf(ROW_BYTES_MAX + 9))]
    const add = db.database.prepare<unknown, [string, string, string]>(
      `INSERT INTO hosted_version (name, version, manifest, integrity, shasum, file, file_count,
         unpacked_size, published, publisher, keyid, sig)
       VALUES ('one', ?, '{}', ?, '', ?, 1, 1, '', '', '', '')`,
    )
    for (const [i, integrity] of [small, large, large].entries()) {
      add.run(`1.0.${i}`, integrity, `${i}.tgz`)
    }
    const digest = fileDigest(large)
    expect(blobFiles(db)).toEqual([`blobs/${digest.slice(0, 2)}/${digest}`])
    db.transaction(() => tarballs.removeRow(small))
    expect(blobFiles(db)).toHaveLength(2)
  })
})
