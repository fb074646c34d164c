/**
 * Lists of `/-/api` come in pages: `limit` and `after`, and a Link header (RFC 8288) that leads to
 * the next page while there is one.
 * @module
 */
import { type TSchema, Type } from '@sinclair/typebox'
import type { Answer } from './api-route.ts'

const LIMIT_DEFAULT = 50
/** What a page of an administration shows, with room; the evidence of incidents is not in lists. */
const LIMIT_MAX = 200
/** Names and ids are shorter. */
const AFTER_CHARS_MAX = 300

/** The parameters of every list. */
export const PageQuery = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMIT_MAX,
      default: LIMIT_DEFAULT,
      description: 'How many at most.',
    }),
  ),
  after: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: AFTER_CHARS_MAX,
      description: 'Where the page before ended, as its Link header says.',
    }),
  ),
}

/** The shape of a list. */
export function pageOf<Item extends TSchema>(item: Item) {
  return Type.Object({ items: Type.Array(item) })
}

/** A page of something that is at hand as a whole, in the order of its keys. */
export function pageIn<Item>(
  all: readonly Item[],
  keyOf: (item: Item) => string,
  { limit, after }: { limit?: number; after?: string },
): Answer {
  const sorted = all.toSorted((a, b) => compare(keyOf(a), keyOf(b)))
  const rest = after === undefined ? sorted : sorted.filter(item => compare(keyOf(item), after) > 0)
  return pageAnswer(rest, keyOf, limit)
}

/**
 * A page of what begins where it should. @param found one more than the limit tells that there is
 * a next page
 */
export function pageAnswer<Item>(
  found: readonly Item[],
  keyOf: (item: Item) => string,
  limit: number = LIMIT_DEFAULT,
): Answer {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  const next = found.length > items.length && last !== undefined ? keyOf(last) : undefined
  return { value: { items }, next }
}

/** How many rows to ask for: one more than the page holds. */
export const rowsFor = (limit: number = LIMIT_DEFAULT): number => limit + 1

/** By code units, as SQLite orders ASCII and as no locale changes it. */
function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
