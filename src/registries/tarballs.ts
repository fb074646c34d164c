/**
 * Where a tarball is, and its bytes for clients that check nothing.
 *
 * CONTRACT "Where tarballs come from": answered by 302 to the registry; clients that do not check
 * integrity get the bytes through here, verified against the record before the last one is sent.
 * A file is bound to the version that declared it, never guessed from its name. Which mirror serves
 * would be decided here and nowhere else.
 * @module
 */
import type { Incidents } from '../db/incidents.ts'
import type { Packages, VersionSummary } from '../db/packages.ts'
import { defaultRegistryUrl } from './default-registry.ts'
import { RegistryError } from './errors.ts'
import { verifyStream } from './integrity.ts'
import { timestamp } from './timestamp.ts'
import type { Proxy } from './proxy.ts'
import { isRefusalCode, refusalError } from './refusal.ts'
import type { Source, Sources } from './source.ts'

/** Incident of bytes that do not match their record; the version itself stays as it is. */
const TARBALL_INCIDENT = 'altered-tarball'

/** A tarball that may be served: its URL at the registry and what its bytes must hash to. */
export type FoundTarball = { source: Source; url: string; integrity: string; row: VersionSummary }
/** Bytes that end in an error rather than in a wrong last chunk. */
export type VerifiedBytes = { stream: ReadableStream<Uint8Array>; length: number | null }

/** What tarballs are found with. @property base public URL, ends in `/` */
export type TarballsNeeds = {
  sources: Sources
  packages: Packages
  incidents: Incidents
  proxy: Proxy
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
    return { source, url: locationOf(source, row), integrity: row.integrity ?? '', row }
  }

  /** Its bytes, checked against the record while they pass. */
  async verified(found: FoundTarball): Promise<VerifiedBytes> {
    const { upstream, name } = found.source
    const { host, origin } = new URL(found.url)
    if (origin !== new URL(upstream.url).origin) {
      // Only origins that the operator listed are ever connected to; a document cannot add one.
      const { name: pkg, version } = found.row
      const sentence = `${pkg}@${version}: ${name} keeps it at ${host}, which is not listed here, and this client checks no integrity itself`
      throw new RegistryError('upstream-bad-answer', sentence, { package: pkg, version })
    }
    const answer = await upstream.openTarball(found.url)
    const checked = verifyStream(answer.stream, found.integrity)
    return { stream: pulled(checked, error => this.#failed(found, error)), length: answer.length }
  }

  /** Other bytes than the record says: the evidence is kept, whoever asked gets a cut connection. */
  #failed(found: FoundTarball, error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error)
    const { name, version, namespace } = found.row
    this.#needs.warn(`tarball of ${name}@${version} from ${found.url}: ${detail}`)
    if (!(error instanceof RegistryError) || error.code !== 'upstream-bad-answer') return
    const sentence = `${name}@${version}: its registry sends other bytes than were recorded; none were passed on whole`
    const observed = timestamp(this.#needs.now())
    const evidence = {
      record: found.row.leafIndex,
      sources: [{ url: found.url, observed }],
      detail,
    }
    this.#needs.incidents.record(
      {
        code: TARBALL_INCIDENT,
        namespace,
        name,
        version,
        claim: detail,
        sentence,
        evidence: JSON.stringify(evidence),
      },
      observed,
    )
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

function withSlash(base: URL): URL {
  return base.pathname.endsWith('/') ? base : new URL(`${base.href}/`)
}

/** A stream that asks for a chunk only when its reader does: a slow client holds nothing in memory. */
function pulled(
  chunks: AsyncGenerator<Uint8Array, void, undefined>,
  failed: (error: unknown) => void,
): ReadableStream<Uint8Array> {
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
