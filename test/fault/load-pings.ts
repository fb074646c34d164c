/**
 * Pings of a server under load beside pings of the control, and the rule by which they are judged:
 * a wait is too long when it is longer than 100 ms and than twice what the control took at its worst
 * in the same minutes, since a machine that tests run on has other things to do.
 * @module
 */
import { CONTROL } from './load-control.ts'
import { Helper } from './load-server.ts'
import type { Latencies, PingReport } from './load-pinger.ts'

/** What nobody may wait longer than. */
const WAIT_MS_MAX = 100
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
  const most = Math.max(WAIT_MS_MAX, CONTROL_FACTOR * control.max)
  if (ours.max <= most) return []
  return [`${title}: waited ${ours.max} ms of at most ${most}, control's longest ${control.max}`]
}
