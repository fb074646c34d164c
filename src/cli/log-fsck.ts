/**
 * `log fsck`: checks a whole log from its leaves up (`log/fsck.ts`), read from a data dir or over
 * HTTP. A data dir may be in use: what is checked is the tree of the checkpoint read first.
 * @module
 */
import { loadConfig, type Flags } from '../config.ts'
import { parseBaseUrl } from '../config-values.ts'
import { KeyFileError, readLogKey } from '../db/keys.ts'
import { storedLogReader } from '../db/log-reader.ts'
import { openRegistryReadonly } from '../db/open.ts'
import { openCheckpoint, type Checkpoint } from '../log/checkpoint.ts'
import { CheckpointError, NoteError } from '../log/errors.ts'
import { fsck, type Finding, type FsckReader, type FsckSummary } from '../log/fsck.ts'
import { newVerifier, type Verifier } from '../log/note.ts'
import { TILE_WIDTH } from '../log/tile.ts'
import { EXIT, type Io } from './io.ts'
import { httpReader, LogHttpError } from './log-http.ts'
import { startProgress } from './progress.ts'

type Where = { url: string | undefined; key: string | undefined; json: boolean }

/** A log to check, and what to let go of afterwards. */
type Opened = Disposable & { reader: FsckReader; vkey: string }

export async function logFsck(flags: Flags, where: Where, io: Io): Promise<number> {
  try {
    using opened = where.url === undefined ? openDataDir(flags, where) : await openUrl(where, io)
    const verifier = newVerifier(opened.vkey)
    const note = await opened.reader.readCheckpoint()
    const checkpoint = openCheckpoint(note, verifier)
    const reader = { ...opened.reader, readCheckpoint: () => Promise.resolve(note) }
    return await check({ reader, verifier, checkpoint, json: where.json }, io)
  } catch (error) {
    return told(error, io)
  }
}

function openDataDir(flags: Flags, where: Where): Opened {
  const { config } = loadConfig(flags)
  const vkey = where.key ?? readLogKey(config.dataDir).vkey
  const db = openRegistryReadonly(config.dataDir)
  return { reader: storedLogReader(db, config.dataDir), vkey, [Symbol.dispose]: () => db[Symbol.dispose]() }
}

async function openUrl(where: Where & { url?: string }, io: Io): Promise<Opened> {
  const remote = httpReader(parseBaseUrl(where.url ?? ''))
  const { readCheckpoint, readTile } = remote.ops
  const vkey = where.key ?? (await remote.readVkey())
  if (where.key === undefined) {
    io.err(`key ${vkey} was asked of the server itself; name the one you trust with --key\n`)
  }
  return { reader: { readCheckpoint, readTile: unlessUnreachable(readTile) }, vkey, [Symbol.dispose]() {} }
}
