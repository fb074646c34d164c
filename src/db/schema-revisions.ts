/**
 * The tables of `registry.db` about registries that re-issue bytes: the namespaces for which that
 * was declared, and the contents of a version that are recorded but not the ones it has now. It
 * holds no queries.
 * @module
 */
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** Namespaces whose registry re-issues bytes. What has records keeps its kind for ever. */
export const revisedNamespace = sqliteTable('revised_namespace', {
  namespace: text('namespace').primaryKey(),
})

/** Recorded contents that a version had before the one in table `version`. */
export const revision = sqliteTable(
  'revision',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    /** As the registry writes it: that of the record says which content it is. */
    version: text('version').notNull(),
    integrity: text('integrity').notNull(),
    manifestHash: text('manifest_hash').notNull(),
    projection: text('projection').notNull(),
    leafIdx: integer('leaf_idx').notNull(),
    firstSeen: text('first_seen').notNull(),
    sinceFirstSight: integer('since_first_sight', { mode: 'boolean' }).notNull(),
    /** Where its registry had it when it was last shown. */
    tarball: text('tarball').notNull(),
    file: text('file').notNull(),
    shasum: text('shasum'),
    published: text('published'),
  },
  table => [
    primaryKey({ columns: [table.namespace, table.name, table.version, table.integrity] }),
    index('revision_file').on(table.namespace, table.name, table.file),
  ],
)
