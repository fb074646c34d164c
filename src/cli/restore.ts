/**
 * `restore`: a data dir from a backup. It refuses a data dir that is not empty, a backup that is not
 * whole and sound, and to go on with a log that others may have seen further than the backup goes:
 * that has to be shown (`--seen`), said (`--accept-rollback`), or avoided (`--new-log`: the same
 * leaves, signed anew by a new key under a new name, so that no key ever signs two histories).
 *
 * Until everything was checked nothing of it can be served (db/restoring.ts).
 * @module
 */
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, type Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import { Audit } from '../db/audit.ts'
import { blobFiles, keyFiles } from '../db/backup-contents.ts'
import { syncFolder } from '../db/durable.ts'
import { KeyFileError, keyPath, openLogKey, readLogKey } from '../db/keys.ts'
import { LockedError, lockDataDir } from '../db/lock.ts'
import { openRegistry } from '../db/open.ts'
import { SchemaError } from '../db/migrations.ts'
import type { RegistryDb } from '../db/registry-db.ts'
import { beginRestore, finishRestore, giveUpRestore, RestoringError } from '../db/restoring.ts'
import { signCheckpoint } from '../log/checkpoint.ts'
import { LogMisbehaviour } from '../log/client.ts'
import { timestamp } from '../registries/timestamp.ts'
import { type CheckedLog, checkLog } from './backup-check.ts'
import { BackupError, type BackupManifest } from './backup-manifest.ts'
import { EXIT, type Io } from './io.ts'
import { LogHttpError } from './log-http.ts'
import { BehindError, compareWithSeen } from './restore-seen.ts'
import { unpackBackup } from './restore-source.ts'

/** Bytes of an Ed25519 seed (RFC 8032, section 5.1.5). */
const SEED_BYTES = 32
/** `20261122083107`: two new logs of one registry are not called the same. */
const TIME_DIGITS = 14

export type RestoreShape = {
  /** A folder with the key files, for a backup that holds none. */
  keys: string | undefined
  seen: readonly string[]
  acceptRollback: boolean
  newLog: boolean
  json: boolean
}

/** What was restored, for people and programs. */
type Restored = { dataDir: string; files: number; log: { vkey: string; size: number } }

export async function restore(
  flags: Flags,
  source: string,
  shape: RestoreShape,
  io: Io,
): Promise<number> {
  const { dataDir } = loadConfig(flags).config
  checkShape(source, shape)
  try {
    using _lock = lockDataDir(dataDir, process.pid)
    const folder = beginRestore(dataDir)
    try {
      const restored = await restoreInto(folder, source, shape, io)
      finishRestore(dataDir)
      tell({ dataDir, ...restored }, shape, io)
      return EXIT.ok
    } catch (error) {
      giveUpRestore(dataDir)
      throw error
    }
  } catch (error) {
    const told = outcomeOf(error)
    if (told === null) throw error
    if (error instanceof LogMisbehaviour) io.err(`${error.evidence}\n`)
    io.err(`npmx-registry: ${told.sentence}. Nothing was restored.\n`)
    return told.code
  }
}

function checkShape(source: string, { keys, seen, acceptRollback, newLog }: RestoreShape): void {
  if (source !== '-' && !existsSync(source)) throw new ConfigError(`there is no ${source}`)
  const ways = [seen.length > 0, acceptRollback, newLog].filter(Boolean).length
  if (ways === 0) {
    throw new ConfigError(
      'a log that goes on from an old backup signs a second history. Show the newest checkpoint ' +
        'that anybody has seen (--seen URL or FILE), or say that nobody has seen a later one than ' +
        'the backup holds (--accept-rollback), or begin a new log with the same leaves (--new-log)',
    )
  }
  if (ways > 1) throw new ConfigError('--seen, --accept-rollback and --new-log exclude each other')
  if (keys !== undefined && !existsSync(keys)) throw new ConfigError(`there is no folder ${keys}`)
}

async function restoreInto(
  folder: string,
  source: string,
  shape: RestoreShape,
  io: Io,
): Promise<Omit<Restored, 'dataDir'>> {
  const manifest = await unpackBackup(source, folder)
  if (shape.keys !== undefined) copyKeys(shape.keys, folder, manifest)
  if (!shape.newLog) checkKey(folder, manifest)
  using db = openRegistry(folder)
  const { vkey } = manifest.log
  const checked = await checkLog(db, folder, vkey, io)
  checkAgainstManifest(db, folder, checked, manifest)
  for (const seen of shape.seen) await compareWithSeen(checked, vkey, seen)
  const goesOnAs = shape.newLog ? beginNewLog(db, folder, checked, vkey) : vkey
  // Everything into the one file: it is about to be moved.
  db.database.run('PRAGMA wal_checkpoint(TRUNCATE)')
  return { files: manifest.files.length, log: { vkey: goesOnAs, size: checked.state.size } }
}

function copyKeys(from: string, folder: string, manifest: BackupManifest): void {
  if (manifest.keys) throw new ConfigError('the backup holds its keys: --keys has no place here')
  mkdirSync(join(folder, 'keys'), { mode: 0o700 })
  for (const path of keyFiles(from)) {
    copyFileSync(join(from, path.slice('keys/'.length)), join(folder, path))
  }
  syncFolder(join(folder, 'keys'))
}

/** The private key has to be at hand, and it has to be that of this log. */
function checkKey(folder: string, manifest: BackupManifest): void {
  const { vkey } = manifest.log
  if (!existsSync(join(folder, 'keys', 'log.key'))) {
    throw new ConfigError(
      `the backup holds no keys. Name the folder with the key files of ${vkey} (--keys), or begin ` +
        'a new log with the same leaves (--new-log)',
    )
  }
  const found = readLogKey(folder).vkey
  if (found === vkey) return
  throw new ConfigError(`keys/log.key is that of another log: ${found}, the backup is of ${vkey}`)
}

function checkAgainstManifest(
  db: RegistryDb,
  folder: string,
  { state }: CheckedLog,
  { log }: BackupManifest,
): void {
  if (state.size !== log.size || state.root.toBase64() !== log.root) {
    throw new BackupError('registry.db holds another tree than the manifest says')
  }
  const missing = blobFiles(db).find(path => !existsSync(join(folder, path)))
  if (missing !== undefined) throw new BackupError(`a version refers to ${missing}: missing`)
}

/**
 * The same leaves, and with them the same tree, under a new name and a new key: what the old key
 * signed stays as it is and gets no continuation. Clients have to be told the new key.
 */
function beginNewLog(
  db: RegistryDb,
  folder: string,
  { state, store }: CheckedLog,
  old: string,
): string {
  const now = new Date()
  const host = old.slice(0, old.indexOf('/'))
  const origin = `${host}/log-${now.toISOString().replaceAll(/\D/g, '').slice(0, TIME_DIGITS)}`
  rmSync(keyPath(folder, 'log.key'), { force: true })
  const { signer, vkey } = openLogKey(folder, origin, false, randomSeed)
  const { size, root } = state
  const note = signCheckpoint({ origin, size, root }, signer)
  db.transaction(() => {
    if (!store.advance(state, { ...state, note })) throw new BackupError('the log moved meanwhile')
    const [before, after] = [old, vkey].map(log => JSON.stringify({ log, size }))
    const told = { before: before ?? null, after: after ?? null }
    const time = timestamp(now)
    new Audit(db).append({ time, actor: 'cli', action: 'log.begin', target: origin, ...told })
  })
  return vkey
}

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES))
}

function tell({ dataDir, files, log }: Restored, shape: RestoreShape, io: Io): void {
  if (shape.json) return io.out(`${JSON.stringify({ dataDir, files, log })}\n`)
  io.out(`${dataDir}: ${files} files, a log of ${log.size} leaves, sound.\n${log.vkey}\n`)
  if (shape.newLog) {
    io.err('This is a new log: whoever checks it (verify, monitors) has to be told its key.\n')
  }
  for (const name of ['registry.key', 'secrets.key']) {
    if (existsSync(keyPath(dataDir, name))) continue
    io.err(
      `There is no keys/${name}: the first start makes a new one. docs/operating.md, Backup.\n`,
    )
  }
}

function outcomeOf(error: unknown): { code: number; sentence: string } | null {
  if (!(error instanceof Error)) return null
  const sentence = error.message
  if (error instanceof BackupError || error instanceof BehindError) {
    return { code: EXIT.findings, sentence }
  }
  if (error instanceof LogMisbehaviour) return { code: EXIT.misbehaved, sentence }
  if (error instanceof LogHttpError) return { code: EXIT.unreachable, sentence }
  const isAsked = [RestoringError, LockedError, KeyFileError, SchemaError].some(
    kind => error instanceof kind,
  )
  if (isAsked) return { code: EXIT.usage, sentence }
  // The disk is full, a folder may not be written to, a file of a folder is not there.
  return 'code' in error && /^E[A-Z]+$/.test(String(error.code))
    ? { code: EXIT.unreachable, sentence }
    : null
}
