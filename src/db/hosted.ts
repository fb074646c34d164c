/**
 * Packages that live here: rows in, rows out, through drizzle's typed queries. Who may change what,
 * and what is logged of it, is decided in registries/. Every change of a package is made together
 * with `touch`, in the caller's transaction.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import { and, asc, eq, type InferSelectModel, isNull, sql } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { hostedMaintainer, hostedPackage, hostedTag, hostedVersion } from './schema-hosted.ts'

export type HostedPackageRow = InferSelectModel<typeof hostedPackage>
export type HostedVersionRow = InferSelectModel<typeof hostedVersion>
export type HostedTagRow = InferSelectModel<typeof hostedTag>

/** What may change of a package besides its versions. */
export type HostedPackageChange = Partial<
  Pick<HostedPackageRow, 'access' | 'description' | 'readme' | 'unpublished'>
>

/** Random bits of a revision: no two states of a package share one, also after a restore. */
const REV_BYTES = 8

export class HostedPackages {
  readonly #db: RegistryDb
  /** By hand: it runs for every question for a package that lives here. */
  readonly #rev: Statement<{ rev: string }, [string]>
  readonly #prepared: ReturnType<typeof prepareFor>

  constructor(db: RegistryDb) {
    this.#db = db
    this.#prepared = prepareFor(db)
    this.#rev = db.database.prepare(
      'SELECT rev FROM hosted_package WHERE name = ? AND unpublished IS NULL',
    )
  }

  /** The revision of a package that has versions; null when there is none. */
  rev(name: string): string | null {
    return this.#rev.get(name)?.rev ?? null
  }

  /** Who may see a package, also one without versions; null when there is none. */
  accessOf(name: string): HostedPackageRow['access'] | null {
    return this.#prepared.access.get(name)?.access ?? null
  }

  /** The whole row: a README has up to 64 Ki characters. */
  get(name: string): HostedPackageRow | null {
    return this.#prepared.package.get(name) ?? null
  }

  /** The names of all packages that not everybody may see. */
  restricted(): string[] {
    const rows = this.#db.orm.select({ name: hostedPackage.name }).from(hostedPackage)
    const where = eq(hostedPackage.access, 'restricted')
    return rows
      .where(where)
      .all()
      .map(({ name }) => name)
  }

  /** Every package, also one without versions, in the order of names. */
  names(): string[] {
    const rows = this.#db.orm.select({ name: hostedPackage.name }).from(hostedPackage)
    return rows
      .orderBy(asc(hostedPackage.name))
      .all()
      .map(({ name }) => name)
  }

  /** Adds a package; throws when there is one of that name. */
  add(row: Omit<HostedPackageRow, 'rev'>): void {
    this.#prepared.addPackage.run({ ...row, rev: nextRev('0') })
  }

  /** A change of the package: it gets another revision. */
  touch(name: string, modified: string, change: HostedPackageChange = {}): void {
    const before = this.get(name)
    if (before === null) return
    const { access, description, readme, unpublished } = { ...before, ...change }
    this.#prepared.touch.run(access, readme, modified, nextRev(before.rev), name)
    // Search reads these two, and is written anew whenever they are.
    if (description === before.description && unpublished === before.unpublished) return
    this.#prepared.describe.run(description, unpublished, name)
  }

  /** A version, also one that was unpublished. */
  version(name: string, version: string): HostedVersionRow | null {
    return this.#prepared.version.get({ name, version }) ?? null
  }

  versionByFile(name: string, file: string): HostedVersionRow | null {
    const where = and(eq(hostedVersion.name, name), eq(hostedVersion.file, file))
    return this.#db.orm.select().from(hostedVersion).where(where).get() ?? null
  }

  /** The numbers of the published versions. */
  versions(name: string): string[] {
    const where = and(eq(hostedVersion.name, name), isNull(hostedVersion.unpublished))
    const rows = this.#db.orm.select({ version: hostedVersion.version }).from(hostedVersion)
    return rows
      .where(where)
      .all()
      .map(({ version }) => version)
  }

  /** Adds a version; throws when there ever was one of that number. */
  addVersion(row: HostedVersionRow): void {
    this.#prepared.addVersion.run(row)
  }

  setVersion(
    name: string,
    version: string,
    change: Partial<Pick<HostedVersionRow, 'deprecated' | 'unpublished'>>,
  ): void {
    const where = and(eq(hostedVersion.name, name), eq(hostedVersion.version, version))
    this.#db.orm.update(hostedVersion).set(change).where(where).run()
  }

  /** Whether a published version has this tarball. */
  isReferenced(integrity: string): boolean {
    return this.#prepared.reference.get(integrity) !== null
  }

  tags(name: string): HostedTagRow[] {
    return this.#prepared.tags.all(name)
  }

  setTag(name: string, tag: string, version: string): void {
    this.#prepared.setTag.run(name, tag, version)
  }

  removeTag(name: string, tag: string): void {
    const where = and(eq(hostedTag.name, name), eq(hostedTag.tag, tag))
    this.#db.orm.delete(hostedTag).where(where).run()
  }

  maintainers(name: string): string[] {
    return this.#prepared.maintainers.all(name).map(({ user }) => user)
  }

  /** The names of the packages that a person maintains. */
  maintainedBy(user: string): string[] {
    const rows = this.#db.orm.select({ name: hostedMaintainer.name }).from(hostedMaintainer)
    return rows
      .where(eq(hostedMaintainer.user, user))
      .orderBy(asc(hostedMaintainer.name))
      .all()
      .map(({ name }) => name)
  }

  isMaintainer(name: string, user: string): boolean {
    return this.#prepared.maintainer.get(name, user) !== null
  }

  setMaintainers(name: string, users: readonly string[]): void {
    this.#prepared.removeMaintainers.run(name)
    for (const user of users) this.#prepared.addMaintainer.run(name, user)
  }
}

function prepareFor({ orm, database }: RegistryDb) {
  const name = sql.placeholder('name')
  const isVersion = and(
    eq(hostedVersion.name, name),
    eq(hostedVersion.version, sql.placeholder('version')),
  )
  return {
    access: database.prepare<Pick<HostedPackageRow, 'access'>, [string]>(
      'SELECT access FROM hosted_package WHERE name = ?',
    ),
    package: database.prepare<HostedPackageRow, [string]>(
      `SELECT name, access, rev, created, modified, description, readme, unpublished
       FROM hosted_package WHERE name = ?`,
    ),
    addPackage: orm.insert(hostedPackage).values(packageValues()).prepare(),
    touch: database.prepare<unknown, [string, string | null, string, string, string]>(
      'UPDATE hosted_package SET access = ?, readme = ?, modified = ?, rev = ? WHERE name = ?',
    ),
    describe: database.prepare<unknown, [string | null, string | null, string]>(
      'UPDATE hosted_package SET description = ?, unpublished = ? WHERE name = ?',
    ),
    version: orm.select().from(hostedVersion).where(isVersion).prepare(),
    addVersion: orm.insert(hostedVersion).values(versionValues()).prepare(),
    reference: database.prepare<unknown, [string]>(
      'SELECT 1 FROM hosted_version WHERE integrity = ? AND unpublished IS NULL LIMIT 1',
    ),
    tags: database.prepare<HostedTagRow, [string]>(
      'SELECT name, tag, version FROM hosted_tag WHERE name = ? ORDER BY tag',
    ),
    setTag: database.prepare<unknown, [string, string, string]>(
      `INSERT INTO hosted_tag (name, tag, version) VALUES (?, ?, ?)
       ON CONFLICT (name, tag) DO UPDATE SET version = excluded.version`,
    ),
    maintainer: database.prepare<unknown, [string, string]>(
      'SELECT 1 FROM hosted_maintainer WHERE name = ? AND user = ?',
    ),
    maintainers: database.prepare<{ user: string }, [string]>(
      'SELECT user FROM hosted_maintainer WHERE name = ? ORDER BY user',
    ),
    addMaintainer: database.prepare<unknown, [string, string]>(
      'INSERT INTO hosted_maintainer (name, user) VALUES (?, ?)',
    ),
    removeMaintainers: database.prepare<unknown, [string]>(
      'DELETE FROM hosted_maintainer WHERE name = ?',
    ),
  }
}

/** A place for each column. */
function packageValues() {
  return {
    name: sql.placeholder('name'),
    access: sql.placeholder('access'),
    rev: sql.placeholder('rev'),
    created: sql.placeholder('created'),
    modified: sql.placeholder('modified'),
    description: sql.placeholder('description'),
    readme: sql.placeholder('readme'),
    unpublished: sql.placeholder('unpublished'),
  }
}

function versionValues() {
  return {
    name: sql.placeholder('name'),
    version: sql.placeholder('version'),
    manifest: sql.placeholder('manifest'),
    integrity: sql.placeholder('integrity'),
    shasum: sql.placeholder('shasum'),
    file: sql.placeholder('file'),
    fileCount: sql.placeholder('fileCount'),
    unpackedSize: sql.placeholder('unpackedSize'),
    published: sql.placeholder('published'),
    publisher: sql.placeholder('publisher'),
    keyid: sql.placeholder('keyid'),
    sig: sql.placeholder('sig'),
    deprecated: sql.placeholder('deprecated'),
    predicateType: sql.placeholder('predicateType'),
    provenance: sql.placeholder('provenance'),
    unpublished: sql.placeholder('unpublished'),
  }
}

/** `7-0f3a…`: counted for people, random for everybody else. */
function nextRev(rev: string): string {
  const count = Number.parseInt(rev, 10) + 1
  return `${count}-${crypto.getRandomValues(new Uint8Array(REV_BYTES)).toHex()}`
}
