/**
 * A circuit breaker: a server that is down is not asked again for a while, so that everybody who
 * waits for it is answered at once.
 *
 * ```
 * closed --N failures in a row--> open --after a time--> one probe --answer--> closed
 *                                  ^---------- failure: twice the time ----------'
 * ```
 *
 * Any answer below 500 is a sign of life, a 404 included. A 5xx and a cut body count once per URL:
 * one package that makes a registry stumble must not shut out all others.
 *
 * @module
 */

/** Failures in a row that open it: fewer would be noise, more keep clients waiting. */
const FAILURES_MAX = 5
/** First time out; a restart behind a load balancer takes about as long. */
const OPEN_MS = 2_000
/** Longest time out: after an outage a registry is back for everybody within this. */
const OPEN_MS_MAX = 30_000
/** A probe that has not reported by then is taken for lost, and another may go. */
const PROBE_MS_MAX = 120_000

export type BreakerState = 'closed' | 'open' | 'half-open'

/** Watches one origin. `now` counts milliseconds and never goes back. */
export class Breaker {
  readonly #now: () => number
  /** Since the start, for metrics. */
  readonly counts = { succeeded: 0, failed: 0 }
  readonly #failed = new Set<string>()
  #failures = 0
  #openUntil: number | null = null
  #openMs = OPEN_MS
  #probeSince: number | null = null

  constructor(now: () => number) {
    this.#now = now
  }

  get state(): BreakerState {
    if (this.#openUntil === null) return 'closed'
    return this.#now() < this.#openUntil ? 'open' : 'half-open'
  }

  /** Milliseconds until it is worth asking again; 0 when one may ask now. */
  get waitMs(): number {
    if (this.#openUntil === null) return 0
    const untilProbe = this.#openUntil - this.#now()
    if (untilProbe > 0) return untilProbe
    return this.#isProbing() ? OPEN_MS : 0
  }

  /** Says that a request goes out now: false when it must not. Half-open lets one through. */
  enter(): boolean {
    if (this.#openUntil === null) return true
    if (this.waitMs > 0) return false
    this.#probeSince = this.#now()
    return true
  }

  /** The server has answered. */
  succeeded(): void {
    this.counts.succeeded += 1
    this.#failed.clear()
    this.#failures = 0
    this.#openUntil = null
    this.#openMs = OPEN_MS
    this.#probeSince = null
  }

  /** The server was not reached (no `url`), or failed at this URL. */
  failed(url?: string): void {
    this.counts.failed += 1
    if (this.#openUntil !== null) {
      // What was under way when it opened says nothing new; only the probe does.
      if (this.#probeSince !== null) this.#open(Math.min(this.#openMs * 2, OPEN_MS_MAX))
      return
    }
    if (url === undefined) this.#failures += 1
    else this.#failed.add(url)
    if (this.#failures + this.#failed.size >= FAILURES_MAX) this.#open(OPEN_MS)
  }

  #isProbing(): boolean {
    return this.#probeSince !== null && this.#now() - this.#probeSince < PROBE_MS_MAX
  }

  #open(openMs: number): void {
    this.#openMs = openMs
    this.#openUntil = this.#now() + openMs
    this.#probeSince = null
  }
}
