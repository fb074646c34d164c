/**
 * The tables of `registry.db` about tarballs that were looked at in the background: what became of
 * each look, and where a source keeps a tarball when it is not the usual place. It holds no queries.
 * @module
 */
import { primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** The last look at a version's tarball at one place. */
export const tarballCheck = sqliteTable(
  'tarball_check',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    /** The upstream whose copy it was. */
    place: text('place').notNull(),
    /** Are these the bytes that were recorded? */
    bytes: text('bytes', { enum: ['same', 'other'] }).notNull(),
    /** Does the package.json inside say what was recorded? `unread`: it could not be looked at. */
    manifest: text('manifest', { enum: ['same', 'honest', 'different', 'unread'] }).notNull(),
    /** One line for people; '' when all is well. */
    detail: text('detail').notNull(),
    /** The incident with the evidence, when there is one. */
    incident: text('incident'),
    checked: text('checked').notNull(),
  },
  table => [primaryKey({ columns: [table.namespace, table.name, table.version, table.place] })],
)

/** Where a mirror keeps a tarball, when that is not where its registry's paths lead. */
export const tarballPlace = sqliteTable(
  'tarball_place',
  {
    upstream: text('upstream').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    /** A whole URL, on an origin that the operator listed for this upstream. */
    url: text('url').notNull(),
    seen: text('seen').notNull(),
  },
  table => [primaryKey({ columns: [table.upstream, table.name, table.version] })],
)
