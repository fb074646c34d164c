/**
 * `npm search`: the packages that live here first, then those of the registry that the question
 * belongs to (passing.ts), as one list that can be paged through.
 *
 * Words that name packages of this registry are told to no other. A restricted package is found by
 * those who may read it. When nothing here matches, the other registry's answer goes out as it came.
 * The form is npm's: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md#get-v1search.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { HostedPackages } from '../../db/hosted.ts'
import type { HostedSearch } from '../../db/hosted-search.ts'
import type { Identity } from '../accounts/access.ts'
import { RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import { HOSTED } from './hosted-upstream.ts'
import type { Passing } from '../sources/passing.ts'

/** As npm's registry has them. */
const SIZE = { default: 20, max: 250 }
const FROM_MAX = 5000
const TEXT_CHARS_MAX = 500
const WORDS_MAX = 20
/** What narrows a search down, besides words. */
const QUALIFIER = /^(keywords|scope|maintainer|author):(.+)$/i

/** What is found depends on who asks. */
const OF_ONE_PERSON = { 'cache-control': 'private, no-store', 'vary': 'authorization' }

const AnswerShape = Type.Object({
  objects: Type.Array(Type.Unknown()),
  total: Type.Integer({ minimum: 0 }),
})
const LatestShape = Type.Object({
  keywords: Type.Optional(Type.Array(Type.String())),
})

/** What searching works with. */
export type SearchNeeds = {
  hosted: HostedPackages
  index: HostedSearch
  access: HostedAccess
  passing: Passing
  now: () => Date
  warn: (message: string) => void
}

type Question = {
  words: string[]
  keywords: string[]
  scopes: string[]
  people: string[]
}

/** Searches. */
export class Search {
  readonly #needs: SearchNeeds

  constructor(needs: SearchNeeds) {
    this.#needs = needs
  }

  /** npm's `/-/v1/search`. @throws RegistryError upstream-…, bad-request */
  async answer(identity: Identity, query: URLSearchParams): Promise<Response> {
    const size = numberOf(query, 'size', SIZE.default, SIZE.max)
    const from = numberOf(query, 'from', 0, FROM_MAX)
    const text = query.get('text') ?? ''
    if (text.length > TEXT_CHARS_MAX) {
      throw new RegistryError('bad-request', `a search has at most ${TEXT_CHARS_MAX} characters`)
    }
    const names = this.#found(identity, questionOf(text))
    if (names.length === 0) return await this.#needs.passing.search(query)
    const shown = names.slice(from, from + size)
    const others = new URLSearchParams(query)
    others.set('from', String(Math.max(0, from - names.length)))
    // One at least: the total is asked for too.
    others.set('size', String(Math.max(1, size - shown.length)))
    const elsewhere = await this.#elsewhere(others)
    const objects = [...shown.map(name => this.#objectOf(name)), ...elsewhere.objects]
    const answer = {
      objects: objects.slice(0, size),
      total: names.length + elsewhere.total,
      time: this.#needs.now().toISOString(),
    }
    return Response.json(answer, { headers: OF_ONE_PERSON })
  }

  /** The other registry's page. Its outage hides nothing of what is here. */
  async #elsewhere(query: URLSearchParams): Promise<{ objects: unknown[]; total: number }> {
    const nothing = { objects: [], total: 0 }
    try {
      const response = await this.#needs.passing.search(query)
      if (response.status !== 200) return nothing
      const answer: unknown = await response.json()
      return Value.Check(AnswerShape, answer) ? answer : nothing
    } catch (error) {
      if (!isOutage(error)) throw error
      this.#needs.warn(`a search shows only what is in ${HOSTED}: ${error.message}`)
      return nothing
    }
  }

  #found(identity: Identity, { words, keywords, scopes, people }: Question): string[] {
    const { access, hosted, index } = this.#needs
    return index
      .find({ words, keywords })
      .filter(
        name =>
          access.permissionOf(identity, name) !== 'none' &&
          scopes.every(scope => name.startsWith(`@${scope}/`)) &&
          people.every(person => hosted.isMaintainer(name, person)),
      )
  }

  #objectOf(name: string): unknown {
    const { hosted } = this.#needs
    const row = hosted.get(name)
    const latest = hosted.tags(name).find(({ tag }) => tag === 'latest')?.version ?? ''
    const version = hosted.version(name, latest)
    const manifest: unknown = version === null ? {} : JSON.parse(version.manifest)
    const { keywords = [] } = Value.Check(LatestShape, manifest) ? manifest : {}
    return {
      package: {
        name,
        scope: name.startsWith('@') ? name.slice(1, name.indexOf('/')) : 'unscoped',
        version: latest,
        description: row?.description ?? '',
        keywords,
        date: version?.published ?? row?.modified,
        links: {},
        publisher: { username: version?.publisher ?? '' },
        maintainers: hosted.maintainers(name).map(username => ({ username })),
      },
      // Nothing is measured here: what was found first is the best match.
      score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
      searchScore: 1,
    }
  }
}

/** The other registry cannot be asked, or what it says is no search result. */
function isOutage(error: unknown): error is Error {
  if (error instanceof SyntaxError) return true
  return (
    error instanceof RegistryError &&
    ['upstream-unreachable', 'upstream-bad-answer', 'busy', 'too-large'].includes(error.code)
  )
}

function questionOf(text: string): Question {
  const question: Question = { words: [], keywords: [], scopes: [], people: [] }
  const parts = text.split(/\s+/).filter(part => part !== '')
  for (const part of parts.slice(0, WORDS_MAX)) {
    const [, kind, value = ''] = QUALIFIER.exec(part) ?? []
    switch (kind?.toLowerCase()) {
      case undefined:
        question.words.push(...wordsIn(part))
        break
      case 'keywords':
        question.keywords.push(...value.split(',').flatMap(wordsIn))
        break
      case 'scope':
        question.scopes.push(value.replace(/^@/, ''))
        break
      default:
        question.people.push(value)
    }
  }
  return question
}

/** The words as the index cut them: letters and digits. */
function wordsIn(part: string): string[] {
  return part.split(/[^\p{L}\p{N}]+/u).filter(word => word !== '')
}

function numberOf(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const text = query.get(name)
  if (text === null || text === '') return fallback
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return Math.min(value, max)
  throw new RegistryError('bad-request', `${name} is a whole number of 0 to ${max}`)
}
