/**
 * A registry as this instance uses it: the upstream, the namespace of its records, its trust.
 *
 * `Sources` answers the one question that must never have two answers: which registry owns a name
 * (authority.ts). Nothing here fetches.
 * @module
 */
import type { Authority } from './authority.ts'
import { RegistryError } from './errors.ts'
import type { Trust } from './trust.ts'
import type { Upstream } from './upstream.ts'

/** One registry in use. @property canonical its tarball URLs on the default registry's origin stay */
export type Source = {
  name: string
  namespace: string
  canonical: boolean
  upstream: Upstream
  trust: Trust
}

/** All registries in use, and which of them owns a name. */
export class Sources {
  readonly #authority: Authority
  readonly #byName: ReadonlyMap<string, Source>

  constructor(authority: Authority, sources: readonly Source[]) {
    this.#authority = authority
    this.#byName = new Map(sources.map(source => [source.name, source]))
  }

  /** The one registry that owns `name`. @throws RegistryError not-found when none does */
  ownerOf(name: string): Source {
    const owner = this.#authority.ownerOf(name)
    const source = owner === undefined ? undefined : this.#byName.get(owner)
    if (source === undefined) {
      throw new RegistryError('not-found', `${name} belongs to no registry that this server uses`, {
        package: name,
      })
    }
    return source
  }

  /** Every registry in use, in the order they were added. */
  all(): Source[] {
    return [...this.#byName.values()]
  }
}
