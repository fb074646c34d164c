/**
 * One mirror of a registry: whether it is well, whether it has a tarball now, what it says.
 *
 * A mirror may lag (a version that is missing there is no contradiction) and may die at any moment,
 * so nobody is sent to it who could not have been served a moment ago: it was asked for exactly
 * this tarball before, and it gave a sign of life just now. What it says is never taken at its word
 * (agreement.ts, failover.ts); it makes no records. Which mirror is chosen is mirrors.ts.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import { RegistryError } from '../errors.ts'
import { type FetchLimits, FETCH_LIMITS } from '../fetch/fetch-limits.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { SingleFlight } from '../single-flight.ts'
import {
  type FetchedPackument,
  type OpenedTarball,
  Upstream,
  type UpstreamOptions,
} from './upstream.ts'

/**
 * Limits of the question whether a tarball is there: a client waits for the answer, and there is
 * always another place to send it to, so one short try is all.
 */
export const PROBE_LIMITS: FetchLimits = {
  ...FETCH_LIMITS,
  headersTimeoutMs: 500,
  totalTimeoutMs: 500,
  retriesMax: 0,
}
/** Tarballs known to be there: some 200 bytes each, all of a large company's. */
const PRESENT_MAX = 50_000
const ABSENT_MAX = 10_000
/** What was missing is asked for again after this: mirrors catch up within minutes. */
const ABSENT_MS = 60_000
/**
 * A sign of life counts for so long: the tarballs of one burst share a question, and a mirror that
 * was killed gets hardly anybody sent to it.
 */
const ALIVE_MS = 25

/** What mirrors ask with. @property probes a fetcher with PROBE_LIMITS, for quick questions */
export type MirrorNeeds = {
  fetcher: Fetcher
  probes: Fetcher
  /** Milliseconds that never go back. */
  nowMs?: () => number
}

/** A mirror in use. */
export class Mirror {
  readonly name: string
  /** Ends in a slash. */
  readonly url: string
  /** A client that is sent to it gets in. Else its bytes can only be passed on. */
  readonly isPublic: boolean
  readonly #upstream: Upstream
  readonly #probes: Upstream
  readonly #nowMs: () => number
  readonly #present = new LRUCache<string, true>(atMost(PRESENT_MAX))
  readonly #absentUntilMs = new LRUCache<string, number>(atMost(ABSENT_MAX))
  readonly #asking = new SingleFlight<boolean>()
  #aliveUntilMs = -1

  constructor(options: UpstreamOptions, { fetcher, probes, nowMs }: MirrorNeeds) {
    this.name = options.name
    this.#upstream = new Upstream(options, fetcher)
    this.#probes = new Upstream(options, probes)
    this.url = this.#upstream.url
    this.isPublic = options.credential === undefined && options.certificate === undefined
    this.#nowMs = nowMs ?? (() => performance.now())
  }

  /** Is it worth asking at all? False while its breaker is open: it was down a moment ago. */
  get isWell(): boolean {
    return this.#upstream.state !== 'open' && this.#probes.state !== 'open'
  }

  /** Where it keeps the tarball of this path below its registry's URL; a whole URL stays. */
  urlOf(path: string): string {
    return /^https?:/.test(path) ? path : `${this.url}${path}`
  }

  /** Whether a URL is on an origin that the operator listed for it. */
  lists(url: string): boolean {
    return this.#upstream.lists(url)
  }

  /** Whether a client can be sent to it for this tarball now. Never throws for what is its fault. */
  async offers(path: string): Promise<boolean> {
    if (!this.isWell) return false
    const nowMs = this.#nowMs()
    if ((this.#absentUntilMs.get(path) ?? nowMs) > nowMs) return false
    if (this.#present.has(path) && nowMs < this.#aliveUntilMs) return true
    return await this.#asking.run(path, () => this.#ask(path))
  }

  /** Its packument of a name, unchecked. @throws RegistryError */
  fetchPackument(name: string): Promise<FetchedPackument> {
    return this.#upstream.fetchPackument(name, { etag: null, lastModified: null })
  }

  /** The bytes of a tarball, unchecked. @throws RegistryError */
  openTarball(path: string): Promise<OpenedTarball> {
    return this.#upstream.openTarball(this.urlOf(path))
  }

  async #ask(path: string): Promise<boolean> {
    try {
      const isThere = await this.#probes.hasTarball(this.urlOf(path))
      this.#aliveUntilMs = this.#nowMs() + ALIVE_MS
      if (isThere) this.#present.set(path, true)
      else this.#absentUntilMs.set(path, this.#nowMs() + ABSENT_MS)
      return isThere
    } catch (error) {
      // It could not say: whoever asked goes elsewhere, and the breaker counts it.
      if (!(error instanceof RegistryError)) throw error
      return false
    }
  }
}
