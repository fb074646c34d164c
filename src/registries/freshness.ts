/**
 * How long an answer of a registry may be used, and when it is asked for again.
 *
 * RFC 9111 section 4.2: what the registry says counts, within bounds; where it says nothing a short
 * time of our own. Integrity never depends on any of this: an old answer was verified like a new one.
 * @module
 */

/** npm's registry says 300 s. More than that would hide a security release from people. */
const FRESH_MS_MAX = 300 * 1000
/** For registries that say nothing: short, since asking again is waited for only REVALIDATE_WAIT_MS. */
const FRESH_MS_DEFAULT = 30 * 1000
/** Absence is authoritative but ends with a publish: a minute, so that a new package appears soon. */
const ABSENT_FRESH_MS = 60 * 1000
/** How long a client waits for a check before it gets the last verified answer while the check goes on. */
export const REVALIDATE_WAIT_MS = 150
/** An answer older than this is not given without asking, as long as the registry can be asked. */
export const STALE_MS_MAX = 24 * 60 * 60 * 1000
/** Clients may force a check; checks of one package are this far apart all the same. */
export const FORCED_CHECK_MS_MIN = 1000
/** After a failed check the last answer serves this long before the registry is asked again. */
export const FAILED_CHECK_MS = 5 * 1000

/** The instant until which an answer is fresh. @param maxAgeSeconds as the registry said, or null */
export function freshUntil(nowMs: number, maxAgeSeconds: number | null): number {
  if (maxAgeSeconds === null) return nowMs + FRESH_MS_DEFAULT
  return nowMs + Math.min(maxAgeSeconds * 1000, FRESH_MS_MAX)
}

/** The instant until which "there is no such package" is fresh. */
export function absentUntil(nowMs: number): number {
  return nowMs + ABSENT_FRESH_MS
}
