/**
 * Where a tarball is, and its bytes for clients that check nothing.
 *
 * CONTRACT "Where tarballs come from": answered by 302 to the registry; clients that do not check
 * integrity get the bytes through here, verified against the record before the last one is sent.
 * A file is bound to the version that declared it, never guessed from its name. Which mirror serves
 * would be decided here and nowhere else.
 * @module
 */
import type { Packages, VersionSummary } from '../db/packages.ts'
import { defaultRegistryUrl } from './default-registry.ts'
import { RegistryError } from './errors.ts'
import { verifyStream } from './integrity.ts'
import type { Proxy } from './proxy.ts'
import { isRefusalCode, refusalError } from './refusal.ts'
import type { Source, Sources } from './source.ts'

/** A tarball that may be served: its URL at the registry and what its bytes must hash to. */
export type FoundTarball = { source: Source; url: string; integrity: string; row: VersionSummary }
/** Bytes that end in an error rather than in a wrong last chunk. */
export type VerifiedBytes = { stream: ReadableStream<Uint8Array>; length: number | null }

/** Finds and fetches tarballs. */
export class Tarballs {
  readonly #sources: Sources
  readonly #packages: Packages
  readonly #proxy: Proxy
  readonly #base: string

  constructor(needs: { sources: Sources; packages: Packages; proxy: Proxy; base: string }) {
    this.#sources = needs.sources
    this.#packages = needs.packages
    this.#proxy = needs.proxy
    this.#base = needs.base
  }

  /** The tarball called `file` of package `name`. @throws RegistryError not-found, refused, upstream-… */
  async find(name: string, file: string): Promise<FoundTarball> {
    const source = this.#sources.ownerOf(name)
    const row = await this.#rowOf(source, name, file)
    if (isRefusalCode(row.state)) {
      throw refusalError(this.#base, { ...row, code: row.state })
    }
    return { source, url: locationOf(source, row), integrity: row.integrity ?? '', row }
  }

  /** Its bytes, checked against the record while they pass. */
  async verified(found: FoundTarball): Promise<VerifiedBytes> {
    const answer = await found.source.upstream.openTarball(found.url)
    const checked = verifyStream(answer.stream, found.integrity)
    return { stream: pulled(checked), length: answer.length }
  }

  async #rowOf(source: Source, name: string, file: string): Promise<VersionSummary> {
    const known = this.#packages.byFile(source.namespace, name, file)
    if (known !== null) return known
    await this.#proxy.ensureRecent(name)
    const found = this.#packages.byFile(source.namespace, name, file)
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
function pulled(chunks: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await chunks.next()
      if (next.done === true) controller.close()
      else controller.enqueue(next.value)
    },
    async cancel() {
      await chunks.return()
    },
  })
}
