/**
 * Makes the sources in use from the configured upstreams: one place that knows how a row becomes
 * something to ask, so that the operator can change rows while the server runs.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import { SecretError, type Secrets } from '../../db/secrets.ts'
import type { UpstreamRow, Upstreams } from '../../db/upstreams.ts'
import type { Log } from '../../log/log.ts'
import { type Authority, buildAuthority } from './authority.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { Mirror } from './mirror.ts'
import { Mirrors } from './mirrors.ts'
import { type Asked, type Housed, type Source, Sources } from './source.ts'
import { Trust } from './trust.ts'
import { Upstream, type UpstreamOptions } from './upstream.ts'
import { type OpenedSecret, openSecret, parseSecret } from './upstream-secret.ts'

/** What sources are made with. @property probes a fetcher for quick questions (mirror.ts) */
export type SourceFactoryNeeds = {
  db: RegistryDb
  log: Log
  upstreams: Upstreams
  secrets: Secrets
  incidents: Incidents
  fetcher: Fetcher
  probes: Fetcher
  /** What stands for the row of packages that live here. */
  house: (row: UpstreamRow) => { upstream: Asked; housed: Housed }
  now: () => Date
  warn: (message: string) => void
}

/** Makes the sources of all configured registries, and makes them again when rows change. */
export class SourceFactory {
  /** Those in use now; always the same object. */
  readonly sources: Sources
  readonly #needs: SourceFactoryNeeds
  /** What is in use, by everything that it was made of. */
  #made = new Map<string, Source>()

  /** @throws AuthorityError when the names of the registries collide */
  constructor(needs: SourceFactoryNeeds) {
    this.#needs = needs
    this.sources = new Sources(authorityOf([]), [])
    this.reload()
  }

  /**
   * Brings the sources in use up to the rows. What did not change stays the same object, with what
   * it has learnt; what is no longer in use is not believed any more.
   * @returns the cache names whose documents nobody will ask for again
   */
  reload(): string[] {
    const rows = this.#needs.upstreams.list()
    const before = [...this.#made.values()]
    const made = new Map<string, Source>()
    for (const row of rows.filter(({ kind }) => kind !== 'mirror')) {
      const mirrors = rows.filter(({ mirrorOf }) => mirrorOf === row.name)
      const key = JSON.stringify([row, ...mirrors].map(cacheNameOf))
      made.set(key, this.#made.get(key) ?? this.#make(row, mirrors))
    }
    const after = [...made.values()]
    this.sources.replace(authorityOf(rows), after)
    this.#made = made
    const inUse = new Set(after.map(({ upstream }) => upstream))
    const retired = before.filter(({ upstream }) => !inUse.has(upstream))
    for (const { upstream } of retired) upstream.retire()
    return retired.map(({ cacheName }) => cacheName)
  }

  #make(row: UpstreamRow, mirrorRows: readonly UpstreamRow[]): Source {
    const { name, namespace, tarballs } = row
    const cacheName = cacheNameOf(row)
    const { fetcher, probes } = this.#needs
    const made = mirrorRows.map(each => new Mirror(this.#optionsOf(each), { fetcher, probes }))
    const mirrors = new Mirrors(made, namespace, this.#needs.incidents)
    // Other mirrors of the same registry: it is asked and trusted as before.
    const same = [...this.#made.values()].find(source => source.cacheName === cacheName)
    if (same !== undefined) return { ...same, mirrors }
    const place = this.#placeOf(row)
    const store = this.#needs.upstreams
    const isOurs = row.kind === 'hosted'
    const settings = { name, isOurs, namespace, mode: row.signatures, store }
    const trust = new Trust({ ...this.#needs, ...settings, upstream: place.upstream })
    const { strictSince, revisions: revises } = row
    const more = { strictSince, revises, trust, mirrors }
    return { name, namespace, cacheName, tarballs, ...more, ...place }
  }

  #placeOf(row: UpstreamRow): Pick<Source, 'upstream' | 'housed'> {
    if (row.kind === 'hosted') return this.#needs.house(row)
    return { upstream: new Upstream(this.#optionsOf(row), this.#needs.fetcher) }
  }

  #optionsOf(row: UpstreamRow): UpstreamOptions {
    const { name, url, namespace, tarballOrigins } = row
    return { name, url, namespace, tarballOrigins, ...this.#secretOf(row) }
  }

  /** The secret of exactly this origin. One that cannot be opened is missing, and that is said. */
  #secretOf(row: UpstreamRow): OpenedSecret {
    const { secrets, warn } = this.#needs
    try {
      const text = secrets.get(row.name, new URL(row.url).origin)
      return text === null ? {} : openSecret(parseSecret(text))
    } catch (error) {
      if (!(error instanceof SecretError)) throw error
      warn(`${error.message}: ${row.name} is asked without it`)
      return {}
    }
  }
}

/** The table of who owns which names. @throws AuthorityError when it can be read in two ways */
export function authorityOf(rows: readonly UpstreamRow[]): Authority {
  const registries = rows.filter(({ kind }) => kind !== 'mirror')
  return buildAuthority(
    registries.map(({ name, names, kind }) => {
      return { registry: name, patterns: names, mayOwnNothing: kind === 'hosted' }
    }),
  )
}

/** Nothing else can be called so: names of upstreams hold no space. */
function cacheNameOf(row: UpstreamRow): string {
  return row.edition === '' ? row.name : `${row.name} ${row.edition}`
}
