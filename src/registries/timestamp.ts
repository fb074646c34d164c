/**
 * Instants as the log writes them: RFC 3339 in UTC with whole seconds.
 * @module
 */

/** `2026-11-22T08:31:07Z` */
export function timestamp(instant: Date): string {
  return `${instant.toISOString().slice(0, 19)}Z`
}
