/**
 * Key files in `keys/` of the data dir: made once, mode 0600, never written again. The log key is
 * kept as its two Go text forms (https://pkg.go.dev/golang.org/x/mod/sumdb/note), one per line;
 * the name in them is the origin of the log, for as long as the log lives.
 *
 *     PRIVATE+KEY+npm.example.org/log+<8 hex digits>+<base64 of the seed>
 *     npm.example.org/log+<8 hex digits>+<base64 of the public key>
 * @module
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
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
import { writeImmutable } from './durable.ts'

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
