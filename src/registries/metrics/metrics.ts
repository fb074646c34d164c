/**
 * The metrics of this instance, gathered when they are asked for: nothing here runs while nobody
 * looks but a timer that sees how late it is. What they are called is metrics-exposition.ts.
 * @module
 */
import type { Exposition } from './metrics-exposition.ts'
import type { MetricsNeeds } from './metrics-needs.ts'
import { LoopWatch } from './metrics-runtime.ts'

export class Metrics implements Disposable {
  readonly #loop = new LoopWatch()
  readonly #needs: MetricsNeeds
  #exposition: Promise<Exposition> | undefined

  constructor(needs: MetricsNeeds) {
    this.#needs = needs
  }

  /** The exposition and its media type. */
  async read(): Promise<{ text: string; contentType: string }> {
    this.#exposition ??= this.#load()
    const exposition = await this.#exposition
    return { text: await exposition.text(), contentType: exposition.contentType }
  }

  [Symbol.dispose](): void {
    this.#loop[Symbol.dispose]()
  }

  /** The library alone takes a third of a start. */
  async #load(): Promise<Exposition> {
    const { Exposition: Made } = await import('./metrics-exposition.ts')
    return new Made(this.#needs, this.#loop)
  }
}
