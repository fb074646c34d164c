/**
 * Which keys may vouch for the names of one registry, and whether it must sign at all.
 *
 * CONTRACT "npm signatures, keys", mode `auto`: a registry that publishes no keys is recorded as
 * unsigned on first use; one that ever published keys must sign from then on and never goes back
 * by itself. Keys of the first use are taken; a later new key waits for approval; a key that is no
 * longer published keeps vouching for what it signed; a retired one vouches for nothing new, for
 * ever. An earlier end of a key is believed at once, a later one never. Whatever changes what is
 * trusted is a leaf of the log, in the same transaction. A registry whose keys cannot be asked for
 * is never taken for one that has none. Signatures themselves are checked in signature.ts.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { JudgedKey, KeyState, UpstreamKeyRow, Upstreams } from '../../db/upstreams.ts'
import type { KeyLeaf } from '../../log/leaf.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Log } from '../../log/log.ts'
import { RegistryError } from '../errors.ts'
import type { TrustedKey } from '../packument/inspect.ts'
import { recordKeyChange } from './key-change.ts'
import type { RegistryKey } from '../keys/keys.ts'
import { KEY_TYPE, parseKeys } from '../keys/keys.ts'
import { timestamp } from '../timestamp.ts'
import { SingleFlight } from '../single-flight.ts'
import type { Upstream } from './upstream.ts'

/** Keys change once in years; asking every ten minutes notices a change the same day. */
const KEYS_FRESH_MS = 10 * 60 * 1000
/** After a failed question the stored keys serve this long before the next try. */
const KEYS_RETRY_MS = 30 * 1000

/** What a packument of this registry is judged by. */
export type Judgement = { keys: TrustedKey[]; signs: boolean }

/**
 * What is known of a registry's signatures. `unsigned`: it said that it has no keys, so what it
 * serves is recorded on first use; `unknown`: it was not asked yet.
 */
export type Signing = 'signed' | 'unsigned' | 'unknown'

/**
 * What trust is kept in.
 * @property name the upstream's name
 * @property isOurs it is this registry itself
 */
export type TrustNeeds = {
  name: string
  isOurs?: boolean
  namespace: string
  mode: 'auto' | 'require' | 'off'
  upstream: Pick<Upstream, 'fetchKeys'>
  store: Upstreams
  incidents: Incidents
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
  /** It said in this process that it has no keys. */
  #isUnsigned = false
  #changedMs: number

  constructor(needs: TrustNeeds) {
    this.#needs = needs
    this.#changedMs = needs.now().getTime()
  }

  /**
   * Since when the keys in force are in force, as far as this process knows. A version that was
   * refused for its signature before then may be good now: its document is inspected again.
   */
  get changedMs(): number {
    return this.#changedMs
  }

  /** The keys and the rule in force now. @throws RegistryError when they were never learnt and cannot be */
  async judgement(): Promise<Judgement> {
    if (this.#needs.mode !== 'off' && this.#needs.now().getTime() >= this.#askAgainMs) {
      await this.#flight.run('keys', () => this.#ask())
    }
    return this.stored()
  }

  /** Is it known whether this registry signs? Until then nobody can vouch for it in its absence. */
  get isLearnt(): boolean {
    return this.#needs.mode !== 'auto' || this.#signsSince() !== null || this.#isUnsigned
  }

  /** What everybody is told of its signatures. */
  get signing(): Signing {
    const { mode, store, namespace } = this.#needs
    if (mode === 'off') return 'unsigned'
    if (this.stored().signs) return 'signed'
    // Nothing is recorded of a registry before it was asked: in an earlier process it said so.
    return this.#isUnsigned || store.hasRecords(namespace) ? 'unsigned' : 'unknown'
  }

  /** It was asked by somebody else just now, and has no keys. */
  notePublishesNone(): void {
    this.#isUnsigned = true
  }

  /** The keys and the rule as stored, without asking anybody. */
  stored(): Judgement {
    if (this.#needs.mode === 'off') return { keys: [], signs: false }
    const signs = this.#needs.mode === 'require' || this.#signsSince() !== null
    // What we signed before we took another key stays good; of what is private there is no record
    // that would say so.
    const doesVouch = ({ state }: JudgedKey) =>
      state !== 'pending' && (state !== 'retired' || this.#needs.isOurs === true)
    const keys = this.#needs.store
      .judgedKeys(this.#needs.name)
      .filter(doesVouch)
      .map(({ keyid, spki, expires }) => ({ keyid, spki, expires }))
    return { keys, signs }
  }

  /** Every key ever seen of this registry, approved or not. */
  keys(): UpstreamKeyRow[] {
    return this.#needs.store.keys(this.#needs.name)
  }

  /**
   * Lets a pending key vouch from now on. Approving an approved key changes nothing.
   * @param along runs in the transaction of the change, for what must not be without it
   * @throws RegistryError not-found, or conflict for a retired key
   */
  approve(keyid: string, along: (row: UpstreamKeyRow) => void = noop): UpstreamKeyRow {
    const key = this.#known(keyid)
    if (key.state === 'retired') {
      const sentence = `the key ${keyid} of ${this.#needs.name} was retired and cannot come back`
      throw new RegistryError('conflict', sentence)
    }
    if (key.state !== 'pending') return key
    const approved = this.#change(key, 'add', 'approved', along)
    // Past the current millisecond: an inspection that began in it may have seen the old keys.
    this.#changedMs = this.#needs.now().getTime() + 1
    return approved
  }

  /**
   * Ends a key: it vouches for no version that is not in the log yet, and cannot come back. What it
   * signed before is served, but the key leaves `/-/npm/v1/keys`, so that audits tell who has it.
   * Retiring twice changes nothing.
   * @param along as in `approve`
   * @throws RegistryError not-found
   */
  retire(keyid: string, along: (row: UpstreamKeyRow) => void = noop): UpstreamKeyRow {
    const key = this.#known(keyid)
    return key.state === 'retired' ? key : this.#change(key, 'retire', 'retired', along)
  }

  /** Takes a key of our own at once: nobody has to approve what this server itself signs with. */
  adopt(key: RegistryKey): void {
    const known = this.keys().find(({ keyid }) => keyid === key.keyid)
    if (known === undefined) this.#takeFirst([key])
    else if (known.state !== 'approved') this.approve(key.keyid)
  }

  #known(keyid: string): UpstreamKeyRow {
    const key = this.keys().find(row => row.keyid === keyid)
    if (key !== undefined) return key
    throw new RegistryError('not-found', `${this.#needs.name} has no key ${keyid}`)
  }

  /** A key's new state and its leaf, in one transaction. */
  #change(
    key: UpstreamKeyRow,
    action: KeyLeaf['action'],
    state: KeyState,
    along: (row: UpstreamKeyRow) => void,
  ): UpstreamKeyRow {
    const { name, store, log, db } = this.#needs
    return db.transaction(() => {
      const [leafIdx = null] = this.#logKeys(action, [key])
      store.setKeyState(name, key.keyid, state)
      if (action === 'add') {
        if (leafIdx !== null) store.setKeyLeaf(name, key.keyid, leafIdx)
        store.markSigns(name, timestamp(this.#needs.now()))
      }
      const row = this.#known(key.keyid)
      along(row)
      db.afterCommit(() => log.publish())
      return row
    })
  }

  /** Writes leaves about keys, in the caller's transaction. @returns their indexes */
  #logKeys(action: KeyLeaf['action'], keys: readonly TrustedKey[]): number[] {
    const { namespace, log } = this.#needs
    const leaves = keys.map(({ keyid, spki, expires }): KeyLeaf => {
      return { kind: 'registry-key', action, namespace, keyid, spki, expires }
    })
    return log.append(leaves).map(({ index }) => index)
  }

  #signsSince(): string | null {
    return this.#needs.store.signsSince(this.#needs.name)
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
    this.#isUnsigned = true
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
        this.#narrow({ ...key, expires: key.expires }, before)
      }
    }
  }

  /** First use: the keys are taken, the ratchet is set, each key is a leaf of the log. */
  #takeFirst(keys: readonly RegistryKey[]): void {
    const { name, store, log, db } = this.#needs
    const firstSeen = timestamp(this.#needs.now())
    db.transaction(() => {
      const indexes = this.#logKeys('add', keys)
      keys.forEach((key, i) => {
        const leafIdx = indexes[i] ?? null
        store.addKey({ ...keyRow(name, key, firstSeen), state: 'approved', leafIdx })
      })
      store.markSigns(name, firstSeen)
    })
    log.publish()
  }

  /** An earlier end: of a key that vouches it is logged, as the same key with that end. */
  #narrow(key: RegistryKey & { expires: string }, before: UpstreamKeyRow): void {
    const { name, store, log, db } = this.#needs
    db.transaction(() => {
      if (before.state === 'approved') this.#logKeys('add', [key])
      store.setKeyExpiry(name, key.keyid, key.expires, key.json)
    })
    log.publish()
  }

  #holdBack(key: RegistryKey): void {
    const { name, store } = this.#needs
    const firstSeen = timestamp(this.#needs.now())
    store.addKey({ ...keyRow(name, key, firstSeen), state: 'pending' })
    recordKeyChange(this.#needs, key.keyid, firstSeen)
  }
}

function noop(): void {}

/** An earlier end of a key is taken at once; a later one would let an old key speak again. */
function isEarlier(expires: string, before: string | null): boolean {
  return before === null || Date.parse(expires) < Date.parse(before)
}

/** A key as it is kept, but for its state. */
export function keyRow(
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
