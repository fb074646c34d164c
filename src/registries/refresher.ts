/**
 * Bringing one package up to date: ask its registry, inspect what it says, record it, keep it.
 *
 * DESIGN flow (a). The caller sees to it that one refresh of a name runs at a time. A registry that
 * cannot be asked changes nothing; a registry that says "there is none" is believed. What cannot be
 * verified is never kept as an answer. Nothing is rendered here.
 * @module
 */
import { LRUCache } from 'lru-cache'
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
/** Documents compared by hash before they are inspected; 32 MB take 20 ms. */
const COMPARED_BYTES_MAX = 32 * 1024 * 1024
/** Packages whose rule is remembered; a forgotten one is inspected once more. */
const JUDGEMENTS_MAX = 20_000
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
  /** The keys and the rule that each package was last inspected by in this process. */
  readonly #judgedBy = new LRUCache<string, string>({ max: JUDGEMENTS_MAX })

  constructor(needs: RefresherNeeds) {
    this.#needs = needs
  }

  /**
   * Asks the registry now and returns what is known then (status 200, 404 or 410), and whether
   * anything about it may have changed. @throws RegistryError
   */
  async refresh(source: Source, name: string): Promise<{ head: DocumentHead; changed: boolean }> {
    const { documents, now } = this.#needs
    const before = documents.head(source.name, name)
    const [judgement, answer] = await Promise.all([
      source.trust.judgement(),
      source.upstream.fetchPackument(name, validators(before)),
    ])
    const askedMs = now().getTime()
    if (answer.status === 'absent') {
      return { head: this.#keepAbsent(source, name, answer.httpStatus), changed: true }
    }
    const { maxAgeSeconds, etag, lastModified } = answer
    const hasValidator = etag !== null || lastModified !== null
    const length = answer.status === 'fresh' ? answer.bytes.byteLength : 0
    const freshUntilMs = freshUntil(askedMs, { maxAgeSeconds, hasValidator, length })
    if (answer.status === 'unchanged' || this.#isSame(before, answer.bytes, judgement)) {
      documents.renew(source.name, name, { checkedAtMs: askedMs, freshUntilMs, etag, lastModified })
      return { head: this.#headOf(source, name), changed: false }
    }
    const input = await this.#inputFor(source, name, judgement)
    const changed = await this.#keep(source, answer, input, before, freshUntilMs)
    this.#judgedBy.set(`${source.name} ${name}`, JSON.stringify(judgement))
    return { head: this.#headOf(source, name), changed }
  }

  /**
   * Is this what was inspected already, by the same keys and the same rule? A registry that knows
   * no 304 sends everything again; to look at every version again would keep a core busy.
   */
  #isSame(before: DocumentHead | null, bytes: ArrayBuffer, judgement: Judgement): boolean {
    if (before?.status !== 200 || bytes.byteLength !== before.length) return false
    const rule = this.#judgedBy.get(`${before.upstream} ${before.name}`)
    if (rule !== JSON.stringify(judgement) || bytes.byteLength > COMPARED_BYTES_MAX) return false
    const digest = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
    return digest === before.sha256
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
  ): Promise<boolean> {
    const { documents, pool, ledger, now } = this.#needs
    const { name } = input
    const { result, changed } = await ledger.record(source, name, take =>
      pool.inspect(answer.bytes, input, take),
    )
    const { bytes, inspection } = result
    const { etag, lastModified } = answer
    const checkedAtMs = now().getTime()
    if (!changed && before?.status === 200 && before.sha256 === inspection.sha256) {
      // The same document again, from a registry that knows no 304: what was rendered stays.
      documents.renew(source.name, name, { checkedAtMs, freshUntilMs, etag, lastModified })
      return false
    }
    const length = bytes.byteLength
    const { sha256, modified } = inspection
    const packed = await stowDocument(this.#needs, sha256, bytes)
    const head = { upstream: source.name, name, status: 200, sha256, length, modified }
    documents.put({ ...head, packed, etag, lastModified, checkedAtMs, freshUntilMs })
    documents.removeRendered(source.name, name)
    await this.#trim()
    return true
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
