/**
 * From the version rows of a package to the plan its answers are rendered by: the same rows always
 * give the same plan, so the answer depends on the log and the document, never on who asked first.
 * Decides nothing anew; the verdicts were recorded by ledger.ts.
 * @module
 */
import type { Packages, VersionRow, VersionSummary } from '../db/packages.ts'
import type { Cosigner } from './cosign.ts'
import { blockedUrl, isRefusalCode, type RefusalCode, refusalSentence } from './refusal.ts'
import type { Override, Refused, RenderPlan } from './render.ts'

/** Rows read in one go: 20,000 at once would stop everything for 50 ms. */
const PAGE_ROWS = 1000

/** What a plan needs besides rows. @property base public URL, ends in `/` */
export type PlanSettings = { base: string; canonicalOrigin: string | null; cosigner: Cosigner }

/**
 * A plan and what stands for exactly it. @property refusedBySignature whether a version is refused
 * that other keys might vouch for
 */
export type Plan = { plan: RenderPlan; hash: string; refusedBySignature: boolean }

/** Refusals that depend on the keys in force: with two signatures any of them may be the reason. */
const SIGNATURE_REFUSALS: ReadonlySet<string> = new Set<RefusalCode>([
  'unknown-key',
  'bad-signature',
  'expired-key',
])

/** Whether a version in this state may be good by other keys. */
export function isRefusedBySignature(state: string): boolean {
  return SIGNATURE_REFUSALS.has(state)
}

/** State of a row whose document changed after it was logged: the logged projection is served. */
export const RESTORED_STATE = 'restored'

/** All version rows of a package, page by page, with the loop free in between. */
export async function allSummaries(
  packages: Packages,
  namespace: string,
  name: string,
): Promise<VersionSummary[]> {
  const rows: VersionSummary[] = []
  for (;;) {
    const page = packages.summaryPage(namespace, name, rows.at(-1)?.version ?? '', PAGE_ROWS)
    for (const row of page) rows.push(row)
    if (page.length < PAGE_ROWS) return rows
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** The plan of one package. */
export async function planOf(
  packages: Packages,
  namespace: string,
  name: string,
  settings: PlanSettings,
): Promise<Plan> {
  const files: [string, string][] = []
  const refused: Refused[] = []
  const overrides: Override[] = []
  const served: VersionSummary[] = []
  for (const row of await allSummaries(packages, namespace, name)) {
    if (isRefusalCode(row.state)) {
      refused.push(refusedOf(row, row.state, settings.base))
      continue
    }
    served.push(row)
    files.push([row.version, row.file])
    if (row.state !== RESTORED_STATE) continue
    const whole = packages.get(namespace, name, row.version)
    if (whole !== null) overrides.push(overrideOf(whole))
  }
  const { base, canonicalOrigin, cosigner } = settings
  const cosignatures = await cosigner.signaturesOf(served)
  const plan = { base, canonicalOrigin, files, refused, overrides, cosignatures }
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify(plan)).digest('hex')
  return { plan, hash, refusedBySignature: refused.some(({ code }) => isRefusedBySignature(code)) }
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
