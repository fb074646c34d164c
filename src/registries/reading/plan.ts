/**
 * From the version rows of a package to the plan its answers are rendered by: the same rows always
 * give the same plan, so the answer depends on the log and the document, never on who asked first.
 * Decides nothing anew; the verdicts were recorded by ledger.ts.
 * @module
 */
import type { Packages, VersionRow, VersionSummary } from '../../db/packages.ts'
import type { Cosigner } from './cosign.ts'
import type { Policy } from '../policy/policy.ts'
import { NEVER_MS } from '../policy/policy-decide.ts'
import {
  blockedUrl,
  isRefusalCode,
  type Refusal,
  type RefusalCode,
  refusalSentence,
} from '../packument/refusal.ts'
import type { Override, Refused, RenderPlan } from '../packument/render.ts'
import type { StrictGate } from '../sampler/strict.ts'
import { untrustedIn, type ViewTrust } from '../policy/views-trust.ts'
import { addressesOf } from '../content-tag.ts'

/** Rows read in one go: 20,000 at once would stop everything for 50 ms. */
const PAGE_ROWS = 1000

/** What a plan needs besides rows. @property base public URL, ends in `/` */
export type PlanSettings = {
  base: string
  canonicalOrigin: string | null
  cosigner: Cosigner
  policy: Policy
  /** The view that it is read through; without one, nothing is taken away. */
  view?: ViewTrust
  /** Judges versions by what is inside their tarballs; without one, nothing is taken away. */
  gate?: StrictGate
}

/**
 * A plan and what stands for exactly it. @property refusedBySignature whether a version is refused
 * that other keys might vouch for @property changesMs the instant from which the rules may say
 * something else by themselves: a quarantine ends
 */
export type Plan = {
  plan: RenderPlan
  hash: string
  refusedBySignature: boolean
  changesMs: number
}

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
    await immediate()
  }
}

function immediate(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/** Rows of a package, as they were at an edition of all rows (db/packages.ts). */
export type ReadRows = { rows: VersionSummary[]; edition: number }

/** The plan of one package. @param read its rows, used unless any row was written since */
export async function planOf(
  packages: Packages,
  namespace: string,
  name: string,
  settings: PlanSettings,
  read?: ReadRows,
): Promise<Plan> {
  const files: [string, string][] = []
  const refused: Refused[] = []
  const overrides: Override[] = []
  const served: VersionSummary[] = []
  let changesMs = NEVER_MS
  const { policy } = settings
  const judge = policy.judgeOf(namespace, name, settings.view?.name ?? null)
  const isCurrent = read?.edition === packages.edition
  const rows = isCurrent ? read.rows : await allSummaries(packages, namespace, name)
  for (const [i, row] of rows.entries()) {
    if (isRefusalCode(row.state)) {
      refused.push(refusedOf(row, { ...row, code: row.state }, settings.base))
      continue
    }
    const untrusted = untrustedIn(settings.view, row)
    if (untrusted !== null) {
      const { code, detail } = untrusted
      refused.push(refusedOf(row, { ...row, code, detail }, settings.base))
      continue
    }
    // To ask the rules takes some microseconds a version: the loop stays free in between.
    if (judge !== undefined && i % PAGE_ROWS === PAGE_ROWS - 1) await immediate()
    const decision = judge?.(row)
    if (decision !== undefined) changesMs = Math.min(changesMs, decision.changesMs)
    if (decision?.outcome === 'refused') {
      refused.push(refusedOf(row, policy.refusalOf(row, decision), settings.base))
      continue
    }
    const unproven = settings.gate?.refusalOf(row)
    if (unproven !== undefined) {
      refused.push(refusedOf(row, { ...row, ...unproven }, settings.base))
      continue
    }
    served.push(row)
    files.push([row.version, row.file])
    if (row.state !== RESTORED_STATE) continue
    const whole = packages.get(namespace, name, row.version)
    if (whole !== null) overrides.push(overrideOf(whole))
  }
  settings.gate?.end()
  const { base, canonicalOrigin, cosigner } = settings
  const cosignatures = await cosigner.signaturesOf(served)
  const addresses = addressesOf(served)
  const plan = { base, canonicalOrigin, files, refused, overrides, cosignatures, addresses }
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify(plan)).digest('hex')
  const refusedBySignature = refused.some(({ code }) => isRefusedBySignature(code))
  return { plan, hash, refusedBySignature, changesMs }
}

function refusedOf(
  { version, integrity }: VersionSummary,
  refusal: Refusal,
  base: string,
): Refused {
  const sentence = refusalSentence(base, refusal)
  return { version, code: refusal.code, sentence, url: blockedUrl(base, refusal), integrity }
}

function overrideOf(row: VersionRow): Override {
  return {
    version: row.version,
    projection: row.projection,
    signatures: row.signature === null ? null : [row.signature],
    integrity: row.integrity,
  }
}
