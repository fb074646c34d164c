/**
 * The tables of `registry.db` for packages that live here: what was published, by whom, who may
 * change it. drizzle-kit writes drizzle/registry from this file too. It holds no queries.
 *
 * A row of a version is never deleted: its number stays taken for ever. Tarballs are rows or files
 * (tarballs.ts), found by their integrity. Times are RFC 3339 with milliseconds, as packuments have
 * them.
 * @module
 */
import { blob, index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const hostedPackage = sqliteTable('hosted_package', {
  name: text('name').primaryKey(),
  /** `restricted`: for others than its people it does not exist. */
  access: text('access', { enum: ['public', 'restricted'] }).notNull(),
  /** Another one after every change; what clients send back as `_rev`. */
  rev: text('rev').notNull(),
  created: text('created').notNull(),
  modified: text('modified').notNull(),
  description: text('description'),
  readme: text('readme'),
  /** When its last version was unpublished; null while it has one. */
  unpublished: text('unpublished'),
})

export const hostedVersion = sqliteTable(
  'hosted_version',
  {
    name: text('name').notNull(),
    version: text('version').notNull(),
    /** JSON as published, without `dist` and `deprecated`. */
    manifest: text('manifest').notNull(),
    integrity: text('integrity').notNull(),
    shasum: text('shasum').notNull(),
    /** Below `/<name>/-/`. */
    file: text('file').notNull(),
    fileCount: integer('file_count').notNull(),
    unpackedSize: integer('unpacked_size').notNull(),
    published: text('published').notNull(),
    publisher: text('publisher').notNull(),
    /** Our signature over npm's message; the leaf has the same. */
    keyid: text('keyid').notNull(),
    sig: text('sig').notNull(),
    deprecated: text('deprecated'),
    /** A Sigstore bundle as it came, and what it is about. */
    predicateType: text('predicate_type'),
    provenance: text('provenance'),
    unpublished: text('unpublished'),
  },
  table => [
    primaryKey({ columns: [table.name, table.version] }),
    index('hosted_version_file').on(table.name, table.file),
    index('hosted_version_integrity').on(table.integrity),
  ],
)

/** The small tarballs, each content once; the others are files. */
export const hostedTarball = sqliteTable('hosted_tarball', {
  integrity: text('integrity').primaryKey(),
  bytes: blob('bytes', { mode: 'buffer' }).notNull(),
})

export const hostedTag = sqliteTable(
  'hosted_tag',
  {
    name: text('name').notNull(),
    tag: text('tag').notNull(),
    version: text('version').notNull(),
  },
  table => [primaryKey({ columns: [table.name, table.tag] })],
)

export const hostedMaintainer = sqliteTable(
  'hosted_maintainer',
  {
    name: text('name').notNull(),
    user: text('user').notNull(),
  },
  table => [
    primaryKey({ columns: [table.name, table.user] }),
    index('hosted_maintainer_user').on(table.user),
  ],
)
