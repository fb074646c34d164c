/**
 * The mirrors of one registry and the choice among them.
 *
 * The choice is rendezvous hashing (Thaler and Ravishankar, 1998) of package name and mirror name:
 * a pure function of the two, so that a package stays on its mirror over restarts and whatever the
 * order of the configuration, each mirror gets its share, and a mirror that goes away moves its own
 * packages only. A mirror that is not well, is slow to say (mirrors-hedge.ts), does not have the
 * tarball or was caught with other bytes for the package is passed over; after the last one comes
 * the registry itself. Mirrors of another registry are never here: a name has one authority.
 *
 * Only the place behind a redirect is chosen here. `dist.tarball` never depends on it.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { Incidents } from '../../db/incidents.ts'
import type { Mirror } from './mirror.ts'
import { firstYes } from './mirrors-hedge.ts'

/** Incident of a mirror whose word about a version is not its registry's. */
export const BAD_MIRROR = 'bad-mirror'
/** Together, the questions to mirrors hold up a client no longer than this. */
const SEARCH_MS_MAX = 1_000
/** A mirror on another continent answers faster; one that does not is slow now, and the next is asked. */
const HEDGE_MS = 250
/** Packages whose set of distrusted mirrors is at hand; most have none. */
const DISTRUST_MAX = 20_000

/** The part of a `bad-mirror` incident's evidence that is read again. */
const BadMirrorEvidence = Type.Object({ mirror: Type.String() })
export type BadMirrorEvidence = Static<typeof BadMirrorEvidence>

/** The mirrors of one registry. */
export class Mirrors {
  readonly #mirrors: readonly Mirror[]
  readonly #namespace: string
  readonly #incidents: Incidents
  readonly #order: readonly string[] | null
  readonly #distrusted: LRUCache<string, ReadonlySet<string>>

  constructor(
    mirrors: readonly Mirror[],
    namespace: string,
    incidents: Incidents,
    order: readonly string[] | null = null,
    distrusted = new LRUCache<string, ReadonlySet<string>>(atMost(DISTRUST_MAX)),
  ) {
    this.#mirrors = mirrors
    this.#namespace = namespace
    this.#incidents = incidents
    this.#order = order
    this.#distrusted = distrusted
  }

  /** The same mirrors, of which only those named are sent to, in this order (views-source.ts). */
  inOrder(names: readonly string[]): Mirrors {
    return new Mirrors(this.#mirrors, this.#namespace, this.#incidents, names, this.#distrusted)
  }

  /** All of them, in the order of configuration. */
  all(): readonly Mirror[] {
    return this.#mirrors
  }

  /** Those that may stand in for the registry with this package, the chosen one first. */
  candidates(name: string): Mirror[] {
    if (this.#mirrors.length === 0) return []
    const distrusted = this.#distrustedFor(name)
    return this.#preferred(name).filter(mirror => !distrusted.has(mirror.name))
  }

  #preferred(name: string): Mirror[] {
    if (this.#order === null) return rendezvous(name, this.#mirrors)
    return this.#order.flatMap(wanted => this.#mirrors.find(each => each.name === wanted) ?? [])
  }

  /** The mirror to send a client to for a tarball now; undefined: to the registry itself. */
  async placeFor(
    name: string,
    path: string,
    pathAt: (mirror: Mirror) => string = () => path,
  ): Promise<Mirror | undefined> {
    const open = this.candidates(name).filter(({ isPublic }) => isPublic)
    const chosen = await firstYes(
      open.map(mirror => () => mirror.offers(pathAt(mirror))),
      { hedgeMs: HEDGE_MS, giveUpMs: SEARCH_MS_MAX },
    )
    return chosen === undefined ? undefined : open[chosen]
  }

  /**
   * Told that a `bad-mirror` incident of this package was recorded or settled: one that is not
   * settled holds, also over restarts.
   */
  distrust(name: string): void {
    this.#distrusted.delete(name)
  }

  #distrustedFor(name: string): ReadonlySet<string> {
    const known = this.#distrusted.get(name)
    if (known !== undefined) return known
    const rows = this.#incidents.openOf(this.#namespace, name, BAD_MIRROR)
    const names = new Set(
      rows.map(row => Value.Parse(BadMirrorEvidence, JSON.parse(row.evidence)).mirror),
    )
    this.#distrusted.set(name, names)
    return names
  }
}

/** `choices` in the order in which they are preferred for `name`. */
export function rendezvous<T extends { name: string }>(name: string, choices: readonly T[]): T[] {
  return choices
    .map(choice => ({ choice, score: scoreOf(name, choice.name) }))
    .toSorted((a, b) => (a.score === b.score ? 0 : a.score < b.score ? 1 : -1))
    .map(({ choice }) => choice)
}

function scoreOf(name: string, choice: string): string {
  // No name holds a NUL: no two pairs make the same text.
  return new Bun.CryptoHasher('sha256').update(`${name}\0${choice}`).digest('hex')
}
