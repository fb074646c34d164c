/**
 * The tables of publishing from CI without a stored token: whose id tokens are taken, which of them
 * may publish what, and which were used. drizzle-kit writes drizzle/registry from this file. It
 * holds no queries.
 * @module
 */
import { index, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** An issuer of id tokens that the operator allows. */
export const oidcIssuer = sqliteTable('oidc_issuer', {
  /** As `iss` has it. `/*` at its end stands for one more segment: an issuer for each customer. */
  issuer: text('issuer').primaryKey(),
  /** What its claims are called. */
  type: text('type', { enum: ['github', 'gitlab', 'circleci', 'generic'] }).notNull(),
  created: text('created').notNull(),
})

/** A job that may publish a package. */
export const trustedPublisher = sqliteTable(
  'trusted_publisher',
  {
    id: text('id').primaryKey(),
    package: text('package').notNull(),
    issuer: text('issuer').notNull(),
    type: text('type', { enum: ['github', 'gitlab', 'circleci', 'generic'] }).notNull(),
    /** As npm has them, and as its clients show them. */
    claims: text('claims', { mode: 'json' }).$type<Record<string, unknown>>().notNull(),
    /** Claims of the first token that was taken, which name the account for good. */
    pinned: text('pinned', { mode: 'json' }).$type<Record<string, string>>(),
    creator: text('creator').notNull(),
    created: text('created').notNull(),
  },
  table => [index('trusted_publisher_package').on(table.package)],
)

/** An id token that was exchanged: it is good for one exchange per package. */
export const oidcUse = sqliteTable(
  'oidc_use',
  {
    /** Hash over issuer, token and package. */
    id: text('id').primaryKey(),
    /** When the token is of no more use by itself; Unix seconds as text of fixed width. */
    expires: text('expires').notNull(),
  },
  table => [index('oidc_use_expires').on(table.expires)],
)
