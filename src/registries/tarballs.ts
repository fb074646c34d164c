/**
 * Where a tarball is, and its bytes for those that get them through here.
 *
 * CONTRACT "Where tarballs come from": answered by 302 to a mirror or the registry (mirrors.ts
 * chooses, here and nowhere else), or by the bytes, verified against the record before the last one
 * is sent. A file is bound to the version that declared it, never guessed from its name. Mirrors are
 * asked for the path that the tarball has below its registry.
 * @module
 */
import type { Incidents } from '../db/incidents.ts'
import type { Packages, VersionSummary } from '../db/packages.ts'
import { defaultRegistryUrl } from './default-registry.ts'
import { RegistryError } from './errors.ts'
import { verifyStream } from './integrity.ts'
import type { Mirror } from './mirror.ts'
import { BAD_MIRROR } from './mirrors.ts'
import type { TarballCache } from './tarball-cache.ts'
import { passesBytes } from './tarball-modes.ts'
import { timestamp } from './timestamp.ts'
import type { OpenedTarball } from './upstream.ts'
import type { Proxy } from './proxy.ts'
import { isRefusalCode, refusalError } from './refusal.ts'
import type { Source, Sources } from './source.ts'

/** Incident of bytes that do not match their record; the version itself stays as it is. */
const TARBALL_INCIDENT = 'altered-tarball'

/**
 * A tarball that may be served: its URL at the registry, its path at mirrors, and what its bytes
 * must hash to.
 */
export type FoundTarball = {
  source: Source
  url: string
  path: string
  integrity: string
  row: VersionSummary
}
/** Bytes that end in an error rather than in a wrong last chunk. */
export type VerifiedBytes = { stream: ReadableStream<Uint8Array>; length: number | null }
/** The answer to a request for a tarball. `whole`: at hand, any part of it can be sent. */
export type TarballAnswer =
  | { kind: 'redirect'; url: string }
  | ({ kind: 'stream' } & VerifiedBytes)
  | { kind: 'whole'; data: Blob }

/** Unchecked bytes and who sends them. */
type Opened = OpenedTarball & { url: string; mirror: Mirror | undefined }

type Chunks = AsyncGenerator<Uint8Array, void, undefined>

/** What tarballs are found with. @property base public URL, ends in `/` */
export type TarballsNeeds = {
  sources: Sources
  packages: Packages
  incidents: Incidents
  proxy: Proxy
  cache: TarballCache
  base: string
  now: () => Date
  warn: (message: string) => void
}

/** Finds and fetches tarballs. */
export class Tarballs {
  readonly #needs: TarballsNeeds

  constructor(needs: TarballsNeeds) {
    this.#needs = needs
  }

  /** The tarball called `file` of package `name`. @throws RegistryError not-found, refused, upstream-… */
  async find(name: string, file: string): Promise<FoundTarball> {
    const source = this.#needs.sources.ownerOf(name)
    const row = await this.#rowOf(source, name, file)
    if (isRefusalCode(row.state)) {
      throw refusalError(this.#needs.base, { ...row, code: row.state })
    }
    const url = locationOf(source, row)
    const path = pathOf(source, row, url)
    return { source, url, path, integrity: row.integrity ?? '', row }
  }

  /**
   * Its bytes or where they are, as its registry's mode says.
   * @param clientChecks whether the client compares them with the integrity that it was given
   */
  async answer(found: FoundTarball, clientChecks: boolean): Promise<TarballAnswer> {
    const { source, url, path, integrity, row } = found
    if (!passesBytes(source.tarballs, clientChecks)) {
      const mirror = await source.mirrors.placeFor(row.name, path)
      return { kind: 'redirect', url: mirror?.urlOf(path) ?? url }
    }
    if (source.tarballs !== 'cache') {
      return { kind: 'stream', ...(await this.#verified(found, chunks => chunks)) }
    }
    const { cache } = this.#needs
    const data = await cache.get(integrity)
    if (data !== undefined) return { kind: 'whole', data }
    const bytes = await this.#verified(found, chunks => cache.keeping(chunks, integrity))
    return { kind: 'stream', ...bytes }
  }

  /** Its bytes, checked against the record while they pass, through one stage more. */
  async #verified(found: FoundTarball, stage: (chunks: Chunks) => Chunks): Promise<VerifiedBytes> {
    const opened = await this.#open(found)
    const checked = stage(verifyStream(opened.stream, found.integrity))
    const stream = pulled(checked, error => this.#failed(found, opened, error))
    return { stream, length: opened.length }
  }

  /** The first place that begins to send: a mirror that is well and has it, else the registry. */
  async #open(found: FoundTarball): Promise<Opened> {
    const { source, path, url, row } = found
    for (const mirror of source.mirrors.candidates(row.name)) {
      if (!(await mirror.offers(path))) continue
      try {
        return { ...(await mirror.openTarball(path)), url: mirror.urlOf(path), mirror }
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        this.#needs.warn(`${row.name}@${row.version} from mirror ${mirror.name}: ${error.message}`)
      }
    }
    assertListed(found)
    return { ...(await source.upstream.openTarball(url)), url, mirror: undefined }
  }

  /** Other bytes than the record says: the evidence is kept, whoever asked gets a cut connection. */
  #failed(found: FoundTarball, { url, mirror }: Opened, error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error)
    const { name, version, namespace, leafIndex } = found.row
    this.#needs.warn(`tarball of ${name}@${version} from ${url}: ${detail}`)
    if (!(error instanceof RegistryError) || error.code !== 'upstream-bad-answer') return
    const who = mirror === undefined ? 'its registry' : `mirror ${mirror.name}`
    const sentence = `${name}@${version}: ${who} sends other bytes than were recorded; none were passed on whole`
    const observed = timestamp(this.#needs.now())
    const evidence = {
      ...(mirror !== undefined && { mirror: mirror.name }),
      record: leafIndex,
      sources: [{ url, observed }],
      detail,
    }
    this.#needs.incidents.record(
      {
        code: mirror === undefined ? TARBALL_INCIDENT : BAD_MIRROR,
        namespace,
        name,
        version,
        claim: detail,
        sentence,
        evidence: JSON.stringify(evidence),
      },
      observed,
    )
    // The next attempt goes elsewhere.
    if (mirror !== undefined) found.source.mirrors.distrust(name)
  }

  async #rowOf(source: Source, name: string, file: string): Promise<VersionSummary> {
    const known = this.#needs.packages.byFile(source.namespace, name, file)
    if (known !== null) return known
    await this.#needs.proxy.ensureRecent(name)
    const found = this.#needs.packages.byFile(source.namespace, name, file)
    if (found !== null) return found
    throw new RegistryError('not-found', `${name} has no file ${file} in ${source.name}`, {
      package: name,
    })
  }
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

/** Only origins that the operator listed are ever connected to; a document cannot add one. */
function assertListed({ source, url, row }: FoundTarball): void {
  const { host, origin } = new URL(url)
  if (origin === new URL(source.upstream.url).origin) return
  const { name: pkg, version } = row
  const sentence = `${pkg}@${version}: ${source.name} keeps it at ${host}, which is not listed here, and its bytes have to pass through here`
  throw new RegistryError('upstream-bad-answer', sentence, { package: pkg, version })
}

function withSlash(base: URL): URL {
  return base.pathname.endsWith('/') ? base : new URL(`${base.href}/`)
}

/** A stream that asks for a chunk only when its reader does: a slow client holds nothing in memory. */
function pulled(chunks: Chunks, failed: (error: unknown) => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const next = await chunks.next()
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      } catch (error) {
        // The connection is cut before the last chunk: no client can take this for a whole file.
        controller.error(error)
        failed(error)
      }
    },
    async cancel() {
      await chunks.return()
    },
  })
}
