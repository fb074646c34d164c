/**
 * `key show`: the public halves of the keys in a data dir. It only reads, also while a server
 * runs, and never prints what is private.
 * @module
 */
import { loadConfig, type Flags } from '../config.ts'
import { KeyFileError, readKey, readLogKey } from '../db/keys.ts'
import { publishedKey } from '../registries/keys/own-key.ts'
import { EXIT, type Io } from './io.ts'

export function keyShow(flags: Flags, shape: { json: boolean }, io: Io): number {
  const { config } = loadConfig(flags)
  try {
    const { vkey } = readLogKey(config.dataDir)
    const registry = publishedKey(readKey(config.dataDir, 'registry.key'))
    if (shape.json) io.out(`${JSON.stringify({ log: { vkey }, registry })}\n`)
    else io.out(`log       ${vkey}\nregistry  ${registry.keyid} ${registry.key}\n`)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error
    const advice = error.code === 'missing' ? "; the first 'serve' on a data dir makes it" : ''
    io.err(`npmx-registry: ${error.message}${advice}\n`)
    return EXIT.usage
  }
}
