/**
 * Refreshes for several readers of the same packages: each package is asked for once however many
 * read it, and what one reader's question changed is looked at anew by all others.
 * @module
 */
import type { Refreshed, Refresher } from './refresher.ts'
import { SingleFlight } from '../single-flight.ts'
import type { Source } from '../sources/source.ts'

/** Whoever holds answers. */
export interface Reader {
  /** What is held of this package is judged anew before it is given again. */
  recheck(name: string): void
  /** The rules for serving are others now. */
  replan(): void
  /** Nothing that is held counts any more. */
  forget(): void
}

/** One refresh at a time per registry and name. */
export class SharedRefresher {
  readonly #refresher: Refresher
  readonly #flight = new SingleFlight<Refreshed>()
  readonly #readers = new Set<Reader>()

  constructor(refresher: Refresher) {
    this.#refresher = refresher
  }

  /** As `Refresher.refresh`. @throws RegistryError */
  refresh(source: Source, name: string): Promise<Refreshed> {
    return this.#flight.run(`${source.cacheName} ${name}`, () => this.#refresh(source, name))
  }

  /** From now on this reader hears of what others' questions changed. */
  join(reader: Reader): void {
    this.#readers.add(reader)
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader)
  }

  /** Tells all readers that the rows of this package may be others than they were. */
  changed(name: string): void {
    for (const reader of this.#readers) reader.recheck(name)
  }

  /** Tells all readers that the rules for serving have changed. */
  replan(): void {
    for (const reader of this.#readers) reader.replan()
  }

  /** Tells all readers that who is asked for what, or what is refused, has changed. */
  forget(): void {
    for (const reader of this.#readers) reader.forget()
  }

  async #refresh(source: Source, name: string): Promise<Refreshed> {
    const refreshed = await this.#refresher.refresh(source, name)
    // Whoever asked knows already; to look once more costs one reading of the rows.
    if (refreshed.changed) this.changed(name)
    if (refreshed.comparison !== undefined) void this.#compared(name, refreshed.comparison)
    return refreshed
  }

  /** Never rejects: whoever waits for the comparison tells of its failure. */
  async #compared(name: string, comparison: Promise<boolean>): Promise<void> {
    const [outcome] = await Promise.allSettled([comparison])
    if (outcome.status === 'fulfilled' && outcome.value) this.changed(name)
  }
}
