/**
 * The tables of `registry.db` for people and their tokens, organisations and teams. drizzle-kit
 * writes drizzle/registry from this file too. It holds no queries.
 *
 * No column holds a secret in clear: a password is an argon2id hash, a token the SHA-256 of 256
 * random bits. Nothing is deleted by a foreign key behind anybody's back.
 * @module
 */
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'

export const user = sqliteTable('user', {
  name: text('name').primaryKey(),
  email: text('email'),
  /** What argon2id made of the password, in the PHC string format; null: no password opens it. */
  password: text('password'),
  role: text('role', { enum: ['member', 'admin'] }).notNull(),
  state: text('state', { enum: ['active', 'disabled'] }).notNull(),
  created: text('created').notNull(),
})

export const token = sqliteTable(
  'token',
  {
    /** Public: what people and programs call it. */
    id: text('id').primaryKey(),
    /** SHA-256 of the secret, base64url. */
    hash: text('hash').notNull(),
    /** Null: a token of the operator, or of a job, without a person. */
    user: text('user'),
    kind: text('kind', { enum: ['login', 'granular', 'session', 'oidc'] }).notNull(),
    name: text('name').notNull(),
    scopes: text('scopes', { mode: 'json' }).$type<string[]>().notNull(),
    packages: text('packages', { mode: 'json' }).$type<string[]>().notNull(),
    /** Organisations it may manage; null: every one that its user may. */
    orgs: text('orgs', { mode: 'json' }).$type<string[]>(),
    readOnly: integer('read_only', { mode: 'boolean' }).notNull(),
    /** Networks it may be used from, as `192.0.2.0/24`; none listed: from everywhere. */
    cidrs: text('cidrs', { mode: 'json' }).$type<string[]>().notNull(),
    view: text('view'),
    created: text('created').notNull(),
    expires: text('expires'),
    lastUsed: text('last_used'),
    revoked: text('revoked'),
  },
  table => [uniqueIndex('token_hash').on(table.hash), index('token_user').on(table.user)],
)

/** An organisation owns the scope of its name. */
export const org = sqliteTable('org', {
  name: text('name').primaryKey(),
  created: text('created').notNull(),
})

export const orgMember = sqliteTable(
  'org_member',
  {
    org: text('org').notNull(),
    user: text('user').notNull(),
    role: text('role', { enum: ['developer', 'admin', 'owner'] }).notNull(),
  },
  table => [
    primaryKey({ columns: [table.org, table.user] }),
    index('org_member_user').on(table.user),
  ],
)

export const team = sqliteTable(
  'team',
  {
    org: text('org').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull(),
    created: text('created').notNull(),
  },
  table => [primaryKey({ columns: [table.org, table.name] })],
)

export const teamMember = sqliteTable(
  'team_member',
  {
    org: text('org').notNull(),
    team: text('team').notNull(),
    user: text('user').notNull(),
  },
  table => [
    primaryKey({ columns: [table.org, table.team, table.user] }),
    index('team_member_user').on(table.user),
  ],
)

/** What a team may do with a hosted package. */
export const teamPackage = sqliteTable(
  'team_package',
  {
    org: text('org').notNull(),
    team: text('team').notNull(),
    package: text('package').notNull(),
    permission: text('permission', { enum: ['read-only', 'read-write'] }).notNull(),
  },
  table => [
    primaryKey({ columns: [table.org, table.team, table.package] }),
    index('team_package_package').on(table.package),
  ],
)
