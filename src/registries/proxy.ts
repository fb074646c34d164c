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
import type { Body } from './bodies.ts'
import { RegistryError } from './errors.ts'
import {
  FAILED_CHECK_MS,
  FORCED_CHECK_MS_MIN,
  REVALIDATE_WAIT_MS,
  STALE_MS_MAX,
} from './freshness.ts'
import type { PackumentPool } from './packument-pool.ts'
import { type PlanSettings, planOf } from './plan.ts'
import { isRefusalCode, refusalError } from './refusal.ts'
import type { Refresher } from './refresher.ts'
import type { RenderPlan, Variant } from './render.ts'
import { SingleFlight } from './single-flight.ts'
import type { Source, Sources } from './source.ts'

/** Packages whose answers are held by name: heads only, the bodies are bounded in bodies.ts. */
const HELD_PACKAGES_MAX = 20_000

/** What a client wants. @property own tarballs at our origin @property noTombstones for yarn 1 */
export type Wanted = { form: 'full' | 'abbreviated'; own: boolean; noTombstones: boolean }

/** An answer ready to send. */
export type PackumentAnswer = {
  form: 'full' | 'abbreviated'
  body: Body
  etag: string
  modifiedMs: number
  stale: boolean
  /** Some clients get it without its tombstones. */
  variesByAgent: boolean
}

/** One version's manifest. */
export type ManifestAnswer = { data: Blob; etag: string }

/** What the read path works with. */
export type ProxyNeeds = {
  sources: Sources
  documents: Documents
  packages: Packages
  refresher: Refresher
  pool: PackumentPool
  settings: PlanSettings
  now: () => Date
}

/** A package at hand: its document's head, its plan, and what was rendered so far. */
type Held = {
  source: Source
  head: DocumentHead
  plan: RenderPlan
  answers: Map<string, PackumentAnswer>
  /** Not asked again before this, though the answer is old: the last check failed. */
  quietUntilMs: number
  /** A rendering is never dated before this: HTTP dates have whole seconds, and must still differ. */
  modifiedMsMin: number
}

/** Serves packuments and manifests. */
export class Proxy {
  readonly #needs: ProxyNeeds
  readonly #held = new LRUCache<string, Held>({ max: HELD_PACKAGES_MAX })
  readonly #rendering = new SingleFlight<PackumentAnswer>()

  constructor(needs: ProxyNeeds) {
    this.#needs = needs
  }

  /** The answer at once, when a fresh one is in memory. */
  peek(name: string, wanted: Wanted): PackumentAnswer | undefined {
    const held = this.#held.get(name)
    if (held === undefined || held.head.freshUntilMs < this.#nowMs()) return undefined
    return held.answers.get(variantKey(variantOf(wanted, held)))
  }

  /** The packument of `name`. @throws RegistryError not-found, upstream-…, invalid-name */
  async packument(name: string, wanted: Wanted, forced: boolean): Promise<PackumentAnswer> {
    const { held, stale } = await this.#current(name, forced)
    const variant = variantOf(wanted, held)
    const ready = held.answers.get(variantKey(variant)) ?? (await this.#answer(held, variant))
    return stale ? { ...ready, stale } : ready
  }

  /** One manifest, by version or dist-tag. @throws RegistryError not-found, refused, … */
  async manifest(
    name: string,
    selector: string,
    wanted: Wanted,
    forced: boolean,
  ): Promise<ManifestAnswer> {
    const { held } = await this.#current(name, forced)
    const { source, plan } = held
    const row = this.#needs.packages.get(source.namespace, name, selector)
    if (row !== null && isRefusalCode(row.state)) {
      throw refusalError(plan.base, { ...row, code: row.state })
    }
    const bytes = await this.#documentBytes(held)
    const variant = variantOf(wanted, held)
    const { manifest } = await this.#needs.pool.manifest(bytes, plan, variant.tarballs, selector)
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

  async #current(name: string, forced: boolean): Promise<{ held: Held; stale: boolean }> {
    const source = this.#needs.sources.ownerOf(name)
    const held = this.#held.get(name) ?? this.#fromCache(source, name)
    if (held === undefined) return { held: await this.#refreshed(source, name), stale: false }
    const nowMs = this.#nowMs()
    const { checkedAtMs, freshUntilMs } = held.head
    const wanted = forced ? nowMs - checkedAtMs >= FORCED_CHECK_MS_MIN : freshUntilMs < nowMs
    if (!wanted) return { held: existing(held), stale: false }
    if (held.quietUntilMs > nowMs) return { held: existing(held), stale: true }
    const refresh = this.#refreshed(source, name)
    const patient = forced || nowMs - checkedAtMs > STALE_MS_MAX || held.head.status !== 200
    try {
      const fresh = patient ? await refresh : await within(refresh, REVALIDATE_WAIT_MS)
      return fresh === undefined ? { held, stale: true } : { held: fresh, stale: false }
    } catch (error) {
      if (!isOutage(error) || held.head.status !== 200) throw error
      held.quietUntilMs = this.#nowMs() + FAILED_CHECK_MS
      return { held, stale: true }
    }
  }

  #fromCache(source: Source, name: string): Held | undefined {
    const head = this.#needs.documents.head(source.name, name)
    return head === null ? undefined : this.#hold(source, head, undefined)
  }

  async #refreshed(source: Source, name: string): Promise<Held> {
    const head = await this.#needs.refresher.refresh(source, name)
    return existing(this.#hold(source, head, this.#held.get(name)))
  }

  #hold(source: Source, head: DocumentHead, before: Held | undefined): Held {
    const plan = planOf(this.#needs.packages, source.namespace, head.name, this.#needs.settings)
    if (before?.head.sha256 === head.sha256 && Bun.deepEquals(plan, before.plan)) {
      before.head = head
      before.quietUntilMs = 0
      return before
    }
    const modifiedMsMin =
      1000 +
      Math.max(-1000, ...[...(before?.answers.values() ?? [])].map(answer => answer.modifiedMs))
    const held: Held = { source, head, plan, answers: new Map(), quietUntilMs: 0, modifiedMsMin }
    this.#held.set(head.name, held)
    return held
  }

  async #answer(held: Held, variant: Variant): Promise<PackumentAnswer> {
    const key = variantKey(variant)
    const { source, head } = held
    return await this.#rendering.run(
      `${source.name} ${head.name} ${head.sha256} ${key}`,
      async () => {
        const answer = this.#stored(held, variant) ?? (await this.#render(held, variant))
        held.answers.set(key, answer)
        return answer
      },
    )
  }

  #stored(held: Held, variant: Variant): PackumentAnswer | undefined {
    const { source, head } = held
    const row = this.#needs.documents.rendered(source.name, head.name, variantKey(variant))
    if (row === null || row.documentSha !== head.sha256 || row.planHash !== planHash(held.plan)) {
      return undefined
    }
    return this.#answerOf(held, variant, row)
  }

  async #render(held: Held, variant: Variant): Promise<PackumentAnswer> {
    const { source, head, plan } = held
    const bytes = await this.#documentBytes(held)
    const { rendered } = await this.#needs.pool.render(bytes, plan, variant)
    const modifiedMs = Math.max(held.modifiedMsMin, Math.ceil(this.#nowMs() / 1000) * 1000)
    const row = {
      upstream: source.name,
      name: head.name,
      variant: variantKey(variant),
      documentSha: head.sha256,
      planHash: planHash(plan),
      etag: rendered.etag,
      gzip: rendered.gzip,
      length: rendered.length,
      modified: new Date(modifiedMs).toISOString(),
    }
    this.#needs.documents.putRendered(row)
    return this.#answerOf(held, variant, row)
  }

  async #documentBytes(held: Held): Promise<ArrayBuffer> {
    const row = this.#needs.documents.get(held.source.name, held.head.name)
    if (row?.packed === null || row === null) {
      // Trimmed since: the next question asks the registry again.
      this.#held.delete(held.head.name)
      throw new RegistryError('busy', `${held.head.name} was just dropped from the cache; retry`, {
        package: held.head.name,
        retryAfterSeconds: 1,
      })
    }
    return await this.#needs.pool.unpack(row.packed)
  }

  #answerOf(
    held: Held,
    variant: Variant,
    row: {
      variant: string
      etag: string
      length: number
      modified: string | null
      gzip: Uint8Array
    },
  ): PackumentAnswer {
    const { source, head, plan } = held
    const { documents } = this.#needs
    // Handed over once; later readers find the shared Blob or read the row again.
    let first: Uint8Array | undefined = row.gzip
    const gzip = () => {
      const bytes = first ?? documents.rendered(source.name, head.name, row.variant)?.gzip
      first = undefined
      if (bytes === undefined)
        throw new RegistryError('busy', `${head.name} is being rendered anew; retry`)
      return bytes
    }
    return {
      form: variant.form,
      body: { id: row.etag.replaceAll(/\W/g, ''), gzip, length: row.length },
      etag: row.etag,
      modifiedMs: Date.parse(row.modified ?? '') || 0,
      stale: false,
      variesByAgent: plan.refused.length > 0,
    }
  }

  #nowMs(): number {
    return this.#needs.now().getTime()
  }
}

/** A package that its registry has. @throws RegistryError not-found */
function existing(held: Held): Held {
  const { head, source } = held
  if (head.status === 200) return held
  throw new RegistryError(
    'not-found',
    `${head.name} was not found in ${source.name} (${head.status})`,
    {
      package: head.name,
    },
  )
}

function variantOf(wanted: Wanted, held: Held): Variant {
  const canonical = held.source.canonical && !wanted.own
  return {
    form: wanted.form,
    tarballs: canonical ? 'as-came' : 'own',
    tombstones: wanted.noTombstones && held.plan.refused.length > 0 ? 'dropped' : 'kept',
  }
}

function variantKey(variant: Variant): string {
  return `${variant.form} ${variant.tarballs} ${variant.tombstones}`
}

function planHash(plan: RenderPlan): string {
  return new Bun.CryptoHasher('sha256').update(JSON.stringify(plan)).digest('base64url')
}

/** The registry could not be asked or gave no usable answer: the last verified one may stand in. */
function isOutage(error: unknown): boolean {
  return (
    error instanceof RegistryError &&
    ['upstream-unreachable', 'upstream-bad-answer', 'busy', 'too-large'].includes(error.code)
  )
}

/** The promise's value, or undefined when it takes longer; the work goes on, its failure is heard. */
async function within<T>(work: Promise<T>, waitMs: number): Promise<T | undefined> {
  const timeout = Promise.withResolvers<undefined>()
  const timer = setTimeout(timeout.resolve, waitMs, undefined)
  try {
    return await Promise.race([work, timeout.promise])
  } finally {
    clearTimeout(timer)
    // Nobody waits for it any more; the next question meets the same failure in the open.
    work.catch(() => undefined)
  }
}
