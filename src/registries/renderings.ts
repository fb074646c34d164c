/**
 * Renderings of a package at hand: made on demand, once per variant, kept until its document or
 * its plan changes. Whether the package is recent enough is proxy.ts's business.
 * @module
 */
import type { CacheFiles } from '../db/cache-files.ts'
import type { DocumentHead, Documents, RenderedRow } from '../db/documents.ts'
import type { Body } from './bodies.ts'
import { RegistryError } from './errors.ts'
import { fetchDocument, fetchStowed, stow } from './large.ts'
import type { PackumentPool } from './packument-pool.ts'
import type { Plan } from './plan.ts'
import type { Variant } from './render.ts'
import { SingleFlight } from './single-flight.ts'
import type { Source } from './source.ts'

/** HTTP dates have whole seconds. */
const SECOND_MS = 1000

/** An answer ready to send. */
export type PackumentAnswer = {
  form: 'full' | 'abbreviated'
  body: Body
  etag: string
  /** When this rendering was made: a whole second, later than that of the one before it. */
  modifiedMs: number
  stale: boolean
  /** Some clients get it without its tombstones. */
  variesByAgent: boolean
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

/** What renderings are made with. */
export type RenderingsNeeds = {
  documents: Documents
  files: CacheFiles
  pool: PackumentPool
  now: () => Date
}

/** Makes and keeps renderings. */
export class Renderings {
  readonly #needs: RenderingsNeeds
  readonly #rendering = new SingleFlight<PackumentAnswer>()

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
      const row = this.#stored(held, key) ?? (await this.#render(held, variant))
      const answer = this.#answerOf(held, variant, row)
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
    const bytes = await this.#documentBytes(held.head)
    const made = await this.#needs.pool.manifest(bytes, held.plan.plan, tarballs, selector)
    return made.manifest
  }

  #stored(held: Held, key: string): RenderedRow | undefined {
    const { source, head, plan } = held
    const row = this.#needs.documents.rendered(source.cacheName, head.name, key)
    const isCurrent = row?.documentSha === head.sha256 && row.planHash === plan.hash
    return isCurrent && fetchStowed(this.#needs.files, bodyFile(row.etag), row.gzip) !== undefined
      ? row
      : undefined
  }

  async #render(held: Held, variant: Variant): Promise<RenderedRow> {
    const { documents, files, pool, now } = this.#needs
    const { source, head, plan } = held
    const { bytes, rendered } = await pool.render(
      await this.#documentBytes(head),
      plan.plan,
      variant,
    )
    bytes.transfer(0) // Given back at once: the next giant document may be waiting.
    const { etag, length } = rendered
    const madeMs = Math.ceil(now().getTime() / SECOND_MS) * SECOND_MS
    const row = {
      upstream: source.cacheName,
      name: head.name,
      variant: variantKey(variant),
      documentSha: head.sha256,
      planHash: plan.hash,
      etag,
      gzip: await stow(files, bodyFile(etag), rendered.gzip),
      length,
      modified: new Date(Math.max(held.modifiedMsMin, madeMs)).toISOString(),
    }
    documents.putRendered(row)
    return row
  }

  async #documentBytes(head: DocumentHead): Promise<ArrayBuffer> {
    const { documents } = this.#needs
    const packed = documents.get(head.upstream, head.name)?.packed ?? null
    const bytes = packed === null ? undefined : await fetchDocument(this.#needs, head, packed)
    if (bytes !== undefined) return bytes
    // Given up since: forgetting the rest of it makes the next question ask the registry again.
    documents.remove(head.upstream, head.name)
    throw busy(head.name)
  }

  #answerOf(held: Held, variant: Variant, row: RenderedRow): PackumentAnswer {
    const { documents, files } = this.#needs
    // Read once from the row at hand; later, when the shared Blob was given up, from the cache.
    let first: Uint8Array | undefined = row.gzip
    const gzip = () => {
      const inRow = first ?? documents.rendered(row.upstream, row.name, row.variant)?.gzip
      first = undefined
      const stored = inRow && fetchStowed(files, bodyFile(row.etag), inRow)
      if (stored instanceof Blob) return stored
      held.answers.delete(row.variant)
      throw busy(row.name)
    }
    return {
      form: variant.form,
      body: { id: idOf(row.etag), gzip, length: row.length },
      etag: row.etag,
      modifiedMs: Date.parse(row.modified ?? '') || 0,
      stale: false,
      variesByAgent: held.plan.plan.refused.length > 0,
    }
  }
}

/** A variant as rows and maps are keyed by it. */
export function variantKey(variant: Variant): string {
  return `${variant.form} ${variant.tarballs} ${variant.tombstones}`
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
