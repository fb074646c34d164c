/**
 * Whom this instance trusts for what, as it is told to everybody: the registries in use, how far
 * they sign, and the union of their keys plus our own.
 *
 * Keys that wait for approval vouch for nothing here and are not handed on. Clients do not bind a
 * key to the packages of its registry; this server does (signature.ts), before it serves anything.
 * @module
 */
import type { PublishedKey } from './own-key.ts'
import type { Sources } from './source.ts'

/** One registry as `/-/registries` shows it. */
export type Party = {
  name: string
  kind: 'registry'
  url: string
  namespace: string
  /** `unsigned`: it publishes no keys; what it serves is recorded on first use, not vouched for. */
  signatures: 'signed' | 'unsigned'
  keys: { keyid: string; expires: string | null; state: string; firstSeen: string }[]
}

/** The trusted parties. */
export class TrustedParties {
  readonly #sources: Sources
  readonly #own: PublishedKey

  constructor(sources: Sources, own: PublishedKey) {
    this.#sources = sources
    this.#own = own
  }

  /** The body of `/-/npm/v1/keys`. */
  keysJson(): string {
    const taken = new Map<string, string>()
    for (const source of this.#sources.all()) {
      for (const key of source.trust.keys()) {
        if (key.state !== 'pending' && !taken.has(key.keyid)) taken.set(key.keyid, key.json)
      }
    }
    if (!taken.has(this.#own.keyid)) taken.set(this.#own.keyid, JSON.stringify(this.#own))
    return `{"keys":[${[...taken.values()].join(',')}]}`
  }

  /** Every registry in use. */
  list(): Party[] {
    return this.#sources.all().map(source => ({
      name: source.name,
      kind: 'registry',
      url: source.upstream.url,
      namespace: source.namespace,
      signatures: source.trust.stored().signs ? 'signed' : 'unsigned',
      keys: source.trust
        .keys()
        .map(({ keyid, expires, state, firstSeen }) => ({ keyid, expires, state, firstSeen })),
    }))
  }
}
