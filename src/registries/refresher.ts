/**
 * Bringing one package up to date: ask its registry, inspect what it says, record it, keep it.
 *
 * DESIGN flow (a). The caller sees to it that one refresh of a name runs at a time. A registry that
 * cannot be asked changes nothing; a registry that says "there is none" is believed. What cannot be verified is
 * never kept as an answer. Nothing is rendered here.
 * @module
 */
import type { CacheFiles } from '../db/cache-files.ts'
import type { DocumentHead, Documents } from '../db/documents.ts'
import type { Packages, VersionSummary } from '../db/packages.ts'
import { absentUntil, freshUntil } from './freshness.ts'
import type { InspectInput, KnownVersion } from './inspect.ts'
import type { Ledger } from './ledger.ts'
import type { Judgement } from './trust.ts'
import { allSummaries } from './plan.ts'
import { timestamp } from './timestamp.ts'
import { stowDocument } from './large.ts'
import type { PackumentPool } from './packument-pool.ts'
import type { Source } from './source.ts'
import type { FetchedPackument } from './upstream.ts'

/** Bytes of cached documents on disk: all of a large company's packages, on a small VPS. */
const CACHE_BYTES_MAX = 4 * 1024 * 1024 * 1024
/** Refreshes between two looks at the size of the cache. */
const TRIM_EVERY = 64

/** What refreshing works with. */
export type RefresherNeeds = {
  documents: Documents
  files: CacheFiles
  packages: Packages
  ledger: Ledger
  pool: PackumentPool
  now: () => Date
}

type FreshPackument = Extract<FetchedPackument, { status: 'fresh' }>

/** Refreshes documents. */
export class Refresher {
  readonly #needs: RefresherNeeds
  #sinceTrim = 0

  constructor(needs: RefresherNeeds) {
    this.#needs = needs
  }

  /** Asks the registry now and returns what is known then (status 200 or 404). @throws RegistryError */
  async refresh(source: Source, name: string): Promise<DocumentHead> {
    const { documents, now } = this.#needs
    const before = documents.head(source.name, name)
    const [judgement, answer] = await Promise.all([
      source.trust.judgement(),
      source.upstream.fetchPackument(name, validators(before)),
    ])
    const askedMs = now().getTime()
    if (answer.status === 'absent') return this.#keepAbsent(source, name, answer.httpStatus)
    const { maxAgeSeconds, etag, lastModified } = answer
    const hasValidator = etag !== null || lastModified !== null
    const length = answer.status === 'fresh' ? answer.bytes.byteLength : 0
    const freshUntilMs = freshUntil(askedMs, { maxAgeSeconds, hasValidator, length })
    if (answer.status === 'unchanged') {
      documents.renew(source.name, name, { checkedAtMs: askedMs, freshUntilMs, etag, lastModified })
      return this.#headOf(source, name)
    }
    const input = await this.#inputFor(source, name, judgement)
    await this.#keep(source, answer, input, before, freshUntilMs)
    return this.#headOf(source, name)
  }

  async #inputFor(source: Source, name: string, judgement: Judgement): Promise<InspectInput> {
    const { packages, now } = this.#needs
    const rows = await allSummaries(packages, source.namespace, name)
    return {
      name,
      keys: judgement.keys,
      registrySigns: judgement.signs,
      known: rows.flatMap(row => knownVersion(row) ?? []),
      packageKnown: packages.firstSeen(source.namespace, name) !== null,
      firstSight: rows.filter(row => !row.sinceFirstSight).map(row => row.version),
      now: timestamp(now()),
    }
  }

  async #keep(
    source: Source,
    answer: FreshPackument,
    input: InspectInput,
    before: DocumentHead | null,
    freshUntilMs: number,
  ): Promise<void> {
    const { documents, pool, ledger, now } = this.#needs
    const { name } = input
    const { bytes, inspection } = await pool.inspect(answer.bytes, input)
    const changed = await ledger.record(source, inspection)
    const { etag, lastModified } = answer
    const checkedAtMs = now().getTime()
    if (!changed && before?.status === 200 && before.sha256 === inspection.sha256) {
      // The same document again, from a registry that knows no 304: what was rendered stays.
      documents.renew(source.name, name, { checkedAtMs, freshUntilMs, etag, lastModified })
      return
    }
    const length = bytes.byteLength
    const { sha256, modified } = inspection
    const packed = await stowDocument(this.#needs, sha256, bytes)
    const head = { upstream: source.name, name, status: 200, sha256, length, modified }
    documents.put({ ...head, packed, etag, lastModified, checkedAtMs, freshUntilMs })
    documents.removeRendered(source.name, name)
    await this.#trim()
  }

  #keepAbsent(source: Source, name: string, status: number): DocumentHead {
    const nowMs = this.#needs.now().getTime()
    this.#needs.documents.put({
      upstream: source.name,
      name,
      status,
      packed: null,
      sha256: '',
      length: 0,
      etag: null,
      lastModified: null,
      checkedAtMs: nowMs,
      freshUntilMs: absentUntil(nowMs),
      modified: null,
    })
    this.#needs.documents.removeRendered(source.name, name)
    return this.#headOf(source, name)
  }

  #headOf(source: Source, name: string): DocumentHead {
    const head = this.#needs.documents.head(source.name, name)
    if (head === null) throw new Error(`the cache lost ${name} of ${source.name} at once`)
    return head
  }

  async #trim(): Promise<void> {
    this.#sinceTrim += 1
    if (this.#sinceTrim < TRIM_EVERY) return
    this.#sinceTrim = 0
    while (this.#needs.documents.trim(CACHE_BYTES_MAX)) {
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

function knownVersion(row: VersionSummary): KnownVersion | undefined {
  const { version, integrity, manifestHash, signature, sinceFirstSight } = row
  if (row.leafIndex === null || integrity === null) return undefined
  return { version, integrity, manifestHash, signature, sinceFirstSight }
}

function validators(head: DocumentHead | null): {
  etag: string | null
  lastModified: string | null
} {
  // Without a document at hand a 304 would leave nothing to serve.
  if (head === null || head.status !== 200) return { etag: null, lastModified: null }
  return { etag: head.etag, lastModified: head.lastModified }
}
