/**
 * Trusted publishers, the issuers of their tokens, and the tokens that were used: rows in, rows
 * out. What is allowed is decided in registries/hosted/oidc.ts. Whoever calls has a transaction
 * open where more than one thing has to happen.
 * @module
 */
import { and, asc, eq, inArray, type InferSelectModel, isNull, lt } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { token } from './schema-accounts.ts'
import { oidcIssuer, oidcUse, trustedPublisher } from './schema-oidc.ts'

export type IssuerRow = InferSelectModel<typeof oidcIssuer>
export type TrustedPublisherRow = InferSelectModel<typeof trustedPublisher>

/** What a token is called that was issued for a trusted publisher. */
const tokenName = (publisherId: string) => `trust ${publisherId}`

export class TrustedPublishers {
  readonly #db: RegistryDb

  constructor(db: RegistryDb) {
    this.#db = db
  }

  transaction<T>(action: () => T): T {
    return this.#db.transaction(action)
  }

  /** In the order in which they were made. */
  of(name: string): TrustedPublisherRow[] {
    const rows = this.#db.orm.select().from(trustedPublisher)
    const where = eq(trustedPublisher.package, name)
    return rows.where(where).orderBy(asc(trustedPublisher.created), asc(trustedPublisher.id)).all()
  }

  /** Whether any package has a trusted publisher of this issuer and type. */
  isTrusted(issuer: string, type: TrustedPublisherRow['type']): boolean {
    const rows = this.#db.orm.select({ id: trustedPublisher.id }).from(trustedPublisher)
    const where = and(eq(trustedPublisher.issuer, issuer), eq(trustedPublisher.type, type))
    return rows.where(where).limit(1).get() !== undefined
  }

  add(row: TrustedPublisherRow): void {
    this.#db.orm.insert(trustedPublisher).values(row).run()
  }

  pin(id: string, pinned: Record<string, string>): void {
    const where = eq(trustedPublisher.id, id)
    this.#db.orm.update(trustedPublisher).set({ pinned }).where(where).run()
  }

  /** Removes it and revokes what was issued for it. */
  remove(id: string, now: string): void {
    this.#db.orm.delete(trustedPublisher).where(eq(trustedPublisher.id, id)).run()
    const where = and(eq(token.kind, 'oidc'), eq(token.name, tokenName(id)), isNull(token.revoked))
    this.#db.orm.update(token).set({ revoked: now }).where(where).run()
  }

  /** What a token is to be called. */
  tokenNameOf({ id }: TrustedPublisherRow): string {
    return tokenName(id)
  }

  /** Tokens of jobs that ended before this are forgotten: the audit trail has them. */
  forgetTokens(endedBefore: string): void {
    const where = and(eq(token.kind, 'oidc'), lt(token.expires, endedBefore))
    this.#db.orm.delete(token).where(where).run()
  }

  issuers(): IssuerRow[] {
    return this.#db.orm.select().from(oidcIssuer).orderBy(asc(oidcIssuer.issuer)).all()
  }

  addIssuer(row: IssuerRow): void {
    this.#db.orm.insert(oidcIssuer).values(row).run()
  }

  removeIssuer(issuer: string): void {
    this.#db.orm.delete(oidcIssuer).where(eq(oidcIssuer.issuer, issuer)).run()
  }

  /** Forgets id tokens that nobody can use any more. @returns how many, at most `max` */
  forgetUses(now: number, max: number): number {
    const { orm } = this.#db
    const ended = orm.select({ id: oidcUse.id }).from(oidcUse)
    const ids = ended
      .where(lt(oidcUse.expires, instantText(now)))
      .limit(max)
      .all()
    if (ids.length === 0) return 0
    const where = inArray(
      oidcUse.id,
      ids.map(({ id }) => id),
    )
    this.#db.transaction(() => orm.delete(oidcUse).where(where).run())
    return ids.length
  }

  /** False: it was used before. @param expires Unix seconds */
  use(id: string, expires: number, now: number): boolean {
    const { orm } = this.#db
    orm
      .delete(oidcUse)
      .where(lt(oidcUse.expires, instantText(now)))
      .run()
    const row = { id, expires: instantText(expires) }
    return orm.insert(oidcUse).values(row).onConflictDoNothing().returning().all().length === 1
  }
}

/** Seconds as text that sorts as numbers do. */
function instantText(seconds: number): string {
  const digits = 12
  return String(Math.floor(seconds)).padStart(digits, '0')
}
