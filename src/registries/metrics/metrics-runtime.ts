/**
 * How long the event loop was held up: a timer that is late by so much. Everything that is slow on
 * the main thread shows here first, whatever it is.
 * @module
 */

/** Short enough to meet most stalls, long enough to cost nothing. */
const BEAT_MS = 250

/** Watches the loop until disposed of. */
export class LoopWatch implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>
  #beatMs = performance.now()
  #worstMs = 0

  constructor() {
    this.#timer = setInterval(() => this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  /** The longest delay since this was last asked for, in seconds. */
  takeWorstSeconds(): number {
    this.#beat()
    const worstMs = this.#worstMs
    this.#worstMs = 0
    return worstMs / 1000
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    const nowMs = performance.now()
    this.#worstMs = Math.max(this.#worstMs, nowMs - this.#beatMs - BEAT_MS)
    this.#beatMs = nowMs
  }
}
