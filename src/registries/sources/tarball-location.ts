/**
 * Where the tarball of a version is: its URL at the registry, its path at mirrors.
 *
 * A file is bound to the version that declared it, whatever it is called and wherever it lies; a
 * mirror that keeps one at a place of its own is asked there (`Places`). Only origins that the
 * operator listed are ever connected to. Nothing is fetched here.
 * @module
 */
import type { VersionSummary } from '../../db/packages.ts'
import type { Samples } from '../../db/samples.ts'
import { defaultRegistryUrl } from '../default-registry.ts'
import { RegistryError } from '../errors.ts'
import type { InspectedVersion } from '../packument/inspect.ts'
import type { Mirror } from './mirror.ts'
import type { Source } from './source.ts'
import { timestamp } from '../timestamp.ts'

/**
 * A tarball: its URL at the registry, its path at mirrors, what its bytes must hash to.
 * @property former its version has other bytes by now; `gone`: its registry does not keep these
 */
export type FoundTarball = {
  former?: 'kept' | 'gone'
  source: Source
  url: string
  path: string
  integrity: string
  row: VersionSummary
}

/** @throws RegistryError upstream-bad-answer when its registry names no usable place */
export function locateTarball(source: Source, row: VersionSummary): FoundTarball {
  const url = locationOf(source, row)
  return { source, url, path: pathOf(source, row, url), integrity: row.integrity ?? '', row }
}

/** Only origins that the operator listed are ever connected to; a document cannot add one. */
export function assertListed({ source, url, row }: FoundTarball): void {
  if (source.upstream.lists(url)) return
  const { name: pkg, version } = row
  const sentence = `${pkg}@${version}: ${source.name} keeps it at ${new URL(url).host}, which is not listed here (upstream set ${source.name} --tarball-origins), and its bytes have to pass through here`
  throw new RegistryError('upstream-bad-answer', sentence, { package: pkg, version })
}

/**
 * The tarball's URL at its registry. A registry that stands in for the default one (a company
 * mirror) hands out the default one's URLs: its own copy is meant.
 */
function locationOf(source: Source, row: VersionSummary): string {
  const given = URL.parse(row.tarball)
  if (given === null || (given.protocol !== 'https:' && given.protocol !== 'http:')) {
    throw new RegistryError(
      'upstream-bad-answer',
      `${row.name}@${row.version}: ${source.name} names no usable tarball URL`,
      { package: row.name, version: row.version },
    )
  }
  const home = new URL(defaultRegistryUrl())
  const base = new URL(source.upstream.url)
  if (given.origin !== home.origin || base.origin === home.origin) return given.href
  return new URL(given.pathname.slice(1), withSlash(base)).href
}

/** Its path below the registry's URL, by which mirrors know it. */
function pathOf(source: Source, row: VersionSummary, url: string): string {
  const base = source.upstream.url
  // Elsewhere than below its registry: a mirror has it, if at all, where it has everything.
  return url.startsWith(base) ? url.slice(base.length) : `${row.name}/-/${row.file}`
}

function withSlash(base: URL): URL {
  return base.pathname.endsWith('/') ? base : new URL(`${base.href}/`)
}

/** The record of which mirror keeps which tarball at a place of its own. */
export class Places {
  readonly #samples: Samples
  readonly #now: () => Date

  constructor(samples: Samples, now: () => Date) {
    this.#samples = samples
    this.#now = now
  }

  /** What to ask a mirror for: the usual path, or the whole URL that it gave itself. */
  at(mirror: Mirror, { row, path }: FoundTarball): string {
    const own = this.#samples.place(mirror.name, row.name, row.version)
    return own !== null && mirror.lists(own) ? own : path
  }

  /**
   * Notes where a mirror's document says that its tarballs are. Places on origins that nobody
   * listed are passed over, and so are the registry's own: they are no places of the mirror.
   */
  note(
    source: Source,
    mirror: Mirror,
    rows: readonly VersionSummary[],
    said: readonly InspectedVersion[],
  ): void {
    const urls = new Map(said.map(({ version, tarball }) => [version, tarball]))
    const name = rows[0]?.name ?? ''
    const known = this.#samples.placesOf(mirror.name, name)
    const seen = timestamp(this.#now())
    for (const row of rows) {
      const url = urls.get(row.version)
      if (url === undefined || !URL.canParse(row.tarball)) continue
      const isOwn = mirror.lists(url) && url !== mirror.urlOf(locateTarball(source, row).path)
      const before = known.get(row.version)
      if (isOwn && url !== before) {
        this.#samples.putPlace({ upstream: mirror.name, name, version: row.version, url, seen })
      } else if (!isOwn && before !== undefined) {
        this.#samples.dropPlace(mirror.name, name, row.version)
      }
    }
  }
}
