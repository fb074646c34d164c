/**
 * `key export`: the keys of a data dir in the forms that other programs take. The public halves go
 * to stdout; the private ones only into a new file that nobody else may read, and only when they are
 * asked for by that name. It only reads the data dir, also while a server runs.
 * @module
 */
import { existsSync, writeFileSync } from 'node:fs'
import { createPublicKey } from 'node:crypto'
import { type Flags, loadConfig } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import { KeyFileError, keyPath, readKey, readLogKey } from '../db/keys.ts'
import { OWN_KEY_FILE, publishedKey } from '../registries/keys/own-key.ts'
import { EXIT, type Io } from './io.ts'

/** Every file of `keys/`, which is what a data dir needs to be the same registry again. */
const KEY_FILES = ['log.key', OWN_KEY_FILE, 'secrets.key']

/** @param into the file for the private keys; undefined: the public ones, to stdout */
export function keyExport(
  flags: Flags,
  into: string | undefined,
  shape: { json: boolean },
  io: Io,
): number {
  const { dataDir } = loadConfig(flags).config
  try {
    if (into === undefined) io.out(publicKeys(dataDir, shape.json))
    else writePrivate(dataDir, into, io)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error
    io.err(`npmx-registry: ${error.message}\n`)
    return EXIT.usage
  }
}

function publicKeys(dataDir: string, json: boolean): string {
  const { vkey } = readLogKey(dataDir)
  const pem = readKey(dataDir, OWN_KEY_FILE)
  if (json) return `${JSON.stringify({ log: { vkey }, registry: publishedKey(pem) })}\n`
  return `${vkey}\n${createPublicKey(pem).export({ type: 'spki', format: 'pem' })}`
}

function writePrivate(dataDir: string, path: string, io: Io): void {
  const files = KEY_FILES.filter(file => existsSync(keyPath(dataDir, file)))
  const texts = files.map((file): [string, string] => [file, readKey(dataDir, file)])
  try {
    // Made anew: whoever has an old file open, or may read it, would read this too.
    const options = { mode: 0o600, flag: 'wx', flush: true }
    writeFileSync(path, `${JSON.stringify(Object.fromEntries(texts), null, 2)}\n`, options)
  } catch (error) {
    throw new ConfigError(`${path}: cannot be written (${String(error)})`, { cause: error })
  }
  io.err(`${path} holds the private keys: whoever has it can sign in the name of this registry\n`)
}
