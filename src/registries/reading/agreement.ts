/**
 * Agreement: the sources of one registry are compared when versions are new.
 *
 * The record is what the registry itself said; each mirror's packument is held against it.
 *
 * - Missing on a mirror is lag, and says nothing. A changed manifest says nothing either: what a
 *   mirror says of manifests is never served.
 * - Other bytes with a valid signature of the registry, or, where the registry does not sign, any
 *   other bytes: a conflict. Nobody can tell which is right; the version is refused from then on.
 * - Other bytes without a valid signature, where the registry signs: a bad mirror. It is passed
 *   over for this package; the version is served, so that no mirror can stop a package by lying.
 *
 * A mirror that could not be asked, or that lacks a new version, is compared again later, with a
 * later refresh of the package; what it owes is forgotten by a restart. Comparing never makes a
 * record and never fails a request.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Incidents } from '../../db/incidents.ts'
import type { Packages, VersionRow } from '../../db/packages.ts'
import { RegistryError } from '../errors.ts'
import type { InspectedVersion, InspectInput, KnownVersion } from '../packument/inspect.ts'
import { type Ledger, observationOf } from './ledger.ts'
import type { Mirror } from '../sources/mirror.ts'
import { BAD_MIRROR, type BadMirrorEvidence } from '../sources/mirrors.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import { allSummaries } from './plan.ts'
import { knownVersions } from '../packument/known-versions.ts'
import type { Source } from '../sources/source.ts'
import type { Places } from '../sources/tarball-location.ts'
import { timestamp } from '../timestamp.ts'

/**
 * Comparisons with one mirror under way at once: each holds a whole packument in memory. A mirror
 * that hangs holds up its own only.
 */
const COMPARISONS_MAX = 4
/** A mirror that gave no answer is not asked again about the same package before this. */
const SILENT_RETRY_MS = 30_000
/** A mirror that lacks a new version is looked at again after this: it may get other bytes. */
const LAG_RETRY_MS = 10 * 60_000
/** A version is new for so long: what a mirror still lacks then, it may lack for ever. */
const NEW_MS = 24 * 60 * 60_000
/** Packages of which a mirror owes an answer. */
const OWED_MAX = 10_000

/** What comparing works with. */
export type AgreementNeeds = {
  pool: PackumentPool
  packages: Packages
  incidents: Incidents
  ledger: Ledger
  places: Places
  now: () => Date
  warn: (message: string) => void
}

type Owed = { mirrors: ReadonlySet<string>; notBeforeMs: number }
/** @property changed something is refused now that was served before @property retryMs null: never */
type Outcome = { changed: boolean; retryMs: number | null }

const SILENT: Outcome = { changed: false, retryMs: SILENT_RETRY_MS }

/** Compares sources. */
export class Agreement {
  readonly #needs: AgreementNeeds
  readonly #limits = new WeakMap<Mirror, LimitFunction>()
  readonly #owed = new LRUCache<string, Owed>(atMost(OWED_MAX))

  constructor(needs: AgreementNeeds) {
    this.#needs = needs
  }

  /**
   * Compares the mirrors' word on a package with the record, if there is a reason to.
   * @param isNew whether versions of it were just recorded
   * @returns whether a version is refused now that was served before; undefined: nothing to compare
   */
  begin(source: Source, name: string, isNew: boolean): Promise<boolean> | undefined {
    const mirrors = this.#toAsk(source, name, isNew)
    if (mirrors.length === 0) return undefined
    return this.#compareAll(source, name, mirrors)
  }

  #toAsk(source: Source, name: string, isNew: boolean): readonly Mirror[] {
    const all = source.mirrors.all()
    if (isNew || all.length === 0) return all
    const owed = this.#owed.get(keyOf(source, name))
    if (owed === undefined || this.#needs.now().getTime() < owed.notBeforeMs) return []
    return all.filter(mirror => owed.mirrors.has(mirror.name))
  }

  async #compareAll(source: Source, name: string, mirrors: readonly Mirror[]): Promise<boolean> {
    const outcomes = await Promise.all(
      mirrors.map(mirror => this.#limitOf(mirror)(() => this.#compare(source, name, mirror))),
    )
    const owing = mirrors.filter((_, i) => outcomes[i]?.retryMs !== null)
    const waits = outcomes.flatMap(({ retryMs }) => retryMs ?? [])
    const key = keyOf(source, name)
    const notBeforeMs = this.#needs.now().getTime() + Math.min(...waits)
    if (owing.length === 0) this.#owed.delete(key)
    else this.#owed.set(key, { mirrors: new Set(owing.map(mirror => mirror.name)), notBeforeMs })
    return outcomes.some(({ changed }) => changed)
  }

  #limitOf(mirror: Mirror): LimitFunction {
    const limit = this.#limits.get(mirror) ?? pLimit(COMPARISONS_MAX)
    this.#limits.set(mirror, limit)
    return limit
  }

  async #compare(source: Source, name: string, mirror: Mirror): Promise<Outcome> {
    if (!mirror.isWell) return SILENT
    try {
      const answer = await mirror.fetchPackument(name)
      if (answer.status !== 'fresh') return { changed: false, retryMs: LAG_RETRY_MS }
      const { differing, lags } = await this.#differing(source, name, mirror, answer.bytes)
      const changes = differing.map(found => this.#judge(source, name, mirror, found))
      return { changed: changes.includes(true), retryMs: lags ? LAG_RETRY_MS : null }
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      this.#needs.warn(`mirror ${mirror.name} cannot be compared for ${name}: ${error.message}`)
      return SILENT
    }
  }

  /** The versions of a mirror's packument that are in the log with other bytes, judged anew. */
  async #differing(
    source: Source,
    name: string,
    mirror: Mirror,
    bytes: ArrayBuffer,
  ): Promise<{ differing: InspectedVersion[]; lags: boolean }> {
    const { packages, pool, now } = this.#needs
    const { keys, signs } = source.trust.stored()
    const rows = await allSummaries(packages, source.namespace, name)
    const known = knownVersions(rows)
    // Its dates are its own: a key that has expired by our clock vouches for nothing here.
    const about = { name, keys, registrySigns: signs, packageKnown: true, now: timestamp(now()) }
    const first = await pool.inspectWhole(bytes, { ...about, known })
    const differing = new Set(
      first.inspection.versions.filter(isConflict).map(({ version }) => version),
    )
    this.#needs.places.note(source, mirror, rows, first.inspection.versions)
    const there = new Set(first.inspection.versions.map(({ version }) => version))
    const newSince = timestamp(new Date(now().getTime() - NEW_MS))
    const lags = rows.some(row => row.firstSeen > newSince && !there.has(row.version))
    if (differing.size === 0) return { differing: [], lags }
    const others: KnownVersion[] = known.filter(({ version }) => !differing.has(version))
    const input: InspectInput = { ...about, known: others }
    const second = await pool.inspectWhole(first.bytes, input)
    const { versions } = second.inspection
    return { differing: versions.filter(({ version }) => differing.has(version)), lags }
  }

  /** True when this makes a served version a refused one. */
  #judge(source: Source, name: string, mirror: Mirror, found: InspectedVersion): boolean {
    const { packages, ledger } = this.#needs
    const row = packages.get(source.namespace, name, found.version)
    if (row === null) return false
    const seen = timestamp(this.#needs.now())
    const said = { ...row, signatures: row.signature === null ? [] : [row.signature] }
    const sources = [
      observationOf(source.upstream.url, said, row.firstSeen),
      observationOf(mirror.url, found, seen),
    ]
    const record = ledger.recordOf(row)
    if (found.verdict !== 'valid' && found.verdict !== 'unsigned-registry') {
      const evidence = { mirror: mirror.name, record, sources, detail: found.detail }
      this.#distrust(source, row, found, evidence)
      return false
    }
    this.#needs.warn(
      `conflict: ${name}@${found.version} has ${row.integrity} in the log and ${found.integrity} at ${mirror.name}`,
    )
    const detail = `${mirror.name} says ${found.integrity}, the log says ${row.integrity}`
    ledger.dispute(row, JSON.stringify({ mirror: mirror.name, record, sources, detail }), seen)
    return row.state !== 'conflict'
  }

  #distrust(
    source: Source,
    row: VersionRow,
    found: InspectedVersion,
    evidence: BadMirrorEvidence & Record<string, unknown>,
  ): void {
    const { namespace, name, version } = row
    const { mirror } = evidence
    const sentence = `${name}@${version}: mirror ${mirror} says ${found.integrity} without a valid signature, the log says ${row.integrity}; the mirror is not used for ${name}`
    this.#needs.warn(sentence)
    this.#needs.incidents.record(
      {
        code: BAD_MIRROR,
        namespace,
        name,
        version,
        claim: `${mirror} ${found.integrity}`,
        sentence,
        evidence: JSON.stringify(evidence),
      },
      timestamp(this.#needs.now()),
    )
    source.mirrors.distrust(name)
  }
}

function isConflict(found: InspectedVersion): boolean {
  return found.verdict === 'conflict'
}

function keyOf(source: Source, name: string): string {
  return `${source.name} ${name}`
}
