/**
 * Requests counted by surface and class of status, and refusals by reason. Counting is one addition
 * to an array: it happens for every request, and a library's labels would cost more than some
 * answers do. Names of packages are never part of it.
 * @module
 */

/** Status classes, `1xx` first. */
const CLASSES = 5
/** Reasons are codes of this program; whatever else came would make labels without end. */
const REASONS_MAX = 64

/** Counts since the start. */
export class RequestCounts {
  readonly #surfaces: readonly string[]
  readonly #counts: Float64Array
  readonly #refusals = new Map<string, number>()

  /** @param surfaces their names; requests name them by index */
  constructor(surfaces: readonly string[]) {
    this.#surfaces = surfaces
    this.#counts = new Float64Array(surfaces.length * CLASSES)
  }

  /** One answer. */
  count(surface: number, status: number): void {
    const at = surface * CLASSES + Math.floor(status / 100) - 1
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
  }

  /** One version that was refused to somebody. */
  refused(reason: string): void {
    const known = this.#refusals.get(reason)
    if (known === undefined && this.#refusals.size >= REASONS_MAX) return
    this.#refusals.set(reason, (known ?? 0) + 1)
  }

  /** What was counted at all, each with its labels. */
  *requests(): Generator<{ surface: string; status: string; count: number }> {
    for (const [at, count] of this.#counts.entries()) {
      const surface = this.#surfaces[Math.floor(at / CLASSES)]
      if (count === 0 || surface === undefined) continue
      yield { surface, status: `${(at % CLASSES) + 1}xx`, count }
    }
  }

  /** Refusals by reason. */
  refusals(): Iterable<[string, number]> {
    return this.#refusals
  }
}
