/**
 * The tables of views and of addressed content. drizzle-kit writes drizzle/registry from this file.
 * It holds no queries.
 * @module
 */
import { sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** A way of reading that a token can carry: less is trusted, and mirrors have another order. */
export const view = sqliteTable('view', {
  name: text('name').primaryKey(),
  /** Registries whose names can be had, by the names of the upstreams; null: all. */
  registries: text('registries', { mode: 'json' }).$type<string[]>(),
  /** Keyids of the keys that vouch; null: all that are trusted here. */
  keys: text('keys', { mode: 'json' }).$type<string[]>(),
  /** For each registry named here: its mirrors in the order in which clients are sent to them. */
  mirrors: text('mirrors', { mode: 'json' }).$type<Record<string, string[]>>().notNull(),
  created: text('created').notNull(),
})

/** Bytes that passed through here and were what their record says, by both of their hashes. */
export const content = sqliteTable('content', {
  /** Hex. */
  sha256: text('sha256').primaryKey(),
  integrity: text('integrity').notNull(),
})
