/**
 * One route of `/-/api` as a value: what it is called, what it asks for, what it answers. The API
 * document, the checks of a request and the list of paths are all read off it.
 *
 * Requests are checked here and not by the framework, whose checks drop properties they do not
 * know and repeat what was sent.
 * @module
 */
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import type { Identity, Scope } from '../registries/accounts/access.ts'
import { FormError, type PlaceError } from './api-problem.ts'

/** Places that are named in one answer; whoever has more begins with these. */
const PLACES_MAX = 20
/** A change of anything but lists of names and certificates is far below this. */
const BODY_BYTES_MAX = 64 * 1024
/** Names and ids in paths are shorter. */
const PARAM_CHARS_MAX = 300

export type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** One request, checked. @property address where it comes from */
export type Call<Params, Query, Body> = {
  params: Params
  query: Query
  body: Body
  identity: Identity
  request: Request
  address: string | null
}

/**
 * What a handler answers with. @property isSecret it is shown once and kept nowhere
 * @property location path below the public URL of what was made @property next `after` of the next
 * page
 */
export type Answer = {
  value?: unknown
  isSecret?: boolean
  location?: string
  next?: string | undefined
  headers?: Record<string, string>
}

/** @property example as it is shown in the document */
export type Success = {
  status: 200 | 201 | 204
  description: string
  schema?: TSchema
  example?: unknown
}

type Described = {
  method: Method
  /** As the framework has them: `:name` for a parameter. */
  path: string
  operationId: string
  summary: string
  description: string
  tag: string
  scope: Scope
  success: Success
  /** Statuses besides those that follow from the rest of the route. */
  problems?: readonly (401 | 403 | 404 | 409 | 410 | 422 | 429 | 503)[]
  bodyBytesMax?: number
  bodyExample?: unknown
  /** Examples of parameters, by name. */
  examples?: Record<string, string>
  /** False: an Idempotency-Key means nothing here. */
  isRepeatable?: boolean
}

/** A route whose handler has lost its types: what the surface and the document work with. */
export type ApiRoute = Described & {
  params: TObject
  query: TObject
  /** `None` for no body. */
  body: TSchema
  bodyBytesMax: number
  /** Null when nothing is changed conditionally. */
  current: ((call: RawCall) => Promise<unknown>) | null
  run: (call: RawCall) => Promise<Answer>
}

export type RawCall = Call<unknown, unknown, unknown>

type Typed<P extends TObject, Q extends TObject, B extends TSchema> = Described & {
  params: P
  query: Q
  body: B
  /** The representation whose ETag If-Match is compared with. */
  current?: (call: Call<Static<P>, unknown, unknown>) => Promise<unknown>
  handle: (call: Call<Static<P>, Static<Q>, Static<B>>) => Promise<Answer>
}

/** A name or an id in a path. */
export const PathWord = Type.String({ minLength: 1, maxLength: PARAM_CHARS_MAX })

/** No parameters, or no body. */
export const None = Type.Object({}, { additionalProperties: false })

/** Makes a route: from here on its checks and its handler are one. */
export function apiRoute<P extends TObject, Q extends TObject, B extends TSchema>(
  typed: Typed<P, Q, B>,
): ApiRoute {
  const { current, handle, ...described } = typed
  const { params, query, body } = described
  return {
    ...described,
    bodyBytesMax: described.bodyBytesMax ?? BODY_BYTES_MAX,
    current:
      current === undefined
        ? null
        : call => current({ ...call, params: checked(params, call.params, 'params') }),
    run: call =>
      handle({
        ...call,
        params: checked(params, call.params, 'params'),
        query: checked(query, numbersIn(query, call.query), 'query'),
        body: checked(body, call.body, 'body'),
      }),
  }
}

/** What is checked: its errors point at different places, and have different codes. */
type Part = 'params' | 'query' | 'body'

function checked<Shape extends TSchema>(shape: Shape, value: unknown, part: Part): Static<Shape> {
  if (Value.Check(shape, value)) return value
  const places: PlaceError[] = []
  for (const error of Value.Errors(shape, value)) {
    places.push(placeOf(shape, error, part))
    if (places.length >= PLACES_MAX) break
  }
  if (part === 'body') {
    throw new FormError('unprocessable', 'the body is not of the declared form', places)
  }
  throw new FormError('bad-request', 'a parameter is not of the declared form', places)
}

/** Names that are not declared are not repeated: what a property is called came from outside too. */
function placeOf(shape: TSchema, error: ValueError, part: Part): PlaceError {
  const isUnknown = error.type === ValueErrorType.ObjectAdditionalProperties
  const path = declaredPath(shape, error.path)
  const detail = isUnknown ? 'a property that is not known' : error.message
  if (part === 'body') return { pointer: path, detail }
  const word = path.slice(1)
  return { pointer: part === 'query' ? `?${word}` : `/{${word}}`, detail }
}

/** As much of a JSON pointer as the shape itself spells out. */
function declaredPath(shape: TSchema, path: string): string {
  let at: readonly unknown[] = [shape]
  let kept = ''
  for (const segment of path.split('/').slice(1)) {
    at = at.flatMap(each => inside(each, segment))
    if (at.length === 0) break
    kept += `/${segment}`
  }
  return kept
}

function inside(shape: unknown, segment: string): unknown[] {
  if (typeof shape !== 'object' || shape === null) return []
  if ('anyOf' in shape && Array.isArray(shape.anyOf)) {
    return shape.anyOf.flatMap(each => inside(each, segment))
  }
  if ('items' in shape && /^\d+$/.test(segment)) return [shape.items]
  if (!('properties' in shape) || typeof shape.properties !== 'object') return []
  const found = Object.entries(shape.properties ?? {}).find(([name]) => name === segment)
  return found === undefined ? [] : [found[1]]
}

/** Query values are texts: those that are declared as integers and look like them become such. */
function numbersIn(shape: TObject, query: unknown): unknown {
  if (typeof query !== 'object' || query === null) return query
  return Object.fromEntries(
    Object.entries(query).map(([name, value]: [string, unknown]) => {
      const isInteger = shape.properties[name]?.['type'] === 'integer'
      const isPlain = typeof value === 'string' && /^\d{1,12}$/.test(value)
      return [name, isInteger && isPlain ? Number(value) : value]
    }),
  )
}
