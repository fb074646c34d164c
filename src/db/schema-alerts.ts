/**
 * The table of `registry.db` about alerts: which of them are still to be told to whom. It holds no
 * queries.
 * @module
 */
import { index, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Messages that their webhook has not taken yet. */
export const waitingMessage = sqliteTable(
  'waiting_message',
  {
    /** SHA-256 of the webhook's URL: some services have what opens them in it. */
    target: text('target').notNull(),
    incident: text('incident').notNull(),
    created: text('created').notNull(),
  },
  table => [
    primaryKey({ columns: [table.target, table.incident] }),
    index('waiting_message_created').on(table.created),
  ],
)
