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
import type { DocumentHead, Documents } from '../db/documents.ts'
import type { Packages } from '../db/packages.ts'
import { RegistryError } from './errors.ts'
import {
  FAILED_CHECK_MS,
  COMPARE_WAIT_MS,
  FORCED_CHECK_MS_MIN,
  JUST_EXPIRED_MS,
  REVALIDATE_WAIT_MS,
  STALE_MS_MAX,
} from './freshness.ts'
import { type PlanSettings, planOf } from './plan.ts'
import type { Refresher } from './refresher.ts'
import { isRefusalCode, refusalError } from './refusal.ts'
import type { Variant } from './render.ts'
import { type Held, type PackumentAnswer, type Renderings, variantKey } from './renderings.ts'
import { SingleFlight } from './single-flight.ts'
import type { Source, Sources } from './source.ts'
import { keepsUrls, keptOrigin } from './tarball-modes.ts'
import { RetiredError } from './upstream.ts'

/** Packages whose answers are held by name: heads only, the bodies are bounded in bodies.ts. */
const HELD_PACKAGES_MAX = 20_000
/** An operator who changes the same upstream more often while one question runs is a program. */
const CHANGES_MAX = 3

/** What a client wants. @property own tarballs at our origin @property noTombstones for yarn 1 */
export type Wanted = { form: 'full' | 'abbreviated'; own: boolean; noTombstones: boolean }

/** One version's manifest. */
export type ManifestAnswer = { data: Blob; etag: string }

/** What the read path works with. */
export type ProxyNeeds = {
  sources: Sources
  documents: Documents
  packages: Packages
  refresher: Refresher
  renderings: Renderings
  settings: PlanSettings
  warn: (message: string) => void
  now: () => Date
}

/** @property quietUntilMs not asked again before, though it is old: the last check failed */
type Current = Held & { quietUntilMs: number }

/** Serves packuments and manifests. */
export class Proxy {
  readonly #needs: ProxyNeeds
  readonly #held = new LRUCache<string, Current>({ max: HELD_PACKAGES_MAX })
  readonly #loading = new SingleFlight<Current | undefined>()
  readonly #refreshing = new SingleFlight<Current>()

  constructor(needs: ProxyNeeds) {
    this.#needs = needs
  }

  /** The answer at once, when a fresh one is in memory. */
  peek(name: string, wanted: Wanted): PackumentAnswer | undefined {
    const held = this.#held.get(name)
    if (held === undefined || held.head.freshUntilMs < this.#nowMs()) return undefined
    if (isJudgedByOldKeys(held)) return undefined
    return held.answers.get(variantKey(variantOf(wanted, held)))
  }

  /** The packument of `name`. @throws RegistryError not-found, upstream-…, invalid-name */
  async packument(name: string, wanted: Wanted, forced: boolean): Promise<PackumentAnswer> {
    const { held, stale } = await this.#current(name, forced)
    const answer = await this.#needs.renderings.answer(held, variantOf(wanted, held))
    return stale ? { ...answer, stale } : answer
  }

  /** One manifest, by version or dist-tag. @throws RegistryError not-found, refused, … */
  async manifest(
    name: string,
    selector: string,
    wanted: Wanted,
    forced: boolean,
  ): Promise<ManifestAnswer> {
    const { held } = await this.#current(name, forced)
    const row = this.#needs.packages.get(held.source.namespace, name, selector)
    if (row !== null && isRefusalCode(row.state)) {
      throw refusalError(this.#needs.settings.base, { ...row, code: row.state })
    }
    const { tarballs } = variantOf(wanted, held)
    const manifest = await this.#needs.renderings.manifest(held, tarballs, selector)
    if (manifest === null) {
      throw new RegistryError('not-found', `${name} has no version or dist-tag ${selector}`, {
        package: name,
        version: selector,
      })
    }
    const etag = `"${new Bun.CryptoHasher('sha256').update(manifest).digest('base64url')}"`
    return { data: new Blob([new Uint8Array(manifest)]), etag }
  }

  /** Makes sure that what is recorded of `name` was checked with its registry a moment ago. */
  async ensureRecent(name: string): Promise<void> {
    await this.#current(name, true)
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
        return await this.#currentOf(source, name, forced)
      } catch (error) {
        if (sources.isOwner(source, name) && !(error instanceof RetiredError)) throw error
        if (tries === CHANGES_MAX) throw error
      }
    }
  }

  async #currentOf(
    source: Source,
    name: string,
    forced: boolean,
  ): Promise<{ held: Current; stale: boolean }> {
    const held = this.#held.get(name) ?? (await this.#fromCache(source, name))
    if (held === undefined) return { held: await this.#refreshed(source, name), stale: false }
    const nowMs = this.#nowMs()
    const { checkedAtMs, freshUntilMs } = held.head
    const isOld = isJudgedByOldKeys(held)
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
      const head = this.#needs.documents.head(source.cacheName, name)
      return head === null ? undefined : await this.#hold(source, head)
    })
  }

  #refreshed(source: Source, name: string): Promise<Current> {
    return this.#refreshing.run(name, async () => {
      const { head, changed, comparison } = await this.#needs.refresher.refresh(source, name)
      if (comparison !== undefined) await this.#compared(source, head, comparison)
      const before = this.#held.get(name)
      const isSame = !changed && comparison === undefined && before?.source === source
      if (!isSame || before.head.sha256 !== head.sha256) {
        return existing(await this.#hold(source, head))
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

  async #hold(source: Source, head: DocumentHead): Promise<Current> {
    const { packages, settings } = this.#needs
    const canonicalOrigin = keptOrigin(source.tarballs, settings.canonicalOrigin)
    const about = { ...settings, canonicalOrigin }
    const plan = await planOf(packages, source.namespace, head.name, about)
    if (!this.#needs.sources.isOwner(source, head.name)) throw new RetiredError(source.name)
    const before = this.#held.get(head.name)
    if (before?.head.sha256 === head.sha256 && before.plan.hash === plan.hash) {
      before.head = head
      before.quietUntilMs = 0
      return before
    }
    const modified = [...(before?.answers.values() ?? [])].map(answer => answer.modifiedMs)
    const modifiedMsMin = Math.max(0, ...modified) + 1000
    const held = { source, head, plan, answers: new Map(), quietUntilMs: 0, modifiedMsMin }
    this.#held.set(head.name, held)
    return held
  }

  #nowMs(): number {
    return this.#needs.now().getTime()
  }
}

/** Was a version refused for its signature before the keys in force were? It may be good by now. */
function isJudgedByOldKeys({ head, plan, source }: Held): boolean {
  return head.checkedAtMs < source.trust.changedMs && plan.refusedBySignature
}

/** A package that its registry has. @throws RegistryError not-found */
function existing(held: Current): Current {
  const { head, source } = held
  if (head.status === 200) return held
  const sentence = `${head.name} was not found in ${source.name} (${head.status})`
  throw new RegistryError('not-found', sentence, { package: head.name })
}

function variantOf(wanted: Wanted, held: Held): Variant {
  const isKept = keepsUrls(held.source.tarballs) && !wanted.own
  return {
    form: wanted.form,
    tarballs: isKept ? 'as-came' : 'own',
    tombstones: wanted.noTombstones && held.plan.plan.refused.length > 0 ? 'dropped' : 'kept',
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

/** The promise's value, or undefined when it takes longer; then `late` hears of its failure. */
async function within<T>(
  work: Promise<T>,
  waitMs: number,
  late: (error: unknown) => void,
): Promise<T | undefined> {
  const timeout = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => {
    work.catch(late)
    timeout.resolve(undefined)
  }, waitMs)
  try {
    return await Promise.race([work, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}
