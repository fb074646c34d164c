/**
 * The background sampler: tarballs that clients were sent on to are downloaded here as well, and
 * compared with the record. A redirect shows nobody here what the client got; a client that compares
 * hashes notices other bytes, but keeps that to itself.
 *
 * Newly redirected versions first, at the very place that the client was sent to; after that, and
 * only when nobody asks for anything, the same version at its registry and its other mirrors. One
 * download at a time for each registry, within so many bytes a minute. What waits is forgotten by a
 * restart: the next redirect brings it back.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { Samples } from '../../db/samples.ts'
import { RegistryError } from '../errors.ts'
import type { Mirror } from '../sources/mirror.ts'
import { TarballChecker } from './sampler-check.ts'
import type { FoundTarball } from '../sources/tarball-location.ts'

/** How the sampler paces itself; tests are less patient. */
export type SamplerPace = {
  /** For each registry: as much as 10 Mbit/s would be all the time, so that a line stays usable. */
  bytesPerMinute: number
  /** Nobody was sent on for so long: the install is over. */
  quietMs: number
  /** The other places of a version wait for a longer silence. */
  restQuietMs: number
  tickMs: number
}

export const SAMPLER_PACE: SamplerPace = {
  bytesPerMinute: 64 * 1024 * 1024,
  quietMs: 5_000,
  restQuietMs: 60_000,
  tickMs: 1_000,
}

/** A server that is never quiet: what waited for so many times the silence has its turn. */
const PATIENCE = 12
/** Waiting looks of each registry; some applications' worth. The oldest are forgotten. */
const WAITING_MAX = 10_000
/** A place is looked at again after this: what it sends may change. */
const AGAIN_MS = 30 * 24 * 60 * 60_000
/** Redirects that were seen a moment ago; a hot one must cost nothing. */
const RECENT_MAX = 50_000
const RECENT_MS = 60 * 60_000

/** What the sampler works with. */
export type SamplerNeeds = {
  samples: Samples
  checker: TarballChecker
  now: () => Date
  pace: SamplerPace
}

type Look = { found: FoundTarball; mirror: Mirror | undefined; sinceMs: number }
type Round = {
  first: Map<string, Look>
  rest: Map<string, Look>
  askedMs: number
  /** Bytes that may be fetched now; below zero after a large one. */
  budget: number
  budgetMs: number
  isBusy: boolean
}

/** Looks at tarballs in the background until disposed of. */
export class Sampler implements Disposable {
  /** For metrics, since the start. */
  readonly counts = { same: 0, other: 0, mismatch: 0, failed: 0, bytes: 0 }
  readonly #needs: SamplerNeeds
  readonly #rounds = new Map<string, Round>()
  readonly #recent = new LRUCache<string, true>({ ...atMost(RECENT_MAX), ttl: RECENT_MS })
  readonly #stop = new AbortController()
  readonly #timer: ReturnType<typeof setInterval>

  constructor(needs: SamplerNeeds) {
    this.#needs = needs
    this.#timer = setInterval(() => this.#tick(), needs.pace.tickMs)
    this.#timer.unref()
  }

  /** How many looks wait. */
  get waiting(): number {
    let sum = 0
    for (const { first, rest } of this.#rounds.values()) sum += first.size + rest.size
    return sum
  }

  /** Told of every client that is sent on. @param mirror undefined: to the registry itself */
  redirected(found: FoundTarball, mirror: Mirror | undefined): void {
    const round = this.#roundOf(found.source.name)
    round.askedMs = this.#nowMs()
    const key = keyOf(found, mirror)
    if (this.#recent.has(key)) return
    this.#recent.set(key, true)
    round.rest.delete(key)
    put(round.first, key, { found, mirror, sinceMs: round.askedMs })
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#stop.abort()
  }

  #roundOf(registry: string): Round {
    const known = this.#rounds.get(registry)
    if (known !== undefined) return known
    const nowMs = this.#nowMs()
    const { bytesPerMinute: budget } = this.#needs.pace
    const made = { first: new Map(), rest: new Map(), askedMs: nowMs }
    const round: Round = { ...made, budget, budgetMs: nowMs, isBusy: false }
    this.#rounds.set(registry, round)
    return round
  }

  #tick(): void {
    for (const round of this.#rounds.values()) {
      if (round.isBusy) continue
      round.isBusy = true
      void this.#run(round)
    }
  }

  /** Looks at what is due, as far as the budget goes. */
  async #run(round: Round): Promise<void> {
    try {
      while (!this.#stop.signal.aborted && this.#hasBudget(round)) {
        const look = this.#take(round)
        if (look === undefined) return
        round.budget -= await this.#look(look)
        if (look.isFirst) this.#addRest(round, look)
      }
    } finally {
      round.isBusy = false
    }
  }

  #hasBudget(round: Round): boolean {
    const { bytesPerMinute } = this.#needs.pace
    const nowMs = this.#nowMs()
    const earned = ((nowMs - round.budgetMs) / 60_000) * bytesPerMinute
    round.budget = Math.min(bytesPerMinute, round.budget + earned)
    round.budgetMs = nowMs
    return round.budget > 0
  }

  #take(round: Round): (Look & { isFirst: boolean }) | undefined {
    const { quietMs, restQuietMs } = this.#needs.pace
    const first = this.#due(round, round.first, quietMs)
    if (first !== undefined) return { ...first, isFirst: true }
    const other = this.#due(round, round.rest, restQuietMs)
    return other && { ...other, isFirst: false }
  }

  /** The one that waits longest, when its time has come and it was not looked at lately. */
  #due(round: Round, looks: Map<string, Look>, quietMs: number): Look | undefined {
    const nowMs = this.#nowMs()
    for (const [key, look] of looks) {
      const isQuiet = nowMs - round.askedMs >= quietMs
      if (!isQuiet && nowMs - look.sinceMs < quietMs * PATIENCE) return undefined
      looks.delete(key)
      if (!this.#isRecent(look, nowMs)) return look
    }
    return undefined
  }

  #isRecent({ found, mirror }: Look, nowMs: number): boolean {
    const { namespace, name, version } = found.row
    const place = TarballChecker.placeOf(mirror)
    const last = this.#needs.samples.get(namespace, name, version, place)
    return last !== null && nowMs - Date.parse(last.checked) < AGAIN_MS
  }

  /** @returns bytes that came */
  async #look({ found, mirror }: Look): Promise<number> {
    const { counts } = this
    try {
      const { row, length } = await this.#needs.checker.check(found, mirror, this.#stop.signal)
      counts.bytes += length
      counts[row.bytes] += 1
      if (row.manifest === 'different') counts.mismatch += 1
      return length
    } catch (error) {
      // Who cannot be asked now is not looked at: the next redirect brings it back.
      const isEnd = this.#stop.signal.aborted
      if (!isEnd && !(error instanceof RegistryError)) throw error
      this.#recent.delete(keyOf(found, mirror))
      counts.failed += 1
      return 0
    }
  }

  #addRest(round: Round, { found, mirror }: Look): void {
    const { source, row, url } = found
    const own = source.upstream.lists(url) ? [undefined] : []
    for (const place of [...own, ...source.mirrors.candidates(row.name)]) {
      if (place === mirror) continue
      const key = keyOf(found, place)
      if (!round.first.has(key)) {
        put(round.rest, key, { found, mirror: place, sinceMs: this.#nowMs() })
      }
    }
  }

  #nowMs(): number {
    return this.#needs.now().getTime()
  }
}

function put(looks: Map<string, Look>, key: string, look: Look): void {
  if (looks.has(key)) return
  const [oldest] = looks.keys()
  if (looks.size >= WAITING_MAX && oldest !== undefined) looks.delete(oldest)
  looks.set(key, look)
}

function keyOf({ row }: FoundTarball, mirror: Mirror | undefined): string {
  // No name holds a space.
  return `${TarballChecker.placeOf(mirror)} ${row.namespace} ${row.name} ${row.version}`
}
