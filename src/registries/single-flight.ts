/**
 * One running promise per key: however many ask while it runs, the work is done once.
 *
 * Everybody gets the same value, or the same rejection. Nothing is kept after it has settled; what
 * is worth keeping belongs in a cache. Work that asks for its own key again waits for itself, so
 * do not.
 *
 * @module
 */

/** Shares running work by key. */
export class SingleFlight<Value> {
  readonly #running = new Map<string, Promise<Value>>()

  /** Keys that are being worked on. */
  get size(): number {
    return this.#running.size
  }

  /** Whether somebody is at work for this key. */
  has(key: string): boolean {
    return this.#running.has(key)
  }

  /** The promise that runs for the key, or the one that `start` begins now. */
  run(key: string, start: () => Value | Promise<Value>): Promise<Value> {
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const begun = this.#begin(key, start)
    this.#running.set(key, begun)
    return begun
  }

  async #begin(key: string, start: () => Value | Promise<Value>): Promise<Value> {
    try {
      // The turn that is waited here is what lets `run` put the promise into the map first, also
      // when `start` throws or answers at once.
      await Promise.resolve()
      return await start()
    } finally {
      this.#running.delete(key)
    }
  }
}
