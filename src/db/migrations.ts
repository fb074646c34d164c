/**
 * Applies the migrations that drizzle-kit wrote (drizzle/registry, drizzle/cache). They are
 * imported as text, so that the compiled binary carries them; drizzle's own migrator reads folders
 * and looks at the newest timestamp only, this one also notices an edited or a missing migration.
 *
 * All pending migrations of a file are one transaction: a crash leaves the old schema or the new.
 * @module
 */
import type { Database } from 'bun:sqlite'
import cacheJournal from '../../drizzle/cache/meta/_journal.json' with { type: 'json' }
import cache0000 from '../../drizzle/cache/0000_init.sql' with { type: 'text' }
import registryJournal from '../../drizzle/registry/meta/_journal.json' with { type: 'json' }
import registry0000 from '../../drizzle/registry/0000_init.sql' with { type: 'text' }
import registry0001 from '../../drizzle/registry/0001_upstream_admin.sql' with { type: 'text' }
import registry0002 from '../../drizzle/registry/0002_audit_append_only.sql' with { type: 'text' }
import registry0003 from '../../drizzle/registry/0003_disputes.sql' with { type: 'text' }
import registry0004 from '../../drizzle/registry/0004_hosting.sql' with { type: 'text' }
import registry0005 from '../../drizzle/registry/0005_hosting_search_and_issuers.sql' with { type: 'text' }
import registry0006 from '../../drizzle/registry/0006_revisions.sql' with { type: 'text' }
import registry0007 from '../../drizzle/registry/0007_alerts.sql' with { type: 'text' }
import registry0008 from '../../drizzle/registry/0008_search_keywords.sql' with { type: 'text' }
import registry0009 from '../../drizzle/registry/0009_tarballs.sql' with { type: 'text' }

export type Migration = { tag: string; sql: string }

export type SchemaErrorCode = 'newer-schema' | 'older-schema' | 'edited-migration'

/** The file's schema is not one that this program may use. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError'
  readonly code: SchemaErrorCode

  constructor(code: SchemaErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export const registryMigrations: readonly Migration[] = inJournalOrder(registryJournal.entries, {
  '0000_init': registry0000,
  '0001_upstream_admin': registry0001,
  '0002_audit_append_only': registry0002,
  '0003_disputes': registry0003,
  '0004_hosting': registry0004,
  '0005_hosting_search_and_issuers': registry0005,
  '0006_revisions': registry0006,
  '0007_alerts': registry0007,
  '0008_search_keywords': registry0008,
  '0009_tarballs': registry0009,
})

export const cacheMigrations: readonly Migration[] = inJournalOrder(cacheJournal.entries, {
  '0000_init': cache0000,
})

/** What drizzle-kit writes between two statements of one file. */
const BREAKPOINT = '--> statement-breakpoint'

const TABLE = `CREATE TABLE IF NOT EXISTS migration
  (idx INTEGER PRIMARY KEY NOT NULL, tag TEXT NOT NULL, sha256 TEXT NOT NULL)`

/** Brings `database` to the newest known schema; refuses one that is newer than that. */
export function migrate(database: Database, migrations: readonly Migration[]): void {
  database.run('BEGIN IMMEDIATE')
  try {
    database.run(TABLE)
    const applied = checkApplied(database, migrations)
    const insert = database.query('INSERT INTO migration (idx, tag, sha256) VALUES (?, ?, ?)')
    for (const [offset, migration] of migrations.slice(applied).entries()) {
      for (const statement of migration.sql.split(BREAKPOINT)) database.run(statement)
      insert.run(applied + offset, migration.tag, fingerprint(migration.sql))
    }
    database.run('COMMIT')
  } catch (error) {
    if (database.inTransaction) database.run('ROLLBACK')
    throw error
  }
}

/** For readers, which change nothing: throws unless the schema is exactly the newest known one. */
export function checkSchema(database: Database, migrations: readonly Migration[]): void {
  const applied = checkApplied(database, migrations)
  if (applied === migrations.length) return
  throw new SchemaError('older-schema', `${database.filename}: start the server once to upgrade it`)
}

function checkApplied(database: Database, migrations: readonly Migration[]): number {
  const rows = database
    .query<{ tag: string; sha256: string }, []>('SELECT tag, sha256 FROM migration ORDER BY idx')
    .all()
  for (const [idx, row] of rows.entries()) {
    const known = migrations[idx]
    if (known === undefined) {
      const reason = `has migration ${row.tag}, this program knows ${migrations.length}`
      throw new SchemaError('newer-schema', `${database.filename}: ${reason}; use a newer program`)
    }
    if (known.tag !== row.tag || fingerprint(known.sql) !== row.sha256) {
      const reason = `migration ${row.tag} is not the ${known.tag} that this program knows`
      throw new SchemaError('edited-migration', `${database.filename}: ${reason}`)
    }
  }
  return rows.length
}

function fingerprint(sql: string): string {
  return new Bun.CryptoHasher('sha256').update(sql).digest('hex')
}

function inJournalOrder(
  entries: readonly { idx: number; tag: string }[],
  files: Readonly<Record<string, string>>,
): Migration[] {
  return entries.map(({ tag }) => {
    const sql = files[tag]
    if (sql === undefined) throw new Error(`migration ${tag} is in the journal but not imported`)
    return { tag, sql }
  })
}
