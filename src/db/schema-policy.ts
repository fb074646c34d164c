/**
 * The tables of what an operator decided: the rules for serving, what is settled of incidents; and
 * which versions came with provenance, which a rule may ask for. It holds no queries.
 * @module
 */
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** The ordered rules of each view. `view` null: those that hold for everybody. */
export const policyRule = sqliteTable(
  'policy_rule',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    view: text('view'),
    /** From 1; the first rule that decides wins. */
    place: integer('place').notNull(),
    match: text('match').notNull(),
    action: text('action', { enum: ['allow', 'deny', 'quarantine'] }).notNull(),
    minAge: text('min_age'),
    requireSignature: integer('require_signature', { mode: 'boolean' }).notNull(),
    requireProvenance: integer('require_provenance', { mode: 'boolean' }).notNull(),
    reason: text('reason'),
    until: text('until'),
    /** When this rule was set as it is. */
    created: text('created').notNull(),
  },
  table => [index('policy_rule_view').on(table.view, table.place)],
)

/** Versions whose registry named a provenance when they were first recorded. */
export const versionProvenance = sqliteTable(
  'version_provenance',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    /** The predicate type, as `dist.attestations` has it. */
    predicate: text('predicate').notNull(),
  },
  table => [primaryKey({ columns: [table.namespace, table.name, table.version] })],
)

/** An operator's word on an incident. The incident itself, and the log, stay as they are. */
export const resolution = sqliteTable('resolution', {
  incident: text('incident').primaryKey(),
  actor: text('actor').notNull(),
  reason: text('reason').notNull(),
  created: text('created').notNull(),
  /** How often the incident had been seen by then: more, and it came back. */
  count: integer('count').notNull(),
})
