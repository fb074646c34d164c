/**
 * Recording: what an inspection found becomes leaves of the log and rows of the registry, in one
 * transaction, and every refusal keeps its evidence.
 *
 * DESIGN flow (a), rules 4 and 9: no await between reading the log's size and committing; long
 * packuments are recorded in batches with the loop free in between. Verifies nothing itself
 * (inspect.ts did) and serves nothing (proxy.ts does).
 * @module
 */
import { incidentId, type Incidents } from '../db/incidents.ts'
import type { Packages, VersionRow, VersionSummary } from '../db/packages.ts'
import type { RegistryDb } from '../db/registry-db.ts'
import { encodeLeaf, parseLeaf, type VersionLeaf } from '../log/leaf.ts'
import type { AppendOutcome, Log, LogStore } from '../log/log.ts'
import type { InspectedVersion } from './inspect.ts'
import { allSummaries, RESTORED_STATE } from './plan.ts'
import { isRefusalCode, type RefusalCode, refusalSentence } from './refusal.ts'
import type { Source } from './source.ts'
import { timestamp } from './timestamp.ts'

/** Versions per transaction: 10 ms of work with its fsyncs, so no other request waits long behind it. */
const BATCH_VERSIONS_MAX = 128

/** What recording writes to. @property base public URL, ends in `/` @property now the log's clock */
export type LedgerNeeds = {
  db: RegistryDb
  log: Log
  store: LogStore
  packages: Packages
  incidents: Incidents
  base: string
  now: () => Date
}

/** One package whose versions are being recorded. */
type Recording = {
  source: Source
  name: string
  /** What is recorded already. */
  known: ReadonlyMap<string, VersionSummary>
  packageKnown: boolean
}

/** Writes inspections down. */
export class Ledger {
  readonly #needs: LedgerNeeds

  constructor(needs: LedgerNeeds) {
    this.#needs = needs
  }

  /**
   * Records what changed since the last inspection of this package. `inspect` hands over the versions
   * as it finds them, and waits until they are recorded.
   * @returns what `inspect` does, and whether anything changed
   */
  async record<Result>(
    source: Source,
    name: string,
    inspect: (take: (versions: InspectedVersion[]) => Promise<void>) => Promise<Result>,
  ): Promise<{ result: Result; changed: boolean }> {
    const { packages } = this.#needs
    const rows = await allSummaries(packages, source.namespace, name)
    const known = new Map(rows.map(row => [row.version, row]))
    const packageKnown = packages.firstSeen(source.namespace, name) !== null
    const recording = { source, name, known, packageKnown }
    let count = 0
    const result = await inspect(async versions => {
      count += await this.#recordChanged(recording, versions)
    })
    // Last, so that a package counts as known only when all of its first sight is recorded: which
    // versions are new since then decides by which clock old keys are judged.
    if (!packageKnown) packages.markSeen(source.namespace, name, timestamp(this.#needs.now()))
    return { result, changed: count > 0 }
  }

  /** Yields between batches; returns how many versions there were to write. */
  async #recordChanged(recording: Recording, versions: InspectedVersion[]): Promise<number> {
    const { known } = recording
    const changed = versions.filter(found => differs(found, known.get(found.version)))
    for (let start = 0; start < changed.length; start += BATCH_VERSIONS_MAX) {
      this.#recordBatch(recording, changed.slice(start, start + BATCH_VERSIONS_MAX))
      await new Promise(resolve => setImmediate(resolve))
    }
    return changed.length
  }

  #recordBatch(recording: Recording, batch: readonly InspectedVersion[]): void {
    const { source, name, known, packageKnown } = recording
    const { db, log, packages } = this.#needs
    const seen = timestamp(this.#needs.now())
    const checked = batch.map(found => encodable(source.namespace, name, found, seen))
    db.transaction(() => {
      const loggable = checked.filter(isLoggable)
      const outcomes = log.append(
        loggable.map(found => leafOf(source.namespace, name, found, seen)),
      )
      const byVersion = new Map(loggable.map((found, i) => [found.version, outcomes[i]]))
      const rows = checked.map(found => {
        const before = known.get(found.version)
        const row = rowOf(source.namespace, name, found, before, seen, packageKnown)
        settle(row, found, byVersion.get(found.version))
        if (row.state !== 'logged') this.#keepEvidence(source, row, found, seen)
        return row
      })
      packages.upsert(rows)
    })
    log.publish()
  }

  #keepEvidence(source: Source, row: VersionRow, found: InspectedVersion, seen: string): void {
    const { name, version, namespace, detail } = row
    const code: RefusalCode = isRefusalCode(row.state) ? row.state : 'changed'
    const claim = `${found.integrity ?? ''} ${found.manifestHash}`
    row.incident = incidentId({ code, namespace, name, version }, claim)
    const observation = {
      upstream: source.upstream.url,
      observed: seen,
      integrity: found.integrity,
      shasum: found.shasum,
      tarball: found.tarball,
      signatures: found.signatures,
      manifest: found.manifestHash,
      projection: found.projection,
    }
    const record = row.leafIndex === null ? null : this.#recordAt(row.leafIndex)
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

  #recordAt(index: number): { index: number; leaf: string } {
    const [leaf] = this.#needs.store.readLeaves(index, index + 1)
    return { index, leaf: new TextDecoder().decode(leaf) }
  }
}

function isLoggable(found: InspectedVersion): boolean {
  return found.verdict === 'valid' || found.verdict === 'unsigned-registry'
}

/** Is there anything to write about this version? Most refreshes find one new version of hundreds. */
function differs(found: InspectedVersion, row: VersionSummary | undefined): boolean {
  if (row === undefined) return true
  return (
    stateOf(found, row) !== row.state ||
    found.file !== row.file ||
    found.tarball !== row.tarball ||
    found.detail !== row.detail
  )
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
function encodable(
  namespace: string,
  name: string,
  found: InspectedVersion,
  seen: string,
): InspectedVersion {
  if (!isLoggable(found)) return found
  try {
    encodeLeaf(leafOf(namespace, name, found, seen))
    return found
  } catch (error) {
    return { ...found, verdict: 'invalid', detail: `no record can hold it: ${String(error)}` }
  }
}

function leafOf(
  namespace: string,
  name: string,
  found: InspectedVersion,
  seen: string,
): VersionLeaf {
  const leaf: VersionLeaf = {
    kind: 'version',
    namespace,
    name,
    version: found.version,
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
  if (outcome === undefined) return
  row.leafIndex = outcome.index
  row.signature = found.signature
  if (outcome.outcome !== 'added') compareWithLeaf(row, outcome.leaf)
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
