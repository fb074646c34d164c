/**
 * Opens the two SQLite files of a data dir: `registry.db`, which must never lose or change a
 * committed row, and `cache/cache.db`, which may be wiped at any time. Settings are not only set
 * but read back: SQLite ignores what it does not know (https://sqlite.org/pragma.html).
 * @module
 */
import { Database } from 'bun:sqlite'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CacheDb } from './cache-db.ts'
import { makeFolder } from './durable.ts'
import { cacheMigrations, checkSchema, migrate, registryMigrations } from './migrations.ts'
import { RegistryDb } from './registry-db.ts'

/** A setting that the promises of this program rest on did not take. */
export class PragmaError extends Error {
  override readonly name = 'PragmaError'
  readonly code = 'pragma'
}

type Settings = Readonly<Record<string, string | number>>

const SHARED: Settings = {
  // bun:sqlite's default is 0: a reader such as `log fsck` must not make the server fail.
  busy_timeout: 5000,
  journal_mode: 'wal',
  // Neither file comes from elsewhere, but a changed one should not get to run functions.
  trusted_schema: 0,
}

const REGISTRY: Settings = {
  ...SHARED,
  // FULL: with NORMAL a power cut takes back commits that a signed checkpoint speaks of.
  synchronous: 2,
  // macOS only: there fsync alone does not reach the disk.
  fullfsync: 1,
  checkpoint_fullfsync: 1,
  // What is deleted is overwritten: a tarball that was unpublished must be in no later backup.
  secure_delete: 1,
  // Finds some damaged pages when they are read; the Merkle tree finds the rest.
  cell_size_check: 1,
  // 16 MiB (negative: KiB): a giant packument fills it, and 64 MiB are no faster at 300,000 leaves.
  cache_size: -16_384,
  // No memory map: at 300,000 leaves it makes nothing faster, and all it touches counts as ours.
  mmap_size: 0,
  // 16 MiB of 4 KiB pages. A full batch writes some 3 MiB; with the default of 4 MiB nearly each
  // one would also copy the WAL back and fsync twice more.
  wal_autocheckpoint: 4096,
  // A bulk import must not leave a giant WAL behind.
  journal_size_limit: 67_108_864,
}

const CACHE: Settings = {
  ...SHARED,
  // NORMAL: a power cut may take the newest answers, they are fetched again.
  synchronous: 1,
  // 16 MiB: rows are large blobs that are read once and then held by the caller.
  cache_size: -16_384,
  journal_size_limit: 67_108_864,
}

export const registryPath = (dataDir: string): string => join(dataDir, 'registry.db')
export const cachePath = (dataDir: string): string => join(dataDir, 'cache', 'cache.db')

/** Opens or makes `registry.db`. The caller holds the data dir's lock. */
export function openRegistry(dataDir: string): RegistryDb {
  makeFolder(dataDir)
  chmodSync(dataDir, 0o700)
  const database = new Database(registryPath(dataDir), { create: true, readwrite: true })
  try {
    applySettings(database, REGISTRY)
    migrate(database, registryMigrations)
    chmodSync(registryPath(dataDir), 0o600)
    return new RegistryDb(database)
  } catch (error) {
    database.close()
    throw error
  }
}

/** Opens `registry.db` to look at it, also while a server has it open. */
export function openRegistryReadonly(dataDir: string): RegistryDb {
  const database = new Database(registryPath(dataDir), { readonly: true })
  try {
    applySettings(database, { busy_timeout: 5000, trusted_schema: 0, query_only: 1 })
    checkSchema(database, registryMigrations)
    return new RegistryDb(database)
  } catch (error) {
    database.close()
    throw error
  }
}

/** Opens or makes `cache/cache.db`; what cannot be opened is thrown away and made again. */
export function openCache(dataDir: string): CacheDb {
  makeFolder(join(dataDir, 'cache'))
  return new CacheDb(
    () => openCacheFile(cachePath(dataDir)),
    () => wipe(cachePath(dataDir)),
  )
}

function openCacheFile(path: string): Database {
  const database = new Database(path, { create: true, readwrite: true })
  try {
    applySettings(database, CACHE)
    migrate(database, cacheMigrations)
    chmodSync(path, 0o600)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function wipe(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
}

function applySettings(database: Database, settings: Settings): void {
  for (const [name, wanted] of Object.entries(settings)) {
    database.run(`PRAGMA ${name} = ${wanted}`)
    const row = database.query<Record<string, unknown>, []>(`PRAGMA ${name}`).get()
    // The one column is called as the setting, but for busy_timeout, which is `timeout`.
    const found = Object.values(row ?? {})[0]
    if (found === wanted) continue
    throw new PragmaError(`${database.filename}: ${name} is ${String(found)}, not ${wanted}`)
  }
}
