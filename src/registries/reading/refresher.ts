/**
 * Bringing one package up to date: ask its registry, inspect what it says, record it, keep it.
 *
 * DESIGN flow (a). The caller sees to it that one refresh of a name runs at a time. A registry that
 * cannot be asked changes nothing, unless nothing is at hand: then a mirror of it may stand in
 * (failover.ts). A registry that says "there is none" is believed. What cannot be verified is never
 * kept as an answer. New versions are compared with what mirrors say (agreement.ts). Nothing is
 * rendered here.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { DocumentHead, Documents } from '../../db/documents.ts'
import type { Packages } from '../../db/packages.ts'
import type { Agreement } from './agreement.ts'
import { RegistryError } from '../errors.ts'
import type { Failover } from './failover.ts'
import { absentUntil, FAILED_CHECK_MS, freshUntil } from '../sources/freshness.ts'
import { inspectHere } from '../packument/here.ts'
import type { InspectInput } from '../packument/inspect.ts'
import { knownVersions } from '../packument/known-versions.ts'
import type { KeptDocuments } from './kept-documents.ts'
import { loopTurns } from '../loop-turns.ts'
import type { Ledger, Recorded } from './ledger.ts'
import type { Judgement } from '../sources/trust.ts'
import { allSummaries, isRefusedBySignature, type ReadRows } from './plan.ts'
import { timestamp } from '../timestamp.ts'
import type { PackumentPool, Take } from '../packument/packument-pool.ts'
import { SMALL_BYTES_MAX } from '../packument/packument-scan.ts'
import type { Source } from '../sources/source.ts'
import type { FetchedPackument } from '../sources/upstream.ts'

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
  kept: KeptDocuments
  packages: Packages
  ledger: Ledger
  pool: PackumentPool
  agreement: Agreement
  failover: Failover
  now: () => Date
}

/**
 * What is known after a refresh. @property comparison under way: whether a version is refused by it
 * that this refresh found to be fine
 */
export type Refreshed = {
  head: DocumentHead
  changed: boolean
  comparison: Promise<boolean> | undefined
  /** The rows by which it was recorded, if they were looked at. */
  read?: ReadRows
}

/** What a document is inspected by. @property read what was recorded of its package by then */
type Inspected = { input: InspectInput; read: ReadRows }

type FreshPackument = Extract<FetchedPackument, { status: 'fresh' }>

/** Refreshes documents. */
export class Refresher {
  readonly #needs: RefresherNeeds
  #sinceTrim = 0
  /** The keys and the rule that each package was last inspected by in this process. */
  readonly #judgedBy = new LRUCache<string, string>(atMost(JUDGEMENTS_MAX))

  constructor(needs: RefresherNeeds) {
    this.#needs = needs
  }

  /**
   * Asks the registry now and returns what is known then (status 200, 404 or 410), and whether
   * anything about it may have changed. @throws RegistryError
   */
  async refresh(source: Source, name: string): Promise<Refreshed> {
    const { kept, now } = this.#needs
    const before = kept.head(source, name)
    // From before the keys were looked at: whoever changes them meanwhile makes this check an old one.
    const checkedAtMs = now().getTime()
    const asked = await this.#ask(source, name, before)
    if (asked === 'stood-in') {
      return { head: this.#headOf(source, name), changed: true, comparison: undefined }
    }
    const [judgement, answer] = asked
    const askedMs = now().getTime()
    if (answer.status === 'absent') {
      const head = this.#keepAbsent(source, name, answer.httpStatus)
      return { head, changed: true, comparison: undefined }
    }
    const { maxAgeSeconds, etag, lastModified } = answer
    const hasValidator = etag !== null || lastModified !== null
    const length = answer.status === 'fresh' ? answer.bytes.byteLength : 0
    const freshUntilMs = freshUntil(askedMs, { maxAgeSeconds, hasValidator, length })
    let recorded = { changed: false, added: false }
    let read: ReadRows | undefined
    if (answer.status === 'unchanged' || this.#isSame(before, answer.bytes, judgement)) {
      const renewed = { checkedAtMs, freshUntilMs, etag, lastModified }
      kept.renew(source, name, renewed)
    } else {
      const by = await this.#inputFor(source, name)
      recorded = await this.#keep(source, answer, by, before, { checkedAtMs, freshUntilMs })
      const { keys, registrySigns: signs } = by.input
      read = by.read
      this.#judgedBy.set(`${source.cacheName} ${name}`, JSON.stringify({ keys, signs }))
    }
    const comparison = this.#needs.agreement.begin(source, name, recorded.added)
    const head = this.#headOf(source, name)
    return { head, changed: recorded.changed, comparison, ...(read && { read }) }
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

  /** The registry's word, or that a mirror of it has just stood in for it. */
  async #ask(
    source: Source,
    name: string,
    before: DocumentHead | null,
  ): Promise<[Judgement, FetchedPackument] | 'stood-in'> {
    const known = (await this.#isJudgedByOldKeys(source, before)) ? null : before
    try {
      return await Promise.all([
        source.trust.judgement(),
        source.upstream.fetchPackument(name, validators(known)),
      ])
    } catch (error) {
      if (before !== null || !isUnreachable(error) || !source.trust.isLearnt) throw error
      const document = await this.#needs.failover.document(source, name)
      if (document === undefined) throw error
      await this.#keepStandIn(source, name, document)
      return 'stood-in'
    }
  }

  /** Might the keys in force now vouch for what the older ones refused? Then all of it is needed. */
  async #isJudgedByOldKeys(source: Source, head: DocumentHead | null): Promise<boolean> {
    if (head === null || head.checkedAtMs >= source.trust.changedMs) return false
    const rows = await allSummaries(this.#needs.packages, source.namespace, head.name)
    return rows.some(({ state }) => isRefusedBySignature(state))
  }

  async #keepStandIn(source: Source, name: string, document: ArrayBuffer): Promise<void> {
    const { kept, now } = this.#needs
    const sha256 = new Bun.CryptoHasher('sha256').update(document).digest('hex')
    const length = document.byteLength
    const checkedAtMs = now().getTime()
    // Without validators: the registry's next answer is a whole one.
    const head = { upstream: source.cacheName, name, status: 200, sha256, length, modified: null }
    const freshUntilMs = checkedAtMs + FAILED_CHECK_MS
    const times = { etag: null, lastModified: null, checkedAtMs, freshUntilMs }
    await kept.keep(source, { ...head, ...times }, document)
  }

  async #inputFor(source: Source, name: string): Promise<Inspected> {
    const { packages, now } = this.#needs
    const { edition } = packages
    const rows = await allSummaries(packages, source.namespace, name)
    // As late as can be: a key that was retired while the document came vouches for nothing in it.
    const { keys, signs } = source.trust.stored()
    const input = {
      name,
      keys,
      registrySigns: signs,
      known: knownVersions(rows),
      packageKnown: packages.firstSeen(source.namespace, name) !== null,
      firstSight: rows.filter(row => !row.sinceFirstSight).map(row => row.version),
      // A registry that signs says what a version is once: from its first key on it has no revisions.
      revises: source.revises === true && !signs,
      now: timestamp(now()),
    }
    return { input, read: { rows, edition } }
  }

  /** @returns whether versions were new */
  async #keep(
    source: Source,
    answer: FreshPackument,
    { input, read }: Inspected,
    before: DocumentHead | null,
    times: { checkedAtMs: number; freshUntilMs: number },
  ): Promise<Recorded> {
    const { kept, pool, ledger } = this.#needs
    const { name } = input
    const isSmall = source.housed !== undefined && answer.bytes.byteLength <= SMALL_BYTES_MAX
    const inspect = (take: Take) =>
      isSmall
        ? loopTurns.run(() => inspectHere(answer.bytes, input, take))
        : pool.inspect(answer.bytes, input, take)
    const { result, changed, added } = await ledger.record(source, name, inspect, read)
    const { bytes, inspection } = result
    const { etag, lastModified } = answer
    if (!changed && before?.status === 200 && before.sha256 === inspection.sha256) {
      // The same document again, from a registry that knows no 304: what was rendered stays.
      kept.renew(source, name, { ...times, etag, lastModified })
      return { changed, added }
    }
    const length = bytes.byteLength
    const { sha256, modified } = inspection
    const head = { upstream: source.cacheName, name, status: 200, sha256, length, modified }
    await kept.keep(source, { ...head, etag, lastModified, ...times }, bytes)
    await this.#trim()
    return { changed: true, added }
  }

  #keepAbsent(source: Source, name: string, status: number): DocumentHead {
    const nowMs = this.#needs.now().getTime()
    this.#needs.kept.keepAbsent(source, {
      upstream: source.cacheName,
      name,
      status,
      sha256: '',
      length: 0,
      etag: null,
      lastModified: null,
      checkedAtMs: nowMs,
      freshUntilMs: absentUntil(nowMs),
      modified: null,
    })
    return this.#headOf(source, name)
  }

  #headOf(source: Source, name: string): DocumentHead {
    const head = this.#needs.kept.head(source, name)
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

/** Nobody answered; an answer that is wrong is the registry's own affair. */
function isUnreachable(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'upstream-unreachable'
}

function validators(head: DocumentHead | null): {
  etag: string | null
  lastModified: string | null
} {
  // Without a document at hand a 304 would leave nothing to serve.
  if (head === null || head.status !== 200) return { etag: null, lastModified: null }
  return { etag: head.etag, lastModified: head.lastModified }
}
