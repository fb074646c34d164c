/**
 * Takes a backup apart into an empty folder: a tar file, a folder, or tar on stdin. Nothing is
 * believed: each path has to be one that a backup can have, each file has to be in the manifest
 * with its size and hash, and each file of the manifest has to be there. What lies in the folder
 * afterwards is on the disk.
 * @module
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Parser, type ReadEntry } from 'tar'
import { isBackupPath } from '../db/backup-contents.ts'
import { syncFolder } from '../db/durable.ts'
import {
  BackupError,
  type BackupManifest,
  MANIFEST_BYTES_MAX,
  MANIFEST_FILE,
  MANIFEST_SUM_FILE,
  parseManifest,
} from './backup-manifest.ts'

const FOLDER_MODE = 0o700
const FILE_MODE = 0o600
/** Tiles and tarballs never change: nobody writes to them by mistake. */
const IMMUTABLE_MODE = 0o444

/** What came of one file. */
type Unpacked = { bytes: number; sha256: string }

/** Unpacks `source` into the folder and compares it with its manifest. @throws BackupError */
export async function unpackBackup(source: string, into: string): Promise<BackupManifest> {
  const folder = new Unpacking(into)
  const isFolder = source !== '-' && statSync(source).isDirectory()
  const manifest = isFolder ? await readFolder(source, folder) : await readTar(source, folder)
  folder.compare(manifest)
  folder.sync()
  return manifest
}

/** The folder, and what has come into it. */
class Unpacking {
  readonly #into: string
  readonly #files = new Map<string, Unpacked>()
  readonly #folders = new Set<string>()

  constructor(into: string) {
    this.#into = into
    this.#folders.add(into)
  }

  /** @param read begins to read it, and not before: a stream that nobody reads fails unheard */
  async add(path: string, read: () => AsyncIterable<unknown>): Promise<void> {
    if (this.#files.has(path) || !isPart(path)) {
      throw new BackupError(`${JSON.stringify(path)} has no place in a backup`)
    }
    const to = join(this.#into, path)
    mkdirSync(dirname(to), { recursive: true, mode: FOLDER_MODE })
    for (let up = dirname(to); up.length > this.#into.length; up = dirname(up)) {
      this.#folders.add(up)
    }
    const isImmutable = /^(?:tiles|blobs)\//.test(path)
    const file = await open(to, 'wx', isImmutable ? IMMUTABLE_MODE : FILE_MODE)
    const sha256 = createHash('sha256')
    let bytes = 0
    try {
      for await (const chunk of read()) {
        if (!(chunk instanceof Uint8Array)) throw new TypeError('a backup is read as bytes')
        sha256.update(chunk)
        bytes += chunk.length
        await file.writeFile(chunk)
      }
      await file.sync()
    } finally {
      await file.close()
    }
    this.#files.set(path, { bytes, sha256: sha256.digest('hex') })
  }

  /** The manifest that came with it, which is then no part of the data dir. */
  takeManifest(): BackupManifest {
    const [text, sum] = [MANIFEST_FILE, MANIFEST_SUM_FILE].map(name => {
      const found = this.#files.get(name)
      if (found === undefined) throw new BackupError(`${name} is missing: it is not whole`)
      if (found.bytes > MANIFEST_BYTES_MAX) throw new BackupError(`${name} is too long`)
      const bytes = readFileSync(join(this.#into, name))
      rmSync(join(this.#into, name))
      this.#files.delete(name)
      return bytes
    })
    return parseManifest(text ?? new Uint8Array(0), sum ?? new Uint8Array(0))
  }

  compare(manifest: BackupManifest): void {
    for (const { path, bytes, sha256 } of manifest.files) {
      const found = this.#files.get(path)
      if (found === undefined) throw new BackupError(`${path} is missing`)
      if (found.bytes !== bytes || found.sha256 !== sha256) {
        throw new BackupError(`${path} is damaged: it does not have the hash in the manifest`)
      }
      this.#files.delete(path)
    }
    const [extra] = this.#files.keys()
    if (extra !== undefined) throw new BackupError(`${extra} is not in the manifest`)
  }

  sync(): void {
    for (const folder of this.#folders) syncFolder(folder)
  }
}

function isPart(path: string): boolean {
  return path === MANIFEST_FILE || path === MANIFEST_SUM_FILE || isBackupPath(path)
}

/** Only what the manifest names is read: a folder may have got other files. */
async function readFolder(source: string, folder: Unpacking): Promise<BackupManifest> {
  for (const name of [MANIFEST_FILE, MANIFEST_SUM_FILE]) {
    await folder.add(name, () => createReadStream(join(source, name)))
  }
  const manifest = folder.takeManifest()
  for (const { path } of manifest.files) {
    await folder.add(path, () => createReadStream(join(source, path)))
  }
  return manifest
}

async function readTar(source: string, folder: Unpacking): Promise<BackupManifest> {
  const input = source === '-' ? process.stdin : createReadStream(source)
  const ended = Promise.withResolvers<void>()
  // It may fail while nobody waits for it; whoever waits next hears of it.
  ended.promise.catch(() => undefined)
  let work = Promise.resolve()
  const onReadEntry = (entry: ReadEntry) => {
    // The parser hands out an entry when the one before it was read to its end.
    work = work.then(() => addEntry(entry, folder))
    work.catch(ended.reject)
  }
  // Strict: what it would otherwise pass over, such as a bad header, is an error.
  const parser = new Parser({ strict: true, onReadEntry })
  parser.on('error', ended.reject)
  parser.on('end', ended.resolve)
  try {
    for await (const chunk of input) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError('a backup is read as bytes')
      if (!parser.write(chunk)) await Promise.race([once(parser, 'drain'), ended.promise])
    }
    parser.end()
    await ended.promise
    await work
  } catch (error) {
    throw isTarError(error) ? new BackupError(`no sound tar file: ${error.message}`) : error
  }
  return folder.takeManifest()
}

/** What the parser says of a file that is none, or was cut: `TAR_ENTRY_INVALID` and its like. */
function isTarError(error: unknown): error is Error {
  return error instanceof Error && 'tarCode' in error
}

async function addEntry(entry: ReadEntry, folder: Unpacking): Promise<void> {
  if (entry.type !== 'File') throw new BackupError(`${entry.path} is no file (${entry.type})`)
  await folder.add(entry.path, () => entry)
}
