/**
 * The table of `registry.db` for the admin API. drizzle-kit writes drizzle/registry from this file
 * too. It holds no queries.
 * @module
 */
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Requests that were carried out under an Idempotency-Key, for as long as they can be repeated. */
export const idempotency = sqliteTable(
  'idempotency',
  {
    /** SHA-256 over who asked, what for, and the key: the key itself is not kept. */
    id: text('id').primaryKey(),
    /** HMAC of the body under the key: it tells another body, and tells nobody this one. */
    body: text('body').notNull(),
    status: integer('status').notNull(),
    location: text('location'),
    etag: text('etag'),
    /** The answer; null when it holds a secret or is too long to keep. */
    answer: text('answer'),
    created: text('created').notNull(),
  },
  table => [index('idempotency_created').on(table.created)],
)
