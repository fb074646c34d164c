/**
 * Packages and versions that were seen: rows in, rows out. What a row means is decided in
 * registries/. Statements are prepared once by hand: these run for every version of every
 * packument, and drizzle's builder costs up to ten times the insert itself.
 * @module
 */
import type { Statement } from 'bun:sqlite'
import type { RegistryDb } from './registry-db.ts'

export type Signature = { keyid: string; sig: string }

export type VersionRow = {
  namespace: string
  name: string
  version: string
  integrity: string | null
  manifestHash: string
  projection: string
  signature: Signature | null
  leafIndex: number | null
  firstSeen: string
  sinceFirstSight: boolean
  /** `logged`, or the code of the refusal. */
  state: string
  detail: string
  incident: string | null
  tarball: string
  file: string
  shasum: string | null
  published: string | null
}

/** A row without its projection, which is the bulk of it. */
export type VersionSummary = Omit<VersionRow, 'projection'>

/** What the log says of a version: the shape that the inspection of a packument takes. */
export type LoggedVersion = {
  version: string
  integrity: string
  manifestHash: string
  signature: Signature | null
  sinceFirstSight: boolean
}

/** State of a row whose version was unpublished: its tarball is gone, its number stays taken. */
export const UNPUBLISHED_STATE = 'unpublished'

const UPSERT = `INSERT INTO version
  (namespace, name, version, integrity, manifest_hash, projection, keyid, sig, leaf_idx, first_seen,
   since_first_sight, state, detail, incident, tarball, file, shasum, published)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (namespace, name, version) DO UPDATE SET
    state = iif(state = '${UNPUBLISHED_STATE}', state, excluded.state),
    detail = iif(state = '${UNPUBLISHED_STATE}', detail, excluded.detail),
    incident = excluded.incident,
    tarball = excluded.tarball, file = excluded.file,
    integrity = iif(leaf_idx IS NULL, excluded.integrity, integrity),
    manifest_hash = iif(leaf_idx IS NULL, excluded.manifest_hash, manifest_hash),
    projection = iif(leaf_idx IS NULL, excluded.projection, projection),
    keyid = iif(leaf_idx IS NULL, excluded.keyid, keyid),
    sig = iif(leaf_idx IS NULL, excluded.sig, sig),
    shasum = iif(leaf_idx IS NULL, excluded.shasum, shasum),
    published = iif(leaf_idx IS NULL, excluded.published, published),
    leaf_idx = coalesce(leaf_idx, excluded.leaf_idx)`

const SUMMARY = `namespace, name, version, integrity, manifest_hash, keyid, sig, leaf_idx,
  first_seen, since_first_sight, state, detail, incident, tarball, file, shasum, published`

type SummaryColumns = {
  namespace: string
  name: string
  version: string
  integrity: string | null
  manifest_hash: string
  keyid: string | null
  sig: string | null
  leaf_idx: number | null
  first_seen: string
  since_first_sight: number
  state: string
  detail: string
  incident: string | null
  tarball: string
  file: string
  shasum: string | null
  published: string | null
}

/**
 * A version that its registry did not sign has our own signature in the same columns, marked by
 * this before the keyid: it has one or the other, and what is read as `signature` is never ours.
 */
const COSIGNED = 'own '

const COSIGN = `UPDATE version
  SET sig = iif(keyid IS NULL, ?, sig), keyid = coalesce(keyid, '${COSIGNED}' || ?)
  WHERE namespace = ? AND name = ? AND version = ? AND leaf_idx IS NOT NULL`

const COSIGNATURES = `SELECT version, substr(keyid, ${COSIGNED.length + 1}) AS keyid, sig
  FROM version WHERE namespace = ? AND name = ? AND version BETWEEN ? AND ?
  AND substr(keyid, 1, ${COSIGNED.length}) = '${COSIGNED}'`

/** Our own signature of a version. */
export type Cosignature = Signature & { version: string }

type LoggedColumns = {
  version: string
  integrity: string
  manifest_hash: string
  keyid: string | null
  sig: string | null
  since_first_sight: number
}

export class Packages {
  readonly #db: RegistryDb
  readonly #upsert: Statement<unknown, (string | number | null)[]>
  readonly #mark: Statement<unknown, [string, string, string]>
  readonly #firstSeen: Statement<{ first_seen: string }, [string, string]>
  readonly #page: Statement<SummaryColumns, [string, string, string, number]>
  readonly #logged: Statement<LoggedColumns, [string, string]>
  readonly #one: Statement<SummaryColumns & { projection: string }, [string, string, string]>
  readonly #byFile: Statement<SummaryColumns, [string, string, string]>
  readonly #states: Statement<{ state: string; count: number }, []>
  readonly #cosign: Statement<unknown, [string, string, string, string, string]>
  readonly #cosignatures: Statement<Cosignature, [string, string, string, string]>
  #writes = 0

  constructor(db: RegistryDb) {
    const { database } = db
    const ofPackage = 'FROM version WHERE namespace = ? AND name = ?'
    this.#db = db
    this.#upsert = database.prepare(UPSERT)
    this.#mark = database.prepare(
      'INSERT INTO package (namespace, name, first_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    )
    this.#firstSeen = database.prepare(
      'SELECT first_seen FROM package WHERE namespace = ? AND name = ?',
    )
    this.#page = database.prepare(
      `SELECT ${SUMMARY} ${ofPackage} AND version > ? ORDER BY version LIMIT ?`,
    )
    this.#logged = database.prepare(
      `SELECT version, integrity, manifest_hash, keyid, sig, since_first_sight ${ofPackage}
       AND leaf_idx IS NOT NULL`,
    )
    this.#one = database.prepare(`SELECT ${SUMMARY}, projection ${ofPackage} AND version = ?`)
    this.#byFile = database.prepare(`SELECT ${SUMMARY} ${ofPackage} AND file = ?`)
    this.#states = database.prepare('SELECT state, count(*) AS count FROM version GROUP BY state')
    this.#cosign = database.prepare(COSIGN)
    this.#cosignatures = database.prepare(COSIGNATURES)
  }

  /** Another one after every write of versions: what was read before may not be so any more. */
  get edition(): number {
    return this.#writes
  }

  /** Notes when a package was first seen; the first time stays. True when this was it. */
  markSeen(namespace: string, name: string, now: string): boolean {
    return this.#mark.run(namespace, name, now).changes === 1
  }

  firstSeen(namespace: string, name: string): string | null {
    return this.#firstSeen.get(namespace, name)?.first_seen ?? null
  }

  /**
   * Inserts or updates, in the caller's transaction when there is one. Once a row has a leaf index,
   * what the leaf claims (integrity, manifest, signature) and its first sight never change again;
   * its state, detail and place of the tarball do, until it is unpublished.
   */
  upsert(rows: readonly VersionRow[]): void {
    if (rows.length === 0) return
    this.#writes += 1
    this.#db.transaction(() => {
      for (const row of rows) this.#upsert.run(...parameters(row))
    })
  }

  /** Keeps our signatures of logged versions that have none; the first of a version stays. */
  cosign(namespace: string, name: string, signatures: readonly Cosignature[]): void {
    this.#writes += 1
    this.#db.transaction(() => {
      for (const { version, keyid, sig } of signatures) {
        this.#cosign.run(sig, keyid, namespace, name, version)
      }
    })
  }

  /** Our signatures of the versions between two, both included, in the order of their text. */
  cosignatures(namespace: string, name: string, from: string, to: string): Cosignature[] {
    return this.#cosignatures.all(namespace, name, from, to)
  }

  /** The next versions after `after`, in the order of their text, without projections. */
  summaryPage(namespace: string, name: string, after: string, limit: number): VersionSummary[] {
    return this.#page.all(namespace, name, after, limit).map(toSummary)
  }

  /** The versions of a package that are in the log, also those refused since. */
  logged(namespace: string, name: string): LoggedVersion[] {
    return this.#logged.all(namespace, name).map(row => ({
      version: row.version,
      integrity: row.integrity,
      manifestHash: row.manifest_hash,
      signature: toSignature(row),
      sinceFirstSight: row.since_first_sight === 1,
    }))
  }

  get(namespace: string, name: string, version: string): VersionRow | null {
    const row = this.#one.get(namespace, name, version)
    return row === null ? null : { ...toSummary(row), projection: row.projection }
  }

  /** The version behind `/<name>/-/<file>`. */
  byFile(namespace: string, name: string, file: string): VersionSummary | null {
    const row = this.#byFile.get(namespace, name, file)
    return row === null ? null : toSummary(row)
  }

  /** How many versions are in each state, for metrics. */
  countByState(): { state: string; count: number }[] {
    return this.#states.all()
  }
}

function parameters(row: VersionRow): (string | number | null)[] {
  return [
    row.namespace,
    row.name,
    row.version,
    row.integrity,
    row.manifestHash,
    row.projection,
    row.signature?.keyid ?? null,
    row.signature?.sig ?? null,
    row.leafIndex,
    row.firstSeen,
    row.sinceFirstSight ? 1 : 0,
    row.state,
    row.detail,
    row.incident,
    row.tarball,
    row.file,
    row.shasum,
    row.published,
  ]
}

function toSummary(row: SummaryColumns): VersionSummary {
  return {
    namespace: row.namespace,
    name: row.name,
    version: row.version,
    integrity: row.integrity,
    manifestHash: row.manifest_hash,
    signature: toSignature(row),
    leafIndex: row.leaf_idx,
    firstSeen: row.first_seen,
    sinceFirstSight: row.since_first_sight === 1,
    state: row.state,
    detail: row.detail,
    incident: row.incident,
    tarball: row.tarball,
    file: row.file,
    shasum: row.shasum,
    published: row.published,
  }
}

function toSignature(row: { keyid: string | null; sig: string | null }): Signature | null {
  const { keyid, sig } = row
  return keyid === null || sig === null || keyid.startsWith(COSIGNED) ? null : { keyid, sig }
}
