/**
 * How many bytes begin to leave in one turn of the event loop.
 *
 * Bun hands a whole body to the kernel at once, which takes as much as the socket's buffer holds:
 * on loopback some 2.6 MB per connection. A thousand readers that ask in the same instant would
 * keep everybody else waiting for seconds. So large answers begin a few per turn, in the order in
 * which they were asked for, and small ones pass in between. What goes on after the beginning is
 * paced by the sockets themselves.
 * @module
 */

/** Smaller answers pass at once: a thousand of them are copied in less than 50 ms. */
const SMALL_BYTES_MAX = 48 * 1024
/** What a kernel takes of one body at once, at most; the rest leaves when the reader has read. */
const TAKEN_AT_ONCE_BYTES_MAX = 4 * 1024 * 1024
/**
 * About 15 ms of copying: well below what anybody notices, and above what 64 clients of a usual
 * large packument (170 KB) ask for at once, so that they never wait for a turn.
 */
const BYTES_PER_TURN = 24 * 1024 * 1024

/** Lets answers begin. */
export class Turns {
  #left = BYTES_PER_TURN
  #isEnding = false
  readonly #waiting: { bytes: number; go: () => void }[] = []

  /** Returns nothing when an answer of this size may begin now, else what to wait for. */
  enter(size: number): Promise<void> | undefined {
    if (size <= SMALL_BYTES_MAX) return undefined
    const bytes = Math.min(size, TAKEN_AT_ONCE_BYTES_MAX)
    this.#endLater()
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= bytes
      return undefined
    }
    return new Promise(resolve => {
      this.#waiting.push({ bytes, go: resolve })
    })
  }

  #endLater(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    setImmediate(() => this.#end())
  }

  #end(): void {
    this.#isEnding = false
    this.#left = BYTES_PER_TURN
    let count = 0
    for (const { bytes, go } of this.#waiting) {
      if (this.#left <= 0) break
      this.#left -= bytes
      count += 1
      go()
    }
    this.#waiting.splice(0, count)
    if (count > 0) this.#endLater()
  }
}
