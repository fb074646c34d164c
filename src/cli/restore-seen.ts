/**
 * Whether a restored log may go on with its key. A log that is behind what somebody has seen would
 * sign a second history from there on; nothing inside a backup can tell, so it takes a checkpoint
 * from outside: of the public log, of a client's memory (`verify`'s state file), of a monitor.
 *
 *     seen is larger than the restored tree      behind: the key must not sign again
 *     the restored tree begins with seen         sound
 *     it does not                                a fork, with evidence
 *
 * It says nothing about checkpoints that were not shown to it.
 * @module
 */
import { readFileSync, statSync } from 'node:fs'
import { ConfigError, parseBaseUrl } from '../config-values.ts'
import { openCheckpoint } from '../log/checkpoint.ts'
import { LogClient } from '../log/client.ts'
import { CheckpointError, NoteError } from '../log/errors.ts'
import { NOTE_CHARS_MAX, newVerifier } from '../log/note.ts'
import type { CheckedLog } from './backup-check.ts'
import { httpReader } from './log-http.ts'
import { readState } from './verify-state.ts'

/** The restored log is older than what was seen of it. */
export class BehindError extends Error {
  override readonly name = 'BehindError'
  readonly code = 'behind'
}

/**
 * Compares the restored log with one thing that was seen.
 * @throws BehindError, LogMisbehaviour (a fork), LogHttpError, ConfigError
 */
export async function compareWithSeen(
  { state, reader }: CheckedLog,
  vkey: string,
  seen: string,
): Promise<void> {
  const verifier = newVerifier(vkey)
  const note = await readSeen(seen, vkey)
  const size = sizeOf(note, vkey, seen)
  if (size > state.size) {
    throw new BehindError(
      `${seen} shows ${size} leaves of this log, the backup has ${state.size}: a server that goes ` +
        'on from here would sign a second history. Restore a newer backup, or begin a new log with ' +
        'the same leaves under a new name and key (--new-log)',
    )
  }
  const ops = {
    readCheckpoint: () => reader.readCheckpoint(),
    readTile: (path: string) => reader.readTile(path),
    lookup: () => Promise.reject(new Error('nothing is looked up here')),
  }
  await new LogClient(ops, verifier, note).update()
}

/** A URL of a registry, a signed checkpoint in a file, or a state file of `verify`. */
async function readSeen(seen: string, vkey: string): Promise<string> {
  if (/^https?:\/\//.test(seen)) return await httpReader(parseBaseUrl(seen)).ops.readCheckpoint()
  const text = readFile(seen)
  if (!text.startsWith('{')) return text
  const known = readState(seen).find(log => log.vkey === vkey)
  if (known === undefined) throw new ConfigError(`${seen} remembers nothing of the log ${vkey}`)
  return known.checkpoint
}

function readFile(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.startsWith('{') || statSync(path).size <= NOTE_CHARS_MAX) return text
  } catch (error) {
    throw new ConfigError(`--seen: ${path} cannot be read (${String(error)})`, { cause: error })
  }
  throw new ConfigError(`--seen: ${path} is too long for a checkpoint`)
}

function sizeOf(note: string, vkey: string, seen: string): number {
  try {
    return openCheckpoint(note, newVerifier(vkey)).size
  } catch (error) {
    if (!(error instanceof NoteError || error instanceof CheckpointError)) throw error
    const what = `is no checkpoint that the key of this log signed (${error.message})`
    throw new ConfigError(`--seen: ${seen} ${what}`, { cause: error })
  }
}
