/**
 * The tables of `cache.db`: upstream answers and what was rendered from them. Everything here can
 * be fetched or made again, so the file may be wiped at any time. drizzle-kit writes drizzle/cache
 * from this file. It holds no queries.
 * @module
 */
import { blob, index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** The last answer of an upstream for a name: its raw bytes, compressed, or that there is none. */
export const document = sqliteTable(
  'document',
  {
    upstream: text('upstream').notNull(),
    name: text('name').notNull(),
    status: integer('status').notNull(),
    /** zstd of the raw bytes; null when the status brought no document. */
    packed: blob('packed', { mode: 'buffer' }),
    /** Hex SHA-256 of the raw bytes; empty when there are none. */
    sha256: text('sha256').notNull(),
    /** Raw bytes, before packing. */
    length: integer('length').notNull(),
    etag: text('etag'),
    lastModified: text('last_modified'),
    checkedAtMs: integer('checked_at_ms').notNull(),
    freshUntilMs: integer('fresh_until_ms').notNull(),
    modified: text('modified'),
  },
  table => [
    primaryKey({ columns: [table.upstream, table.name] }),
    index('document_checked_at').on(table.checkedAtMs),
  ],
)

/** A rendered body, ready to be sent: made from one document under one plan. */
export const rendered = sqliteTable(
  'rendered',
  {
    upstream: text('upstream').notNull(),
    name: text('name').notNull(),
    variant: text('variant').notNull(),
    documentSha: text('document_sha').notNull(),
    planHash: text('plan_hash').notNull(),
    etag: text('etag').notNull(),
    gzip: blob('gzip', { mode: 'buffer' }).notNull(),
    length: integer('length').notNull(),
    modified: text('modified'),
  },
  table => [primaryKey({ columns: [table.upstream, table.name, table.variant] })],
)
