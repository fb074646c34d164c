/**
 * The way to one origin: so many requests at once, so many more in line, the rest turned away.
 *
 * A place is held until its holder gives it back, which for a stream is at the end of the body.
 *
 * @module
 */
import pLimit from 'p-limit'
import { RegistryError } from './errors.ts'

/** What a client that was turned away is told to wait: a queue of this kind drains in seconds. */
const RETRY_AFTER_SECONDS = 5

/** A bounded queue before a bounded number of places. */
export class Lane {
  readonly #limit: ReturnType<typeof pLimit>
  readonly #queueMax: number
  readonly #origin: string

  constructor(origin: string, parallelMax: number, queueMax: number) {
    this.#origin = origin
    this.#limit = pLimit(parallelMax)
    this.#queueMax = queueMax
  }

  /** Waits for a place, at most `waitMs`; the answer gives it back. Throws `busy`. */
  async enter(waitMs: number): Promise<() => void> {
    if (this.#limit.pendingCount >= this.#queueMax) {
      throw this.#busy(`more than ${this.#queueMax} requests are in line`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<() => void>()
    let gaveUp = false
    const timer = setTimeout(() => {
      gaveUp = true
      reject(this.#busy(`no place in ${Math.ceil(waitMs / 1000)} s`))
    }, waitMs)
    void this.#limit(async () => {
      if (gaveUp) return
      clearTimeout(timer)
      const held = Promise.withResolvers<void>()
      resolve(held.resolve)
      await held.promise
    })
    return promise
  }

  #busy(why: string): RegistryError {
    return new RegistryError('busy', `too many requests to ${this.#origin}: ${why}`, {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    })
  }
}
