/**
 * How much begins to leave in one turn of the event loop.
 *
 * Bun hands a whole body to the kernel at once, which takes as much as the socket's buffer holds:
 * on loopback some 2.6 MB per connection. A thousand readers that ask in the same instant would
 * keep everybody else waiting for seconds. So large answers begin a few per turn, in the order in
 * which they were asked for, and small ones pass in between. What goes on after the beginning is
 * paced by the sockets themselves.
 *
 * A turn is bounded by bytes and by time: the same 2.6 MB take the kernel 1 ms where it has the
 * memory at hand and 13 ms where a virtual machine gets it from its host page by page.
 * @module
 */

/** Smaller answers pass at once: a thousand of them are copied in less than 50 ms. */
const SMALL_BYTES_MAX = 48 * 1024
/** What a kernel takes of one body at once, at most; the rest leaves when the reader has read. */
const TAKEN_AT_ONCE_BYTES_MAX = 4 * 1024 * 1024
/**
 * Above what 64 clients of a usual large packument (170 KB) ask for at once, so that they never
 * wait for a turn.
 */
const BYTES_PER_TURN = 24 * 1024 * 1024
/** What these bytes take at the usual speed; well below what anybody notices. */
const MS_PER_TURN = 8
/** Waiting answers that one turn looks at: of the smallest, what is sent in 2 ms. */
const WAITING_PER_TURN = 64

/** Lets answers begin. */
export class Turns {
  readonly #now: () => number
  #left = BYTES_PER_TURN
  #beganMs = 0
  #isEnding = false
  readonly #waiting: { bytes: number; go: () => void }[] = []

  /** @param now milliseconds that only grow */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Returns nothing when an answer of this size may begin now, else what to wait for. */
  enter(size: number): Promise<void> | undefined {
    if (size <= SMALL_BYTES_MAX) return undefined
    const bytes = Math.min(size, TAKEN_AT_ONCE_BYTES_MAX)
    this.#endLater()
    if (this.#waiting.length === 0 && this.#mayBegin()) {
      this.#left -= bytes
      return undefined
    }
    return new Promise(resolve => {
      this.#waiting.push({ bytes, go: resolve })
    })
  }

  #mayBegin(): boolean {
    return this.#left > 0 && this.#now() - this.#beganMs < MS_PER_TURN
  }

  #endLater(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#beganMs = this.#now()
    setImmediate(() => this.#end())
  }

  #end(): void {
    this.#isEnding = false
    this.#left = BYTES_PER_TURN
    const count = Math.min(this.#waiting.length, WAITING_PER_TURN)
    if (count === 0) return
    this.#endLater()
    this.#beginNext()
    // Each in an immediate of its own: the one before was sent when the next looks at the clock.
    for (let i = 1; i < count; i++) setImmediate(() => this.#beginNext())
  }

  #beginNext(): void {
    const [next] = this.#waiting
    if (next === undefined || !this.#mayBegin()) return
    this.#waiting.shift()
    this.#left -= next.bytes
    next.go()
  }
}
