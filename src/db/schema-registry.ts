/**
 * The tables of `registry.db`: the log, and what this registry decided and must never forget.
 * drizzle-kit writes drizzle/registry from this file. It holds no queries.
 *
 * Times are text, `2026-11-22T08:31:07Z`, as the log writes them; nothing here reads a clock.
 * @module
 */
import {
  blob,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'

/** One row, id 1: the state that the last committed append left behind. */
export const logState = sqliteTable('log_state', {
  id: integer('id').primaryKey(),
  size: integer('size').notNull(),
  root: blob('root', { mode: 'buffer' }).notNull(),
  /** The hashes of the partial tiles, level 0 first; `size` says how many each level has. */
  edge: blob('edge', { mode: 'buffer' }).notNull(),
  /** The signed checkpoint of exactly this size and root. */
  note: text('note').notNull(),
  /** Below this size every full tile is known to be durable. May lag, never leads. */
  publishedSize: integer('published_size').notNull(),
})

/**
 * The record bytes by index, and the full 32-byte hash of each record's identity. The unique index
 * on `key` is the promise "at most one leaf for ever": it holds (key, idx) and nothing else, just
 * as a key table WITHOUT ROWID would.
 */
export const leaf = sqliteTable(
  'leaf',
  {
    idx: integer('idx').primaryKey(),
    key: blob('key', { mode: 'buffer' }).notNull(),
    text: blob('text', { mode: 'buffer' }).notNull(),
  },
  table => [uniqueIndex('leaf_key').on(table.key)],
)

export const upstream = sqliteTable('upstream', {
  name: text('name').primaryKey(),
  url: text('url').notNull(),
  /** `hosted`: what lives here; there is one row of it. */
  kind: text('kind', { enum: ['registry', 'mirror', 'hosted'] }).notNull(),
  /** The registry that a mirror belongs to; null for a registry. */
  mirrorOf: text('mirror_of'),
  namespace: text('namespace').notNull(),
  /** Patterns of the names it is the authority of, most often `["**"]`. */
  names: text('names', { mode: 'json' }).$type<string[]>().notNull(),
  signatures: text('signatures', { enum: ['auto', 'require', 'off'] }).notNull(),
  tarballs: text('tarballs', {
    enum: ['canonical', 'redirect', 'upstream', 'stream', 'cache'],
  }).notNull(),
  /** The ratchet: set once, when keys were first seen; from then on signatures are required. */
  signsSince: text('signs_since'),
  created: text('created').notNull(),
  /** Another one whenever what was cached of this upstream stops being its answer. */
  edition: text('edition').notNull().default(''),
  /** Since when a version is offered only after a look into its tarball; null: it is not. */
  strictSince: text('strict_since'),
  /** Further origins that hold its tarballs, listed by the operator. */
  tarballOrigins: text('tarball_origins', { mode: 'json' }).$type<string[]>().notNull().default([]),
  /** It re-issues the bytes of versions (registries/packument/revisions.ts). */
  revisions: integer('revisions', { mode: 'boolean' }).notNull().default(false),
})

/** What opens an upstream, sealed (secrets.ts): no column holds a secret in clear. */
export const upstreamSecret = sqliteTable('upstream_secret', {
  upstream: text('upstream').primaryKey(),
  /** The one origin that may see it. */
  origin: text('origin').notNull(),
  nonce: blob('nonce', { mode: 'buffer' }).notNull(),
  sealed: blob('sealed', { mode: 'buffer' }).notNull(),
})

/** Who changed what, in order. Triggers refuse to change or delete a row. */
export const audit = sqliteTable('audit', {
  id: integer('id').primaryKey({ autoIncrement: true }),
  time: text('time').notNull(),
  /** `cli`, or `socket:<uid>`. */
  actor: text('actor').notNull(),
  action: text('action').notNull(),
  target: text('target').notNull(),
  /** JSON without secrets; null where there was, or is, nothing. */
  before: text('before'),
  after: text('after'),
})

export const upstreamKey = sqliteTable(
  'upstream_key',
  {
    upstream: text('upstream').notNull(),
    keyid: text('keyid').notNull(),
    keytype: text('keytype').notNull(),
    scheme: text('scheme').notNull(),
    spki: text('spki').notNull(),
    expires: text('expires'),
    /** The key as it came, byte for byte, for `/-/npm/v1/keys`. */
    json: text('json').notNull(),
    state: text('state', { enum: ['approved', 'pending', 'missing', 'retired'] }).notNull(),
    firstSeen: text('first_seen').notNull(),
    leafIdx: integer('leaf_idx'),
  },
  table => [primaryKey({ columns: [table.upstream, table.keyid] })],
)

/** When a package was first seen here: what tells a new version from an old one. */
export const packageSeen = sqliteTable(
  'package',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    firstSeen: text('first_seen').notNull(),
  },
  table => [primaryKey({ columns: [table.namespace, table.name] })],
)

/** Every version ever inspected, logged or refused. */
export const version = sqliteTable(
  'version',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    integrity: text('integrity'),
    manifestHash: text('manifest_hash').notNull(),
    projection: text('projection').notNull(),
    keyid: text('keyid'),
    sig: text('sig'),
    leafIdx: integer('leaf_idx'),
    firstSeen: text('first_seen').notNull(),
    /** True when the version appeared after its package was first seen here. */
    sinceFirstSight: integer('since_first_sight', { mode: 'boolean' }).notNull(),
    /** `logged`, or the code of the refusal. */
    state: text('state').notNull(),
    detail: text('detail').notNull(),
    incident: text('incident'),
    tarball: text('tarball').notNull(),
    file: text('file').notNull(),
    shasum: text('shasum'),
    published: text('published'),
  },
  table => [
    primaryKey({ columns: [table.namespace, table.name, table.version] }),
    index('version_file').on(table.namespace, table.name, table.file),
    index('version_integrity').on(table.integrity),
  ],
)

/**
 * Versions about which the sources of one registry disagree: refused from then on, also while its
 * registry goes on saying what was logged.
 */
export const dispute = sqliteTable(
  'dispute',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    detail: text('detail').notNull(),
    /** The incident with the evidence of both sides. */
    incident: text('incident').notNull(),
    created: text('created').notNull(),
  },
  table => [primaryKey({ columns: [table.namespace, table.name, table.version] })],
)

/** A refusal or a change with its evidence; the same one again only counts up. */
export const incident = sqliteTable(
  'incident',
  {
    id: text('id').primaryKey(),
    code: text('code').notNull(),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    version: text('version').notNull(),
    sentence: text('sentence').notNull(),
    evidence: text('evidence').notNull(),
    created: text('created').notNull(),
    lastSeen: text('last_seen').notNull(),
    count: integer('count').notNull(),
  },
  table => [
    index('incident_package').on(table.namespace, table.name, table.version),
    index('incident_last_seen').on(table.lastSeen),
  ],
)
