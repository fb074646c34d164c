/**
 * Sessions of browsers: a token of kind `session` in a cookie that no script can read and that no
 * other site's request carries (RFC 6265bis: HttpOnly, SameSite=Strict).
 *
 * What changes something needs the session's CSRF token in a header as well. It is derived from the
 * secret of the session, so there is nothing to keep; it opens nothing by itself.
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { ANONYMOUS, type Identity } from '../registries/accounts/access.ts'
import type { Accounts } from '../registries/accounts/accounts.ts'
import { RegistryError } from '../registries/errors.ts'

/** The name of the cookie. */
export const SESSION_COOKIE = 'npmx-registry-session'
/** The header that says that a page of ours meant it. */
export const CSRF_HEADER = 'x-csrf-token'

const PAIR = new RegExp(`(?:^|;)\\s*${SESSION_COOKIE}=([\\w-]{1,128})(?:;|$)`)

export type BrowserSessionsNeeds = {
  accounts: Pick<Accounts, 'identify' | 'tokenOf'>
  /** Public URL, ends in `/`. */
  base: string
}

/** Reads and writes the cookie. */
export class BrowserSessions {
  readonly #needs: BrowserSessionsNeeds
  readonly #attributes: string

  constructor(needs: BrowserSessionsNeeds) {
    this.#needs = needs
    const { pathname, protocol } = new URL(needs.base)
    const secure = protocol === 'https:' ? '; Secure' : ''
    this.#attributes = `Path=${pathname}-/; HttpOnly; SameSite=Strict${secure}`
  }

  /** Whose session this is. @throws RegistryError forbidden for a change without its CSRF token */
  identify(request: Request, address: string | null, isChange: boolean): Identity {
    const secret = this.secretIn(request)
    if (secret === null) return ANONYMOUS
    const identity = this.#needs.accounts.identify(`Bearer ${secret}`, address)
    if (identity.role !== 'anonymous' && isChange) this.#assertMeant(request, secret)
    return identity
  }

  /** The secret of the session that a request carries; null for none, and for any other token. */
  secretIn(request: Request): string | null {
    const secret = PAIR.exec(request.headers.get('cookie') ?? '')?.[1]
    if (secret === undefined) return null
    return this.#needs.accounts.tokenOf(secret)?.kind === 'session' ? secret : null
  }

  /** What a page sends in the header with every change. */
  csrfOf(secret: string): string {
    return createHmac('sha256', secret).update('npmx-registry csrf').digest('base64url')
  }

  cookieOf(secret: string, seconds: number): string {
    return `${SESSION_COOKIE}=${secret}; Max-Age=${seconds}; ${this.#attributes}`
  }

  endedCookie(): string {
    return `${SESSION_COOKIE}=; Max-Age=0; ${this.#attributes}`
  }

  #assertMeant(request: Request, secret: string): void {
    const expected = Buffer.from(this.csrfOf(secret))
    const given = Buffer.from(request.headers.get(CSRF_HEADER) ?? '')
    if (given.length === expected.length && timingSafeEqual(given, expected)) return
    const why = `a change in a session needs its token in the header ${CSRF_HEADER}`
    throw new RegistryError('forbidden', why)
  }
}
