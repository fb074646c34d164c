/**
 * Lockfiles of npm, pnpm, yarn and bun: which files are lockfiles, and what each of them pins.
 *
 *     package-lock.json, npm-shrinkwrap.json   lockfileVersion 1, 2, 3
 *     pnpm-lock.yaml                           lockfileVersion 5.x, 6.x, 9.x
 *     yarn.lock                                yarn 1; berry
 *     bun.lock                                 lockfileVersion 0, 1, 2
 *
 * The name of a file decides its format, its content where the name says nothing. Bytes come in,
 * entries go out: nothing here reads the disk, and package.json is not looked at.
 *
 * @module
 */
import { parseBunLockfile } from './lockfile-bun.ts'
import {
  LOCKFILE_BYTES_MAX,
  LOCKFILE_ENTRIES_MAX,
  LockfileError,
  type Lockfile,
} from './lockfile-entry.ts'
import { parseNpmLockfile } from './lockfile-npm.ts'
import { parsePnpmLockfile } from './lockfile-pnpm.ts'
import { parseYarnLockfile } from './lockfile-yarn.ts'

type Parser = (text: string) => Lockfile

const PARSERS = new Map<string, Parser>([
  ['npm-shrinkwrap.json', parseNpmLockfile],
  ['package-lock.json', parseNpmLockfile],
  ['pnpm-lock.yaml', parsePnpmLockfile],
  ['yarn.lock', parseYarnLockfile],
  ['bun.lock', parseBunLockfile],
])

/** The files that a project's own folder may have. */
export const LOCKFILE_NAMES: readonly string[] = [...PARSERS.keys()]

/** Parses the bytes of a lockfile. @param fileName without folders */
export function parseLockfile(fileName: string, bytes: Uint8Array): Lockfile {
  if (bytes.length > LOCKFILE_BYTES_MAX) {
    throw new LockfileError(1, `has ${bytes.length} bytes, more than ${LOCKFILE_BYTES_MAX}`)
  }
  if (fileName.endsWith('.lockb')) {
    throw new LockfileError(1, 'is binary: make a bun.lock with bun install --save-text-lockfile')
  }
  const text = decode(bytes)
  const parse = PARSERS.get(fileName) ?? guessParser(text)
  if (parse === undefined) throw new LockfileError(1, 'is no lockfile that is known here')
  const lockfile = parse(text)
  if (lockfile.entries.length > LOCKFILE_ENTRIES_MAX) {
    throw new LockfileError(1, `has more than ${LOCKFILE_ENTRIES_MAX} entries`)
  }
  return lockfile
}

function guessParser(text: string): Parser | undefined {
  if (/^\s*\{/.test(text)) {
    // Only bun writes the workspaces of a project at the top.
    return /^ {2}"workspaces": \{/m.test(text) ? parseBunLockfile : parseNpmLockfile
  }
  if (/^# yarn lockfile v1$/m.test(text) || /^__metadata:/m.test(text)) return parseYarnLockfile
  if (/^lockfileVersion:/m.test(text)) return parsePnpmLockfile
  return undefined
}

function decode(bytes: Uint8Array): string {
  try {
    // A byte order mark is dropped, as npm does.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new LockfileError(1, 'is not UTF-8', error)
  }
}
