/**
 * Secrets that open one upstream: the value of its Authorization header, and a client certificate
 * with its key.
 *
 * They show themselves to nobody who prints, serialises or compares them; `header()` and `pair()`
 * are the only ways in, and what sends requests is their only caller.
 *
 * @module
 */
import { inspect } from 'node:util'
import { RegistryError } from '../errors.ts'

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

/** What a client shows in a TLS handshake (RFC 8446, section 4.4.2). */
export class ClientCertificate {
  readonly #cert: string
  readonly #key: string

  /** @param cert PEM, its issuers after it @param key PEM of its private key, not encrypted */
  constructor(cert: string, key: string) {
    this.#cert = cert
    this.#key = key
  }

  pair(): { cert: string; key: string } {
    return { cert: this.#cert, key: this.#key }
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
