/**
 * Renderings of a package at hand: made on demand, once per variant, kept until its document or
 * its plan changes. Whether the package is recent enough is proxy.ts's business.
 * @module
 */
import type { CacheFiles } from '../../db/cache-files.ts'
import type { DocumentHead, Documents, RenderedRow } from '../../db/documents.ts'
import type { Body } from '../bodies.ts'
import { RegistryError } from '../errors.ts'
import { fetchDocument, fetchStowed, stow } from '../packument/large.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import type { Plan } from './plan.ts'
import type { Variant } from '../packument/render.ts'
import { SingleFlight } from '../single-flight.ts'
import type { Source } from '../sources/source.ts'

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

/** Another document of the package came while one was rendered: whoever asked asks again. */
export class ReplacedError extends RegistryError {
  constructor(name: string) {
    super('busy', `${name} has just changed; retry`, { package: name, retryAfterSeconds: 1 })
  }
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
  files: CacheFiles
  pool: PackumentPool
  now: () => Date
  /** Whose they are, when others are made of the same documents by other plans; '' for everybody's. */
  keptFor: string
  /** Whether there are views. When that changes, nothing that is held counts any more. */
  hasViews: () => boolean
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
    const row = this.#needs.documents.rendered(source.cacheName, head.name, this.#rowKey(key))
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
      variant: this.#rowKey(variantKey(variant)),
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

  #rowKey(key: string): string {
    const { keptFor } = this.#needs
    return keptFor === '' ? key : `${key} ${keptFor}`
  }

  async #documentBytes(head: DocumentHead): Promise<ArrayBuffer> {
    const { documents } = this.#needs
    const row = documents.get(head.upstream, head.name)
    if (row !== null && row.sha256 !== head.sha256) throw new ReplacedError(head.name)
    const packed = row?.packed ?? null
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
      held.answers.delete(variantKey(variant))
      throw busy(row.name)
    }
    return {
      form: variant.form,
      body: { id: idOf(row.etag), gzip, length: row.length },
      etag: row.etag,
      modifiedMs: Date.parse(row.modified ?? '') || 0,
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
