/**
 * From the version rows of a package to the plan its answers are rendered by: the same rows always
 * give the same plan, so the answer depends on the log and the document, never on who asked first.
 * Decides nothing anew; the verdicts were recorded by ledger.ts.
 * @module
 */
import type { Packages, VersionRow, VersionSummary } from '../db/packages.ts'
import { blockedUrl, isRefusalCode, type RefusalCode, refusalSentence } from './refusal.ts'
import type { Override, Refused, RenderPlan } from './render.ts'

/** What a plan needs besides rows. @property base public URL, ends in `/` */
export type PlanSettings = { base: string; canonicalOrigin: string | null }

/** State of a row whose document changed after it was logged: the logged projection is served. */
export const RESTORED_STATE = 'restored'

/** The plan of one package, and whether any of its versions is refused. */
export function planOf(
  packages: Packages,
  namespace: string,
  name: string,
  settings: PlanSettings,
): RenderPlan {
  const files: [string, string][] = []
  const refused: Refused[] = []
  const overrides: Override[] = []
  for (const row of packages.summaries(namespace, name)) {
    if (isRefusalCode(row.state)) {
      refused.push(refusedOf(row, row.state, settings.base))
      continue
    }
    files.push([row.version, row.file])
    if (row.state !== RESTORED_STATE) continue
    const whole = packages.get(namespace, name, row.version)
    if (whole !== null) overrides.push(overrideOf(whole))
  }
  return { ...settings, files, refused, overrides }
}

function refusedOf(row: VersionSummary, code: RefusalCode, base: string): Refused {
  return {
    version: row.version,
    code,
    sentence: refusalSentence(base, { ...row, code }),
    url: blockedUrl(base, { ...row, code }),
    integrity: row.integrity,
  }
}

function overrideOf(row: VersionRow): Override {
  return {
    version: row.version,
    projection: row.projection,
    signatures: row.signature === null ? null : [row.signature],
    integrity: row.integrity,
  }
}
