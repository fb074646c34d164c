/**
 * npm's web login: a client begins it and asks again and again, a person confirms it on a page.
 *
 * Two random names for one login: the page's, which stands in the history of a browser and may be
 * passed on, and the client's, which nobody else learns and which alone brings the token. The token
 * is made when the client comes for it, once, so that none lies about. Logins that are under way
 * are in memory only: after a restart people begin again.
 * @module
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import { RegistryError } from '../errors.ts'
import type { Credentials, Login } from './login.ts'
import type { LoginLimits } from './login-limits.ts'

const NAME_BYTES = 24
/** Somebody has to find the password. */
const LOGIN_MS_MAX = 10 * 60_000
/** Far more than people log in at one time; the oldest go first. */
const UNDER_WAY_MAX = 2000
const AGENT_CHARS_MAX = 120

/** Who began a login, for the person who is asked to confirm it. */
export type LoginBegun = { address: string | null; agent: string }

type UnderWay = LoginBegun & { id: string; csrf: string; began: number; user: string | null }

export class WebLogins {
  readonly #login: Login
  readonly #limits: LoginLimits
  readonly #now: () => Date
  readonly #byDone = new LRUCache<string, UnderWay>(atMost(UNDER_WAY_MAX))
  readonly #byPage = new LRUCache<string, UnderWay>(atMost(UNDER_WAY_MAX))

  constructor(login: Login, limits: LoginLimits, now: () => Date) {
    this.#login = login
    this.#limits = limits
    this.#now = now
  }

  /** Begins one; answers with the two names. @throws RegistryError too-many-requests */
  begin(asks: LoginBegun): { page: string; done: string } {
    this.#limits.beginning(asks.address)
    const [page, done] = [randomName(), randomName()]
    const begun: UnderWay = {
      id: page,
      address: asks.address,
      agent: asks.agent.slice(0, AGENT_CHARS_MAX),
      csrf: randomName(),
      began: this.#now().getTime(),
      user: null,
    }
    this.#byPage.set(page, begun)
    this.#byDone.set(done, begun)
    return { page, done }
  }

  /** What the page shows, and what its form must bring back. @throws RegistryError not-found */
  asked(page: string): LoginBegun & { csrf: string } {
    const { address, agent, csrf } = this.#underWay(this.#byPage.get(page))
    return { address, agent, csrf }
  }

  /** Confirms one with a name and a password. @throws RegistryError as `Login` does, not-found */
  async confirm(
    page: string,
    given: Credentials,
    csrf: string,
    address: string | null,
  ): Promise<string> {
    const begun = this.#underWay(this.#byPage.get(page))
    if (!isSame(csrf, begun.csrf)) {
      throw new RegistryError('forbidden', 'this form is not the one of this login: open it again')
    }
    begun.user = await this.#login.enter(given, address)
    this.#byPage.delete(page)
    return begun.user
  }

  /** The token, once; null as long as nobody confirmed. @throws RegistryError not-found */
  collect(done: string): string | null {
    const begun = this.#underWay(this.#byDone.get(done))
    if (begun.user === null) return null
    this.#byDone.delete(done)
    return this.#login.issue(begun.user, `npm login, ${begun.agent}`)
  }

  #underWay(begun: UnderWay | undefined): UnderWay {
    if (begun !== undefined && this.#now().getTime() - begun.began < LOGIN_MS_MAX) return begun
    throw new RegistryError('not-found', 'there is no such login, or it is over: begin again')
  }
}

function randomName(): string {
  return randomBytes(NAME_BYTES).toString('base64url')
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
