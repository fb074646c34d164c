/**
 * What one request costs another process, as Linux counts it: time, and how far its memory rises
 * above what it was before. One request at a time; what the process does beside it is counted as
 * well. Time is that on the clock, unless the machine had no CPU to give: then others had the rest,
 * and it is the CPU time of the process.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** USER_HZ: the same on every Linux that programs see. */
const MS_PER_TICK = 10
/** Of /proc/<pid>/stat behind the name, which is in brackets: utime, stime. */
const [USER_TICKS, SYSTEM_TICKS] = [11, 12]
/** Of the first line of /proc/stat behind its name: all CPUs together. */
const [IDLE_TICKS, WAITING_TICKS] = [3, 4]
/** A process that waits for nobody leaves more to a machine of two CPUs that is its own. */
const IDLE_SHARE_MIN = 0.2
/** To /proc/<pid>/clear_refs: the peak of memory begins anew. */
const RESET_PEAK = '5'
/** Memory that the request before left is given back within seconds. */
const SETTLED_BYTES = 32 * 1024 * 1024
const SETTLE_POLL_MS = 100
const SETTLE_POLLS_MAX = 50

/** @property memoryBytes the highest above what there was before */
export type Cost = { timeMs: number; wallMs: number; cpuMs: number; memoryBytes: number }

export class Meter {
  readonly #pid: number
  #usualBytes: number

  constructor(pid: number) {
    this.#pid = pid
    this.#usualBytes = this.#memory('VmRSS')
  }

  /** What the work made of one request costs, and what comes of it. */
  async measure<T>(work: () => Promise<T>): Promise<{ cost: Cost; result: T }> {
    await this.#settle()
    const before = this.#memory('VmRSS')
    writeFileSync(`/proc/${this.#pid}/clear_refs`, RESET_PEAK)
    const cpuBefore = this.#cpuMs()
    const idleBefore = idleMs()
    const began = performance.now()
    const result = await work()
    const wallMs = performance.now() - began
    const cpuMs = this.#cpuMs() - cpuBefore
    const isBusy = idleMs() - idleBefore < wallMs * availableParallelism() * IDLE_SHARE_MIN
    const timeMs = isBusy ? Math.min(wallMs, cpuMs) : wallMs
    // The kernel counts in batches: nothing at all can come out as a little less than that.
    const memoryBytes = Math.max(0, this.#memory('VmHWM') - before)
    return { cost: { timeMs, wallMs, cpuMs, memoryBytes }, result }
  }

  /** No request is measured in the shadow of a larger one. */
  async #settle(): Promise<void> {
    for (let polls = 0; polls < SETTLE_POLLS_MAX; polls++) {
      if (this.#memory('VmRSS') <= this.#usualBytes + SETTLED_BYTES) return
      await Bun.sleep(SETTLE_POLL_MS)
    }
    this.#usualBytes = this.#memory('VmRSS')
  }

  #memory(field: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
  }

  #cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS])) * MS_PER_TICK
  }
}

/** Time in which CPUs of this machine had nothing to do, all together. */
function idleMs(): number {
  const [, ...fields] = readFileSync('/proc/stat', 'utf8').split('\n', 1).join().split(/ +/)
  return (Number(fields[IDLE_TICKS]) + Number(fields[WAITING_TICKS])) * MS_PER_TICK
}
