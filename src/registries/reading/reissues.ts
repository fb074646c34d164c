/**
 * Recording of what a registry re-issued (revisions.ts): which record a content gets, and the row
 * of the content that its version has now. The one before is set aside with all that was found out
 * about its bytes. What the rows come to, and the log, are ledger.ts's.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { Packages, VersionRow, VersionSummary } from '../../db/packages.ts'
import type { Revisions } from '../../db/revisions.ts'
import { parseLeaf, versionKey } from '../../log/leaf.ts'
import type { LogStore } from '../../log/log.ts'
import type { InspectedVersion } from '../packument/inspect.ts'
import { ownFile, REVISED, revisionFile, revisionOf } from '../packument/revisions.ts'

/** What is written to. */
export type ReissuesNeeds = {
  store: LogStore
  packages: Packages
  revisions: Revisions
  incidents: Incidents
}

/** A finding and the version of its record, where that is another one. */
export type Named = InspectedVersion & { recordedAs?: string }

/** Names and turns contents of one version. */
export class Reissues {
  readonly #needs: ReissuesNeeds

  constructor(needs: ReissuesNeeds) {
    this.#needs = needs
  }

  /** The log alone decides which content is the first. */
  named(namespace: string, name: string, found: InspectedVersion): Named {
    const { version, integrity } = found
    if (integrity === null) return found
    const { store } = this.#needs
    const index = store.findIndex(versionKey(namespace, name, version))
    const [bytes] = index === null ? [] : store.readLeaves(index, index + 1)
    const first = bytes === undefined ? undefined : parseLeaf(bytes)
    if (first?.kind !== 'version' || first.integrity === integrity) return found
    return {
      ...found,
      recordedAs: revisionOf(version, integrity),
      file: revisionFile(name, version, integrity),
    }
  }

  /**
   * Sets the content of before aside. In the caller's transaction.
   * @returns the row of what is there now: as it was recorded, when it was there before
   */
  turn(before: VersionSummary, found: Named, seen: string): VersionRow {
    const { namespace, name, version } = before
    const { packages, revisions } = this.#needs
    const row = packages.get(namespace, name, version)
    if (row === null || row.integrity === null || row.leafIndex === null) {
      throw new TypeError(`${name}@${version} has no record to set aside`)
    }
    revisions.setAside({ ...row, integrity: row.integrity, leafIndex: row.leafIndex })
    const { integrity, manifestHash, projection, shasum, published, tarball, file } = found
    const place = { tarball, file, state: 'logged', detail: '', incident: null, signature: null }
    const recorded = revisions.get(namespace, name, version, integrity ?? '')
    if (recorded !== null) return { ...recorded, ...place }
    const content = { integrity, manifestHash, projection, shasum, published, leafIndex: null }
    // It is new, however old its version is: rules that let versions ripen begin anew.
    const since = { firstSeen: seen, sinceFirstSight: true }
    return { namespace, name, version, ...content, ...since, ...place }
  }

  /** Everybody can see that it happened: once for each content. */
  note(row: VersionRow, found: Named, evidence: Record<string, unknown>, seen: string): void {
    const { namespace, name, version } = row
    const about = { code: REVISED, namespace, name, version }
    const claim = found.integrity ?? ''
    const sentence = `${name}@${version}: its registry has re-issued it with other bytes, which are recorded as ${found.recordedAs ?? version}`
    const detail = 'a note: nothing is refused for it'
    const text = JSON.stringify({ ...evidence, detail })
    this.#needs.incidents.record({ ...about, claim, sentence, evidence: text }, seen)
  }
}

/** A finding whose file is the one that its content has here. @param row when that is its content */
export function withOwnFile(
  name: string,
  found: InspectedVersion,
  row: VersionSummary | undefined,
): InspectedVersion {
  const file = isRevision(name, row) ? row.file : ownFile(name, found.version, found.file)
  return { ...found, file }
}

function isRevision(name: string, row: VersionSummary | undefined): row is VersionSummary {
  if (row === undefined || row.integrity === null || row.leafIndex === null) return false
  return row.file === revisionFile(name, row.version, row.integrity)
}
