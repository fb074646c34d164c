/**
 * Renderings of a package at hand: made on demand, once per variant, kept until its document or
 * its plan changes. Whether the package is recent enough is proxy.ts's business.
 * @module
 */
import { LRUCache } from 'lru-cache'
import type { CacheFiles } from '../../db/cache-files.ts'
import type { DocumentHead, Documents, RenderedRow } from '../../db/documents.ts'
import type { Body, Stored } from '../bodies.ts'
import { RegistryError } from '../errors.ts'
import { type RenderedHere, renderHere } from '../packument/here.ts'
import { fetchStowed, stow } from '../packument/large.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import { isMadeHere, type KeptDocuments, ReplacedError } from './kept-documents.ts'
import type { Plan } from './plan.ts'
import type { Variant } from '../packument/render.ts'
import { renderManifest } from '../packument/render-packument.ts'
import { loopTurns } from '../loop-turns.ts'
import { SingleFlight } from '../single-flight.ts'
import type { Source } from '../sources/source.ts'

/** Bytes of small renderings that nobody has taken yet: most are sent at once. */
const FRESH_BYTES_MAX = 2 * 1024 * 1024

/** HTTP dates have whole seconds. */
const SECOND_MS = 1000

/** A package that is published more often than this while it is rendered is published by a program. */
const REPLACED_MAX = 20

/** An answer ready to send. */
export type PackumentAnswer = {
  form: 'full' | 'abbreviated'
  body: Body
  etag: string
  /** When this rendering was made: a whole second, later than that of the one before it. */
  modifiedMs: number
  stale: boolean
  /** Some clients get it without its tombstones, some with dist-tags of bytes. */
  variesByAgent: boolean
  /** A token can carry a view, in which it may be another answer. */
  variesByToken: boolean
}

/** A package at hand: its document's head, its plan, and what was rendered so far. */
export type Held = {
  source: Source
  head: DocumentHead
  plan: Plan
  answers: Map<string, PackumentAnswer>
  /** A rendering is never dated before this: two of one second must still differ. */
  modifiedMsMin: number
}

/** Once more when another document came in between. @throws ReplacedError when one always does */
export async function againIfReplaced<T>(make: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await make()
    } catch (error) {
      if (!(error instanceof ReplacedError) || tries === REPLACED_MAX) throw error
    }
  }
}

/** What renderings are made with. */
export type RenderingsNeeds = {
  documents: Documents
  kept: KeptDocuments
  files: CacheFiles
  pool: PackumentPool
  now: () => Date
  /** Whose they are, when others are made of the same documents by other plans; '' for everybody's. */
  keptFor: string
  /** Whether there are views. When that changes, nothing that is held counts any more. */
  hasViews: () => boolean
}

type Made = Pick<PackumentAnswer, 'etag' | 'modifiedMs'> & Pick<Body, 'length' | 'read'>

/** Makes and keeps renderings. */
export class Renderings {
  readonly #needs: RenderingsNeeds
  readonly #rendering = new SingleFlight<PackumentAnswer>()
  readonly #fresh = new LRUCache<string, RenderedHere['plain']>({
    maxSize: FRESH_BYTES_MAX,
    sizeCalculation: ({ byteLength }) => byteLength,
  })

  constructor(needs: RenderingsNeeds) {
    this.#needs = needs
  }

  /** The answer of a variant, from memory, the cache, or made now. @throws RegistryError busy */
  async answer(held: Held, variant: Variant): Promise<PackumentAnswer> {
    const key = variantKey(variant)
    const ready = held.answers.get(key)
    if (ready !== undefined) return ready
    const { source, head, plan } = held
    const flight = `${source.cacheName} ${head.name} ${head.sha256} ${plan.hash} ${key}`
    return await this.#rendering.run(flight, async () => {
      const answer = isMadeHere(source, head)
        ? await this.#small(held, variant)
        : this.#answerOf(
            held,
            variant,
            this.#stored(held, key) ?? (await this.#render(held, variant)),
          )
      held.answers.set(key, answer)
      return answer
    })
  }

  /** One manifest, by version or dist-tag; null when there is none. @throws RegistryError busy */
  async manifest(
    held: Held,
    tarballs: Variant['tarballs'],
    selector: string,
  ): Promise<Uint8Array | null> {
    const bytes = await this.#documentBytes(held)
    if (isMadeHere(held.source, held.head)) {
      return renderManifest(new Uint8Array(bytes), held.plan.plan, tarballs, selector)
    }
    const made = await this.#needs.pool.manifest(bytes, held.plan.plan, tarballs, selector)
    return made.manifest
  }

  #stored(held: Held, key: string): RenderedRow | undefined {
    const { source, head, plan } = held
    const row = this.#needs.documents.rendered(source.cacheName, head.name, this.#rowKey(key))
    const isCurrent = row?.documentSha === head.sha256 && row.planHash === plan.hash
    return isCurrent && fetchStowed(this.#needs.files, bodyFile(row.etag), row.gzip) !== undefined
      ? row
      : undefined
  }

  async #render(held: Held, variant: Variant): Promise<RenderedRow> {
    const { documents, files, pool } = this.#needs
    const { source, head, plan } = held
    const { bytes, rendered } = await pool.render(
      await this.#documentBytes(held),
      plan.plan,
      variant,
    )
    bytes.transfer(0) // Given back at once: the next giant document may be waiting.
    const { etag, length } = rendered
    const row = {
      upstream: source.cacheName,
      name: head.name,
      variant: this.#rowKey(variantKey(variant)),
      documentSha: head.sha256,
      planHash: plan.hash,
      etag,
      gzip: await stow(files, bodyFile(etag), rendered.gzip),
      length,
      modified: new Date(this.#madeMs(held)).toISOString(),
    }
    documents.putRendered(row)
    return row
  }

  #rowKey(key: string): string {
    const { keptFor } = this.#needs
    return keptFor === '' ? key : `${key} ${keptFor}`
  }

  /** Made where it is, not stored, and made again whenever the shared Blob was given up. */
  async #small(held: Held, variant: Variant): Promise<PackumentAnswer> {
    const { etag, plain } = await this.#renderHere(held, variant)
    this.#fresh.set(etag, plain)
    const read = async (): Promise<Stored> => {
      const fresh = this.#fresh.get(etag)
      this.#fresh.delete(etag)
      return { plain: fresh ?? (await this.#again(held, variant, etag)) }
    }
    const { length } = plain
    return this.#answer(held, variant, { etag, length, modifiedMs: this.#madeMs(held), read })
  }

  async #renderHere(held: Held, variant: Variant): Promise<RenderedHere> {
    const bytes = await this.#documentBytes(held)
    return await loopTurns.run(() => renderHere(bytes, held.plan.plan, variant))
  }

  /** @throws RegistryError busy when the package has changed meanwhile */
  async #again(held: Held, variant: Variant, etag: string): Promise<RenderedHere['plain']> {
    try {
      const made = await this.#renderHere(held, variant)
      if (made.etag === etag) return made.plain
    } catch (error) {
      if (!(error instanceof ReplacedError)) throw error
    }
    held.answers.delete(variantKey(variant))
    throw busy(held.head.name)
  }

  async #documentBytes({ source, head }: Held): Promise<ArrayBuffer> {
    const bytes = await this.#needs.kept.bytes(source, head)
    if (bytes === undefined) throw busy(head.name)
    return bytes
  }

  /** The date of a rendering that is made now. */
  #madeMs({ modifiedMsMin }: Held): number {
    const nowMs = Math.ceil(this.#needs.now().getTime() / SECOND_MS) * SECOND_MS
    return Math.max(modifiedMsMin, nowMs)
  }

  #answerOf(held: Held, variant: Variant, row: RenderedRow): PackumentAnswer {
    const { documents, files } = this.#needs
    // Read once from the row at hand; later, when the shared Blob was given up, from the cache.
    let first: Uint8Array | undefined = row.gzip
    const read = (): Stored => {
      const inRow = first ?? documents.rendered(row.upstream, row.name, row.variant)?.gzip
      first = undefined
      const stored = inRow && fetchStowed(files, bodyFile(row.etag), inRow)
      if (stored instanceof Blob) return { gzip: stored }
      held.answers.delete(variantKey(variant))
      throw busy(row.name)
    }
    const { etag, length } = row
    const modifiedMs = Date.parse(row.modified ?? '') || 0
    return this.#answer(held, variant, { etag, length, modifiedMs, read })
  }

  #answer(
    held: Held,
    { form }: Variant,
    { etag, length, modifiedMs, read }: Made,
  ): PackumentAnswer {
    return {
      form,
      body: { id: idOf(etag), read, length },
      etag,
      modifiedMs,
      stale: false,
      variesByAgent: held.plan.plan.refused.length > 0 || hasAddresses(held),
      variesByToken: this.#needs.hasViews(),
    }
  }
}

/** A variant as rows and maps are keyed by it. */
export function variantKey(variant: Variant): string {
  const { form, tarballs, tombstones, tags } = variant
  const key = `${form} ${tarballs} ${tombstones}`
  return tags === undefined ? key : `${key} ${tags}`
}

/** Does this packument list its versions by their bytes? */
export function hasAddresses({ plan }: Held): boolean {
  return (plan.plan.addresses ?? []).length > 0
}

/** The name of a body: its entity tag without the quotes, base64url. */
function idOf(etag: string): string {
  return etag.replaceAll(/[^\w-]/g, '')
}

function bodyFile(etag: string): string {
  return `body-${idOf(etag)}`
}

function busy(name: string): RegistryError {
  return new RegistryError('busy', `${name} was just dropped from the cache here; retry`, {
    package: name,
    retryAfterSeconds: 1,
  })
}
