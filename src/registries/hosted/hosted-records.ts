/**
 * What the log and the version table hold of packages that live here: one leaf for each public
 * version, with our signature, a tombstone when it is unpublished, and nothing of a private package
 * until it becomes public. Runs in the transaction of whoever changes the package.
 * @module
 */
import type { HostedPackages, HostedVersionRow } from '../../db/hosted.ts'
import { type Packages, UNPUBLISHED_STATE, type VersionRow } from '../../db/packages.ts'
import { LeafError } from '../../log/errors.ts'
import type { VersionLeaf } from '../../log/leaf.ts'
import { APPEND_LEAVES_MAX, type Log } from '../../log/log.ts'
import { RegistryError } from '../errors.ts'
import {
  asObject,
  hashProjection,
  ProjectionError,
  projectManifest,
} from '../packument/manifest.ts'
import { tarballUrl } from '../name.ts'
import { timestamp } from '../timestamp.ts'

const UNPUBLISHED_REASON = 'unpublished'

/** What it writes to. @property base public URL, ends in `/` */
export type HostedRecordsNeeds = {
  hosted: HostedPackages
  packages: Packages
  log: Log
  namespace: string
  base: string
  now: () => Date
}

/** Writes what is recorded of hosted versions. */
export class HostedRecords {
  readonly #needs: HostedRecordsNeeds

  constructor(needs: HostedRecordsNeeds) {
    this.#needs = needs
  }

  /**
   * A new version. @returns the index of its leaf; null: it is private
   * @throws RegistryError forbidden when the log has this number already
   */
  add(row: HostedVersionRow, isPrivate: boolean): number | null {
    const { packages, namespace, now } = this.#needs
    const seen = timestamp(now())
    const packageKnown = packages.firstSeen(namespace, row.name) !== null
    const record = this.#rowOf(row, seen, packageKnown)
    if (isPrivate) {
      packages.upsert([record])
    } else {
      this.#log([record], seen)
    }
    if (!packageKnown) packages.markSeen(namespace, row.name, seen)
    return record.leafIndex
  }

  /** Logs whatever of a package is in no log yet: it has just become public. */
  reveal(name: string): void {
    const { hosted, packages, namespace, now } = this.#needs
    const seen = timestamp(now())
    const rows = hosted.versions(name).flatMap(version => {
      const row = packages.get(namespace, name, version)
      return row === null || row.leafIndex !== null ? [] : [row]
    })
    for (let start = 0; start < rows.length; start += APPEND_LEAVES_MAX) {
      this.#log(rows.slice(start, start + APPEND_LEAVES_MAX), seen)
    }
  }

  /** A version that was unpublished. What the log has of it stays, with a tombstone after it. */
  bury(name: string, version: string): void {
    const { packages, log, namespace } = this.#needs
    const row = packages.get(namespace, name, version)
    if (row === null) return
    packages.upsert([{ ...row, state: UNPUBLISHED_STATE, detail: UNPUBLISHED_REASON }])
    if (row.leafIndex === null) return
    log.append([{ kind: 'tombstone', namespace, name, version, reason: UNPUBLISHED_REASON }])
  }

  #log(rows: readonly VersionRow[], seen: string): void {
    const { log, packages } = this.#needs
    const outcomes = encoded(() => log.append(rows.map(row => leafOf(row, seen))))
    rows.forEach((row, i) => {
      const outcome = outcomes[i]
      if (outcome?.outcome !== 'added') throw takenError(row.name, row.version)
      row.leafIndex = outcome.index
    })
    packages.upsert(rows)
  }

  #rowOf(row: HostedVersionRow, seen: string, packageKnown: boolean): VersionRow {
    const { name, version, integrity, shasum, file, keyid, sig, published } = row
    const projection = projectionOf(row)
    return {
      namespace: this.#needs.namespace,
      name,
      version,
      integrity,
      manifestHash: hashProjection(projection),
      projection,
      signature: { keyid, sig },
      leafIndex: null,
      firstSeen: seen,
      sinceFirstSight: packageKnown,
      state: 'logged',
      detail: '',
      incident: null,
      tarball: tarballUrl(this.#needs.base, name, file),
      file,
      shasum,
      published,
    }
  }
}

/** The number is taken, for ever. npm's own words, which people search for, come first. */
export function takenError(name: string, version: string): RegistryError {
  const sentence =
    `You cannot publish over the previously published versions: ${name}@${version} was published ` +
    'before, and its number stays taken also when it was unpublished. Publish under a new version'
  return new RegistryError('forbidden', sentence, { package: name, version })
}

/** Its bytes are gone, and will not come back under this number. */
export function unpublishedError({
  name,
  version,
}: {
  name: string
  version: string
}): RegistryError {
  const sentence = `${name}@${version} was unpublished by its maintainers`
  return new RegistryError('gone', sentence, { package: name, version })
}

function leafOf(row: VersionRow, seen: string): VersionLeaf {
  const { namespace, name, version, integrity, manifestHash: manifest, signature } = row
  const leaf = { kind: 'version', namespace, name, version, manifest, seen } as const
  if (signature === null || integrity === null) throw new TypeError('a hosted version is signed')
  return { ...leaf, integrity, signature }
}

function projectionOf({ name, version, manifest }: HostedVersionRow): string {
  try {
    return projectManifest(asObject(JSON.parse(manifest)) ?? {}, name)
  } catch (error) {
    if (!(error instanceof ProjectionError)) throw error
    const why = `its manifest has no canonical form: ${error.message}`
    throw new RegistryError('unprocessable', why, { package: name, version })
  }
}

function encoded<T>(append: () => T): T {
  try {
    return append()
  } catch (error) {
    if (!(error instanceof LeafError)) throw error
    throw new RegistryError('unprocessable', `no record can hold this version: ${error.message}`)
  }
}
