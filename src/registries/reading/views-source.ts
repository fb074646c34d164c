/**
 * Other answers to "which registry owns this name", all over the one table of sources in use:
 * exactly one registry (`/~/<upstream>/`), or only those that a view trusts.
 *
 * None of them ever falls through to another registry: one gives every name to its registry, the
 * other refuses what it does not trust. Nothing here fetches.
 * @module
 */
import { buildAuthority } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'
import { CONTENT_SCOPE } from '../name.ts'
import { type Source, Sources } from '../sources/source.ts'

const NO_AUTHORITY = buildAuthority([])

/**
 * One registry for every name, whatever the table says: whoever asks here has named it. But for
 * those of scopes that live here: no other registry is ever told one.
 */
export class OneSource extends Sources {
  readonly #base: Sources
  readonly #registry: string

  constructor(base: Sources, registry: string) {
    super(NO_AUTHORITY, [])
    this.#base = base
    this.#registry = registry
  }

  override find(name: string): Source | undefined {
    if (name.startsWith(CONTENT_SCOPE)) return undefined
    const main = this.main()
    const isTold = main?.housed !== undefined || !name.startsWith('@')
    return isTold || !this.#base.livesHere(name) ? main : undefined
  }

  override livesHere(name: string): boolean {
    return this.#base.livesHere(name)
  }

  override main(): Source | undefined {
    return this.#base.get(this.#registry)
  }

  override get(name: string): Source | undefined {
    return name === this.#registry ? this.main() : undefined
  }

  override all(): Source[] {
    const source = this.main()
    return source === undefined ? [] : [source]
  }
}

/**
 * One registry for what is passed on without a version being named: an audit lists a whole tree and
 * a search whatever somebody types, so names that the table gives to a third registry stay out.
 */
export class OneSourceAsked extends OneSource {
  readonly #base: Sources

  constructor(base: Sources, registry: string) {
    super(base, registry)
    this.#base = base
  }

  override find(name: string): Source | undefined {
    const source = super.find(name)
    const owner = this.#base.find(name)
    return owner === source || owner === this.#base.main() ? source : undefined
  }

  /** All of them, so that nobody takes the one for the owner of everything. */
  override all(): Source[] {
    return this.#base.all()
  }
}

/** What of a view decides about sources. */
export type SourceView = {
  name: string
  registries: readonly string[] | null
  mirrors: Readonly<Record<string, readonly string[]>>
}

/** The registries that a view trusts, with its order of mirrors. */
export class ViewSources extends Sources {
  readonly #base: Sources
  readonly #view: SourceView
  /** By the common source, so that what is known of one in this view lasts as long as it does. */
  readonly #seen = new WeakMap<Source, Source>()
  readonly #common = new WeakMap<Source, Source>()

  constructor(base: Sources, view: SourceView) {
    super(NO_AUTHORITY, [])
    this.#base = base
    this.#view = view
  }

  /** The source that everybody else uses: what is asked and recorded is the same in all views. */
  commonOf(source: Source): Source {
    return this.#common.get(source) ?? source
  }

  override find(name: string): Source | undefined {
    const owner = this.#base.find(name)
    return owner === undefined ? undefined : this.get(owner.name)
  }

  override livesHere(name: string): boolean {
    return this.#base.livesHere(name)
  }

  /** @throws RegistryError not-found, or forbidden when this view does not trust its registry */
  override ownerOf(name: string): Source {
    const owner = this.#base.ownerOf(name)
    const source = this.get(owner.name)
    if (source !== undefined) return source
    const why = `${name} belongs to ${owner.name}, which the view ${this.#view.name} does not trust`
    throw new RegistryError('forbidden', `${why}: ask the operator of this server`, {
      package: name,
    })
  }

  override main(): Source | undefined {
    const main = this.#base.main()
    return main === undefined ? undefined : this.get(main.name)
  }

  override get(name: string): Source | undefined {
    const source = this.#isTrusted(name) ? this.#base.get(name) : undefined
    return source === undefined ? undefined : this.#inView(source)
  }

  override all(): Source[] {
    return this.#base.all().flatMap(({ name }) => this.get(name) ?? [])
  }

  #isTrusted(registry: string): boolean {
    return this.#view.registries?.includes(registry) ?? true
  }

  #inView(source: Source): Source {
    const known = this.#seen.get(source)
    if (known !== undefined) return known
    const order = Object.entries(this.#view.mirrors).find(([name]) => name === source.name)?.[1]
    const mirrors = order === undefined ? source.mirrors : source.mirrors.inOrder(order)
    const made = { ...source, mirrors }
    this.#seen.set(source, made)
    this.#common.set(made, source)
    return made
  }
}
