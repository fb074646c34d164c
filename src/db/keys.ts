/**
 * Key files in `keys/` of the data dir: made once, mode 0600; only the registry's signing key is
 * ever put in the place of another one. The log key is
 * kept as its two Go text forms (https://pkg.go.dev/golang.org/x/mod/sumdb/note), one per line;
 * the name in them is the origin of the log, for as long as the log lives.
 *
 *     PRIVATE+KEY+npm.example.org/log+<8 hex digits>+<base64 of the seed>
 *     npm.example.org/log+<8 hex digits>+<base64 of the public key>
 * @module
 */
import { existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  generateLogKey,
  newSigner,
  newVerifier,
  openNote,
  type Signer,
  signNote,
  type Verifier,
} from '../log/note.ts'
import { encodeText } from '../log/text.ts'
import { syncFolder, writeImmutable, writeReplacing } from './durable.ts'

export type KeyFileErrorCode = 'missing' | 'readable-by-others' | 'damaged'

/** A key file cannot be used. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError'
  readonly code: KeyFileErrorCode
  readonly path: string

  constructor(code: KeyFileErrorCode, path: string, message: string, cause?: unknown) {
    super(`${path}: ${message}`, { cause })
    this.code = code
    this.path = path
  }
}

export type LogKey = { signer: Signer; verifier: Verifier; skey: string; vkey: string }

const LOG_KEY_FILE = 'log.key'

/** Group and others: no bit may be set. */
const OTHERS_MASK = 0o077

export const keyPath = (dataDir: string, file: string): string => join(dataDir, 'keys', file)

/** The text of a key file; made by `make` when there is none. */
export function readOrMakeKey(dataDir: string, file: string, make: () => string): string {
  const path = keyPath(dataDir, file)
  if (!existsSync(path)) writeImmutable([{ path, bytes: encodeText(make()) }], 0o600)
  return readKey(dataDir, file)
}

/** The text of a key file that must exist. */
export function readKey(dataDir: string, file: string): string {
  const path = keyPath(dataDir, file)
  if (!existsSync(path)) throw new KeyFileError('missing', path, 'is missing')
  if ((statSync(path).mode & OTHERS_MASK) !== 0) {
    throw new KeyFileError('readable-by-others', path, `others may read it: chmod 600 ${path}`)
  }
  return readFileSync(path, 'utf8')
}

/** What a key file's name ends in while it waits to take the place of the one without it. */
const NEXT = '.next'

/**
 * Puts a key beside the one that it is to replace. What makes it count is the caller's transaction:
 * between that and `takeNextKey` a crash may come, and `settleNextKey` finds out at the next start.
 */
export function writeNextKey(dataDir: string, file: string, text: string): void {
  writeReplacing({ path: `${keyPath(dataDir, file)}${NEXT}`, bytes: encodeText(text) })
}

/** The key that was put beside it takes the place of a key, whose private half is then gone. */
export function takeNextKey(dataDir: string, file: string): void {
  const path = keyPath(dataDir, file)
  renameSync(`${path}${NEXT}`, path)
  syncFolder(dirname(path))
}

/** After a crash: a key that was put beside another counts, or is removed. */
export function settleNextKey(
  dataDir: string,
  file: string,
  counts: (text: string) => boolean,
): void {
  const path = `${keyPath(dataDir, file)}${NEXT}`
  if (!existsSync(path)) return
  if (counts(readFileSync(path, 'utf8'))) takeNextKey(dataDir, file)
  else rmSync(path)
}

/**
 * The log's key. `origin` names it when it is made; later the file's own name counts. It is made
 * only while there is no log: a log whose key is gone must not get another one.
 */
export function openLogKey(
  dataDir: string,
  origin: string,
  hasLog: boolean,
  seed: () => Uint8Array,
): LogKey {
  const text = hasLog
    ? readKey(dataDir, LOG_KEY_FILE)
    : readOrMakeKey(dataDir, LOG_KEY_FILE, () => {
        const { skey, vkey } = generateLogKey(origin, seed())
        return `${skey}\n${vkey}\n`
      })
  return parseLogKey(keyPath(dataDir, LOG_KEY_FILE), text)
}

/** The log's key as it stands, for reading commands; throws when there is none. */
export function readLogKey(dataDir: string): LogKey {
  return parseLogKey(keyPath(dataDir, LOG_KEY_FILE), readKey(dataDir, LOG_KEY_FILE))
}

function parseLogKey(path: string, text: string): LogKey {
  const [skey = '', vkey = '', ...rest] = text.split('\n')
  if (rest.length !== 1 || rest[0] !== '') {
    throw new KeyFileError('damaged', path, 'is not a key file: two lines are expected')
  }
  try {
    const signer = newSigner(skey)
    const verifier = newVerifier(vkey)
    // The two lines belong together iff one opens what the other signs.
    openNote(signNote('key check\n', signer), [verifier])
    return { signer, verifier, skey, vkey }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new KeyFileError('damaged', path, `is damaged: ${reason}`, error)
  }
}
