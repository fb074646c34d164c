/**
 * What `verify` remembers of logs between two runs: the key and the newest checkpoint that was
 * seen, so that a log cannot show one history today and another one tomorrow.
 *
 *     {
 *       "version": 1,
 *       "logs": [
 *         {
 *           "url": "https://registry.example/",
 *           "vkey": "registry.example/log+c74f20a3+AeEy…",
 *           "checkpoint": "registry.example/log\n20852163\nCsUY…\n\n— registry.example/log Az…\n",
 *           "seen": "2026-11-22T08:31:07Z"
 *         }
 *       ]
 *     }
 *
 * A file that cannot be read is an error and never an empty one: forgetting is what an attacker
 * wants. Runs side by side replace the file as a whole; the last one stays.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { writeReplacing } from '../db/durable.ts'

/** Some hundred logs; what is longer is another file. */
const STATE_BYTES_MAX = 4 * 1024 * 1024
const STATE_VERSION = 1

export type RememberedLog = {
  /** The registry, with a slash at its end. */
  url: string
  vkey: string
  /** A signed checkpoint. */
  checkpoint: string
  /** When it was seen, in UTC. */
  seen: string
}

/** A state file that cannot be read or written. */
export class StateError extends Error {
  override readonly name = 'StateError'
  readonly code = 'bad-state'
  readonly path: string

  constructor(path: string, message: string, cause?: unknown) {
    super(`${path}: ${message}`, cause === undefined ? undefined : { cause })
    this.path = path
  }
}

/** Where the state is when no file is named (XDG Base Directory Specification). */
export function defaultStatePath(env: Readonly<Record<string, string | undefined>>): string {
  const named = env['XDG_STATE_HOME']
  const home = env['HOME'] ?? env['USERPROFILE'] ?? '.'
  // The specification says that a relative path is to be ignored.
  const base = named?.startsWith('/') === true ? named : join(home, '.local', 'state')
  return join(base, 'npmx-registry', 'logs.json')
}

/** The log of this key, or of this URL where no key is known. */
export function findLog(
  logs: readonly RememberedLog[],
  url: string,
  vkey: string | undefined,
): RememberedLog | undefined {
  return logs.find(log => (vkey === undefined ? log.url === url : log.vkey === vkey))
}

/** All logs that the file remembers; none when it does not exist. */
export function readState(path: string): RememberedLog[] {
  if (!existsSync(path)) return []
  const parsed = attempt(path, 'cannot be read', (): unknown => {
    if (statSync(path).size > STATE_BYTES_MAX) throw new RangeError('it is too long')
    return JSON.parse(readFileSync(path, 'utf8'))
  })
  const fields = fieldsOf(parsed)
  const logs = fields.get('logs')
  if (fields.get('version') !== STATE_VERSION || !Array.isArray(logs)) {
    throw new StateError(path, 'is no state file of this program')
  }
  return logs.map(log => readLog(path, log))
}

/** Remembers one log in place of what was remembered for its key or URL. */
export function rememberLog(path: string, log: RememberedLog): void {
  const others = readState(path).filter(other => other.vkey !== log.vkey && other.url !== log.url)
  const text = JSON.stringify({ version: STATE_VERSION, logs: [...others, log] }, undefined, 2)
  attempt(path, 'cannot be written', () => {
    // A name of its own, since another run may be writing too.
    const own = `${path}.${randomUUID()}`
    writeReplacing({ path: own, bytes: Buffer.from(`${text}\n`) })
    renameSync(own, path)
  })
}

function readLog(path: string, value: unknown): RememberedLog {
  const fields = fieldsOf(value)
  const text = (name: string) => {
    const field = fields.get(name)
    if (typeof field !== 'string') throw new StateError(path, `a log without "${name}"`)
    return field
  }
  return {
    url: text('url'),
    vkey: text('vkey'),
    checkpoint: text('checkpoint'),
    seen: text('seen'),
  }
}

function fieldsOf(value: unknown): Map<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : [])
}

function attempt<T>(path: string, what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StateError(path, `${what}: ${reason}`, error)
  }
}
