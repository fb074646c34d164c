/**
 * Recording: what an inspection found becomes leaves of the log and rows of the registry, in one
 * transaction, and every refusal keeps its evidence.
 *
 * DESIGN flow (a), rules 4 and 9: no await between reading the log's size and committing; long
 * packuments are recorded in batches with the loop free in between. Verifies nothing itself
 * (inspect.ts did) and serves nothing (proxy.ts does).
 * @module
 */
import type { DisputeRow, Disputes } from '../../db/disputes.ts'
import { incidentId, type Incidents } from '../../db/incidents.ts'
import {
  type Packages,
  UNPUBLISHED_STATE,
  type VersionRow,
  type VersionSummary,
} from '../../db/packages.ts'
import { Provenances } from '../../db/policy-rules.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Revisions } from '../../db/revisions.ts'
import { encodeLeaf, parseLeaf, type VersionLeaf } from '../../log/leaf.ts'
import type { AppendOutcome, Log, LogStore } from '../../log/log.ts'
import type { InspectedVersion } from '../packument/inspect.ts'
import { allSummaries, RESTORED_STATE } from './plan.ts'
import { type Named, Reissues, withOwnFile } from './reissues.ts'
import { isRefusalCode, type RefusalCode, refusalSentence } from '../packument/refusal.ts'
import type { Source } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'

/** Versions per transaction: 10 ms of work with its fsyncs, so no other request waits long behind it. */
const BATCH_VERSIONS_MAX = 128

/** What recording writes to. @property base public URL, ends in `/` @property now the log's clock */
export type LedgerNeeds = {
  db: RegistryDb
  log: Log
  store: LogStore
  packages: Packages
  incidents: Incidents
  disputes: Disputes
  revisions: Revisions
  base: string
  now: () => Date
}

/** Stands for all claims against a version: whoever made the first, its incident has one id. */
const DISPUTE_CLAIM = 'sources'

/** What recording did. @property added whether a version is new in the log */
export type Recorded = { changed: boolean; added: boolean }

export type EvidenceRecord = { index: number; leaf: string }

/** One package whose versions are being recorded. */
type Recording = {
  source: Source
  name: string
  /** What is recorded already. */
  known: ReadonlyMap<string, VersionSummary>
  disputed: ReadonlyMap<string, DisputeRow>
  packageKnown: boolean
}

/** Writes inspections down. */
export class Ledger {
  readonly #needs: LedgerNeeds
  readonly #provenances: Provenances
  readonly #reissues: Reissues

  constructor(needs: LedgerNeeds) {
    this.#needs = needs
    this.#reissues = new Reissues(needs)
    this.#provenances = new Provenances(needs.db)
  }

  /**
   * Records what changed since the last inspection of this package. `inspect` hands over the
   * versions as it finds them, and waits until they are recorded.
   * @param extent `part`: what a mirror showed of it, from which its first sight is not concluded
   * @param rows what is recorded of it, when that was read just now
   * @returns what `inspect` does, whether anything changed, and whether a version is new in the log
   */
  async record<Result>(
    source: Source,
    name: string,
    inspect: (take: (versions: InspectedVersion[]) => Promise<void>) => Promise<Result>,
    { extent = 'whole', rows }: { extent?: 'whole' | 'part'; rows?: VersionSummary[] } = {},
  ): Promise<Recorded & { result: Result }> {
    const { packages, disputes } = this.#needs
    const recorded = rows ?? (await allSummaries(packages, source.namespace, name))
    const known = new Map(recorded.map(row => [row.version, row]))
    const disputed = disputes.ofPackage(source.namespace, name)
    const packageKnown = packages.firstSeen(source.namespace, name) !== null
    const recording = { source, name, known, disputed, packageKnown }
    const done = { changed: false, added: false }
    const result = await inspect(async versions => {
      const { changed, added } = await this.#recordChanged(recording, versions)
      done.changed ||= changed
      done.added ||= added
    })
    // Last, so that a package counts as known only when all of its first sight is recorded: which
    // versions are new since then decides by which clock old keys are judged.
    if (!packageKnown && extent === 'whole') {
      packages.markSeen(source.namespace, name, timestamp(this.#needs.now()))
    }
    return { ...done, result }
  }

  /** Yields between batches. */
  async #recordChanged(recording: Recording, versions: InspectedVersion[]): Promise<Recorded> {
    const { source, name, known, disputed } = recording
    const own = (found: InspectedVersion) => {
      if (source.revises !== true) return found
      const row = known.get(found.version)
      return withOwnFile(name, found, row && isOther(found, row) ? undefined : row)
    }
    const changed = versions
      .map(found => withDispute(own(found), disputed.get(found.version)))
      .filter(found => differs(source, found, known.get(found.version)))
    for (let start = 0; start < changed.length; start += BATCH_VERSIONS_MAX) {
      this.#recordBatch(recording, changed.slice(start, start + BATCH_VERSIONS_MAX))
      await new Promise(resolve => setImmediate(resolve))
    }
    const added = changed.some(
      found => isLoggable(found) && (known.get(found.version)?.leafIndex ?? null) === null,
    )
    return { changed: changed.length > 0, added }
  }

  #recordBatch(recording: Recording, batch: readonly InspectedVersion[]): void {
    const { source, name, known, disputed, packageKnown } = recording
    const { db, log, packages } = this.#needs
    const seen = timestamp(this.#needs.now())
    const named = (found: InspectedVersion) =>
      source.revises === true && isLoggable(found)
        ? this.#reissues.named(source.namespace, name, found)
        : found
    const checked = batch.map(found => encodable(source.namespace, name, named(found), seen))
    db.transaction(() => {
      // What not everybody may know of is in no log.
      const isPrivate = source.housed?.isPrivate(name) === true
      const loggable = isPrivate ? [] : checked.filter(isLoggable)
      const outcomes = log.append(
        loggable.map(found => leafOf(source.namespace, name, found, seen)),
      )
      const byVersion = new Map(loggable.map((found, i) => [found.version, outcomes[i]]))
      const rows = checked.map(found => {
        const before = known.get(found.version)
        const outcome = byVersion.get(found.version)
        const isRevision = before !== undefined && source.revises === true && isOther(found, before)
        const row = isRevision
          ? this.#reissues.turn(before, found, seen)
          : rowOf(source.namespace, name, found, before, seen, packageKnown)
        settle(row, found, outcome)
        this.#noteRevision(source, row, found, before, outcome, seen)
        const dispute = disputed.get(found.version)
        if (dispute !== undefined && found.detail === dispute.detail)
          row.incident = dispute.incident
        else if (row.state !== 'logged') this.#keepEvidence(source, row, found, seen)
        return row
      })
      packages.upsert(rows)
      for (const { version, provenance } of checked) {
        if (provenance === undefined) continue
        this.#provenances.add({ namespace: source.namespace, name, version, predicate: provenance })
      }
    })
    log.publish()
  }

  #keepEvidence(source: Source, row: VersionRow, found: InspectedVersion, seen: string): void {
    const { name, version, namespace, detail } = row
    const code: RefusalCode = isRefusalCode(row.state) ? row.state : 'changed'
    const claim = `${found.integrity ?? ''} ${found.manifestHash}`
    row.incident = incidentId({ code, namespace, name, version }, claim)
    const observation = observationOf(source.upstream.url, found, seen)
    const record = this.recordOf(row)
    this.#needs.incidents.record(
      {
        code,
        namespace,
        name,
        version,
        claim,
        sentence: refusalSentence(this.#needs.base, { ...row, code }),
        evidence: JSON.stringify({ record, sources: [observation], detail }),
      },
      seen,
    )
  }

  #noteRevision(
    source: Source,
    row: VersionRow,
    found: Named,
    before: VersionSummary | undefined,
    outcome: AppendOutcome | undefined,
    seen: string,
  ): void {
    if (found.recordedAs === undefined || outcome?.outcome !== 'added') return
    const observation = observationOf(source.upstream.url, found, seen)
    const records = [before, row].flatMap(each => (each ? this.recordOf(each) : null) ?? [])
    this.#reissues.note(row, found, { records, sources: [observation] }, seen)
  }

  /** The record of a version as evidence shows it; null when it has none. */
  recordOf({ leafIndex }: Pick<VersionRow, 'leafIndex'>): EvidenceRecord | null {
    if (leafIndex === null) return null
    const [leaf] = this.#needs.store.readLeaves(leafIndex, leafIndex + 1)
    return { index: leafIndex, leaf: new TextDecoder().decode(leaf) }
  }

  /**
   * Refuses a logged version from now on: a source of its registry says other bytes. Which source
   * came first leaves no trace in what clients get; the evidence names each.
   */
  dispute(row: VersionRow, evidence: string, seen: string): void {
    const { db, base, disputes, incidents, packages } = this.#needs
    const { namespace, name, version } = row
    const detail = `a source of its registry says other bytes than the log, which has ${row.integrity}`
    const about = { code: 'conflict', namespace, name, version } as const
    const incident = incidentId(about, DISPUTE_CLAIM)
    const sentence = refusalSentence(base, { ...about, detail, incident })
    db.transaction(() => {
      incidents.record({ ...about, claim: DISPUTE_CLAIM, sentence, evidence }, seen)
      if (!disputes.add({ namespace, name, version, detail, incident, created: seen })) return
      packages.upsert([{ ...row, state: 'conflict', detail, incident }])
    })
  }
}

/** What one source said of a version, as evidence keeps it. */
export function observationOf(
  upstream: string,
  found: Omit<
    InspectedVersion,
    'version' | 'file' | 'signature' | 'verdict' | 'detail' | 'published'
  >,
  observed: string,
): Record<string, unknown> {
  const { integrity, shasum, tarball, signatures, projection } = found
  const manifest = found.manifestHash
  return { upstream, observed, integrity, shasum, tarball, signatures, manifest, projection }
}

/** A version that sources disagree about stays refused, whatever its registry says now. */
function withDispute(found: InspectedVersion, dispute: DisputeRow | undefined): InspectedVersion {
  // What its registry does wrong by itself comes first: it has evidence of its own.
  if (dispute === undefined || (!isLoggable(found) && found.verdict !== 'logged')) return found
  return { ...found, verdict: 'conflict', detail: dispute.detail }
}

function isLoggable(found: InspectedVersion): boolean {
  return found.verdict === 'valid' || found.verdict === 'unsigned-registry'
}

/** Is there anything to write about this version? Most refreshes find one new version of hundreds. */
function differs(
  source: Source,
  found: InspectedVersion,
  row: VersionSummary | undefined,
): boolean {
  if (row === undefined) return true
  // Its number stays taken: a document from before that says nothing against it.
  if (row.state === UNPUBLISHED_STATE) return false
  return (
    (source.revises === true && isOther(found, row)) ||
    stateOf(found, row) !== row.state ||
    found.file !== row.file ||
    found.tarball !== row.tarball ||
    found.detail !== row.detail
  )
}

/** Another content than the one that is recorded as the present one. */
function isOther(found: InspectedVersion, row: VersionSummary): boolean {
  return row.leafIndex !== null && isLoggable(found) && found.integrity !== row.integrity
}

/** The state a row is to have after this finding. */
function stateOf(found: InspectedVersion, row: VersionSummary): string {
  if (isLoggable(found)) return 'logged'
  if (found.verdict !== 'logged') return found.verdict
  const { signature } = found
  // The logged projection is not at hand: nothing can stand in for the changed one.
  if (row.state === 'changed' && found.manifestHash !== row.manifestHash) return 'changed'
  const signed = signature === null || found.signatures.some(entry => entry.sig === signature.sig)
  const same = found.manifestHash === row.manifestHash && found.integrity === row.integrity
  return same && signed ? 'logged' : RESTORED_STATE
}

/** A finding that no record can hold is invalid; the others of its batch are recorded all the same. */
function encodable(namespace: string, name: string, found: Named, seen: string): Named {
  if (!isLoggable(found)) return found
  try {
    encodeLeaf(leafOf(namespace, name, found, seen))
    return found
  } catch (error) {
    return { ...found, verdict: 'invalid', detail: `no record can hold it: ${String(error)}` }
  }
}

function leafOf(namespace: string, name: string, found: Named, seen: string): VersionLeaf {
  const leaf: VersionLeaf = {
    kind: 'version',
    namespace,
    name,
    version: found.recordedAs ?? found.version,
    integrity: found.integrity ?? '',
    manifest: found.manifestHash,
    seen,
  }
  return found.signature === null ? leaf : { ...leaf, signature: found.signature }
}

function rowOf(
  namespace: string,
  name: string,
  found: InspectedVersion,
  before: VersionSummary | undefined,
  seen: string,
  packageKnown: boolean,
): VersionRow {
  const logged = before !== undefined && before.leafIndex !== null
  return {
    namespace,
    name,
    version: found.version,
    integrity: logged ? before.integrity : found.integrity,
    manifestHash: logged ? before.manifestHash : found.manifestHash,
    projection: found.projection,
    signature: logged ? before.signature : null,
    leafIndex: before?.leafIndex ?? null,
    firstSeen: before?.firstSeen ?? seen,
    sinceFirstSight: before?.sinceFirstSight ?? packageKnown,
    state: before?.state ?? 'invalid',
    detail: found.detail,
    incident: null,
    tarball: found.tarball,
    file: found.file,
    shasum: found.shasum,
    published: found.published,
  }
}

/** Brings a row up to what was found and what the log answered. */
function settle(
  row: VersionRow,
  found: InspectedVersion,
  outcome: AppendOutcome | undefined,
): void {
  row.state = stateOf(found, row)
  if (outcome === undefined) {
    if (isLoggable(found)) row.signature = found.signature
    return
  }
  row.leafIndex = outcome.index
  row.signature = found.signature
  if (outcome.outcome !== 'added') compareWithLeaf(row, outcome.leaf)
  // A content that was here before comes with the manifest that was recorded of it.
  if (row.state === 'logged' && row.manifestHash !== found.manifestHash) row.state = RESTORED_STATE
}

/** The log had this version although no row did: the record wins. */
function compareWithLeaf(row: VersionRow, bytes: Uint8Array): void {
  const leaf = parseLeaf(bytes)
  if (leaf.kind !== 'version') throw new TypeError('the log answered a version with another record')
  if (leaf.integrity !== row.integrity) {
    row.state = 'conflict'
    row.detail = `the log holds ${leaf.integrity} (leaf ${row.leafIndex}), its registry says ${row.integrity}`
  } else if (leaf.manifest !== row.manifestHash) {
    row.state = 'changed'
    row.detail = `its manifest differs from the logged one (leaf ${row.leafIndex}), which is lost here`
  }
  row.integrity = leaf.integrity
  row.manifestHash = leaf.manifest
  row.signature = leaf.signature ?? null
}
