/**
 * Whom this instance trusts for what, as it is told to everybody: the registries and mirrors in
 * use, how far they sign, how they are, and the union of their keys plus our own.
 *
 * Keys that wait for approval vouch for nothing here and are not handed on; neither is any key of a
 * mirror, which vouches for nothing ever. A retired key stays: what it signed is still served.
 * Clients do not bind a key to the packages of its registry; this server does (signature.ts),
 * before it serves anything.
 * @module
 */
import type { UpstreamKeyRow, UpstreamRow } from '../db/upstreams.ts'
import type { BreakerState } from './breaker.ts'
import { didDocument } from './did.ts'
import type { PublishedKey } from './own-key.ts'

/** One registry or mirror as `/-/registries` shows it. */
export type Party = {
  name: string
  kind: 'registry' | 'mirror'
  /** The registry that a mirror belongs to. */
  mirrorOf: string | null
  url: string
  namespace: string
  /** Patterns of the names that it is the authority of; none for a mirror. */
  names: string[]
  /** As configured. */
  mode: 'auto' | 'require' | 'off'
  /**
   * `unsigned`: it publishes no keys; what it serves is recorded on first use, not vouched for.
   * Null for a mirror: its registry's signatures count.
   */
  signatures: 'signed' | 'unsigned' | null
  tarballs: string
  /** `down`: it failed several times in a row and is not asked for a moment. */
  health: 'up' | 'down'
  keys: { keyid: string; expires: string | null; state: string; firstSeen: string }[]
}

/** What the parties are read from. */
export type TrustedPartiesNeeds = {
  upstreams: { list(): UpstreamRow[]; keys(upstream: string): UpstreamKeyRow[] }
  ownKeys: { current: PublishedKey; published(): ReadonlyMap<string, string> }
  /** How the server at an origin does. */
  stateOf: (origin: string) => BreakerState
  publicUrl: string
  /** The verifier key of the log. */
  vkey: string
}

/** The trusted parties. */
export class TrustedParties {
  readonly #needs: TrustedPartiesNeeds

  constructor(needs: TrustedPartiesNeeds) {
    this.#needs = needs
  }

  /** The body of `/-/npm/v1/keys`. */
  keysJson(): string {
    const { upstreams, ownKeys } = this.#needs
    const taken = new Map<string, string>()
    for (const { name, kind } of upstreams.list()) {
      for (const key of kind === 'registry' ? upstreams.keys(name) : []) {
        if (key.state !== 'pending' && !taken.has(key.keyid)) taken.set(key.keyid, key.json)
      }
    }
    for (const [keyid, json] of ownKeys.published()) {
      if (!taken.has(keyid)) taken.set(keyid, json)
    }
    return `{"keys":[${[...taken.values()].join(',')}]}`
  }

  /** The body of `/.well-known/did.json`. */
  didJson(): string {
    const { publicUrl, vkey, ownKeys } = this.#needs
    return didDocument({ publicUrl, vkey, key: ownKeys.current })
  }

  /** Our own signing key: what co-signs whatever its registry does not. */
  get ownKey(): PublishedKey {
    return this.#needs.ownKeys.current
  }

  /** Every registry and mirror in use. */
  list(): Party[] {
    return this.#needs.upstreams.list().map(row => this.#partyOf(row))
  }

  #partyOf(row: UpstreamRow): Party {
    const { name, kind, mirrorOf, url, namespace, names, tarballs } = row
    const isRegistry = kind === 'registry'
    const state = this.#needs.stateOf(new URL(url).origin)
    return {
      name,
      kind,
      mirrorOf,
      url,
      namespace,
      names: isRegistry ? names : [],
      mode: row.signatures,
      signatures: isRegistry ? signaturesOf(row) : null,
      tarballs,
      health: state === 'open' ? 'down' : 'up',
      keys: isRegistry ? this.#needs.upstreams.keys(name).map(shownKey) : [],
    }
  }
}

function signaturesOf(row: UpstreamRow): 'signed' | 'unsigned' {
  if (row.signatures === 'off') return 'unsigned'
  return row.signatures === 'require' || row.signsSince !== null ? 'signed' : 'unsigned'
}

function shownKey({ keyid, expires, state, firstSeen }: UpstreamKeyRow): Party['keys'][number] {
  return { keyid, expires, state, firstSeen }
}
