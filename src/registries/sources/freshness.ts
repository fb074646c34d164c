/**
 * How long an answer of a registry may be used, and when it is asked for again.
 *
 * RFC 9111 section 4.2: what the registry says counts, within bounds; where it says nothing a short
 * time of our own. Integrity never depends on any of this: an old answer was verified like a new
 * one.
 * @module
 */

/** npm's registry says 300 s. More than that would hide a security release from people. */
const FRESH_MS_MAX = 300 * 1000
/**
 * For registries that say nothing: a moment where asking again is cheap (a 304, or a small
 * document), so that a refusal or a release is seen at once; longer for a large one.
 */
const CHEAP_FRESH_MS = 1000
const COSTLY_FRESH_MS = 30 * 1000
/** A document that costs hardly more than a 304. Three of four in a real application are larger. */
const CHEAP_DOCUMENT_BYTES_MAX = 16 * 1024
/** Absence is authoritative but ends with a publish: a minute, so that a new package appears soon. */
const ABSENT_FRESH_MS = 60 * 1000
/** How long a client waits for a check before it gets the last verified answer while the check goes on. */
export const REVALIDATE_WAIT_MS = 300
/**
 * Just expired: given at once while the check goes on. A package that everybody asks for is checked
 * every second without anybody waiting for it.
 */
export const JUST_EXPIRED_MS = 1000
/** An answer older than this is not given without asking, as long as the registry can be asked. */
export const STALE_MS_MAX = 24 * 60 * 60 * 1000
/** How long an answer with new versions waits for mirrors to be compared with it. */
export const COMPARE_WAIT_MS = 300
/** Clients may force a check; checks of one package are this far apart all the same. */
export const FORCED_CHECK_MS_MIN = 100
/** After a failed check the last answer serves this long before the registry is asked again. */
export const FAILED_CHECK_MS = 5 * 1000

/** What a registry says about an answer, and what asking again would cost. */
export type Freshness = {
  /** As the registry said, or null. */
  maxAgeSeconds: number | null
  hasValidator: boolean
  /** Bytes of the document. */
  length: number
}

/** The instant until which an answer is fresh. */
export function freshUntil(nowMs: number, about: Freshness): number {
  const { maxAgeSeconds, hasValidator, length } = about
  if (maxAgeSeconds !== null) return nowMs + Math.min(maxAgeSeconds * 1000, FRESH_MS_MAX)
  const isCheap = hasValidator || length <= CHEAP_DOCUMENT_BYTES_MAX
  return nowMs + (isCheap ? CHEAP_FRESH_MS : COSTLY_FRESH_MS)
}

/** The instant until which "there is no such package" is fresh. */
export function absentUntil(nowMs: number): number {
  return nowMs + ABSENT_FRESH_MS
}
