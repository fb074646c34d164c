/**
 * Questions that are passed on to the registry that owns them: search, audit, attestations.
 *
 * A name goes to its own registry and to no other, also when its own has no answer or is down: an
 * audit is cut by owner (audit-split.ts), a search that names what another registry owns goes to
 * that one alone. Nothing of a client's headers goes along but the type of its body.
 * @module
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { joinBulk, joinTrees, splitAudit } from './audit-split.ts'
import { RegistryError } from '../errors.ts'
import { escapeName } from '../name.ts'
import type { Source, Sources } from './source.ts'
import type { PassAnswer } from './upstream.ts'

/** Search parameters that npm's registry knows; others are not passed on. */
const SEARCH_PARAMETERS = ['text', 'size', 'from', 'quality', 'popularity', 'maintenance']
/** Bytes of an audit after decompression: it is read here, on the thread that answers everybody. */
const AUDIT_BYTES_MAX = 8 * 1024 * 1024
const BULK_PATH = '/-/npm/v1/security/advisories/bulk'
/** A registry that says so has no audits: its names are in none. */
const NO_AUDIT_STATUSES = new Set([404, 405, 410])

/** Headers that describe a passed-on body. */
export type BodyHeaders = { 'content-type': string; 'content-encoding': string | null }

type AuditQuestion = { path: string; body: Uint8Array<ArrayBuffer>; headers: Headers }

/** Passes questions on. */
export class Passing {
  readonly #sources: Sources

  constructor(sources: Sources) {
    this.#sources = sources
  }

  /** npm's `/-/v1/search`. @throws RegistryError upstream-…, bad-request */
  async search(query: URLSearchParams): Promise<Response> {
    const known = new URLSearchParams()
    for (const name of SEARCH_PARAMETERS) {
      const value = query.get(name)
      if (value !== null) known.set(name, value)
    }
    const source = this.#searched(query.get('text') ?? '')
    if (source === undefined) {
      return Response.json({ objects: [], total: 0, time: new Date().toISOString() })
    }
    return await this.#ask(source, `-/v1/search?${known}`)
  }

  /** npm's attestations of one version. @throws RegistryError upstream-… */
  async attestations(name: string, version: string): Promise<Response> {
    const path = `-/npm/v1/attestations/${escapeName(name)}@${encodeURIComponent(version)}`
    return await this.#ask(this.#sources.ownerOf(name), path)
  }

  /** npm's audits. @param path one of npm's audit paths, with its leading slash */
  async audit(path: string, body: ArrayBuffer, headers: BodyHeaders): Promise<Response> {
    const encoding = headers['content-encoding']
    const passed = new Headers({
      'accept': 'application/json',
      'content-type': headers['content-type'],
    })
    if (encoding !== null) passed.set('content-encoding', encoding)
    const form = path === BULK_PATH ? 'bulk' : 'tree'
    const whole: AuditQuestion = { path, body: new Uint8Array(body), headers: passed }
    const [only, ...others] = this.#sources.all().filter(each => each.housed?.isEmpty() !== true)
    // Where one registry owns everything there is nobody to hide a name from: it goes as it came.
    if (only !== undefined && others.length === 0 && only === this.#sources.main()) {
      return toResponse(await passAudit(only, whole))
    }
    const parts = splitAudit(form, readBody(body, encoding), name => this.#ownerName(name))
    const questions = new Map<string, AuditQuestion>()
    for (const [owner, part] of parts) {
      if (owner !== '') questions.set(owner, partOf(whole, part, encoding))
    }
    return await this.#askEach(form, questions)
  }

  /** Asks each registry about its own names. One that cannot be asked makes the audit fail. */
  async #askEach(
    form: 'bulk' | 'tree',
    questions: ReadonlyMap<string, AuditQuestion>,
  ): Promise<Response> {
    const answers = new Map<string, string>()
    const asked = [...questions].map(async ([owner, question]) => {
      const source = this.#sources.get(owner)
      if (source === undefined) throw new RegistryError('busy', `${owner} was just removed; retry`)
      return { owner, answer: await passAudit(source, question) }
    })
    for (const { owner, answer } of await Promise.all(asked)) {
      if (NO_AUDIT_STATUSES.has(answer.status)) continue
      if (answer.status !== 200) return toResponse(answer)
      answers.set(owner, new TextDecoder().decode(answer.bytes))
    }
    const owns = (registry: string, name: string) => this.#ownerName(name) === registry
    const joined = form === 'bulk' ? joinBulk(answers, owns) : joinTrees(answers, owns)
    return new Response(joined, { headers: { 'content-type': 'application/json' } })
  }

  /** '' for a name that no registry here owns: nobody is told of it. */
  #ownerName(name: string): string {
    return this.#sources.find(name)?.name ?? ''
  }

  /** The registry whose search is asked: the main one, unless the words name another's packages. */
  #searched(text: string): Source | undefined {
    const main = this.#sources.main()
    const named = new Set(
      namesIn(text)
        .map(name => this.#ownerName(name))
        .filter(owner => owner !== (main?.name ?? '')),
    )
    if (named.size === 0) return main
    const [owner = ''] = named
    if (named.size === 1) return this.#sources.get(owner)
    const sentence = `this search names packages of ${[...named].join(' and ')}: ask for one of them`
    throw new RegistryError('bad-request', sentence)
  }

  async #ask(source: Source, path: string): Promise<Response> {
    const headers = new Headers({ accept: 'application/json' })
    return toResponse(await source.upstream.pass({ method: 'GET', path, headers }))
  }
}

/** Names that a search may mean: each word, and for a scope any package of it. */
function namesIn(text: string): string[] {
  const words = text.split(/[\s,;"'+|()]+/).filter(word => word !== '')
  return words.flatMap(written => {
    const word = written.replace(/^(?:scope|package|name):@?/i, match =>
      match.toLowerCase().startsWith('scope') ? '@' : '',
    )
    const name = word.startsWith('@') && !/\/./.test(word) ? `${word.replace(/\/$/, '')}/x` : word
    return [name, name.toLowerCase()]
  })
}

async function passAudit({ upstream }: Source, question: AuditQuestion): Promise<PassAnswer> {
  const { path, body, headers } = question
  return await upstream.pass({ method: 'POST', path: path.slice(1), headers, body })
}

function partOf(whole: AuditQuestion, text: string, encoding: string | null): AuditQuestion {
  const bytes = new TextEncoder().encode(text)
  return { ...whole, body: encoding === null ? bytes : new Uint8Array(gzipSync(bytes)) }
}

function readBody(body: ArrayBuffer, encoding: string | null): string {
  if (encoding !== null && encoding !== 'gzip') {
    throw new RegistryError('bad-request', 'an audit comes plain or gzip compressed')
  }
  try {
    const bytes = encoding === null ? body : gunzipSync(body, { maxOutputLength: AUDIT_BYTES_MAX })
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    const sentence = `the audit is no UTF-8 text of at most ${AUDIT_BYTES_MAX} bytes`
    throw new RegistryError('bad-request', sentence, {}, error)
  }
}

function toResponse(answer: PassAnswer): Response {
  return new Response(answer.bytes, { status: answer.status, headers: answer.headers })
}
