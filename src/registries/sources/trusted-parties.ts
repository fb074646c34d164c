/**
 * Whom this instance trusts for what, as it is told to everybody: the registries and mirrors in
 * use, how far they sign, how they are, and the union of their keys plus our own.
 *
 * Keys that wait for approval vouch for nothing here and are not handed on; neither is any key of a
 * mirror, which vouches for nothing ever. A key that its registry no longer publishes stays: what it
 * signed is still served. One that the operator retired does not: an audit is to tell who has what
 * it signed. Our own keys stay, also those that signed before the one that does.
 * Clients do not bind a key to the packages of its registry; this server does (signature.ts),
 * before it serves anything.
 * @module
 */
import type { UpstreamKeyRow, UpstreamRow } from '../../db/upstreams.ts'
import type { BreakerState } from '../fetch/breaker.ts'
import { didDocument } from '../keys/did.ts'
import type { OwnKeys, PublishedKey } from '../keys/own-key.ts'
import type { Sources } from './source.ts'
import type { Signing } from './trust.ts'

/** One registry or mirror as `/-/registries` shows it. */
export type Party = {
  name: string
  /** `hosted`: what lives here. */
  kind: 'registry' | 'mirror' | 'hosted'
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
   * `unknown`: it was not asked yet. Null for a mirror: its registry's signatures count.
   */
  signatures: Signing | null
  tarballs: string
  /** Further origins that may send its tarballs. */
  tarballOrigins: string[]
  /** It re-issues the bytes of versions: each content of one has a record (revisions.ts). */
  revisions: boolean
  /** Since when versions are offered only after a look into their tarballs; null: they need none. */
  strictSince: string | null
  /** `down`: it failed several times in a row and is not asked for a moment. */
  health: 'up' | 'down'
  keys: { keyid: string; expires: string | null; state: string; firstSeen: string }[]
}

/** What the parties are read from. @property inUse what is known of each registry's signatures */
export type TrustedPartiesNeeds = {
  inUse: Pick<Sources, 'get'>
  /** Is this a package that not everybody may know of? */
  isPrivate: (name: string) => boolean
  upstreams: { list(): UpstreamRow[]; keys(upstream: string): UpstreamKeyRow[] }
  ownKeys: Pick<OwnKeys, 'current' | 'former' | 'published'>
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
      for (const key of kind === 'mirror' ? [] : upstreams.keys(name)) {
        if (key.state === 'pending' || key.state === 'retired') continue
        if (!taken.has(key.keyid)) taken.set(key.keyid, key.json)
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
    const [key, formerKeys] = [ownKeys.current, ownKeys.former()]
    return didDocument({ publicUrl, vkey, key, formerKeys })
  }

  /** Our own signing key: what co-signs whatever its registry does not. */
  get ownKey(): PublishedKey {
    return this.#needs.ownKeys.current
  }

  /** Every registry and mirror in use; the one in the house as soon as a name is its own. */
  list(): Party[] {
    const rows = this.#needs.upstreams.list()
    return rows.filter(isUsed).map(row => this.#partyOf(row))
  }

  #partyOf(row: UpstreamRow): Party {
    const { name, kind, mirrorOf, url, namespace, names, tarballs } = row
    const isRegistry = kind !== 'mirror'
    const state = this.#needs.stateOf(new URL(url).origin)
    return {
      name,
      kind,
      mirrorOf,
      url,
      namespace,
      names: isRegistry ? names.filter(each => !this.#needs.isPrivate(each)) : [],
      mode: row.signatures,
      signatures: isRegistry ? signingOf(row, this.#needs.inUse) : null,
      tarballs,
      tarballOrigins: row.tarballOrigins,
      revisions: row.revisions,
      strictSince: row.strictSince,
      health: state === 'open' ? 'down' : 'up',
      keys: isRegistry ? this.#needs.upstreams.keys(name).map(shownKey) : [],
    }
  }
}

function isUsed({ kind, names }: UpstreamRow): boolean {
  return kind !== 'hosted' || names.length > 0
}

/** What is known of a registry's signatures; of one that is not in use, nothing. */
export function signingOf({ name, kind }: UpstreamRow, inUse: Pick<Sources, 'get'>): Signing {
  // What lives here is signed by our own key, whatever the row says.
  if (kind === 'hosted') return 'signed'
  return inUse.get(name)?.trust.signing ?? 'unknown'
}

function shownKey({ keyid, expires, state, firstSeen }: UpstreamKeyRow): Party['keys'][number] {
  return { keyid, expires, state, firstSeen }
}
