/**
 * The table of `registry.db` for publishes that wait for somebody's approval. drizzle-kit writes
 * drizzle/registry from this file too. It holds no queries. The bodies are files (blobs.ts).
 * @module
 */
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const stage = sqliteTable(
  'stage',
  {
    /** A random UUID: npm takes nothing else. */
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    tag: text('tag').notNull(),
    integrity: text('integrity').notNull(),
    shasum: text('shasum').notNull(),
    /** SHA-512 of the body as it was sent, hex, and its length. */
    body: text('body').notNull(),
    bytes: integer('bytes').notNull(),
    /** Who sent it, as the audit trail names them. */
    actor: text('actor').notNull(),
    created: text('created').notNull(),
  },
  table => [index('stage_name').on(table.name), index('stage_body').on(table.body)],
)
