/**
 * Strict mode of a registry: a version that is new since it was turned on is offered only after its
 * tarball was downloaded and the package.json inside found to say what the manifest says. A
 * registry's signature covers the bytes and not the manifest, and clients install by the manifest.
 *
 * Until then it is refused as `unchecked`, and the check begins at once, in the background: of a
 * package, the newest few first; whatever is asked for by name comes before them. A version whose
 * manifest is another one, or cannot be read from its bytes, is refused as `manifest-mismatch`,
 * however old it is.
 * @module
 */
import pLimit, { type LimitFunction } from 'p-limit'
import type { VersionSummary } from '../../db/packages.ts'
import type { CheckRow, Samples } from '../../db/samples.ts'
import { newestFirst } from '../dist-tags.ts'
import { RegistryError } from '../errors.ts'
import type { Mirror } from '../sources/mirror.ts'
import {
  isRefusalCode,
  MANIFEST_MISMATCH,
  type Refusal,
  type RefusalCode,
} from '../packument/refusal.ts'
import type { TarballChecker } from './sampler-check.ts'
import type { Source } from '../sources/source.ts'
import { locateTarball } from '../sources/tarball-location.ts'

/** Downloads at once from one registry: clients are being served meanwhile. */
const CHECKS_MAX = 4
/** Checks of one package that wait: the ranges of a project are met by the newest versions. */
const OF_PACKAGE_MAX = 20
/** Checks that wait, of all packages: those of a large application. */
const WAITING_MAX = 5_000
/** A place that could not be asked is tried again after this, so many times. */
const RETRY_MS = 10_000
const TRIES_MAX = 4

/** Not looked into yet. */
export const UNCHECKED = 'unchecked'

/** What stands against a version. */
export type StrictRefusal = Pick<Refusal, 'detail' | 'incident'> & { code: RefusalCode }

/** One package's versions, judged. @property end all were asked about: the checks may begin */
export type StrictGate = {
  refusalOf(row: VersionSummary): StrictRefusal | undefined
  end(): void
}

/** What strict mode works with. @property changed told of a package whose versions are judged anew */
export type StrictNeeds = {
  samples: Samples
  checker: TarballChecker
  changed: (name: string) => void
  warn: (message: string) => void
}

const OPEN: StrictGate = { refusalOf: () => undefined, end: () => undefined }

/** Judges versions of registries in strict mode. */
export class Strict implements Disposable {
  readonly #needs: StrictNeeds
  readonly #limits = new Map<string, LimitFunction>()
  readonly #waiting = new Set<string>()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  readonly #stop = new AbortController()

  constructor(needs: StrictNeeds) {
    this.#needs = needs
  }

  /** How many checks wait or run. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** For all versions of a package. */
  gateOf(source: Source, name: string): StrictGate {
    if (source.strictSince === null) return OPEN
    const checks = byVersion(this.#needs.samples.ofPackage(source.namespace, name))
    const pending = new Map<string, VersionSummary>()
    return {
      refusalOf: row => {
        const refusal = judge(source, row, checks.get(row.version) ?? [])
        if (refusal?.code === UNCHECKED) pending.set(row.version, row)
        return refusal
      },
      end: () => {
        for (const version of newestFirst([...pending.keys()]).slice(0, OF_PACKAGE_MAX)) {
          const row = pending.get(version)
          if (row !== undefined) this.#begin(source, row)
        }
      },
    }
  }

  /** For one version that somebody asks for by name. */
  refusalOf(source: Source, row: VersionSummary): StrictRefusal | undefined {
    if (source.strictSince === null) return undefined
    const checks = this.#needs.samples.ofPackage(source.namespace, row.name)
    const refusal = judge(source, row, byVersion(checks).get(row.version) ?? [])
    if (refusal?.code === UNCHECKED) this.#begin(source, row)
    return refusal
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #begin(source: Source, row: VersionSummary, tries = 1): void {
    const key = `${source.name} ${row.name} ${row.version}`
    if (this.#stop.signal.aborted || this.#waiting.has(key)) return
    if (this.#waiting.size >= WAITING_MAX) return
    this.#waiting.add(key)
    const limit = this.#limits.get(source.name) ?? pLimit(CHECKS_MAX)
    this.#limits.set(source.name, limit)
    void limit(async () => {
      const isDone = await this.#check(source, row).finally(() => this.#waiting.delete(key))
      if (isDone) this.#needs.changed(row.name)
      else if (tries < TRIES_MAX) this.#later(() => this.#begin(source, row, tries + 1))
    })
  }

  #later(action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, RETRY_MS)
    timer.unref()
    this.#timers.add(timer)
  }

  /** Looks at the registry's copy, else a mirror's: all that count are the bytes of the record. */
  async #check(source: Source, row: VersionSummary): Promise<boolean> {
    for (const place of [undefined, ...source.mirrors.candidates(row.name)]) {
      if (this.#stop.signal.aborted) return false
      if (await this.#checkAt(source, row, place)) return true
    }
    return false
  }

  async #checkAt(source: Source, row: VersionSummary, place: Mirror | undefined): Promise<boolean> {
    try {
      const found = locateTarball(source, row)
      const checked = await this.#needs.checker.check(found, place, this.#stop.signal)
      return checked.row.bytes === 'same'
    } catch (error) {
      if (this.#stop.signal.aborted) return false
      if (!(error instanceof RegistryError)) throw error
      const where = place?.name ?? source.name
      this.#needs.warn(`${row.name}@${row.version} cannot be checked at ${where}: ${error.message}`)
      return false
    }
  }
}

function judge(
  source: Source,
  row: VersionSummary,
  checks: readonly CheckRow[],
): StrictRefusal | undefined {
  // What is refused already keeps its reason.
  if (row.leafIndex === null || isRefusalCode(row.state)) return undefined
  const looks = checks.filter(({ bytes }) => bytes === 'same')
  const bad = looks.find(({ manifest }) => manifest === 'different' || manifest === 'unread')
  if (bad !== undefined) {
    const detail = `its manifest is not borne out by its tarball: ${bad.detail}`
    return { code: MANIFEST_MISMATCH, detail, incident: bad.incident }
  }
  if (looks.length > 0 || row.firstSeen < (source.strictSince ?? '')) return undefined
  const altered = checks.find(({ bytes }) => bytes === 'other')
  const why = altered === undefined ? '' : `; what ${altered.place || source.name} sent was wrong`
  const detail = `its tarball is being compared with its manifest first (strict mode)${why}`
  return { code: UNCHECKED, detail, incident: null }
}

function byVersion(rows: readonly CheckRow[]): Map<string, CheckRow[]> {
  return Map.groupBy(rows, row => row.version)
}
