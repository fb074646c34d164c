/**
 * `backup`: a data dir as it is at one moment, also while a server works on it. It reads the files
 * of the data dir in a process of its own, so the server does not wait for it: a copy of
 * `registry.db` (db/backup-snapshot.ts) is the moment, and what it refers to never changes, and
 * stays until it was copied (db/removals.ts).
 *
 * What is not sound makes no backup: the log in the copy is rebuilt from its leaves, every tile and
 * every tarball is compared with its hash.
 * @module
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, type Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import {
  blobFiles,
  checkTarballRows,
  DATABASE_FILE,
  digestOf,
  keyFiles,
  tileFiles,
} from '../db/backup-contents.ts'
import { snapshotRegistry } from '../db/backup-snapshot.ts'
import { BlobError } from '../db/blobs.ts'
import { KeyFileError, readLogKey } from '../db/keys.ts'
import { SchemaError } from '../db/migrations.ts'
import { openRegistryReadonly, registryPath } from '../db/open.ts'
import { holdBlobs } from '../db/removals.ts'
import type { LogState } from '../log/log.ts'
import { version } from '../version.ts'
import { checkLog } from './backup-check.ts'
import {
  BackupError,
  type BackupFile,
  encodeManifest,
  MANIFEST_FILE,
  MANIFEST_SUM_FILE,
} from './backup-manifest.ts'
import { type BackupSink, openSink } from './backup-sink.ts'
import { EXIT, type Io } from './io.ts'
import { startProgress } from './progress.ts'

/** Another key may take the place of one while the copy is made; nobody does that all the time. */
const SNAPSHOTS_MAX = 3

export type BackupShape = { withKeys: boolean; json: boolean }

/** What is in the copy of the database, which files it needs, and the keys of the same moment. */
type Snapshot = { path: string; state: LogState; files: string[]; keys: Keys }

/** Bytes of key files by their path. */
type Keys = Map<string, Uint8Array>

export async function backup(
  flags: Flags,
  target: string,
  shape: BackupShape,
  io: Io,
): Promise<number> {
  const { dataDir } = loadConfig(flags).config
  if (!existsSync(registryPath(dataDir))) {
    throw new ConfigError(`${dataDir} holds no registry; name the folder with --data-dir`)
  }
  const now = new Date()
  try {
    const { vkey } = readLogKey(dataDir)
    // Of another version of this program: said of this file, and not of a copy of it.
    openRegistryReadonly(dataDir)[Symbol.dispose]()
    await using sink = await openSink(target, dataDir, now)
    using _hold = holdBlobs(dataDir)
    const path = join(sink.scratch, DATABASE_FILE)
    const keys = await copyDatabase(dataDir, path, shape.withKeys)
    const snapshot = { path, keys, ...(await checkSnapshot(dataDir, sink.scratch, vkey, io)) }
    const files = await copyFiles(dataDir, snapshot, sink, io)
    const { size, root } = snapshot.state
    const { text, sum } = encodeManifest({
      program: version,
      created: now.toISOString(),
      keys: shape.withKeys,
      log: { vkey, size, root: root.toBase64() },
      files,
    })
    await sink.add(MANIFEST_FILE, text.length, [text])
    await sink.add(MANIFEST_SUM_FILE, sum.length, [sum])
    await sink.finish()
    tell(target, vkey, { size, files, keys: shape.withKeys }, shape, io)
    return EXIT.ok
  } catch (error) {
    const told = outcomeOf(error)
    if (told === null) throw error
    io.err(`npmx-registry: ${told.sentence}; nothing was written\n`)
    return told.code
  }
}

/** Copies the database. @returns the keys, which were the same before and after that */
async function copyDatabase(dataDir: string, path: string, withKeys: boolean): Promise<Keys> {
  const read = (): Keys => (withKeys ? readKeys(dataDir) : new Map())
  for (let taken = 1; taken <= SNAPSHOTS_MAX; taken++) {
    const keys = read()
    await snapshotRegistry(dataDir, path)
    if (Bun.deepEquals(keys, read())) return keys
    rmSync(path)
  }
  throw new BackupError('the keys changed again and again while they were copied')
}

function readKeys(dataDir: string): Keys {
  const paths = keyFiles(join(dataDir, 'keys'))
  return new Map(paths.map(path => [path, readFileSync(join(dataDir, path))]))
}

/** Finds out what the copy of the database refers to; all of that is there, and sound. */
async function checkSnapshot(
  dataDir: string,
  scratch: string,
  vkey: string,
  io: Io,
): Promise<Pick<Snapshot, 'state' | 'files'>> {
  using db = openRegistryReadonly(scratch)
  checkTarballRows(db)
  const blobs = blobFiles(db)
  const gone = blobs.find(blob => !existsSync(join(dataDir, blob)))
  if (gone !== undefined) throw new BackupError(`the tarball ${gone} is missing`)
  const { state } = await checkLog(db, dataDir, vkey, io)
  return { state, files: [...tileFiles(dataDir, state), ...blobs] }
}

async function copyFiles(
  dataDir: string,
  snapshot: Snapshot,
  sink: BackupSink,
  io: Io,
): Promise<BackupFile[]> {
  const write = (text: string) => io.err(text)
  const total = snapshot.files.length + 1
  using progress = startProgress({ label: 'copying', total, tty: io.errIsTty, write })
  const files = [await copy(snapshot.path, DATABASE_FILE, sink)]
  progress.advance()
  for (const path of snapshot.files) {
    files.push(await copy(join(dataDir, path), path, sink))
    progress.advance()
  }
  for (const [path, bytes] of snapshot.keys) {
    await sink.add(path, bytes.length, [bytes])
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    files.push({ path, bytes: bytes.length, sha256 })
  }
  return files
}

async function copy(from: string, path: string, sink: BackupSink): Promise<BackupFile> {
  const sha256 = createHash('sha256')
  const sha512 = createHash('sha512')
  const digest = digestOf(path)
  async function* hashed() {
    for await (const chunk of createReadStream(from)) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError('a file is read as bytes')
      sha256.update(chunk)
      if (digest !== null) sha512.update(chunk)
      yield chunk
    }
  }
  const bytes = statSync(from).size
  await sink.add(path, bytes, hashed())
  if (digest !== null && sha512.digest('hex') !== digest) {
    throw new BackupError(`the tarball ${path} is damaged`)
  }
  return { path, bytes, sha256: sha256.digest('hex') }
}

function tell(
  target: string,
  vkey: string,
  made: { size: number; files: readonly BackupFile[]; keys: boolean },
  shape: BackupShape,
  io: Io,
): void {
  const { size, files, keys } = made
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const shown = { path: target, files: files.length, bytes, keys, log: { vkey, size } }
  // On stdout is the backup itself then.
  const say = (text: string) => (target === '-' ? io.err(text) : io.out(text))
  if (shape.json) return say(`${JSON.stringify(shown)}\n`)
  const rest = keys
    ? 'The private keys are in it: keep it as secret as they are.'
    : 'The private keys are not in it (--with-keys): without a copy of them no log goes on.'
  const megabytes = (bytes / 1e6).toFixed(1)
  say(`${target}: ${files.length} files, ${megabytes} MB, a log of ${size} leaves. ${rest}\n`)
}

function outcomeOf(error: unknown): { code: number; sentence: string } | null {
  if (error instanceof BackupError || error instanceof BlobError) {
    return { code: EXIT.findings, sentence: error.message }
  }
  if (error instanceof KeyFileError) return { code: EXIT.usage, sentence: error.message }
  if (error instanceof SchemaError) {
    const other = 'or make the backup with the version of this program that used it last'
    return { code: EXIT.usage, sentence: `${error.message}, ${other}` }
  }
  if (!(error instanceof Error) || !('code' in error)) return null
  // The disk is full, a folder may not be written to.
  return /^E[A-Z]+$/.test(String(error.code))
    ? { code: EXIT.unreachable, sentence: error.message }
    : null
}
