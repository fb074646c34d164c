/**
 * Turns of the event loop for work that is short by itself and comes in crowds: reading a small
 * publish, inspecting, rendering or compressing a small document. Each takes a fraction of a
 * millisecond, some ten at worst, and promises alone never let the loop go on: what a crowd asks for
 * in one turn would be done in one piece. So after a time the rest waits for the next turn, and
 * everybody else is heard in between.
 *
 * @module
 */

/** The loop may stop for 50 ms: that is for these, the longest of them, and a commit (20 ms). */
const MS_PER_TURN = 10

export class LoopTurns {
  readonly #now: () => number
  #beganMs = 0
  /** Of the turn in which something was done last; undefined when that is over. */
  #end: Promise<void> | undefined

  /** @param now milliseconds that only grow */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Begins the work at once as long as this turn has time, else in one of the next. */
  async run<T>(work: () => T | Promise<T>): Promise<T> {
    while (!this.#hasTime()) await this.#end
    return await work()
  }

  #hasTime(): boolean {
    if (this.#end !== undefined) return this.#now() - this.#beganMs < MS_PER_TURN
    this.#beganMs = this.#now()
    this.#end = new Promise(resolve => {
      setImmediate(() => {
        this.#end = undefined
        resolve()
      })
    })
    return true
  }
}

/** One for all: they share the loop. */
export const loopTurns = new LoopTurns()
