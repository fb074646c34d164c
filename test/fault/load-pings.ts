/**
 * Pings of a server under load beside pings of the control, and the rule by which they are judged:
 * waits are too long when they are longer than a fixed limit and than twice what the control took
 * at its worst in the same minutes, since a machine that tests run on has other things to do.
 *
 * The limits are for gross faults: that one request holds up the loop, or that large answers are
 * all begun at once, which keeps everybody waiting for seconds. Where a wait has doubled from 20 to
 * 40 ms, only a measurement on a quiet machine tells.
 * @module
 */
import { CONTROL } from './load-control.ts'
import { Helper } from './load-server.ts'
import type { Latencies, PingReport } from './load-pinger.ts'

/** What one in a hundred may wait longer than: the goal. */
const P99_MS_MAX = 100
/** What nobody may wait longer than; parsing or packing 100 MB on the loop takes seconds. */
const WAIT_MS_MAX = 500
const CONTROL_FACTOR = 2

/** What was measured in the same minutes. */
export type Waits = { ours: Latencies; control: Latencies }

export class Pings implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack
  readonly #pinger: Helper

  private constructor(stack: AsyncDisposableStack, pinger: Helper) {
    this.#stack = stack
    this.#pinger = pinger
  }

  /** @param urls asked for in turn; all of them must answer 200 */
  static async start(urls: string[]): Promise<Pings> {
    await using stack = new AsyncDisposableStack()
    const control = stack.use(await Helper.start(CONTROL, null))
    const targets = { ours: urls, control: [control.said] }
    const pinger = stack.use(await Helper.start('load-pinger.ts', targets))
    return new Pings(stack.move(), pinger)
  }

  /** What was measured since the last report; printed with a title. */
  async report(title: string): Promise<Waits> {
    const report: PingReport = JSON.parse(await this.#pinger.ask('report'))
    const { ours, control } = report
    if (ours === undefined || control === undefined) throw new Error('the pinger said nothing')
    console.log(`pings ${title}: ours ${JSON.stringify(ours)}, control ${JSON.stringify(control)}`)
    return { ours, control }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** What is wrong with these waits, given what the control had to wait; nothing when all is well. */
export function waitsTooLong(title: string, { ours, control }: Waits): string[] {
  const found: string[] = []
  const allowed = CONTROL_FACTOR * control.max
  const limits = { p99: Math.max(P99_MS_MAX, allowed), max: Math.max(WAIT_MS_MAX, allowed) }
  const say = (what: string, ms: number, most: number) =>
    found.push(`${title}: ${what} ${ms} ms of at most ${most}, control's longest ${control.max}`)
  if (ours.p99 > limits.p99) say('p99', ours.p99, limits.p99)
  if (ours.max > limits.max) say('longest wait', ours.max, limits.max)
  return found
}
