/**
 * What rendering is asked for and what it gives, as data that crosses the border of a Worker. The
 * doing is `render-packument.ts`.
 *
 * @module
 */

export type Variant = {
  form: 'full' | 'abbreviated'
  tarballs: 'as-came' | 'own'
  tombstones: 'kept' | 'dropped'
}

export type Refused = {
  version: string
  code: string
  sentence: string
  /** The blocked URL. */
  url: string
  /** Stands in the tombstone; null: whatever came. */
  integrity: string | null
}

/** What the log says in place of what came; null: what came is right. */
export type Override = {
  version: string
  projection: string | null
  signatures: { keyid: string; sig: string }[] | null
  integrity: string | null
}

export type RenderPlan = {
  /** The public URL, ends in `/`. */
  base: string
  canonicalOrigin: string | null
  /** version -> file, of every version that may be served. */
  files: [string, string][]
  refused: Refused[]
  overrides: Override[]
}

export type Rendered = {
  gzip: Uint8Array
  /** Length of the identity bytes. */
  length: number
  /** Strong, quoted, from the identity bytes. */
  etag: string
}
