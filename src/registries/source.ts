/**
 * A registry as this instance uses it: the upstream, the namespace of its records, its trust.
 *
 * `Sources` answers the one question that must never have two answers: which registry owns a name
 * (authority.ts). The operator may change the table at any time (`replace`); whoever works over an
 * await asks again whether its source still counts. Nothing here fetches.
 * @module
 */
import type { Authority } from './authority.ts'
import { RegistryError } from './errors.ts'
import type { Mirrors } from './mirrors.ts'
import type { TarballMode } from './tarball-modes.ts'
import type { Trust } from './trust.ts'
import type { Upstream } from './upstream.ts'

/**
 * One registry in use, with the mirrors that may stand in for it and for no other.
 * @property cacheName what its documents are cached under: another one when they must not be found
 */
export type Source = {
  name: string
  namespace: string
  cacheName: string
  tarballs: TarballMode
  upstream: Upstream
  trust: Trust
  mirrors: Mirrors
}

/** All registries in use, and which of them owns a name. */
export class Sources {
  #authority: Authority
  #byName: ReadonlyMap<string, Source>

  constructor(authority: Authority, sources: readonly Source[]) {
    this.#authority = authority
    this.#byName = new Map(sources.map(source => [source.name, source]))
  }

  /** Another table from now on. Who asked before goes on with the source that was answered then. */
  replace(authority: Authority, sources: readonly Source[]): void {
    this.#authority = authority
    this.#byName = new Map(sources.map(source => [source.name, source]))
  }

  /** Whether `source` is the one to ask for `name` now. */
  isOwner(source: Source, name: string): boolean {
    return this.find(name) === source
  }

  /** The one registry that owns `name`, if any does. */
  find(name: string): Source | undefined {
    const owner = this.#authority.ownerOf(name)
    return owner === undefined ? undefined : this.#byName.get(owner)
  }

  /** The one registry that owns `name`. @throws RegistryError not-found when none does */
  ownerOf(name: string): Source {
    const source = this.find(name)
    if (source === undefined) {
      throw new RegistryError('not-found', `${name} belongs to no registry that this server uses`, {
        package: name,
      })
    }
    return source
  }

  /** The registry of all names that no narrower pattern gives to another; most often `npm`. */
  main(): Source | undefined {
    return this.get(this.#authority.main ?? '')
  }

  /** The registry of this name, when it is in use. */
  get(name: string): Source | undefined {
    return this.#byName.get(name)
  }

  /** Every registry in use, by name. */
  all(): Source[] {
    return [...this.#byName.values()]
  }
}
