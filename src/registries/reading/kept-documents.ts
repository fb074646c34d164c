/**
 * Where the document of a package is kept, and where its bytes come from when they are wanted again.
 *
 * What a registry sent is kept in the cache (db/documents.ts), so that it is not asked for twice. A
 * small document of a package that lives here is made again from its rows in less time than the
 * cache takes to write it: of that only the head is remembered, until this process ends, and for a
 * moment the bytes. Inspects nothing and renders nothing.
 * @module
 */
import { LRUCache } from 'lru-cache'
import type { CacheFiles } from '../../db/cache-files.ts'
import type { DocumentHead, Documents, Revalidation } from '../../db/documents.ts'
import { atMost } from '../at-most.ts'
import { RegistryError } from '../errors.ts'
import { fetchDocument, stowDocument } from '../packument/large.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import { SMALL_BYTES_MAX } from '../packument/packument-scan.ts'
import type { Asked, Source } from '../sources/source.ts'

/** Heads remembered, some 500 bytes each: as many as answers are held (proxy.ts). */
const HEADS_MAX = 20_000
/** Memory for documents that were just inspected, for the renderings that come next. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** What the outline of a document takes for each of its bytes, and what any takes (measured). */
const OUTLINE_BYTES_PER_BYTE = 10
const OUTLINE_BYTES = 8 * 1024

/** Another document of the package came while one was rendered: whoever asked asks again. */
export class ReplacedError extends RegistryError {
  constructor(name: string) {
    super('busy', `${name} has just changed; retry`, { package: name, retryAfterSeconds: 1 })
  }
}

/** What documents are kept in. */
export type KeptDocumentsNeeds = { documents: Documents; files: CacheFiles; pool: PackumentPool }

/** A registry, as far as its documents are concerned. @property housed there when its packages live here */
export type DocumentSource = Pick<Source, 'cacheName'> & {
  housed?: object
  upstream: Pick<Asked, 'fetchPackument'>
}

type Recent = { sha256: string; bytes: ArrayBuffer }

/** Is this the document of a package that lives here, and small enough to be made whenever asked for? */
export function isMadeHere(source: DocumentSource, { status, length }: DocumentHead): boolean {
  return source.housed !== undefined && status === 200 && length <= SMALL_BYTES_MAX
}

/** Keeps documents. */
export class KeptDocuments {
  readonly #needs: KeptDocumentsNeeds
  readonly #heads = new LRUCache<string, DocumentHead>(atMost(HEADS_MAX))
  readonly #recent = new LRUCache<string, Recent>({
    maxSize: RECENT_BYTES_MAX,
    sizeCalculation: ({ bytes }) => OUTLINE_BYTES + OUTLINE_BYTES_PER_BYTE * bytes.byteLength,
  })

  constructor(needs: KeptDocumentsNeeds) {
    this.#needs = needs
  }

  /** What is known of the document of a package; null when nothing is. */
  head(source: DocumentSource, name: string): DocumentHead | null {
    const known = this.#known(source, name)
    if (known !== undefined) return known
    const stored = this.#needs.documents.head(source.cacheName, name)
    // Of an earlier version of this program, which may have made it otherwise.
    return stored !== null && isMadeHere(source, stored) ? null : stored
  }

  /** Keeps another document; what was rendered of the one before is forgotten. */
  async keep(source: DocumentSource, head: DocumentHead, bytes: ArrayBuffer): Promise<void> {
    const { documents } = this.#needs
    const { upstream, name, sha256 } = head
    if (isMadeHere(source, head)) {
      const isFirst = this.#known(source, name) === undefined
      if (isFirst && documents.head(upstream, name) !== null) documents.remove(upstream, name)
      this.#heads.set(keyOf(source, name), head)
      this.#recent.set(keyOf(source, name), { sha256, bytes })
      return
    }
    const packed = await stowDocument(this.#needs, sha256, bytes)
    this.#forget(source, name)
    documents.put({ ...head, packed })
    documents.removeRendered(upstream, name)
  }

  /** Keeps that its registry has no such package. */
  keepAbsent(source: DocumentSource, head: DocumentHead): void {
    this.#forget(source, head.name)
    this.#needs.documents.put({ ...head, packed: null })
    this.#needs.documents.removeRendered(head.upstream, head.name)
  }

  /** It was checked, and is the same. */
  renew(source: DocumentSource, name: string, renewal: Revalidation): void {
    const known = this.#known(source, name)
    if (known === undefined) {
      this.#needs.documents.renew(source.cacheName, name, renewal)
      return
    }
    const etag = renewal.etag ?? known.etag
    const lastModified = renewal.lastModified ?? known.lastModified
    this.#heads.set(keyOf(source, name), { ...known, ...renewal, etag, lastModified })
  }

  /**
   * The bytes again: they are the caller's, but for a document that is made here, whose bytes are
   * shared. Undefined when they were given up. @throws ReplacedError when they are other ones by now
   */
  async bytes(source: DocumentSource, head: DocumentHead): Promise<ArrayBuffer | undefined> {
    if (isMadeHere(source, head)) return await this.#again(source, head)
    const { documents } = this.#needs
    // It has become a small one meanwhile.
    if (this.#known(source, head.name) !== undefined) throw new ReplacedError(head.name)
    const row = documents.get(head.upstream, head.name)
    if (row !== null && row.sha256 !== head.sha256) throw new ReplacedError(head.name)
    const packed = row?.packed ?? null
    const bytes = packed === null ? undefined : await fetchDocument(this.#needs, head, packed)
    // Given up: forgetting the rest of it makes the next question ask the registry again.
    if (bytes === undefined) documents.remove(head.upstream, head.name)
    return bytes
  }

  async #again(source: DocumentSource, head: DocumentHead): Promise<ArrayBuffer> {
    const key = keyOf(source, head.name)
    const recent = this.#recent.get(key)
    if (recent?.sha256 === head.sha256) return recent.bytes
    const answer = await source.upstream.fetchPackument(head.name, NO_VALIDATORS)
    if (answer.status === 'fresh' && sha256Of(answer.bytes) === head.sha256) return answer.bytes
    // What is remembered of it says nothing about what it is now.
    if (this.#known(source, head.name)?.sha256 === head.sha256) this.#forget(source, head.name)
    throw new ReplacedError(head.name)
  }

  #known(source: DocumentSource, name: string): DocumentHead | undefined {
    return source.housed === undefined ? undefined : this.#heads.get(keyOf(source, name))
  }

  #forget(source: DocumentSource, name: string): void {
    this.#heads.delete(keyOf(source, name))
    this.#recent.delete(keyOf(source, name))
  }
}

const NO_VALIDATORS = { etag: null, lastModified: null }

function keyOf({ cacheName }: DocumentSource, name: string): string {
  return `${cacheName} ${name}`
}

function sha256Of(bytes: ArrayBuffer): string {
  return new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
}
