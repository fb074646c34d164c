/**
 * Passwords and durations as the commands on accounts take them: a password from a file, from
 * stdin, from a person who types it twice, or made here; never from a flag.
 * @module
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ConfigError } from '../config-values.ts'
import type { Io } from './io.ts'
import type { Input } from './upstream-input.ts'

/** 120 bits in 20 characters: strong, and short enough to be typed once. */
const PASSWORD_BYTES = 15
const STDIN = '-'
const DAY_MS = 86_400_000
const UNITS = new Map([
  ['h', DAY_MS / 24],
  ['d', DAY_MS],
  ['w', 7 * DAY_MS],
])

/** A password, and whether it was made here and so has to be told. */
export type GivenPassword = { password: string; isMade: boolean }

/** @param file the flag `--password-file` @throws ConfigError */
export async function passwordFor(
  file: string | undefined,
  io: Io,
  input: Input,
  ask: (question: string) => Promise<string>,
): Promise<GivenPassword> {
  if (file !== undefined) return { password: await readPassword(file, input), isMade: false }
  if (io.errIsTty && input.isTty) {
    const password = await ask('Password (empty: one is made): ')
    if (password !== '') {
      if ((await ask('Again: ')) !== password) throw new ConfigError('the two differ')
      return { password, isMade: false }
    }
  }
  return { password: randomBytes(PASSWORD_BYTES).toString('base64url'), isMade: true }
}

/** Asks without showing what is typed. */
export async function askHidden(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const { Writable } = await import('node:stream')
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

async function readPassword(path: string, input: Input): Promise<string> {
  try {
    const text = path === STDIN ? await input.readAll() : readFileSync(path, 'utf8')
    return text.replace(/\r?\n$/, '')
  } catch (error) {
    throw new ConfigError(`${path}: cannot be read (${String(error)})`, { cause: error })
  }
}

/** `30d`, `12h`, `2w`, or a date or instant in UTC, as an instant. @throws ConfigError */
export function parseExpiry(text: string, now: Date): string {
  const [, count, unit] = /^(\d{1,5})([hdw])$/.exec(text) ?? []
  const unitMs = UNITS.get(unit ?? '')
  if (count !== undefined && unitMs !== undefined) {
    return new Date(now.getTime() + Number(count) * unitMs).toISOString()
  }
  const isDate = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?$/.test(text)
  const instant = new Date(isDate ? text : Number.NaN)
  if (!Number.isNaN(instant.getTime())) return instant.toISOString()
  throw new ConfigError(`--expires: expected 12h, 30d, 2w, 2027-01-31 or an instant; got '${text}'`)
}
