/**
 * `log fsck`: checks a whole log from its leaves up (`log/fsck.ts`), read from a data dir or over
 * HTTP. The data dir may be in use by a server: what is checked is the tree of the checkpoint that
 * is read first.
 * @module
 */
import { existsSync } from 'node:fs'
import { loadConfig, type Flags } from '../config.ts'
import { ConfigError, parseBaseUrl } from '../config-values.ts'
import { DataDirReader } from '../db/fsck-reader.ts'
import { KeyFileError, readLogKey } from '../db/keys.ts'
import { SqliteLogStore } from '../db/log-store.ts'
import { SchemaError } from '../db/migrations.ts'
import { openRegistryReadonly, registryPath } from '../db/open.ts'
import { openCheckpoint, type Checkpoint } from '../log/checkpoint.ts'
import { CheckpointError, NoteError } from '../log/errors.ts'
import { fsck, type Finding, type FsckReader, type FsckSummary } from '../log/fsck.ts'
import { newVerifier, type Verifier } from '../log/note.ts'
import { TILE_WIDTH } from '../log/tile.ts'
import { EXIT, type Io } from './io.ts'
import { httpReader, LogHttpError } from './log-http.ts'
import { startProgress, type Progress } from './progress.ts'

export type FsckTarget = { url: string | undefined; key: string | undefined; json: boolean }

/** A log to check; `close` lets go of what it is read from. */
type Opened = { reader: FsckReader; vkey: string; close: () => void }

export async function logFsck(flags: Flags, target: FsckTarget, io: Io): Promise<number> {
  try {
    const opened =
      target.url === undefined ? openDataDir(flags, target) : await openUrl(target.url, target, io)
    try {
      return await check(opened, target.json, io)
    } finally {
      opened.close()
    }
  } catch (error) {
    const told = outcomeOf(error)
    if (told === null) throw error
    io.err(`npmx-registry: ${told.sentence}\n`)
    return told.code
  }
}

function openDataDir(flags: Flags, target: FsckTarget): Opened {
  const { dataDir } = loadConfig(flags).config
  if (!existsSync(registryPath(dataDir))) {
    throw new ConfigError(`${dataDir} holds no log; name the folder with --data-dir`)
  }
  const vkey = target.key ?? readLogKey(dataDir).vkey
  const db = openRegistryReadonly(dataDir)
  const reader = new DataDirReader(new SqliteLogStore(db, dataDir))
  return { reader, vkey, close: () => db[Symbol.dispose]() }
}

async function openUrl(url: string, target: FsckTarget, io: Io): Promise<Opened> {
  const { ops, readVkey } = httpReader(parseBaseUrl(url))
  const vkey = target.key ?? (await readVkey())
  if (target.key === undefined) {
    io.err(`The server itself named the key ${vkey}; name the one you trust with --key.\n`)
  }
  return { reader: ops, vkey, close() {} }
}

async function check(opened: Opened, json: boolean, io: Io): Promise<number> {
  const verifier = newVerifier(opened.vkey)
  const note = await opened.reader.readCheckpoint()
  const checkpoint = openCheckpoint(note, verifier)
  const fault: { unreachable?: LogHttpError } = {}
  const reader = readerOf(opened.reader, note, error => {
    fault.unreachable ??= error
  })
  const findings: Finding[] = []
  const found = (finding: Finding) => {
    // A log that cannot be asked is no finding about the log.
    if (fault.unreachable !== undefined) throw fault.unreachable
    findings.push(finding)
    if (!json) io.out(`${finding.path}: ${finding.what}\n`)
  }
  const summary = await walk({ reader, verifier, checkpoint, found }, io)
  io.out(json ? asJson(checkpoint, summary, findings) : asText(checkpoint, summary))
  return findings.length === 0 ? EXIT.ok : EXIT.findings
}

type Work = {
  reader: FsckReader
  verifier: Verifier
  checkpoint: Checkpoint
  found: (finding: Finding) => void
}

async function walk(work: Work, io: Io): Promise<FsckSummary> {
  using progress = startBundles(work.checkpoint.size, io)
  const onProgress = () => progress.advance()
  const steps = fsck(work.reader, work.verifier, { onProgress })
  for (;;) {
    const step = await steps.next()
    if (step.done === true) return step.value
    work.found(step.value)
  }
}

function startBundles(size: number, io: Io): Progress {
  const total = Math.ceil(size / TILE_WIDTH)
  return startProgress({ label: 'checking', total, tty: io.errIsTty, write: text => io.err(text) })
}

/** The same reader, held to one checkpoint, that tells when the log could not be asked. */
function readerOf(
  reader: FsckReader,
  note: string,
  unreachable: (error: LogHttpError) => void,
): FsckReader {
  const readTile = async (path: string) => {
    try {
      return await reader.readTile(path)
    } catch (error) {
      if (error instanceof LogHttpError && error.code === 'unreachable') unreachable(error)
      throw error
    }
  }
  const rows =
    reader.findIndex === undefined || reader.readLeaves === undefined
      ? {}
      : { findIndex: reader.findIndex.bind(reader), readLeaves: reader.readLeaves.bind(reader) }
  return { readCheckpoint: () => Promise.resolve(note), readTile, ...rows }
}

function asText({ origin, size }: Checkpoint, summary: FsckSummary): string {
  const unique =
    summary.uniqueness === 'checked' ? 'each identity once' : 'identities were not compared'
  const verdict = summary.findings === 0 ? 'sound' : `${summary.findings} findings`
  return `${origin}: ${size} leaves, ${unique}: ${verdict}\n`
}

function asJson(checkpoint: Checkpoint, summary: FsckSummary, findings: Finding[]): string {
  const { origin, size, root } = checkpoint
  const { uniqueness } = summary
  return `${JSON.stringify({ origin, size, root: root.toBase64(), uniqueness, findings })}\n`
}

/** A key that does not open the checkpoint is the worst there is; an unasked log is no verdict. */
function outcomeOf(error: unknown): { code: number; sentence: string } | null {
  if (error instanceof LogHttpError) return { code: EXIT.unreachable, sentence: error.message }
  if (error instanceof KeyFileError || error instanceof SchemaError) {
    return { code: EXIT.usage, sentence: error.message }
  }
  if (error instanceof CheckpointError) return { code: EXIT.misbehaved, sentence: error.message }
  if (!(error instanceof NoteError)) return null
  if (error.code === 'bad-key') return { code: EXIT.usage, sentence: `--key: ${error.message}` }
  return { code: EXIT.misbehaved, sentence: `checkpoint: ${error.message}` }
}
