/**
 * Whether a copy of a data dir is sound, before it is kept and before it is used: the log from its
 * leaves up (log/fsck.ts), and what SQLite finds in its own file.
 * @module
 */
import { damageOf } from '../db/backup-snapshot.ts'
import { DataDirReader } from '../db/fsck-reader.ts'
import { SqliteLogStore } from '../db/log-store.ts'
import type { RegistryDb } from '../db/registry-db.ts'
import { type Finding, fsck } from '../log/fsck.ts'
import type { LogState } from '../log/log.ts'
import { newVerifier } from '../log/note.ts'
import { TILE_WIDTH } from '../log/tile.ts'
import { BackupError } from './backup-manifest.ts'
import type { Io } from './io.ts'
import { startProgress } from './progress.ts'

/** Findings that are told; a disk that died has thousands. */
const FINDINGS_TOLD_MAX = 20

/** A registry whose log was found sound. */
export type CheckedLog = { state: LogState; store: SqliteLogStore; reader: DataDirReader }

/**
 * Checks the database and the log in it, whose tiles are in `dataDir`. Findings go to stderr.
 * @throws BackupError when there is any
 */
export async function checkLog(
  db: RegistryDb,
  dataDir: string,
  vkey: string,
  io: Io,
): Promise<CheckedLog> {
  const damage = damageOf(db.database)
  if (damage !== null) throw new BackupError(`registry.db is damaged: ${damage}`)
  const store = new SqliteLogStore(db, dataDir)
  const state = store.readState()
  if (state === null) throw new BackupError('registry.db holds no log')
  const reader = new DataDirReader(store)
  const findings = await findingsOf(reader, state, vkey, io)
  if (store.leafEnd() !== state.size) {
    findings.push({ path: 'registry.db', what: `has leaves beyond the signed ${state.size}` })
  }
  for (const { path, what } of findings.slice(0, FINDINGS_TOLD_MAX)) io.err(`${path}: ${what}\n`)
  if (findings.length === 0) return { state, store, reader }
  throw new BackupError(`the log is not sound: ${findings.length} findings`)
}

async function findingsOf(
  reader: DataDirReader,
  { size }: LogState,
  vkey: string,
  io: Io,
): Promise<Finding[]> {
  const total = Math.ceil(size / TILE_WIDTH)
  const write = (text: string) => io.err(text)
  using progress = startProgress({ label: 'checking the log', total, tty: io.errIsTty, write })
  const findings: Finding[] = []
  const onProgress = () => progress.advance()
  for await (const finding of fsck(reader, newVerifier(vkey), { onProgress })) {
    findings.push(finding)
  }
  return findings
}
