/**
 * `backup`: a data dir as it is at one moment, also while a server works on it. It reads the files
 * of the data dir in a process of its own, so the server does not wait for it: a copy of
 * `registry.db` (db/backup-snapshot.ts) is the moment, and what it refers to never changes.
 *
 * What is not sound makes no backup: the log in the copy is rebuilt from its leaves, every tile and
 * every tarball is compared with its hash.
 * @module
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, type Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import { blobFiles, DATABASE_FILE, digestOf, keyFiles, tileFiles } from '../db/backup-contents.ts'
import { snapshotRegistry } from '../db/backup-snapshot.ts'
import { KeyFileError, readLogKey } from '../db/keys.ts'
import { openRegistryReadonly, registryPath } from '../db/open.ts'
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

/** A version can be unpublished, and its tarball removed, right after the moment of the copy. */
const SNAPSHOTS_MAX = 3

export type BackupShape = { withKeys: boolean; json: boolean }

/** What is in the copy of the database, and which files it needs. */
type Snapshot = { path: string; state: LogState; files: string[] }

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
    await using sink = await openSink(target, dataDir, now)
    const snapshot = await takeSnapshot(dataDir, sink.scratch, vkey, io)
    const keys = shape.withKeys ? keyFiles(join(dataDir, 'keys')) : []
    const files = await copyFiles(dataDir, snapshot, keys, sink, io)
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

/** Copies the database and finds out what it refers to; all of that is there, and sound. */
async function takeSnapshot(
  dataDir: string,
  scratch: string,
  vkey: string,
  io: Io,
): Promise<Snapshot> {
  for (let taken = 1; ; taken++) {
    const path = join(scratch, DATABASE_FILE)
    await snapshotRegistry(dataDir, path)
    using db = openRegistryReadonly(scratch)
    const blobs = blobFiles(db)
    const gone = blobs.filter(blob => !existsSync(join(dataDir, blob)))
    if (gone.length > 0 && taken < SNAPSHOTS_MAX) {
      rmSync(path)
      continue
    }
    if (gone.length > 0) throw new BackupError(`the tarball ${gone[0]} is missing`)
    const { state } = await checkLog(db, dataDir, vkey, io)
    return { path, state, files: [...tileFiles(dataDir, state), ...blobs] }
  }
}

async function copyFiles(
  dataDir: string,
  snapshot: Snapshot,
  keys: readonly string[],
  sink: BackupSink,
  io: Io,
): Promise<BackupFile[]> {
  const paths = [...snapshot.files, ...keys]
  const write = (text: string) => io.err(text)
  const total = paths.length + 1
  using progress = startProgress({ label: 'copying', total, tty: io.errIsTty, write })
  const files = [await copy(snapshot.path, DATABASE_FILE, sink)]
  progress.advance()
  for (const path of paths) {
    files.push(await copy(join(dataDir, path), path, sink))
    progress.advance()
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
  if (error instanceof BackupError) return { code: EXIT.findings, sentence: error.message }
  if (error instanceof KeyFileError) return { code: EXIT.usage, sentence: error.message }
  if (!(error instanceof Error) || !('code' in error)) return null
  // The disk is full, a folder may not be written to, a tarball went while it was copied.
  return /^E[A-Z]+$/.test(String(error.code))
    ? { code: EXIT.unreachable, sentence: error.message }
    : null
}
