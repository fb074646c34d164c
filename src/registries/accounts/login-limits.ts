/**
 * How often somebody may try: failed logins, new accounts, logins begun.
 *
 * Three counts stand against guessing, all in memory and over in a minute: by address and name, by
 * address, by name. The last one is for an attack from everywhere; it lets the first attempt of
 * each address through, so that nobody can be kept out of an account by others who guess at it. An
 * attempt counts when it begins, since many may be under way at once, and is taken back when it
 * succeeds. A process that starts again forgets all of it: a minute's worth.
 * @module
 */
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import { RegistryError } from '../errors.ts'

const WINDOW_MS = 60_000
const TRIES_BY_PAIR_MAX = 10
/** An office behind one address has more than one person who mistypes. */
const TRIES_BY_ADDRESS_MAX = 30
const TRIES_BY_NAME_MAX = 50
const HOUR_MS = 3_600_000
/** A family or an office; who needs more asks the admin. */
const REGISTRATIONS_PER_HOUR_MAX = 5
/** `npm login` begins one each time. */
const BEGINNINGS_PER_MINUTE_MAX = 30
/** Counts remembered, some hundred bytes each; a flood forgets the oldest first. */
const COUNTED_MAX = 20_000
/** Nobody's name is longer: what is sent in place of one is not remembered at length. */
const NAME_CHARS_MAX = 64
/** The part of an IPv6 address that one customer has for himself. */
const IPV6_SITE_BITS = 64

type Count = { tries: number; endsMs: number }

/** An attempt under way. */
export type Attempt = { succeeded(): void }

export class LoginLimits {
  readonly #now: () => Date
  readonly #counts = new LRUCache<string, Count>(atMost(COUNTED_MAX))

  constructor(now: () => Date) {
    this.#now = now
  }

  /** Begins an attempt to log in. @throws RegistryError too-many-requests with when to come back */
  attempt(given: string, address: string | null): Attempt {
    const site = siteOf(address)
    const name = given.length > NAME_CHARS_MAX ? '' : given
    const pair = `pair ${site} ${name}`
    const [byAddress, byName] = [`address ${site}`, `name ${name}`]
    const isFirst = this.#live(pair) === null
    this.#assertBelow(pair, TRIES_BY_PAIR_MAX, 'failed logins')
    this.#assertBelow(byAddress, TRIES_BY_ADDRESS_MAX, 'failed logins')
    if (!isFirst) this.#assertBelow(byName, TRIES_BY_NAME_MAX, 'failed logins')
    const counted = [pair, byAddress, byName]
    for (const key of counted) this.#count(key, WINDOW_MS)
    return { succeeded: () => counted.forEach(key => this.#takeBack(key)) }
  }

  /** Counts an account that is to be made. @throws RegistryError too-many-requests */
  registration(address: string | null): void {
    this.#once(`registration ${siteOf(address)}`, REGISTRATIONS_PER_HOUR_MAX, HOUR_MS, 'accounts')
  }

  /** Counts a web login that begins. @throws RegistryError too-many-requests */
  beginning(address: string | null): void {
    const key = `beginning ${siteOf(address)}`
    this.#once(key, BEGINNINGS_PER_MINUTE_MAX, WINDOW_MS, 'logins that were begun')
  }

  #once(key: string, max: number, windowMs: number, what: string): void {
    this.#assertBelow(key, max, what)
    this.#count(key, windowMs)
  }

  #assertBelow(key: string, max: number, what: string): void {
    const count = this.#live(key)
    if (count === null || count.tries < max) return
    const seconds = Math.max(1, Math.ceil((count.endsMs - this.#now().getTime()) / 1000))
    const message = `too many ${what}: try again in ${seconds} s`
    throw new RegistryError('too-many-requests', message, { retryAfterSeconds: seconds })
  }

  #live(key: string): Count | null {
    const count = this.#counts.get(key)
    return count === undefined || count.endsMs <= this.#now().getTime() ? null : count
  }

  #count(key: string, windowMs: number): void {
    const count = this.#live(key)
    if (count !== null) count.tries += 1
    else this.#counts.set(key, { tries: 1, endsMs: this.#now().getTime() + windowMs })
  }

  #takeBack(key: string): void {
    const count = this.#live(key)
    if (count !== null) count.tries -= 1
  }
}

/** What counts as one place: an IPv4 address, or the network of an IPv6 one. */
function siteOf(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return 'unknown'
  const here = ipaddr.process(address)
  if (here instanceof ipaddr.IPv4) return here.toString()
  const bytes = here.toByteArray().slice(0, IPV6_SITE_BITS / 8)
  return Buffer.from(bytes).toString('hex')
}
