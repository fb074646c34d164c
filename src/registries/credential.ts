/**
 * A secret that opens one upstream: the value of its Authorization header.
 *
 * It shows itself to nobody who prints, serialises or compares it; `header()` is the only way in,
 * and the fetcher is its only caller.
 *
 * @module
 */
import { inspect } from 'node:util'
import { RegistryError } from './errors.ts'

/** A header value: visible ASCII and spaces (RFC 9110, section 5.5, without the obsolete part). */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/
const LENGTH_MAX = 8192
const SHOWN = '[credential]'

export class Credential {
  readonly #authorization: string

  /** @param authorization for example `Bearer npm_...` or `Basic ...` */
  constructor(authorization: string) {
    if (authorization.length > LENGTH_MAX || !HEADER_VALUE.test(authorization)) {
      // The value itself is not repeated: this text ends up in a log.
      throw new RegistryError('bad-request', 'a credential is one line of visible ASCII')
    }
    this.#authorization = authorization
  }

  header(): string {
    return this.#authorization
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [inspect.custom](): string {
    return SHOWN
  }
}
