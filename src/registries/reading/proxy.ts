/**
 * The read path: packuments and manifests, verified, recorded, rendered, ready to send.
 *
 * DESIGN flow (a). A fresh answer is a look into memory; else one row of the cache; else, once per
 * package however many ask, the registry. Fails closed on integrity and soft on availability: when
 * a registry cannot be asked, its last verified answer is given, marked stale; a 404 of the
 * registry is a 404. Which bytes go out in which encoding is bodies.ts's business.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { DocumentHead } from '../../db/documents.ts'
import type { Packages } from '../../db/packages.ts'
import { absentError, RegistryError } from '../errors.ts'
import {
  FAILED_CHECK_MS,
  COMPARE_WAIT_MS,
  FORCED_CHECK_MS_MIN,
  JUST_EXPIRED_MS,
  REVALIDATE_WAIT_MS,
  STALE_MS_MAX,
} from '../sources/freshness.ts'
import { addressOf, isContentTag } from '../content-tag.ts'
import type { KeptDocuments } from './kept-documents.ts'
import { allSummaries, type PlanSettings, planOf, type ReadRows } from './plan.ts'
import type { Refresher } from './refresher.ts'
import { isRefusalCode, refusalError } from '../packument/refusal.ts'
import type { Variant } from '../packument/render.ts'
import {
  againIfReplaced,
  hasAddresses,
  type Held,
  type PackumentAnswer,
  type Renderings,
  variantKey,
} from './renderings.ts'
import { SingleFlight } from '../single-flight.ts'
import type { Source, Sources } from '../sources/source.ts'
import type { Strict } from '../sampler/strict.ts'
import { keepsUrls, keptOrigin } from '../sources/tarball-modes.ts'
import { RetiredError } from '../sources/upstream.ts'
import { within } from '../within.ts'
import { untrustedIn } from '../policy/views-trust.ts'

/** Packages whose answers are held by name: heads only, the bodies are bounded in bodies.ts. */
const HELD_PACKAGES_MAX = 20_000
/** An operator who changes the same upstream more often while one question runs is a program. */
const CHANGES_MAX = 3

/** A package that lives here is published more often than this while it is read: by a program. */
const PUBLISHES_MAX = 20

/** What a client wants. @property own tarballs at our origin @property noTombstones for yarn 1 */
export type Wanted = {
  form: 'full' | 'abbreviated'
  own: boolean
  noTombstones: boolean
  /** Dist-tags that name bytes are listed (content-tag.ts). */
  addressed: boolean
}

/** One version's manifest. */
export type ManifestAnswer = { data: Blob; etag: string }

/** What the read path works with. */
export type ProxyNeeds = {
  sources: Sources
  kept: KeptDocuments
  packages: Packages
  refresher: Pick<Refresher, 'refresh'>
  renderings: Renderings
  settings: PlanSettings
  strict: Pick<Strict, 'gateOf' | 'refusalOf'>
  warn: (message: string) => void
  now: () => Date
}

/**
 * @property quietUntilMs not asked again before, though it is old: the last check failed
 * @property isDoubted its rows may have changed since they were read
 * @property rules which of the rules that were ever in force its plan was made by
 */
type Current = Held & { quietUntilMs: number; isDoubted: boolean; rules: number }

/** Serves packuments and manifests. */
export class Proxy {
  readonly #needs: ProxyNeeds
  readonly #held = new LRUCache<string, Current>(atMost(HELD_PACKAGES_MAX))
  readonly #rechecks = new LRUCache<string, number>(atMost(HELD_PACKAGES_MAX))
  readonly #loading = new SingleFlight<Current | undefined>()
  readonly #refreshing = new SingleFlight<Current>()
  /** Counts the changes of the rules for serving. */
  #rules = 0

  constructor(needs: ProxyNeeds) {
    this.#needs = needs
  }

  /** Whether packages of this name live here, for whoever reads through this. */
  isHoused(name: string): boolean {
    return this.#needs.sources.find(name)?.housed !== undefined
  }

  /** The answer at once, when a fresh one is in memory. */
  peek(name: string, wanted: Wanted): PackumentAnswer | undefined {
    const held = this.#held.get(name)
    if (held === undefined || held.head.freshUntilMs < this.#nowMs()) return undefined
    if (!this.#isPlanned(held) || isJudgedByOldKeys(held) || isOutdated(held)) return undefined
    return held.answers.get(variantKey(variantOf(wanted, held)))
  }

  /** The packument of `name`. @throws RegistryError not-found, upstream-…, invalid-name */
  async packument(name: string, wanted: Wanted, forced: boolean): Promise<PackumentAnswer> {
    return await againIfReplaced(async () => {
      const { held, stale } = await this.#current(name, forced)
      const answer = await this.#needs.renderings.answer(held, variantOf(wanted, held))
      return stale ? { ...answer, stale } : answer
    })
  }

  /** One manifest, by version or dist-tag. @throws RegistryError not-found, refused, … */
  async manifest(
    name: string,
    selector: string,
    wanted: Wanted,
    forced: boolean,
  ): Promise<ManifestAnswer> {
    const { held } = await this.#current(name, forced)
    const version = isContentTag(selector)
      ? ((await this.#addressed(held, selector)) ?? selector)
      : selector
    this.#assertServed(held, version)
    const { tarballs } = variantOf(wanted, held)
    const manifest = await this.#needs.renderings.manifest(held, tarballs, version)
    if (manifest === null) {
      throw new RegistryError('not-found', `${name} has no version or dist-tag ${selector}`, {
        package: name,
        version: selector,
      })
    }
    const etag = `"${new Bun.CryptoHasher('sha256').update(manifest).digest('base64url')}"`
    return { data: new Blob([new Uint8Array(manifest)]), etag }
  }

  /** The version with these bytes. */
  async #addressed({ source, head }: Held, tag: string): Promise<string | undefined> {
    const rows = await allSummaries(this.#needs.packages, source.namespace, head.name)
    return rows.flatMap(addressOf).find(([each]) => each === tag)?.[1]
  }

  /** @throws RegistryError refused */
  #assertServed({ source, head }: Held, version: string): void {
    const { packages, settings, strict } = this.#needs
    const row = packages.get(source.namespace, head.name, version)
    if (row === null) return
    if (isRefusalCode(row.state)) throw refusalError(settings.base, { ...row, code: row.state })
    const untrusted = untrustedIn(settings.view, row)
    if (untrusted !== null) throw refusalError(settings.base, { ...row, ...untrusted })
    settings.policy.assertServed(row, { base: settings.base, view: settings.view?.name ?? null })
    const unproven = strict.refusalOf(source, row)
    if (unproven !== undefined) throw refusalError(settings.base, { ...row, ...unproven })
  }

  /** Makes sure that what is recorded of `name` was checked with its registry a moment ago. */
  async ensureRecent(name: string): Promise<void> {
    await this.#current(name, true)
  }

  /** Somebody else changed the rows of this package: what is held of it is looked at anew. */
  recheck(name: string): void {
    const held = this.#held.get(name)
    if (held !== undefined) held.isDoubted = true
    this.#rechecks.set(name, (this.#rechecks.get(name) ?? 0) + 1)
  }

  /** The rules for serving changed: every plan is made anew when it is next asked for. */
  replan(): void {
    this.#rules += 1
  }

  /** The operator changed who is asked for what: nothing at hand counts any more. */
  forget(): void {
    this.#held.clear()
  }

  /** A question under way when the operator changes who is asked is asked again. */
  async #current(name: string, forced: boolean): Promise<{ held: Current; stale: boolean }> {
    const { sources } = this.#needs
    for (let tries = 1; ; tries += 1) {
      const source = sources.ownerOf(name)
      try {
        const found = await this.#currentOf(source, name, forced)
        if (this.#isPlanned(found.held)) return found
        // Rules were changed, or a quarantine ended, while it was looked for.
        return { ...found, held: existing(await this.#hold(source, found.held.head)) }
      } catch (error) {
        if (sources.isOwner(source, name) && !(error instanceof RetiredError)) throw error
        if (tries === CHANGES_MAX) throw error
      }
    }
  }

  /** What lives here has changed when the call returns: nobody gets what was there before. */
  async #currentOf(
    source: Source,
    name: string,
    forced: boolean,
  ): Promise<{ held: Current; stale: boolean }> {
    for (let tries = 1; tries <= PUBLISHES_MAX; tries += 1) {
      try {
        const current = await this.#checkedOf(source, name, forced)
        if (!isOutdated(current.held)) return current
      } catch (error) {
        // Not there when it was asked for, and published since.
        if (!isAbsent(error) || (source.housed?.etagOf(name) ?? null) === null) throw error
      }
    }
    throw new RegistryError('busy', `${name} is being changed all the time; retry`, {
      package: name,
    })
  }

  async #checkedOf(
    source: Source,
    name: string,
    forced: boolean,
  ): Promise<{ held: Current; stale: boolean }> {
    const known = this.#held.get(name)
    // A name that was published here was another registry's a moment ago.
    const isAtHand = known?.source === source && this.#isPlanned(known)
    const held = isAtHand ? known : await this.#fromCache(source, name)
    if (held === undefined) return { held: await this.#refreshed(source, name), stale: false }
    const nowMs = this.#nowMs()
    const { checkedAtMs, freshUntilMs } = held.head
    const isOld = isJudgedByOldKeys(held) || isOutdated(held)
    const isDue =
      isOld || (forced ? nowMs - checkedAtMs >= FORCED_CHECK_MS_MIN : freshUntilMs < nowMs)
    if (!isDue) return { held: existing(held), stale: false }
    if (held.quietUntilMs > nowMs) return { held: existing(held), stale: true }
    const refresh = this.#refreshed(source, name)
    if (!forced && !isOld && held.head.status === 200 && nowMs - freshUntilMs < JUST_EXPIRED_MS) {
      refresh.catch((error: unknown) => this.#missed(held, error))
      return { held, stale: false }
    }
    const isPatient =
      forced || isOld || nowMs - checkedAtMs > STALE_MS_MAX || held.head.status !== 200
    try {
      const missed = (error: unknown) => this.#missed(held, error)
      const fresh = isPatient ? await refresh : await within(refresh, REVALIDATE_WAIT_MS, missed)
      return fresh === undefined ? { held, stale: true } : { held: fresh, stale: false }
    } catch (error) {
      if (!isOutage(error) || held.head.status !== 200) throw error
      this.#quiet(held)
      return { held, stale: true }
    }
  }

  /**
   * A check that nobody waited for has failed. Only an outage buys the old answer more time; any
   * other failure, a 4xx of the registry say, is met in the open by the next question.
   */
  #missed(held: Current, error: unknown): void {
    if (isOutage(error)) this.#quiet(held)
    else this.#needs.warn(`${held.head.name} could not be checked: ${String(error)}`)
  }

  #quiet(held: Current): void {
    held.quietUntilMs = this.#nowMs() + FAILED_CHECK_MS
  }

  #fromCache(source: Source, name: string): Promise<Current | undefined> {
    return this.#loading.run(name, async () => {
      const head = this.#needs.kept.head(source, name)
      return head === null ? undefined : await this.#hold(source, head)
    })
  }

  #refreshed(source: Source, name: string): Promise<Current> {
    return this.#refreshing.run(name, async () => {
      const refreshed = await this.#needs.refresher.refresh(source, name)
      const { head, changed, comparison } = refreshed
      if (comparison !== undefined) await this.#compared(source, head, comparison)
      const before = this.#held.get(name)
      const isSame = !changed && comparison === undefined && before?.source === source
      if (!isSame || before.head.sha256 !== head.sha256) {
        return existing(await this.#hold(source, head, refreshed.read))
      }
      before.head = head
      before.quietUntilMs = 0
      return existing(before)
    })
  }

  /** Waits a little for what the mirrors say; what they say later counts from then on. */
  async #compared(source: Source, head: DocumentHead, comparison: Promise<boolean>): Promise<void> {
    const ended = (error: unknown) => this.#needs.warn(`a comparison ended badly: ${String(error)}`)
    if ((await within(comparison, COMPARE_WAIT_MS, ended)) !== undefined) return
    const later = async (): Promise<void> => {
      if (await comparison) await this.#hold(source, this.#held.get(head.name)?.head ?? head)
    }
    later().catch(ended)
  }

  async #hold(source: Source, head: DocumentHead, read?: ReadRows): Promise<Current> {
    const { packages, settings, strict } = this.#needs
    const canonicalOrigin = keptOrigin(source.tarballs, settings.canonicalOrigin)
    const gate = strict.gateOf(source, head.name)
    const about = { ...settings, canonicalOrigin, gate }
    const rechecks = this.#rechecks.get(head.name)
    const rules = this.#rules
    const plan = await planOf(packages, source.namespace, head.name, about, read)
    if (!this.#needs.sources.isOwner(source, head.name)) throw new RetiredError(source.name)
    const before = this.#held.get(head.name)
    // Whoever changed the rows while they were read had nothing to mark.
    const isDoubted = rechecks !== this.#rechecks.get(head.name)
    if (before?.head.sha256 === head.sha256 && before.plan.hash === plan.hash) {
      before.head = head
      before.plan = plan
      before.rules = rules
      before.isDoubted = isDoubted
      before.quietUntilMs = 0
      return before
    }
    // Also after an entry of which nothing was rendered: dates never go back.
    const modified = [...(before?.answers.values() ?? [])].map(answer => answer.modifiedMs + 1000)
    const modifiedMsMin = Math.max(before?.modifiedMsMin ?? 0, ...modified)
    const held = { source, head, plan, answers: new Map(), modifiedMsMin }
    const current = { ...held, quietUntilMs: 0, isDoubted, rules }
    this.#held.set(head.name, current)
    return current
  }

  /** Is its plan what its rows and the rules say now? */
  #isPlanned({ isDoubted, plan, rules }: Current): boolean {
    return !isDoubted && rules === this.#rules && this.#nowMs() < plan.changesMs
  }

  #nowMs(): number {
    return this.#needs.now().getTime()
  }
}

/** Was a version refused for its signature before the keys in force were? It may be good by now. */
function isJudgedByOldKeys({ head, plan, source }: Held): boolean {
  return head.checkedAtMs < source.trust.changedMs && plan.refusedBySignature
}

/** Was a package that lives here changed since this was made? */
function isOutdated({ source, head }: Held): boolean {
  const { housed } = source
  return housed !== undefined && housed.etagOf(head.name) !== head.etag
}

function isAbsent(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'not-found'
}

/** A package that its registry has. @throws RegistryError not-found */
function existing(held: Current): Current {
  const { head, source } = held
  if (head.status === 200) return held
  throw absentError(head.name, source.name, head.status)
}

function variantOf(wanted: Wanted, held: Held): Variant {
  const isKept = keepsUrls(held.source.tarballs) && !wanted.own
  return {
    form: wanted.form,
    tarballs: isKept ? 'as-came' : 'own',
    tombstones: wanted.noTombstones && held.plan.plan.refused.length > 0 ? 'dropped' : 'kept',
    ...(wanted.addressed && hasAddresses(held) && { tags: 'addressed' }),
  }
}

/** The registry could not be asked or gave no usable answer: the last verified one may stand in. */
function isOutage(error: unknown): boolean {
  return (
    error instanceof RegistryError &&
    !(error instanceof RetiredError) &&
    ['upstream-unreachable', 'upstream-bad-answer', 'busy', 'too-large'].includes(error.code)
  )
}
