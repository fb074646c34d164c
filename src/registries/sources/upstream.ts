/**
 * One registry as a server to ask: packuments, keys, tarballs, and what is passed on as it is.
 *
 * An answer is sorted here and nowhere else: there (`fresh`, `unchanged`), not there (`absent`:
 * 404 and 410 of the authority), or no answer, which is an error and never taken for "not there".
 * What is inside a packument is not read here, only that it is one JSON object and whole.
 *
 * @module
 */
import { RegistryError } from '../errors.ts'
import { freshSeconds, parseEtag, parseLastModified, parseRetryAfter } from '../http-headers.ts'
import { escapeName } from '../name.ts'
import { KEYS_BYTES_MAX } from '../keys/keys.ts'
import { UnreachableError } from '../fetch/unreachable.ts'
import type { ClientCertificate, Credential } from '../fetch/credential.ts'
import type { FetchedAnswer, Fetcher } from '../fetch/fetcher.ts'
import { isListed, type Site } from '../fetch/hops.ts'

/** The largest known packuments have some 100 MB; memory for more than twice that is no service. */
export const PACKUMENT_BYTES_MAX = 256 * 1024 * 1024
/** Packages with models or browsers inside reach some 300 MB. */
export const TARBALL_BYTES_MAX = 1024 * 1024 * 1024
/** An audit of 10,000 packages is about 1 MB, gzip'd or not. */
export const PASS_BODY_BYTES_MAX = 4 * 1024 * 1024
/** 250 search results (npm's limit) or an attestation bundle are far below. */
export const PASS_ANSWER_BYTES_MAX = 16 * 1024 * 1024

/** What may be passed on: search, audit in its old and new forms, attestations. */
const PASS_PATH = /^-\/(?:v1\/search|npm\/v1\/security\/(?:advisories\/bulk|audits(?:\/quick)?))$/
const ATTESTATIONS_PATH = /^-\/npm\/v1\/attestations\/[\w@%~!'()*.+-]+(?:\/[\w@%~!'()*.+-]+)?$/
const QUERY = /^\?[\x21\x24-\x7e]{0,2048}$/
/** Headers of a client that say what its body is; everything else is its own affair. */
const PASS_HEADERS = ['accept', 'content-type', 'content-encoding'] as const
const PASS_ANSWER_HEADERS = ['content-type', 'cache-control', 'date'] as const

/** How servers say that they take no HEAD here. */
const HEAD_REFUSED = new Set([401, 403, 405, 501])

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json(?:$|[\s;])/i
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/

export type UpstreamOptions = {
  name: string
  /** `https://registry.example/path/`; the last slash may be missing. */
  url: string
  namespace: string
  credential?: Credential
  /** PEM of the authority that signed the server's certificate, when it is none of the usual. */
  ca?: string
  certificate?: ClientCertificate
  /** Other origins that hold this registry's tarballs, listed by the operator. */
  tarballOrigins?: readonly string[]
}

export type Validators = { etag: string | null; lastModified: string | null }
/** `maxAgeSeconds`: for how long it says it is fresh; null when it says nothing. */
type Freshness = Validators & { maxAgeSeconds: number | null }

export type FetchedPackument =
  | ({ status: 'fresh'; bytes: ArrayBuffer } & Freshness)
  | ({ status: 'unchanged' } & Freshness)
  | { status: 'absent'; httpStatus: 404 | 410 }

export type OpenedTarball = { stream: ReadableStream<Uint8Array>; length: number | null }

export type PassRequest = {
  method: 'GET' | 'POST'
  /** Below the registry's URL, with the query: `-/v1/search?text=vite`. */
  path: string
  headers: Headers
  body?: Uint8Array<ArrayBuffer>
}
export type PassAnswer = { status: number; headers: Headers; bytes: ArrayBuffer }

/** The operator changed or removed the upstream while it was asked: what it says counts no more. */
export class RetiredError extends RegistryError {
  constructor(name: string) {
    super('busy', `the settings of ${name} have just changed; retry`, { retryAfterSeconds: 1 })
  }
}

export class Upstream {
  readonly name: string
  /** Ends in a slash. */
  readonly url: string
  readonly namespace: string
  readonly #site: Site
  readonly #fetcher: Fetcher
  #isRetired = false

  constructor(options: UpstreamOptions, fetcher: Fetcher) {
    const base = checkBase(options)
    this.name = options.name
    this.url = base.href
    this.namespace = options.namespace
    this.#fetcher = fetcher
    this.#site = {
      origin: base.origin,
      otherOrigins: (options.tarballOrigins ?? []).map(origin => checkOrigin(options.name, origin)),
      ...(options.credential !== undefined && { credential: options.credential }),
      ...(options.ca !== undefined && { ca: options.ca }),
      ...(options.certificate !== undefined && { certificate: options.certificate }),
    }
  }

  /** From now on no keys are learnt from it; streams under way go on to their end. */
  retire(): void {
    this.#isRetired = true
  }

  /** How the registry's server does: `open` means that it is down and not asked for a moment. */
  get state(): ReturnType<Fetcher['stateOf']> {
    return this.#fetcher.stateOf(this.#site.origin)
  }

  /** Whether a URL is on one of its origins: its own, or one that the operator listed for it. */
  lists(url: string): boolean {
    const parsed = URL.parse(url)
    return parsed !== null && isListed(this.#site, parsed)
  }

  /** The full packument, unless it is what `before` stands for. Throws RegistryError. */
  async fetchPackument(name: string, before: Validators): Promise<FetchedPackument> {
    const headers: Record<string, string> = { accept: 'application/json' }
    if (before.etag !== null) headers['if-none-match'] = before.etag
    if (before.lastModified !== null) headers['if-modified-since'] = before.lastModified
    const answer = await this.#fetcher.get({
      site: this.#site,
      url: this.#join(escapeName(name)),
      headers,
      bytesMax: PACKUMENT_BYTES_MAX,
    })
    const { status, bytes } = answer
    const maxAgeSeconds = freshSeconds(answer.headers)
    const etag = parseEtag(answer.headers)
    const lastModified = parseLastModified(answer.headers)
    if (status === 200) {
      this.#assertJsonObject(answer, name)
      return { status: 'fresh', bytes, etag, lastModified, maxAgeSeconds }
    }
    const isConditional = before.etag !== null || before.lastModified !== null
    if (status === 304 && isConditional) {
      return {
        status: 'unchanged',
        etag: etag ?? before.etag,
        lastModified: lastModified ?? before.lastModified,
        maxAgeSeconds,
      }
    }
    if (status === 404 || status === 410) return { status: 'absent', httpStatus: status }
    throw this.#statusError(status, answer.headers, name)
  }

  /**
   * The registry's keys document as it came, or `none` when the registry says that it has none, in
   * the two ways that npm knows. Everything else is an error: a registry that cannot be asked must
   * not pass for one that does not sign.
   */
  async fetchKeys(): Promise<Uint8Array<ArrayBuffer> | 'none'> {
    const answer = await this.#fetcher.get({
      site: this.#site,
      url: this.#join('-/npm/v1/keys'),
      headers: { accept: 'application/json' },
      bytesMax: KEYS_BYTES_MAX,
    })
    if (this.#isRetired) throw new RetiredError(this.name)
    if (answer.status === 404 || answer.status === 400) return 'none'
    if (answer.status !== 200) throw this.#statusError(answer.status, answer.headers, 'its keys')
    this.#assertJsonObject(answer, 'its keys')
    return new Uint8Array(answer.bytes)
  }

  /** The bytes of a tarball, unchecked. Its URL must be on an origin of this registry. */
  async openTarball(url: string): Promise<OpenedTarball> {
    const answer = await this.#fetcher.open({
      site: this.#site,
      url,
      headers: { accept: 'application/octet-stream, */*;q=0.1' },
      bytesMax: TARBALL_BYTES_MAX,
      publicRedirects: true,
    })
    const { status, headers, body, length } = answer
    if (body !== null) return { stream: body, length }
    if (status === 404 || status === 410) {
      throw new RegistryError('not-found', `${this.name} does not have this tarball (${status})`)
    }
    throw this.#statusError(status, headers, 'a tarball')
  }

  /** Whether it has this tarball now; its bytes are not fetched. Throws when it cannot say. */
  async hasTarball(url: string): Promise<boolean> {
    for (const method of ['HEAD', 'GET'] as const) {
      const { status, headers, body } = await this.#fetcher.open({
        site: this.#site,
        url,
        method,
        headers: { accept: 'application/octet-stream, */*;q=0.1' },
        bytesMax: TARBALL_BYTES_MAX,
        publicRedirects: true,
      })
      await body?.cancel()
      if (status === 200) return true
      if (status === 404 || status === 410) return false
      // Storage behind a redirect is often open to a signed GET and to nothing else.
      if (method === 'GET' || !HEAD_REFUSED.has(status)) {
        throw this.#statusError(status, headers, 'a tarball')
      }
    }
    return false
  }

  /** Asks what this server does not answer itself, and hands back the answer as it came. */
  async pass(request: PassRequest): Promise<PassAnswer> {
    const { method, body } = request
    if (body !== undefined && body.byteLength > PASS_BODY_BYTES_MAX) {
      throw new RegistryError('too-large', `a body of more than ${PASS_BODY_BYTES_MAX} bytes`)
    }
    const answer = await this.#fetcher.get({
      site: this.#site,
      url: this.#join(checkPassPath(request.path)),
      method,
      headers: pick(request.headers, PASS_HEADERS),
      bytesMax: PASS_ANSWER_BYTES_MAX,
      ...(body !== undefined && { body }),
    })
    const { status, headers, bytes } = answer
    const isPassed = status === 200 || (status >= 400 && status < 500)
    // 401 would make a client ask its user for a password that is not this server's business.
    if (!isPassed || status === 401 || status === 429) {
      throw this.#statusError(status, headers, request.path.split('?')[0] ?? '')
    }
    return { status, headers: new Headers(pick(headers, PASS_ANSWER_HEADERS)), bytes }
  }

  #join(path: string): string {
    const url = URL.parse(`${this.url}${path}`)
    // A path that climbs out, or that the parser reads in another way, names something else.
    const route = path.split('?')[0] ?? ''
    if (url === null || `${url.origin}${url.pathname}` !== `${this.url}${route}`) {
      throw new RegistryError('bad-request', `${JSON.stringify(path)} is no path of ${this.name}`)
    }
    return url.href
  }

  #assertJsonObject({ headers, bytes }: FetchedAnswer, what: string): void {
    const type = headers.get('content-type') ?? 'nothing'
    if (!JSON_TYPE.test(type)) {
      const shown = JSON.stringify(type.slice(0, 60))
      throw this.#badAnswer(`answers ${shown} in place of JSON for ${what}`)
    }
    if (!isBraced(new Uint8Array(bytes))) throw this.#badAnswer(`sends no JSON object for ${what}`)
  }

  #badAnswer(what: string): RegistryError {
    return new RegistryError('upstream-bad-answer', `${this.name} ${what}`)
  }

  /** The error for a status that is no answer to the question. */
  #statusError(status: number, headers: Headers, what: string): RegistryError {
    if (status === 401 || status === 403 || status === 451) {
      const message = `${this.name} refuses ${what} (${status}): it may need a credential`
      return new RegistryError('refused', message, { reason: 'upstream-forbidden' })
    }
    if (status >= 500 || status === 429 || status === 408) {
      const wait = parseRetryAfter(headers, Date.now()) ?? undefined
      const message = `${this.name} answers ${status} for ${what}`
      return new UnreachableError('headers', message, wait)
    }
    return this.#badAnswer(`answers ${status} for ${what}`)
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Whether the text begins with `{` and ends with `}`, white space aside: UTF-8, no BOM, whole. */
function isBraced(bytes: Uint8Array): boolean {
  let first = 0
  while (isSpace(bytes[first])) first += 1
  let last = bytes.length - 1
  while (isSpace(bytes[last])) last -= 1
  return first < last && bytes[first] === 0x7b && bytes[last] === 0x7d
}

function checkPassPath(path: string): string {
  const mark = path.indexOf('?')
  const route = mark < 0 ? path : path.slice(0, mark)
  const isKnown = PASS_PATH.test(route) || ATTESTATIONS_PATH.test(route)
  if (isKnown && !/%2e/i.test(route) && (mark < 0 || QUERY.test(path.slice(mark)))) return path
  throw new RegistryError('bad-request', 'this is nothing that is passed on to a registry')
}

function pick(headers: Headers, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of names) {
    const value = headers.get(name)
    if (value !== null) picked[name] = value
  }
  return picked
}

function checkBase({ name, url, credential, certificate }: UpstreamOptions): URL {
  const refuse = (why: string): RegistryError =>
    new RegistryError('bad-request', `the URL of upstream ${name} ${why}`)
  const base = URL.parse(url)
  if (base === null) throw refuse('cannot be read')
  if (base.protocol !== 'https:' && base.protocol !== 'http:') throw refuse('is not https')
  if (base.username !== '' || base.password !== '') throw refuse('carries a user name or password')
  if (base.search !== '' || base.hash !== '') throw refuse('has a query or fragment')
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  const isPrivate = base.protocol === 'https:' || LOOPBACK_HOST.test(base.hostname)
  if (credential !== undefined && !isPrivate) throw refuse('is http: a credential needs https')
  if (certificate !== undefined && base.protocol !== 'https:') {
    throw refuse('is http: a client certificate needs https')
  }
  return base
}

function checkOrigin(name: string, origin: string): string {
  const url = URL.parse(origin)
  const isSafe = url?.protocol === 'https:' || LOOPBACK_HOST.test(url?.hostname ?? '')
  if (url !== null && isSafe && url.origin === origin) return origin
  throw new RegistryError(
    'bad-request',
    `upstream ${name}: ${JSON.stringify(origin)} is no https origin`,
  )
}
