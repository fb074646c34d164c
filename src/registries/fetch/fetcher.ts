/**
 * The one outbound HTTP client of the program: nothing else calls `fetch`.
 *
 * - goes to origins that the operator listed, and on to public https hosts where a caller allows it
 *   (`hops.ts`, `addresses.ts`); follows redirects itself, at most five, and drops credentials and
 *   headers for good once the origin changes;
 * - everything is bounded: requests at once, requests in line, time to the headers, pace of the
 *   body, its bytes after decompression;
 * - a body that is cut, too long or broken is an error and never a result;
 * - a request that only reads is tried again, at most twice; an origin that is down is not asked
 *   for a while (`breaker.ts`), so that its clients are answered at once.
 *
 * The runtime does not tell connecting from waiting for headers, so one time limit covers both. It
 * prints "Decompression error" to stderr by itself when a compressed body is broken.
 *
 * @module
 */
import { lookupAddresses } from '../addresses.ts'
import { Breaker } from './breaker.ts'
import { RegistryError } from '../errors.ts'
import { FETCH_LIMITS } from './fetch-limits.ts'
import { checkRedirect, checkStart, findTargets, plainHeaders, tlsOf } from './hops.ts'
import { Lane } from '../lane.ts'
import { parseContentLength, parseRetryAfter } from '../http-headers.ts'
import { BodyReader, readAll } from './read-body.ts'
import { openStream } from './stream-body.ts'
import { downError, networkError, UnreachableError } from './unreachable.ts'
import type { Lookup } from '../addresses.ts'
import type { BreakerState } from './breaker.ts'
import type { FetchLimits } from './fetch-limits.ts'
import type { Site, Target } from './hops.ts'
import type { Pace } from './read-body.ts'

/** Hops after which it is a loop: one to a mirror and one to its storage are usual. */
const REDIRECTS_MAX = 5
/** Bodies of errors are read only to keep the connection, and for a sentence. */
const ERROR_BYTES_MAX = 64 * 1024

const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308])
const RETRY_STATUSES = new Set([429, 502, 503, 504])
/** Nobody else sets these: they say who we are and what we know. */
const OWN_HEADERS = ['authorization', 'cookie', 'host', 'accept-encoding', 'user-agent']
/** Without a body by definition (RFC 9110, section 6.4.1). */
const BODILESS_STATUSES = new Set([204, 205, 304])

export type FetcherOptions = {
  userAgent: string
  /** Milliseconds that never go back. */
  now?: () => number
  /** 0 to 1, for the jitter. */
  random?: () => number
  lookup?: Lookup
  limits?: Partial<FetchLimits>
}

export type FetchRequest = {
  site: Site
  url: string
  method?: 'GET' | 'HEAD' | 'POST'
  headers?: Record<string, string>
  body?: Uint8Array<ArrayBuffer>
  bytesMax: number
  /** Whether a redirect may leave the listed origins for any public https host. */
  publicRedirects?: boolean
}

/** A whole answer of any status. For an error status at most the first 64 KiB are kept. */
export type FetchedAnswer = { status: number; headers: Headers; bytes: ArrayBuffer }

/** An answer whose body is still to come; `body` is null unless the status is 200. */
export type OpenedAnswer = {
  status: number
  headers: Headers
  body: ReadableStream<Uint8Array> | null
  /** From content-length; null when the upstream does not say. */
  length: number | null
}

type Way = { breaker: Breaker; requests: Lane; streams: Lane }
/** One request under way; `url` is where it has been redirected to. */
type Trip = {
  request: FetchRequest
  url: URL
  deadline: number
  encoding: 'gzip' | 'identity'
}
type Exchange = { response: Response; host: string; abort: AbortController; timeLeftMs: number }
/** Makes the result of an exchange. `release` gives its place back: once, now or later. */
type Finish<Result> = (exchange: Exchange, release: () => void) => Promise<Result>
type Attempt<Result> = { result: Result } | { retryInMs: number }

export class Fetcher {
  readonly #userAgent: string
  readonly #now: () => number
  readonly #random: () => number
  readonly #lookup: Lookup
  readonly #limits: FetchLimits
  readonly #ways = new Map<string, Way>()

  constructor(options: FetcherOptions) {
    this.#userAgent = options.userAgent
    this.#now = options.now ?? (() => performance.now())
    this.#random = options.random ?? Math.random
    this.#lookup = options.lookup ?? lookupAddresses
    this.#limits = { ...FETCH_LIMITS, ...options.limits }
  }

  /** How an origin does: `open` is down. */
  stateOf(origin: string): BreakerState {
    return this.#ways.get(origin)?.breaker.state ?? 'closed'
  }

  /** How its requests ended so far. */
  countsOf(origin: string): Readonly<Breaker['counts']> {
    return this.#ways.get(origin)?.breaker.counts ?? { succeeded: 0, failed: 0 }
  }

  /** Fetches a whole answer. */
  async get(request: FetchRequest): Promise<FetchedAnswer> {
    return this.#run(request, 'requests', 'gzip', async (exchange, release) => {
      const { status, headers } = exchange.response
      const bytes = await this.#readWhole(exchange, request.bytesMax)
      release()
      return { status, headers, bytes }
    })
  }

  /** Fetches an answer whose body the caller reads, byte for byte as it is on the wire. */
  async open(request: FetchRequest): Promise<OpenedAnswer> {
    return this.#run(request, 'streams', 'identity', async (exchange, release) => {
      const { status, headers, body } = exchange.response
      if (status !== 200 || body === null) {
        exchange.abort.abort()
        release()
        return { status, headers, body: null, length: null }
      }
      const length = parseContentLength(headers)
      assertSize(exchange, length, request.bytesMax)
      const { totalTimeoutMs, streamTimeoutMsMax, readerTimeoutMs } = this.#limits
      const pace = { graceMs: totalTimeoutMs, waitMsMax: streamTimeoutMsMax }
      const reader = this.#reader(exchange, body, request.bytesMax, pace)
      return { status, headers, length, body: openStream(reader, { readerTimeoutMs, release }) }
    })
  }

  async #run<Result>(
    request: FetchRequest,
    lane: 'requests' | 'streams',
    encoding: 'gzip' | 'identity',
    finish: Finish<Result>,
  ): Promise<Result> {
    const start = checkStart(request.site, request.url)
    const way = this.#wayTo(start.origin)
    const deadline = this.#now() + this.#limits.totalTimeoutMs
    const triesMax = request.method === 'POST' ? 1 : 1 + this.#limits.retriesMax
    for (let tries = 1; ; tries += 1) {
      if (way.breaker.waitMs > 0) throw downError(start.host, way.breaker.waitMs)
      const release = await way[lane].enter(deadline - this.#now())
      const trip = { request, url: start, deadline, encoding }
      const delayMs = this.#retryDelayMs(tries)
      try {
        const attempt = await this.#attempt(trip, way.breaker, finish, {
          release,
          delayMs: tries < triesMax ? delayMs : null,
        })
        if ('result' in attempt) return attempt.result
        release()
        await Bun.sleep(attempt.retryInMs)
      } catch (error) {
        release()
        throw error
      }
    }
  }

  /** One try, and what it says about the origin. `delayMs` is null when it is the last. */
  async #attempt<Result>(
    trip: Trip,
    breaker: Breaker,
    finish: Finish<Result>,
    options: { release: () => void; delayMs: number | null },
  ): Promise<Attempt<Result>> {
    const start = trip.url
    const { release, delayMs } = options
    if (!breaker.enter()) throw downError(start.host, breaker.waitMs)
    try {
      const exchange = await this.#follow(trip)
      const { status, headers } = exchange.response
      const retryInMs = this.#retryInMs(status, headers, delayMs, trip.deadline)
      if (retryInMs !== null) exchange.abort.abort()
      const attempt =
        retryInMs === null ? { result: await finish(exchange, release) } : { retryInMs }
      if (status >= 500 && trip.url.origin === start.origin) breaker.failed(start.href)
      else breaker.succeeded()
      return attempt
    } catch (error) {
      if (!(error instanceof UnreachableError) || trip.url.origin !== start.origin) {
        // It did answer, however badly; or it is another host that does not.
        breaker.succeeded()
        throw error
      }
      breaker.failed(error.isOrigin ? undefined : start.href)
      const isTooLate = delayMs === null || this.#now() + delayMs >= trip.deadline
      if (isTooLate || !error.isTransient) throw error
      return { retryInMs: delayMs }
    }
  }

  /** Sends the request and follows redirects, to the headers of the answer that counts. */
  async #follow(trip: Trip): Promise<Exchange> {
    const { request } = trip
    let headers = this.#firstHeaders(trip)
    for (let hops = 0; ; hops += 1) {
      const abort = new AbortController()
      const response = await this.#send(trip, headers, abort)
      const location = response.headers.get('location')
      if (!REDIRECT_STATUSES.has(response.status) || location === null) {
        const timeLeftMs = trip.deadline - this.#now()
        return { response, host: trip.url.host, abort, timeLeftMs }
      }
      abort.abort()
      if (request.method === 'POST') throw badAnswer(trip.url.host, 'redirects a POST request')
      if (hops === REDIRECTS_MAX) throw badAnswer(trip.url.host, 'redirects too often')
      const next = checkRedirect(request.site, trip.url, location, request.publicRedirects === true)
      // Once gone, credentials do not come back: not even where they came from.
      if (next.origin !== trip.url.origin) headers = plainHeaders(headers)
      trip.url = next
    }
  }

  async #send(trip: Trip, headers: Headers, abort: AbortController): Promise<Response> {
    const allowedMs = Math.min(this.#limits.headersTimeoutMs, trip.deadline - this.#now())
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      abort.abort()
      late.reject(new UnreachableError('timeout', `${trip.url.host} does not answer in time`))
    }, allowedMs)
    try {
      return await Promise.race([this.#connect(trip, headers, abort.signal), late.promise])
    } catch (error) {
      throw networkError(error, trip.url.host, 'headers')
    } finally {
      clearTimeout(timer)
    }
  }

  async #connect(trip: Trip, headers: Headers, signal: AbortSignal): Promise<Response> {
    const { request, url } = trip
    const targets = await findTargets(request.site, url, this.#lookup)
    let failure: unknown
    for (const target of targets) {
      try {
        return await fetch(target.url, fetchInit(trip, target, headers, signal))
      } catch (error) {
        failure = networkError(error, url.host, 'headers')
        if (!(failure instanceof UnreachableError) || failure.phase !== 'connect') throw failure
      }
    }
    throw failure
  }

  #firstHeaders({ request, encoding }: Trip): Headers {
    const headers = new Headers(request.headers)
    for (const name of OWN_HEADERS) {
      if (headers.has(name)) throw new Error(`${name} is set by the fetcher alone`)
    }
    headers.set('accept-encoding', encoding)
    headers.set('user-agent', this.#userAgent)
    const { credential, origin } = request.site
    if (credential !== undefined && new URL(request.url).origin === origin) {
      headers.set('authorization', credential.header())
    }
    return headers
  }

  async #readWhole(exchange: Exchange, bytesMax: number): Promise<ArrayBuffer> {
    const { response, timeLeftMs } = exchange
    const { status, headers, body } = response
    if (body === null || BODILESS_STATUSES.has(status)) return new ArrayBuffer(0)
    const pace = { graceMs: timeLeftMs, waitMsMax: this.#limits.bodyTimeoutMsMax }
    if (!response.ok) {
      const reader = this.#reader(exchange, body, ERROR_BYTES_MAX, pace)
      return readErrorBody(reader)
    }
    const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
    const length = parseContentLength(headers)
    if (!['identity', 'gzip', 'x-gzip'].includes(encoding)) {
      exchange.abort.abort()
      throw badAnswer(exchange.host, 'uses a compression that nobody asked for')
    }
    if (encoding === 'identity') {
      assertSize(exchange, length, bytesMax)
      // Whether such a body is whole, nobody can tell: it ends where the connection does.
      if (length === null && !headers.has('transfer-encoding')) {
        exchange.abort.abort()
        throw badAnswer(exchange.host, 'does not say how long its answer is')
      }
    }
    const room = encoding === 'identity' && length !== null ? length : bytesMax
    const bytes = await readAll(this.#reader(exchange, body, bytesMax, pace), room)
    // A compressed body has a trailer that shows that it is whole, but for one cut at its start.
    if (bytes.byteLength === 0 && encoding !== 'identity') {
      throw badAnswer(exchange.host, 'sends an empty compressed answer')
    }
    return bytes
  }

  #reader(
    exchange: Exchange,
    body: ReadableStream<Uint8Array>,
    bytesMax: number,
    pace: Pick<Pace, 'graceMs' | 'waitMsMax'>,
  ): BodyReader {
    const { idleTimeoutMs, bytesPerSecondMin } = this.#limits
    return new BodyReader(body, {
      abort: exchange.abort,
      host: exchange.host,
      bytesMax,
      pace: { idleTimeoutMs, bytesPerSecondMin, ...pace },
      now: this.#now,
    })
  }

  #wayTo(origin: string): Way {
    // Only listed origins come here, so the map does not grow with what strangers send.
    let way = this.#ways.get(origin)
    if (way === undefined) {
      const { requestsMax, streamsMax, queueMax } = this.#limits
      way = {
        breaker: new Breaker(this.#now),
        requests: new Lane(origin, requestsMax, queueMax),
        streams: new Lane(origin, streamsMax, queueMax),
      }
      this.#ways.set(origin, way)
    }
    return way
  }

  #retryDelayMs(tries: number): number {
    return this.#limits.retryDelayMs * 2 ** (tries - 1) * (0.5 + this.#random())
  }

  /** When to try again after an answer; null when it is the one to hand on. */
  #retryInMs(
    status: number,
    headers: Headers,
    delayMs: number | null,
    deadline: number,
  ): number | null {
    if (delayMs === null || !RETRY_STATUSES.has(status)) return null
    const asked = parseRetryAfter(headers, Date.now()) ?? 0
    if (asked > this.#limits.retryAfterSecondsMax) return null
    const retryInMs = Math.max(delayMs, asked * 1000)
    return this.#now() + retryInMs < deadline ? retryInMs : null
  }
}

function fetchInit(
  { request, url, encoding }: Trip,
  target: Target,
  headers: Headers,
  signal: AbortSignal,
): BunFetchRequestInit {
  const sent = new Headers(headers)
  if (target.host !== undefined) sent.set('host', target.host)
  return {
    method: request.method ?? 'GET',
    headers: sent,
    redirect: 'manual',
    signal,
    // A tarball is compressed in itself; what some servers say about that is not acted on.
    decompress: encoding === 'gzip',
    ...(request.body !== undefined && { body: request.body }),
    ...(target.serverName !== undefined && { tls: { serverName: target.serverName } }),
    // Not for a host that nobody listed: the operator's authority is for the operator's servers.
    ...(target.host === undefined && tlsOf(request.site, url)),
  }
}

function assertSize({ host, abort }: Exchange, length: number | null, bytesMax: number): void {
  if (length === null || length <= bytesMax) return
  abort.abort()
  throw new RegistryError('too-large', `${host} sends ${length} bytes, more than ${bytesMax}`)
}

/** The text of an error is nice to have: the status stands without it. */
async function readErrorBody(reader: BodyReader): Promise<ArrayBuffer> {
  try {
    return await readAll(reader, ERROR_BYTES_MAX)
  } catch (error) {
    if (error instanceof RegistryError) return new ArrayBuffer(0)
    throw error
  }
}

function badAnswer(host: string, what: string): RegistryError {
  return new RegistryError('upstream-bad-answer', `${host} ${what}`)
}
