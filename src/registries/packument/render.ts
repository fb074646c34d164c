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
  /** With the addresses of the plan as dist-tags. */
  tags?: 'addressed'
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

/** In place of an origin: every tarball URL stays as it came (mode `upstream`). */
export const ANY_ORIGIN = '*'

/** Our own signature of a version that its registry did not sign. */
export type Cosignature = { version: string; keyid: string; sig: string }

export type RenderPlan = {
  /** The public URL, ends in `/`. */
  base: string
  /** Tarball URLs on it stay in the variant `as-came`; `ANY_ORIGIN`: all; null: none. */
  canonicalOrigin: string | null
  /** Versions that are left out without a word: nobody vouches for them. */
  omitted?: string[]
  /** version -> file, of every version that may be served. */
  files: [string, string][]
  refused: Refused[]
  overrides: Override[]
  cosignatures?: Cosignature[]
  /** Dist-tags that name versions by their bytes (content-tag.ts). */
  addresses?: [tag: string, version: string][]
}

export type Rendered = {
  gzip: Uint8Array
  /** Length of the identity bytes. */
  length: number
  /** Strong, quoted, from the identity bytes. */
  etag: string
}
