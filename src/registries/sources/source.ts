/**
 * A registry as this instance uses it: the upstream, the namespace of its records, its trust.
 *
 * `Sources` answers the one question that must never have two answers: which registry owns a name
 * (authority.ts). The operator may change the table at any time (`replace`); whoever works over an
 * await asks again whether its source still counts. Nothing here fetches.
 * @module
 */
import type { Authority } from './authority.ts'
import { RegistryError } from '../errors.ts'
import type { Mirrors } from './mirrors.ts'
import type { TarballMode } from './tarball-modes.ts'
import type { Trust } from './trust.ts'
import type { Upstream } from './upstream.ts'

/** A registry as it is asked: over the network, or in this process for what lives here. */
export type Asked = Pick<Upstream, keyof Upstream>

/** What only packages that live here have. */
export type Housed = {
  /** Not everybody may know of it: nothing of it is logged. */
  isPrivate(name: string): boolean
  /** The names of all that not everybody may know of. */
  hidden(): string[]
  /** The entity tag of its packument as it is now; null when there is none. */
  etagOf(name: string): string | null
  /** It owns no name yet. */
  isEmpty(): boolean
  /** The bytes of a version, checked just now. @throws RegistryError */
  tarball(integrity: string): Promise<Blob>
}

/**
 * One registry in use, with the mirrors that may stand in for it and for no other.
 * @property cacheName what its documents are cached under: another one when they must not be found
 * @property housed there when its packages live here
 * @property revises it re-issues the bytes of versions (revisions.ts)
 */
export type Source = {
  name: string
  namespace: string
  cacheName: string
  tarballs: TarballMode
  /** Since when it is in strict mode (strict.ts); null: it is not. */
  strictSince: string | null
  revises?: boolean
  upstream: Asked
  housed?: Housed
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

  /** Is this a name of packages that live here? The same in every view. */
  livesHere(name: string): boolean {
    return this.find(name)?.housed !== undefined
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
