/**
 * The keys of an issuer of id tokens, and whether a token is signed by one of them.
 *
 * OpenID Connect Discovery 1.0, section 4 (`/.well-known/openid-configuration`), JWK Set (RFC 7517),
 * JWT (RFC 7519), best practice (RFC 8725): the algorithm is one of a list, the issuer is the one
 * that was asked for, the audience is this registry alone. Whoever calls names the issuer, never the
 * token; keys come from the issuer's own origin. Whether the issuer is allowed is not decided here.
 *
 * @module
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { LRUCache } from 'lru-cache'
import { RegistryError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { SingleFlight } from '../single-flight.ts'

/** No `none`, and nothing that a public key could be mistaken for a secret of. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'EdDSA']
/** Clocks of CI systems are kept well. */
const CLOCK_TOLERANCE_SECONDS = 30
/** A job runs for hours and gets its token at its beginning; nothing is good for longer. */
const AGE_MAX = '24h'
/** Issuers say new keys long before they sign with them. */
const FRESH_MS = 10 * 60_000
/** A key that nobody knows makes us look again, but not more often than this. */
const RETRY_MS = 30_000
/** Real ones have 5 kB. */
const DOCUMENT_BYTES_MAX = 256 * 1024
const KEYS_MAX = 50
/** Issuers whose keys are remembered: some CI systems have one for each customer. */
const ISSUERS_MAX = 200

const Discovery = Type.Object({ issuer: Type.String(), jwks_uri: Type.String() })
const Keys = Type.Object({
  keys: Type.Array(Type.Object({ kty: Type.String() }), { maxItems: KEYS_MAX }),
})

/** Real ones have 1 to 3 kB; the whole head of a request is at most 16. */
const ID_TOKEN_CHARS_MAX = 12 * 1024

/** The names that this registry goes by in a token. */
export type Audiences = readonly string[]

/** Loaded with the first id token: a start has other things to do. */
const loadJose = () => import('jose')

type Jose = Awaited<ReturnType<typeof loadJose>>
type Held = { keys: JSONWebKeySet; fetchedMs: number }
type Failure = { error: RegistryError; failedMs: number }

export class IssuerKeys {
  readonly #fetcher: Pick<Fetcher, 'get'>
  readonly #now: () => Date
  readonly #held = new LRUCache<string, Held>({ max: ISSUERS_MAX })
  readonly #failures = new LRUCache<string, Failure>({ max: ISSUERS_MAX })
  readonly #flights = new SingleFlight<Held>()

  constructor(fetcher: Pick<Fetcher, 'get'>, now: () => Date) {
    this.#fetcher = fetcher
    this.#now = now
  }

  /** The claims of a token. Throws `unauthorized`, and `upstream-…` when the issuer cannot be asked. */
  async verify(token: string, issuer: string, audiences: Audiences): Promise<JWTPayload> {
    const jose = await loadJose()
    const held = await this.#keysOf(issuer, FRESH_MS)
    try {
      return await this.#check(jose, token, held, issuer, audiences)
    } catch (error) {
      if (!(error instanceof jose.errors.JWKSNoMatchingKey)) throw refusal(jose, error)
    }
    const renewed = await this.#keysOf(issuer, RETRY_MS)
    try {
      return await this.#check(jose, token, renewed, issuer, audiences)
    } catch (error) {
      throw refusal(jose, error)
    }
  }

  async #check(jose: Jose, token: string, { keys }: Held, issuer: string, audiences: Audiences) {
    const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet(keys), {
      issuer,
      audience: [...audiences],
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      maxTokenAge: AGE_MAX,
      requiredClaims: ['exp', 'iat', 'sub'],
      currentDate: this.#now(),
    })
    // A token for several audiences could be one that another of them passes on.
    const isAlone = !Array.isArray(payload.aud) || payload.aud.length === 1
    if (isAlone) return payload
    throw new jose.errors.JWTClaimValidationFailed('several audiences', payload, 'aud')
  }

  async #keysOf(issuer: string, ageMsMax: number): Promise<Held> {
    const held = this.#held.get(issuer)
    if (held !== undefined && this.#now().getTime() - held.fetchedMs < ageMsMax) return held
    return await this.#flights.run(issuer, () => this.#renew(issuer))
  }

  // An issuer that is down is not asked anew by everybody who names it.
  async #renew(issuer: string): Promise<Held> {
    const failure = this.#failures.get(issuer)
    const nowMs = this.#now().getTime()
    if (failure !== undefined && nowMs - failure.failedMs < RETRY_MS) throw failure.error
    try {
      const fetched = { keys: await this.#fetch(issuer), fetchedMs: nowMs }
      this.#held.set(issuer, fetched)
      return fetched
    } catch (error) {
      if (error instanceof RegistryError) this.#failures.set(issuer, { error, failedMs: nowMs })
      throw error
    }
  }

  async #fetch(issuer: string): Promise<JSONWebKeySet> {
    const { origin } = new URL(issuer)
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found: unknown = await this.#json(origin, url)
    if (!Value.Check(Discovery, found) || found.issuer !== issuer) {
      throw badAnswer(issuer, 'does not describe itself under this name')
    }
    if (URL.parse(found.jwks_uri)?.origin !== origin) {
      throw badAnswer(issuer, 'has its keys at another origin')
    }
    const keys: unknown = await this.#json(origin, found.jwks_uri)
    if (!Value.Check(Keys, keys)) throw badAnswer(issuer, 'has no keys that can be read')
    return keys
  }

  async #json(origin: string, url: string): Promise<unknown> {
    const headers = { accept: 'application/json' }
    const request = { site: { origin }, url, headers, bytesMax: DOCUMENT_BYTES_MAX }
    const { status, bytes } = await this.#fetcher.get(request)
    if (status !== 200) throw badAnswer(origin, `answers ${status} for ${new URL(url).pathname}`)
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    } catch {
      throw badAnswer(origin, 'answers with something that is no JSON')
    }
  }
}

function refusal({ errors }: Jose, error: unknown): unknown {
  if (!(error instanceof errors.JOSEError)) return error
  const why = error instanceof errors.JWTClaimValidationFailed ? `its "${error.claim}"` : error.code
  return new RegistryError('unauthorized', `this id token is not taken: ${why}`, {}, error)
}

function badAnswer(issuer: string, why: string): RegistryError {
  return new RegistryError('upstream-bad-answer', `the issuer ${issuer} ${why}`)
}

/** What a token says of itself, before anybody has checked it. @throws RegistryError unauthorized */
export async function readClaims(idToken: string): Promise<JWTPayload> {
  if (idToken.length > ID_TOKEN_CHARS_MAX) {
    throw new RegistryError('unauthorized', 'this id token is too long')
  }
  const { decodeJwt, errors } = await loadJose()
  try {
    return decodeJwt(idToken)
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error
    throw new RegistryError('unauthorized', 'this is no id token: no JWT can be read in it')
  }
}
