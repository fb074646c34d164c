/**
 * Requests made from an OpenAPI document: for each operation values of the declared form, at its
 * edges, of other types, with parts missing and parts too many, and strings that break things.
 * Chance comes from a seed: the same seed makes the same requests.
 * @module
 */
export type Json = { [key: string]: unknown }

/** One operation of the document. */
export type Operation = { path: string; method: string; spec: Json }

/** A request, ready to be sent. `canaries`: what must be in no answer. */
export type Made = {
  path: string
  method: string
  headers: Record<string, string>
  body: string | null
}

/** Begins every secret that is made. */
export const CANARY = 'canary-secret-'

/** Properties that hold a secret: whatever is put there is a canary. */
const SECRETS = new Set(['password', 'token', 'ca', 'cert', 'key'])
const HOSTILE = [
  '',
  ' ',
  '\u0000',
  '\u001b[31m',
  '\ud800',
  '..%2f..%2f',
  '%00',
  "'; DROP TABLE user; --",
  '<script>alert(1)</script>',
  '${7*7}',
  '__proto__',
  'constructor',
  'ﬀ'.repeat(50),
  '🦊',
  'null',
  '-1',
  '1e309',
  '9007199254740993',
  '@scope/*',
  '**',
  '@*/*',
  'x'.repeat(2_000),
]
const OTHERS = [null, true, false, 0, -1, 1.5, 1e308, '', [], {}, [[]], { a: { b: [] } }]
/** Longer edges say nothing new and take their time. */
const EDGE_MAX = 600

/** A source of chance (mulberry32, public domain). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  one<T>(of: readonly T[]): T {
    const found = of[Math.floor(this.next() * of.length)]
    if (found === undefined) throw new RangeError('nothing to choose from')
    return found
  }

  is(share: number): boolean {
    return this.next() < share
  }
}

export function json(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function operationsOf(document: Json): Operation[] {
  return Object.entries(json(document['paths'])).flatMap(([path, item]) =>
    Object.entries(json(item)).map(([method, spec]) => ({
      path,
      method: method.toUpperCase(),
      spec: json(spec),
    })),
  )
}

/** What requests are made of, besides chance. */
export type Lore = {
  /** What a property or a parameter of that name often is. */
  words: Record<string, readonly string[]>
  /** A body that an operation takes, by its id: chance alone would seldom find it. */
  bodies: Record<string, Json>
}

/** Makes requests. */
export class RequestMaker {
  readonly #schemas: Json
  readonly #words: Lore['words']
  readonly #bodies: Lore['bodies']
  readonly #chance: Chance
  #count = 0

  constructor(document: Json, { words, bodies }: Lore, chance: Chance) {
    this.#schemas = json(json(document['components'])['schemas'])
    this.#words = words
    this.#bodies = bodies
    this.#chance = chance
  }

  make({ path, method, spec }: Operation): Made {
    this.#count += 1
    const headers: Record<string, string> = {}
    const query = new URLSearchParams()
    let filled = path
    for (const parameter of list(spec['parameters']).map(json)) {
      const name = String(parameter['name'])
      if (parameter['in'] === 'path') {
        filled = filled.replace(`{${name}}`, this.#segment(name))
      } else if (parameter['in'] === 'header') {
        if (this.#chance.is(0.2)) headers[name] = this.#chance.one(['*', '"x"', 'a b', '"', 'k1'])
      } else if (this.#chance.is(0.4)) query.set(name, this.#queryValue(name, parameter))
    }
    if (this.#chance.is(0.03)) query.set('unknown', '1')
    const search = query.size > 0 ? `?${query}` : ''
    return { path: filled + search, method, headers, body: this.#body(spec, headers) }
  }

  /** Never empty and no dots alone: that would be another path. */
  #segment(name: string): string {
    if (this.#chance.is(0.02)) return '%zz'
    const word = this.#chance.is(0.6) ? this.#word(name) : this.#chance.one(HOSTILE)
    return encodeURIComponent(word.toWellFormed()) || 'x'
  }

  #queryValue(name: string, parameter: Json): string {
    if (name === 'limit') return this.#chance.one(['1', '2', '200', '0', '201', '-1', 'x', '1.0'])
    if (this.#chance.is(0.3)) return this.#chance.one(HOSTILE).toWellFormed()
    return String(this.#valid(json(parameter['schema']), name))
  }

  #body(spec: Json, headers: Record<string, string>): string | null {
    const content = json(json(json(spec['requestBody'])['content'])['application/json'])
    if (content['schema'] === undefined) return null
    headers['content-type'] = this.#chance.is(0.98) ? 'application/json' : 'text/plain'
    if (this.#chance.is(0.03))
      return this.#chance.one(['', '{', '[1,', '\u0000', '{"a":1}}', 'nul'])
    const known = this.#bodies[String(spec['operationId'])]
    if (known !== undefined && this.#chance.is(0.2)) return JSON.stringify(known)
    const value = this.#chance.is(0.15)
      ? this.#shown(json(content['example']))
      : this.#valid(json(content['schema']), 'body')
    return JSON.stringify(this.#chance.is(0.4) ? this.#spoilt(value) : value)
  }

  /** The example of the document, with a URL of this machine. */
  #shown(example: Json): Json {
    return 'url' in example ? { ...example, url: this.#word('url') } : example
  }

  #word(name: string): string {
    return this.#chance.one(this.#words[name] ?? ['word', 'x', 'a'.repeat(40)])
  }

  #resolve(schema: Json): Json {
    const ref = schema['$ref']
    if (typeof ref !== 'string') return schema
    return json(this.#schemas[ref.slice('#/components/schemas/'.length)])
  }

  #valid(given: Json, name: string): unknown {
    const schema = this.#resolve(given)
    if (schema['nullable'] === true && this.#chance.is(0.2)) return null
    if (Array.isArray(schema['enum'])) return this.#chance.one(schema['enum'])
    const [variant] = list(schema['anyOf'] ?? schema['allOf'])
    if (variant !== undefined) return this.#valid(json(variant), name)
    switch (schema['type']) {
      case 'object':
        return this.#object(schema)
      case 'array': {
        const length = this.#chance.one([0, 1, 1, 2, 3])
        return Array.from({ length }, () => this.#valid(json(schema['items']), name))
      }
      case 'integer':
        return this.#chance.one([schema['minimum'] ?? 0, schema['maximum'] ?? 9, 1])
      case 'boolean':
        return this.#chance.is(0.5)
      case 'string':
        return this.#text(schema, name)
      default:
        return this.#chance.one(OTHERS)
    }
  }

  #object(schema: Json): Json {
    const required = new Set(list(schema['required']))
    return Object.fromEntries(
      Object.entries(json(schema['properties']))
        .filter(([name]) => required.has(name) || this.#chance.is(0.3))
        .map(([name, value]) => [name, this.#valid(json(value), name)]),
    )
  }

  #text(schema: Json, name: string): string {
    if (SECRETS.has(name)) return `${CANARY}${this.#count}`
    if (name in this.#words && this.#chance.is(0.8)) return this.#word(name)
    if (name === 'url') return this.#chance.one(['nonsense', 'ftp://127.0.0.1/', 'http://', '//x'])
    const edge = Number(schema['maxLength'] ?? EDGE_MAX)
    if (edge <= EDGE_MAX && this.#chance.is(0.1)) return 'e'.repeat(edge)
    return this.#chance.is(0.3) ? this.#chance.one(HOSTILE) : `${name}-${this.#count % 7}`
  }

  /** One place of it is of another type, missing, too long, or has a neighbour nobody knows. */
  #spoilt(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || this.#chance.is(0.1)) {
      return this.#chance.is(0.5) ? this.#chance.one(OTHERS) : this.#chance.one(HOSTILE)
    }
    if (Array.isArray(value)) return [...value, this.#chance.one(OTHERS)]
    const entries = Object.entries(value)
    if (entries.length === 0 || this.#chance.is(0.25)) {
      return { ...value, [this.#chance.one(['unknown', '__proto__', 'id', ''])]: 1 }
    }
    const [name, inner] = this.#chance.one(entries)
    if (this.#chance.is(0.3)) return Object.fromEntries(entries.filter(([key]) => key !== name))
    // A URL of chance could lead off this machine.
    if (name === 'url') return { ...value, url: this.#chance.one([7, null, '', 'x'.repeat(2049)]) }
    return { ...value, [name]: this.#spoilt(inner) }
  }
}
