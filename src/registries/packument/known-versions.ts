/**
 * What the log says of a package's versions, as the inspection of a packument takes it.
 * @module
 */
import type { VersionSummary } from '../../db/packages.ts'
import type { KnownVersion } from './inspect.ts'

/** The logged ones of `rows`. */
export function knownVersions(rows: readonly VersionSummary[]): KnownVersion[] {
  return rows.flatMap(({ version, integrity, manifestHash, signature, ...row }) => {
    if (row.leafIndex === null || integrity === null) return []
    return [{ version, integrity, manifestHash, signature, sinceFirstSight: row.sinceFirstSight }]
  })
}
