/**
 * Questions that are passed on to the registry that owns them: search, audit, attestations.
 *
 * One registry answers all of them while there is one; names that belong to another registry are
 * not shown to it (with several, an audit is split by owner). Nothing of a client's headers goes
 * along but the type of its body.
 * @module
 */
import { escapeName } from './name.ts'
import type { Source, Sources } from './source.ts'
import type { PassAnswer } from './upstream.ts'

/** Search parameters that npm's registry knows; others are not passed on. */
const SEARCH_PARAMETERS = ['text', 'size', 'from', 'quality', 'popularity', 'maintenance']

/** Headers that describe a passed-on body. */
export type BodyHeaders = { 'content-type': string; 'content-encoding': string | null }

/** Passes questions on. */
export class Passing {
  readonly #sources: Sources

  constructor(sources: Sources) {
    this.#sources = sources
  }

  /** npm's `/-/v1/search`. @throws RegistryError upstream-… */
  async search(query: URLSearchParams): Promise<Response> {
    const known = new URLSearchParams()
    for (const name of SEARCH_PARAMETERS) {
      const value = query.get(name)
      if (value !== null) known.set(name, value)
    }
    return await this.#ask(this.#main(), `-/v1/search?${known}`)
  }

  /** npm's attestations of one version. @throws RegistryError upstream-… */
  async attestations(name: string, version: string): Promise<Response> {
    const path = `-/npm/v1/attestations/${escapeName(name)}@${encodeURIComponent(version)}`
    return await this.#ask(this.#sources.ownerOf(name), path)
  }

  /** npm's audits. @param path one of npm's audit paths, with its leading slash */
  async audit(path: string, body: ArrayBuffer, headers: BodyHeaders): Promise<Response> {
    const passed = new Headers({
      'accept': 'application/json',
      'content-type': headers['content-type'],
    })
    const encoding = headers['content-encoding']
    if (encoding !== null) passed.set('content-encoding', encoding)
    const { upstream } = this.#main()
    return toResponse(
      await upstream.pass({
        method: 'POST',
        path: path.slice(1),
        headers: passed,
        body: new Uint8Array(body),
      }),
    )
  }

  async #ask(source: Source, path: string): Promise<Response> {
    const headers = new Headers({ accept: 'application/json' })
    return toResponse(await source.upstream.pass({ method: 'GET', path, headers }))
  }

  #main(): Source {
    const [first] = this.#sources.all()
    if (first === undefined) throw new Error('there is no registry')
    return first
  }
}

function toResponse(answer: PassAnswer): Response {
  return new Response(answer.bytes, { status: answer.status, headers: answer.headers })
}
