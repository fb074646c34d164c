/**
 * Which keys may vouch for the names of one registry, and whether it must sign at all.
 *
 * CONTRACT "npm signatures, keys", mode `auto`: a registry that publishes no keys is recorded as
 * unsigned on first use; one that ever published keys must sign from then on and never goes back
 * by itself. Keys of the first use are taken; a later new key waits for approval; a key that is no
 * longer published keeps vouching for what it signed. A registry whose keys cannot be asked for is
 * never taken for one that has none. Signatures themselves are checked in signature.ts.
 * @module
 */
import type { UpstreamKeyRow, Upstreams } from '../db/upstreams.ts'
import type { RegistryDb } from '../db/registry-db.ts'
import type { Log } from '../log/log.ts'
import { RegistryError } from './errors.ts'
import type { TrustedKey } from './inspect.ts'
import type { RegistryKey } from './keys.ts'
import { KEY_TYPE, parseKeys } from './keys.ts'
import { timestamp } from './timestamp.ts'
import { SingleFlight } from './single-flight.ts'
import type { Upstream } from './upstream.ts'

/** Keys change once in years; asking every ten minutes notices a change the same day. */
const KEYS_FRESH_MS = 10 * 60 * 1000
/** After a failed question the stored keys serve this long before the next try. */
const KEYS_RETRY_MS = 30 * 1000

/** What a packument of this registry is judged by. */
export type Judgement = { keys: TrustedKey[]; signs: boolean }

/** What trust is kept in. @property name the upstream's name */
export type TrustNeeds = {
  name: string
  namespace: string
  mode: 'auto' | 'require' | 'off'
  upstream: Upstream
  store: Upstreams
  db: RegistryDb
  log: Log
  now: () => Date
  warn: (message: string) => void
}

/** Trust in one registry. */
export class Trust {
  readonly #needs: TrustNeeds
  readonly #flight = new SingleFlight<void>()
  #askAgainMs = 0

  constructor(needs: TrustNeeds) {
    this.#needs = needs
  }

  /** The keys and the rule in force now. @throws RegistryError when they were never learnt and cannot be */
  async judgement(): Promise<Judgement> {
    if (this.#needs.mode === 'off') return { keys: [], signs: false }
    if (this.#needs.now().getTime() >= this.#askAgainMs) {
      await this.#flight.run('keys', () => this.#ask())
    }
    return this.stored()
  }

  /** The keys and the rule as stored, without asking anybody. */
  stored(): Judgement {
    const signs = this.#needs.mode === 'require' || this.#signsSince() !== null
    const keys = this.keys()
      .filter(key => key.state !== 'pending')
      .map(({ keyid, spki, expires }) => ({ keyid, spki, expires }))
    return { keys, signs }
  }

  /** Every key ever seen of this registry, approved or not. */
  keys(): UpstreamKeyRow[] {
    return this.#needs.store.keys(this.#needs.name)
  }

  #signsSince(): string | null {
    return this.#needs.store.get(this.#needs.name)?.signsSince ?? null
  }

  async #ask(): Promise<void> {
    const asked = this.#needs.now().getTime()
    let answer: Uint8Array | 'none'
    try {
      answer = await this.#needs.upstream.fetchKeys()
    } catch (error) {
      // What was learnt before stays in force; what was never learnt cannot be assumed.
      if (this.#signsSince() === null) throw error
      this.#askAgainMs = asked + KEYS_RETRY_MS
      this.#needs.warn(`keys of ${this.#needs.name} cannot be asked for: ${String(error)}`)
      return
    }
    if (answer === 'none') this.#learnNone()
    else this.#learn(parseKeys(answer))
    this.#askAgainMs = asked + KEYS_FRESH_MS
  }

  #learnNone(): void {
    if (this.#signsSince() === null) return
    this.#needs.warn(
      `${this.#needs.name} published keys before and publishes none now: its signatures stay required`,
    )
  }

  #learn(found: { keys: RegistryKey[]; refused: { keyid: string; reason: string }[] }): void {
    const { name, store } = this.#needs
    for (const { keyid, reason } of found.refused) {
      this.#needs.warn(`a key of ${name} is refused: ${keyid}: ${reason}`)
    }
    if (found.keys.length === 0) {
      if (found.refused.length === 0) return this.#learnNone()
      throw new RegistryError('upstream-bad-answer', `${name} publishes keys, none of them usable`)
    }
    const known = new Map(store.keys(name).map(key => [key.keyid, key]))
    if (known.size === 0) return this.#takeFirst(found.keys)
    for (const key of found.keys) {
      const before = known.get(key.keyid)
      if (before === undefined) this.#holdBack(key)
      else if (key.expires !== null && isEarlier(key.expires, before.expires)) {
        store.setKeyExpiry(name, key.keyid, key.expires, key.json)
      }
    }
  }

  /** First use: the keys are taken, the ratchet is set, each key is a leaf of the log. */
  #takeFirst(keys: readonly RegistryKey[]): void {
    const { name, namespace, store, log, db } = this.#needs
    const firstSeen = timestamp(this.#needs.now())
    db.transaction(() => {
      const outcomes = log.append(
        keys.map(({ keyid, spki, expires }) => ({
          kind: 'registry-key',
          action: 'add',
          namespace,
          keyid,
          spki,
          expires,
        })),
      )
      keys.forEach((key, i) => {
        const leafIdx = outcomes[i]?.index ?? null
        store.addKey({ ...keyRow(name, key, firstSeen), state: 'approved', leafIdx })
      })
      store.markSigns(name, firstSeen)
    })
    log.publish()
  }

  #holdBack(key: RegistryKey): void {
    const { name, store } = this.#needs
    const firstSeen = timestamp(this.#needs.now())
    store.addKey({ ...keyRow(name, key, firstSeen), state: 'pending' })
    this.#needs.warn(`${name} publishes a new key ${key.keyid}: refused until it is approved`)
  }
}

/** An earlier end of a key is taken at once; a later one would let an old key speak again. */
function isEarlier(expires: string, before: string | null): boolean {
  return before === null || Date.parse(expires) < Date.parse(before)
}

function keyRow(
  upstream: string,
  key: RegistryKey,
  firstSeen: string,
): Omit<UpstreamKeyRow, 'state'> {
  const { keyid, spki, expires, json } = key
  return {
    upstream,
    keyid,
    keytype: KEY_TYPE,
    scheme: KEY_TYPE,
    spki,
    expires,
    json,
    firstSeen,
    leafIdx: null,
  }
}
