/**
 * A data dir for one test: made by mkdtemp, removed at the end of the `using` block.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteLogStore } from '../../../src/db/log-store.ts'
import { openRegistry } from '../../../src/db/open.ts'
import type { RegistryDb } from '../../../src/db/registry-db.ts'
import { Log } from '../../../src/log/log.ts'
import { generateLogKey, newSigner, newVerifier } from '../../../src/log/note.ts'

export type TemporaryDir = Disposable & { path: string }

export function temporaryDir(): TemporaryDir {
  const path = mkdtempSync(join(tmpdir(), 'npmx-registry-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

const KEY = generateLogKey('registry.example/log', new Uint8Array(32).fill(7))
export const SIGNER = newSigner(KEY.skey)
export const VERIFIER = newVerifier(KEY.vkey)
export const OTHER_SIGNER = newSigner(
  generateLogKey('registry.example/log', new Uint8Array(32).fill(8)).skey,
)

export type OpenLog = Disposable & { db: RegistryDb; store: SqliteLogStore; log: Log }

export function openLog(dataDir: string): OpenLog {
  const db = openRegistry(dataDir)
  try {
    const store = new SqliteLogStore(db, dataDir)
    return { db, store, log: Log.open(store, SIGNER), [Symbol.dispose]: () => db[Symbol.dispose]() }
  } catch (error) {
    db[Symbol.dispose]()
    throw error
  }
}
