/**
 * The configured registries and mirrors, and the keys that each of them published: rows in, rows
 * out, through drizzle's typed queries (one row and its keys are hot, and prepared). The one rule
 * that is kept here is the ratchet: `signsSince` can be set, never changed or taken back.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import { and, asc, eq, isNotNull, isNull, type InferSelectModel, sql } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { packageSeen, upstream, upstreamKey, version } from './schema-registry.ts'
import { revisedNamespace } from './schema-revisions.ts'

export type UpstreamRow = InferSelectModel<typeof upstream>
export type UpstreamKeyRow = InferSelectModel<typeof upstreamKey>
export type KeyState = UpstreamKeyRow['state']

/** What an operator may change; the name and the history stay. */
export type UpstreamChange = Partial<
  Pick<
    UpstreamRow,
    | 'url'
    | 'mirrorOf'
    | 'namespace'
    | 'names'
    | 'signatures'
    | 'tarballs'
    | 'strictSince'
    | 'tarballOrigins'
    | 'revisions'
  >
>

/** A row as it is added; what is left out has its default. */
export type NewUpstreamRow = Omit<
  UpstreamRow,
  'signsSince' | 'edition' | 'strictSince' | 'tarballOrigins' | 'revisions'
> &
  Partial<Pick<UpstreamRow, 'strictSince' | 'tarballOrigins' | 'revisions'>>

const KEYS = `SELECT upstream, keyid, keytype, scheme, spki, expires, json, state,
  first_seen AS firstSeen, leaf_idx AS leafIdx
  FROM upstream_key WHERE upstream = ? ORDER BY first_seen, keyid`

/** What a signature is judged by, without all else that is kept of a key. */
const JUDGED = `SELECT keyid, spki, expires, state FROM upstream_key WHERE upstream = ?`

/** A key as far as signatures are judged by it. */
export type JudgedKey = Pick<UpstreamKeyRow, 'keyid' | 'spki' | 'expires' | 'state'>

export class Upstreams {
  readonly #db: RegistryDb
  readonly #keys: Statement<UpstreamKeyRow, [string]>
  readonly #judged: Statement<JudgedKey, [string]>
  readonly #signsSince: Statement<Pick<UpstreamRow, 'signsSince'>, [string]>
  readonly #one: ReturnType<typeof oneOf>

  constructor(db: RegistryDb) {
    this.#db = db
    this.#one = oneOf(db)
    this.#keys = db.database.prepare(KEYS)
    this.#judged = db.database.prepare(JUDGED)
    this.#signsSince = db.database.prepare(
      'SELECT signs_since AS signsSince FROM upstream WHERE name = ?',
    )
  }

  list(): UpstreamRow[] {
    return this.#db.orm.select().from(upstream).orderBy(asc(upstream.name)).all()
  }

  get(name: string): UpstreamRow | null {
    return this.#one.get({ name }) ?? null
  }

  /** Adds a new one; throws when the name is taken. */
  add(row: NewUpstreamRow): void {
    this.#db.orm
      .insert(upstream)
      .values({ ...row, signsSince: null, edition: newEdition() })
      .run()
  }

  /** False when there is no such upstream. Whatever changes what it answers begins an edition. */
  change(name: string, change: UpstreamChange): boolean {
    const { orm } = this.#db
    const isAnswering = Object.keys(change).some(field => field !== 'names')
    const edition = isAnswering ? { edition: newEdition() } : {}
    if (Object.keys(change).length === 0) return this.get(name) !== null
    const where = eq(upstream.name, name)
    const set = { ...change, ...edition }
    return orm.update(upstream).set(set).where(where).returning().all().length === 1
  }

  /** What was cached of it is no longer its answer. */
  renew(name: string): void {
    const where = eq(upstream.name, name)
    this.#db.orm.update(upstream).set({ edition: newEdition() }).where(where).run()
  }

  /** Whether anything was ever recorded under this namespace: it can then mean nothing else. */
  hasRecords(namespace: string): boolean {
    const { orm } = this.#db
    const versions = orm.select({ found: version.name }).from(version)
    const packages = orm.select({ found: packageSeen.name }).from(packageSeen)
    const keys = orm
      .select({ found: upstreamKey.keyid })
      .from(upstreamKey)
      .innerJoin(upstream, eq(upstream.name, upstreamKey.upstream))
      .where(and(eq(upstream.namespace, namespace), isNotNull(upstreamKey.leafIdx)))
    return (
      versions.where(eq(version.namespace, namespace)).limit(1).get() !== undefined ||
      packages.where(eq(packageSeen.namespace, namespace)).limit(1).get() !== undefined ||
      keys.limit(1).get() !== undefined
    )
  }

  /** Whether the registry of this namespace was declared to re-issue bytes, also a removed one. */
  isRevised(namespace: string): boolean {
    const where = eq(revisedNamespace.namespace, namespace)
    return this.#db.orm.select().from(revisedNamespace).where(where).get() !== undefined
  }

  /** Remembers what kind of registry a namespace is that of. */
  setRevised(namespace: string, isRevised: boolean): void {
    const { orm } = this.#db
    if (isRevised) orm.insert(revisedNamespace).values({ namespace }).onConflictDoNothing().run()
    else orm.delete(revisedNamespace).where(eq(revisedNamespace.namespace, namespace)).run()
  }

  /** The packages ever seen under this namespace. */
  packagesOf(namespace: string): string[] {
    const rows = this.#db.orm.select({ name: packageSeen.name }).from(packageSeen)
    return rows
      .where(eq(packageSeen.namespace, namespace))
      .all()
      .map(({ name }) => name)
  }

  /** Removes it and its keys; what was logged through it stays. */
  remove(name: string): boolean {
    const { orm } = this.#db
    return this.#db.transaction(() => {
      orm.delete(upstreamKey).where(eq(upstreamKey.upstream, name)).run()
      return orm.delete(upstream).where(eq(upstream.name, name)).returning().all().length === 1
    })
  }

  /** The ratchet: from the first time on, this upstream is known to sign. True the first time. */
  markSigns(name: string, now: string): boolean {
    const where = and(eq(upstream.name, name), isNull(upstream.signsSince))
    const changed = this.#db.orm.update(upstream).set({ signsSince: now }).where(where)
    return changed.returning().all().length === 1
  }

  /** The ratchet: since when it is known to sign; null when it is not, or is not there. */
  signsSince(name: string): string | null {
    return this.#signsSince.get(name)?.signsSince ?? null
  }

  /** All keys, in no order. */
  judgedKeys(name: string): JudgedKey[] {
    return this.#judged.all(name)
  }

  /** In the order they were first seen. */
  keys(name: string): UpstreamKeyRow[] {
    return this.#keys.all(name)
  }

  allKeys(): UpstreamKeyRow[] {
    return this.#db.orm
      .select()
      .from(upstreamKey)
      .orderBy(asc(upstreamKey.upstream), asc(upstreamKey.firstSeen), asc(upstreamKey.keyid))
      .all()
  }

  /** Adds a key; throws when this upstream already has one of that keyid. */
  addKey(row: UpstreamKeyRow): void {
    this.#db.orm.insert(upstreamKey).values(row).run()
  }

  setKeyState(name: string, keyid: string, state: KeyState): boolean {
    return this.#changeKey(name, keyid, { state })
  }

  setKeyLeaf(name: string, keyid: string, leafIdx: number): boolean {
    return this.#changeKey(name, keyid, { leafIdx })
  }

  setKeyExpiry(name: string, keyid: string, expires: string, json: string): boolean {
    return this.#changeKey(name, keyid, { expires, json })
  }

  #changeKey(name: string, keyid: string, change: Partial<UpstreamKeyRow>): boolean {
    const where = and(eq(upstreamKey.upstream, name), eq(upstreamKey.keyid, keyid))
    const changed = this.#db.orm.update(upstreamKey).set(change).where(where)
    return changed.returning().all().length === 1
  }
}

function newEdition(): string {
  return crypto.randomUUID()
}

/** The row of a name. */
function oneOf({ orm }: RegistryDb) {
  const isNamed = eq(upstream.name, sql.placeholder('name'))
  return orm.select().from(upstream).where(isNamed).prepare()
}
