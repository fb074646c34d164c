/**
 * The packages that live here, asked like any other registry: everything that reads (inspection,
 * records, rendering, refusals, lookups) works on them as on all others. The answers come from
 * registry.db and the blob store instead of the network; an answer's ETag is the package's revision.
 *
 * Who may read what is not asked here (hosted-access.ts does, before anything is read). What is
 * passed on to other registries never is for names that live here: their search and audit are empty.
 * @module
 */
import { BlobError } from '../../db/blobs.ts'
import type { HostedPackages, HostedPackageRow, HostedVersionRow } from '../../db/hosted.ts'
import type { HostedPages } from '../../db/hosted-pages.ts'
import type { Tarballs } from '../../db/tarballs.ts'
import { RegistryError } from '../errors.ts'
import { documentText, versionMember } from './hosted-document.ts'
import { parseIdentity } from '../identity.ts'
import { parsePackagePath } from '../name.ts'
import type { PublishedKey } from '../keys/own-key.ts'
import type { Asked, Housed } from '../sources/source.ts'
import type {
  FetchedPackument,
  OpenedTarball,
  PassAnswer,
  PassRequest,
  Validators,
} from '../sources/upstream.ts'

/** What it is called: the name of its row, and of its registry in every answer. */
export const HOSTED = 'hosted'

/** Rows of versions read in one go, with the loop free in between. */
const PAGE_ROWS = 200

const ATTESTATIONS = '-/npm/v1/attestations/'
const SEARCH = '-/v1/search'

/** What it answers from. @property url public URL, ends in `/` @property namespace of its records */
export type HostedUpstreamNeeds = {
  url: string
  namespace: string
  hosted: HostedPackages
  pages: HostedPages
  /** Patterns of the names that live here. */
  names: () => readonly string[]
  tarballs: Tarballs
  ownKeys: { current: PublishedKey; published(): ReadonlyMap<string, string> }
}

/** The registry in the house. */
export class HostedUpstream implements Asked, Housed {
  readonly name = HOSTED
  readonly url: string
  readonly namespace: string
  readonly state = 'closed'
  readonly #needs: HostedUpstreamNeeds

  constructor(needs: HostedUpstreamNeeds) {
    this.url = needs.url
    this.namespace = needs.namespace
    this.#needs = needs
  }

  /** It learns nothing from anybody, so there is nothing to stop. */
  retire(): void {}

  lists(url: string): boolean {
    return url.startsWith(this.url)
  }

  isPrivate(name: string): boolean {
    return this.#needs.hosted.accessOf(name) === 'restricted'
  }

  hidden(): string[] {
    return this.#needs.hosted.restricted()
  }

  isEmpty(): boolean {
    return this.#needs.names().length === 0
  }

  etagOf(name: string): string | null {
    const rev = this.#needs.hosted.rev(name)
    return rev === null ? null : `"${rev}"`
  }

  async fetchPackument(name: string, before: Validators): Promise<FetchedPackument> {
    const row = this.#needs.hosted.get(name)
    if (row === null) return { status: 'absent', httpStatus: 404 }
    if (row.unpublished !== null) return { status: 'absent', httpStatus: 410 }
    const etag = `"${row.rev}"`
    const fresh = { etag, lastModified: null, maxAgeSeconds: null }
    if (before.etag === etag) return { status: 'unchanged', ...fresh }
    // Its pages may be of different states: then the tag is an old one by the end (proxy.ts).
    return { status: 'fresh', bytes: await this.#document(row), ...fresh }
  }

  async fetchKeys(): Promise<Uint8Array<ArrayBuffer>> {
    const keys = [...this.#needs.ownKeys.published().values()]
    return new TextEncoder().encode(`{"keys":[${keys.join(',')}]}`)
  }

  async tarball(integrity: string): Promise<Blob> {
    try {
      const found = await this.#needs.tarballs.get(integrity)
      if (found !== undefined) return found
      throw new RegistryError('internal', `the tarball of ${integrity} is lost`)
    } catch (error) {
      if (!(error instanceof BlobError)) throw error
      throw new RegistryError('internal', 'this tarball is damaged on the disk of this server')
    }
  }

  async openTarball(url: string): Promise<OpenedTarball> {
    const row = this.#versionAt(url)
    if (row === null) throw new RegistryError('not-found', `${HOSTED} does not have this tarball`)
    const data = await this.tarball(row.integrity)
    return { stream: data.stream(), length: data.size }
  }

  async hasTarball(url: string): Promise<boolean> {
    return this.#versionAt(url) !== null
  }

  /** Attestations of what everybody may see; search and audit know nothing of what lives here. */
  async pass({ path }: PassRequest): Promise<PassAnswer> {
    if (path.startsWith(ATTESTATIONS)) return this.#attestations(path.slice(ATTESTATIONS.length))
    if (!path.startsWith(SEARCH)) return json(404, { error: `${HOSTED} has no audits` })
    return json(200, { objects: [], total: 0, time: new Date().toISOString() })
  }

  async #document(row: HostedPackageRow): Promise<ArrayBuffer> {
    const { hosted, pages, url: base } = this.#needs
    const members: string[] = []
    const times: [string, string][] = []
    for (let after = ''; ;) {
      const page = pages.page(row.name, after, PAGE_ROWS)
      for (const each of page) {
        members.push(versionMember(base, each))
        times.push([each.version, each.published])
      }
      after = page.at(-1)?.version ?? ''
      if (page.length < PAGE_ROWS) break
      await new Promise(resolve => setImmediate(resolve))
    }
    const tags = hosted.tags(row.name)
    const maintainers = hosted.maintainers(row.name)
    const text = documentText({ row, tags, maintainers, base }, members, times)
    return new TextEncoder().encode(text).buffer
  }

  #attestations(specifier: string): PassAnswer {
    const { name, version } = parseIdentity(specifier)
    const row = this.isPrivate(name) ? null : this.#needs.hosted.version(name, version)
    const { predicateType = null, provenance = null } = row?.unpublished === null ? row : {}
    if (predicateType === null || provenance === null) {
      return json(404, { error: `${HOSTED} has no attestations for this version` })
    }
    const bundle: unknown = JSON.parse(provenance)
    return json(200, { attestations: [{ predicateType, bundle }] })
  }

  #versionAt(url: string): HostedVersionRow | null {
    if (!url.startsWith(this.url)) return null
    const target = parsePackagePath(`/${url.slice(this.url.length)}`)
    if (target.kind !== 'tarball') return null
    const row = this.#needs.hosted.versionByFile(target.name, target.file)
    return row === null || row.unpublished !== null ? null : row
  }
}

function json(status: number, body: unknown): PassAnswer {
  const bytes = new TextEncoder().encode(JSON.stringify(body)).buffer
  return { status, headers: new Headers({ 'content-type': 'application/json' }), bytes }
}
