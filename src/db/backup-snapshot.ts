/**
 * A copy of `registry.db` as it is at one moment, made while a server goes on writing: SQLite's
 * online backup (https://sqlite.org/backup.html) from a read transaction of a connection of its
 * own. In WAL mode that transaction sees one state however long it takes, stops no writer, and the
 * copying runs in a thread. What is committed when this is called is in the copy.
 *
 * `node:sqlite` and not `bun:sqlite`, which has no online backup. `VACUUM INTO` would do too, but
 * gives rows of tables without an integer key other numbers.
 * @module
 */
import { Database } from 'bun:sqlite'
import { backup, DatabaseSync } from 'node:sqlite'
import { registryPath } from './open.ts'

/** 4 MiB of 4 KiB pages at a time: between two pieces others get at the disk. */
const PAGES_PER_STEP = 1024

/** Copies `registry.db` of a data dir to a path that does not exist yet, as one file. */
export async function snapshotRegistry(dataDir: string, path: string): Promise<void> {
  const source = new DatabaseSync(registryPath(dataDir), { readOnly: true, timeout: 5000 })
  try {
    source.exec('BEGIN')
    // The moment: a transaction sees what was committed when it first reads.
    source.prepare('SELECT count(*) FROM sqlite_schema').get()
    await backup(source, path, { rate: PAGES_PER_STEP })
  } finally {
    source.close()
  }
  const copy = new Database(path, { readwrite: true })
  try {
    // Without this the copy would need a -wal beside it as soon as somebody reads it.
    copy.run('PRAGMA journal_mode = DELETE')
  } finally {
    copy.close()
  }
}

/** What SQLite itself finds wrong with a file; the log's own check is `log/fsck.ts`. */
export function damageOf(database: Database): string | null {
  const row = database.query<Record<string, unknown>, []>('PRAGMA integrity_check(1)').get()
  const said = String(Object.values(row ?? {})[0])
  return said === 'ok' ? null : said
}
