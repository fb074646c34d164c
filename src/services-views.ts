/**
 * The ways of reading one server: everybody's, one for each registry (`/~/<upstream>/`) and one for
 * each view. All are made of the same parts by `makeReading`; they differ in which registry owns a
 * name, in what is refused besides, and in the URL that stands before it. What they share: the
 * documents, the records, the bodies, and the questions to registries.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { Audit } from './db/audit.ts'
import type { Contents } from './db/contents.ts'
import type { ViewRow, Views } from './db/views.ts'
import { RegistryError } from './registries/errors.ts'
import type { Explanations } from './registries/reading/explanations.ts'
import { ContentAddresses, type ContentNeeds } from './registries/reading/content.ts'
import { Passing } from './registries/sources/passing.ts'
import type { PlanSettings } from './registries/reading/plan.ts'
import type { PolicyReader } from './registries/policy/policy.ts'
import { Proxy, type ProxyNeeds } from './registries/reading/proxy.ts'
import { Records, type RecordsNeeds } from './registries/reading/records.ts'
import { Renderings, type RenderingsNeeds } from './registries/reading/renderings.ts'
import type { Sources } from './registries/sources/source.ts'
import { Tarballs, type TarballsNeeds } from './registries/reading/tarballs.ts'
import { TrustedParties, type TrustedPartiesNeeds } from './registries/sources/trusted-parties.ts'
import type { SharedRefresher } from './registries/reading/views-refresh.ts'
import { ViewAdmin, type ViewAdminNeeds } from './registries/reading/views.ts'
import { OneSource, OneSourceAsked, ViewSources } from './registries/reading/views-source.ts'
import type { ViewTrust } from './registries/policy/views-trust.ts'
import type { Surface, Surfaces } from './routes/through.ts'
import { buildReadingApp, type ReadingNeeds } from './routes/views.ts'

/** Views in use at once; one more costs making the least used one anew. */
const VIEWS_MAX = 100

type Made = 'sources' | 'proxy' | 'base' | 'view'

/** What all readings share. @property explanationsOf the reasons as told by these sources */
export type ReadingParts = Omit<ProxyNeeds, 'sources' | 'refresher' | 'renderings' | 'settings'> &
  Omit<RenderingsNeeds, 'keptFor' | 'hasViews'> &
  Omit<TarballsNeeds, Made> &
  Omit<RecordsNeeds, Made> &
  Omit<TrustedPartiesNeeds, 'publicUrl' | 'inUse' | 'isPrivate'> &
  Pick<ReadingNeeds, 'bodies' | 'home' | 'guard' | 'report' | 'checks'> & {
    contents: Contents
    shared: SharedRefresher
    settings: Omit<PlanSettings, 'view'>
    explanationsOf: (sources: Sources, reader: PolicyReader) => Explanations
  }

/** Which reading. @property asked who is passed a search or an audit @property keptFor as in renderings.ts */
type ReadingOf = {
  sources: Sources
  asked: Sources
  base: string
  keptFor: string
  view?: ViewTrust
  refresher: ProxyNeeds['refresher']
  parties: Partial<Pick<TrustedPartiesNeeds, 'upstreams' | 'ownKeys'>>
  readerOf: (own: Proxy) => ContentNeeds['readerOf']
  hasViews: () => boolean
}

/** Everything that answers one reading. */
function makeReading(parts: ReadingParts, of: ReadingOf): ReadingNeeds {
  const { sources, base, view, keptFor, refresher } = of
  const seen = view === undefined ? {} : { view }
  const renderings = new Renderings({ ...parts, keptFor, hasViews: of.hasViews })
  const settings = { ...parts.settings, base, ...seen }
  const proxy = new Proxy({ ...parts, sources, refresher, renderings, settings })
  parts.shared.join(proxy)
  const { bodies, home, guard, report, checks, contents } = parts
  return {
    proxy,
    tarballs: new Tarballs({ ...parts, sources, proxy, base, ...seen }),
    content: new ContentAddresses({ contents, sources, readerOf: of.readerOf(proxy) }),
    records: new Records({ ...parts, sources, proxy, base }),
    explanations: parts.explanationsOf(sources, { base, view: view?.name ?? null }),
    passing: new Passing(of.asked),
    parties: new TrustedParties({
      ...parts,
      ...of.parties,
      inUse: sources,
      isPrivate: name => guard.isPrivate(name),
      publicUrl: base,
    }),
    prefix: new URL(base).pathname.replace(/\/$/, ''),
    bodies,
    home,
    guard,
    report,
    checks,
  }
}

/** The operations on views. @param actor who is written into the audit trail */
export function makeViewAdmin(needs: Omit<ViewAdminNeeds, 'audit'>, actor: string): ViewAdmin {
  return new ViewAdmin({ ...needs, audit: new Audit(needs.db) }, actor)
}

type Reading = { proxy: Proxy; surface: Surface }

/** What the other readings are made of. @property sources those in use, by the common table */
export type ReadingsNeeds = { parts: ReadingParts; sources: Sources; views: Views }

/** The readings besides everybody's, each made when it is first asked for. */
export class Readings implements Surfaces {
  readonly #needs: ReadingsNeeds
  /** As many as there are registries: names that are none are never made. */
  readonly #ofRegistry = new Map<string, Reading>()
  readonly #ofView = new LRUCache<string, Reading>({
    max: VIEWS_MAX,
    dispose: ({ proxy }) => this.#needs.parts.shared.leave(proxy),
  })
  #hasViews: boolean

  constructor(needs: ReadingsNeeds) {
    this.#needs = needs
    this.#hasViews = needs.views.list().length > 0
  }

  get hasViews(): boolean {
    return this.#hasViews
  }

  /** What is answered to whoever names no registry and carries no view. */
  everybodys(): ReadingNeeds {
    return this.#make(null, null)
  }

  /** Views were changed: what was made of them is made anew. */
  reload(): void {
    this.#ofView.clear()
    this.#hasViews = this.#needs.views.list().length > 0
    // What is held says by which headers it varies.
    this.#needs.parts.shared.forget()
  }

  ofRegistry(name: string, view: string | null): Surface | undefined {
    if (view === null) return this.#reading(name)?.surface
    // One that was removed: whoever is added later under its name has its own sources.
    if (this.#needs.sources.get(name) === undefined) return undefined
    if (this.#needs.views.get(view)?.registries?.includes(name) === false) {
      const why = `the view ${view} does not trust ${name}: ask the operator of this server`
      throw new RegistryError('forbidden', why)
    }
    return this.#inView(view, name)?.surface
  }

  ofView(name: string): Surface | undefined {
    return this.#inView(name, null)?.surface
  }

  #inView(view: string, registry: string | null): Reading | undefined {
    const key = registry === null ? view : `${view} ${registry}`
    const known = this.#ofView.get(key)
    if (known !== undefined) return known
    const row = this.#needs.views.get(view)
    if (row === null) return undefined
    const made = surfaceOf(this.#make(row, registry))
    this.#ofView.set(key, made)
    return made
  }

  #reading(name: string): Reading | undefined {
    if (this.#needs.sources.get(name) === undefined) return undefined
    const known = this.#ofRegistry.get(name)
    if (known !== undefined) return known
    const made = surfaceOf(this.#make(null, name))
    this.#ofRegistry.set(name, made)
    return made
  }

  #make(view: ViewRow | null, registry: string | null): ReadingNeeds {
    const { parts, sources } = this.#needs
    const { base } = parts.settings
    const seen = view === null ? undefined : new ViewSources(sources, view)
    const all = seen ?? sources
    const keptFor = [view === null ? '' : `view ${view.name}`, registry ?? ''].join('~')
    return makeReading(parts, {
      sources: registry === null ? all : new OneSource(all, registry),
      asked: registry === null ? all : new OneSourceAsked(all, registry),
      base: registry === null ? base : `${base}~/${registry}/`,
      keptFor: keptFor === '~' ? '' : keptFor,
      ...this.#trustOf(view),
      refresher: {
        refresh: (source, name) => parts.shared.refresh(seen?.commonOf(source) ?? source, name),
      },
      parties: this.#partiesOf(view, registry),
      readerOf: own => (holder, name) => {
        if (registry !== null || all.find(name)?.name === holder) return own
        return view === null ? this.#reading(holder)?.proxy : this.#inView(view.name, holder)?.proxy
      },
      hasViews: () => view !== null || this.#hasViews,
    })
  }

  #trustOf(view: ViewRow | null): { view?: ViewTrust } {
    if (view === null) return {}
    const { name, keys } = view
    const ours = [...this.#needs.parts.ownKeys.published().keys()]
    const takesOurs = ours.some(keyid => keys?.includes(keyid) ?? true)
    return { view: { name, keyids: keys === null ? null : new Set(keys), takesOurs } }
  }

  /** Whom it trusts for what: those that it asks, with those of their keys that vouch in it. */
  #partiesOf(view: ViewRow | null, registry: string | null): ReadingOf['parties'] {
    if (view === null && registry === null) return {}
    const { upstreams, ownKeys } = this.#needs.parts
    const vouches = (keyid: string) => view?.keys?.includes(keyid) ?? true
    const isAsked = (name: string) =>
      (registry ?? name) === name && (view?.registries?.includes(name) ?? true)
    const published = () => new Map([...ownKeys.published()].filter(([keyid]) => vouches(keyid)))
    return {
      upstreams: {
        list: () => upstreams.list().filter(row => isAsked(row.mirrorOf ?? row.name)),
        keys: upstream => upstreams.keys(upstream).filter(({ keyid }) => vouches(keyid)),
      },
      ownKeys: { current: ownKeys.current, former: () => ownKeys.former(), published },
    }
  }
}

function surfaceOf(needs: ReadingNeeds): Reading {
  return { proxy: needs.proxy, surface: buildReadingApp(needs) }
}
