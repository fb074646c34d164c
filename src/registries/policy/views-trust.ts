/**
 * What a view adds to the refusals that everybody meets: versions that no key of its set vouches
 * for. It only ever takes away: what is served in a view is, byte for byte of integrity and
 * signature, what is served without one.
 * @module
 */
import type { VersionSummary } from '../../db/packages.ts'
import type { RefusalCode } from '../packument/refusal.ts'

/**
 * @property keyids of the keys that vouch in this view; null: all that are trusted here
 * @property takesOurs whether our own key is among them: it vouches for what no registry signs
 */
export type ViewTrust = { name: string; keyids: ReadonlySet<string> | null; takesOurs: boolean }

/** Why a version that is served otherwise is refused in this view; null when it is not. */
export function untrustedIn(
  view: ViewTrust | undefined,
  row: Pick<VersionSummary, 'signature'>,
): { code: RefusalCode; detail: string } | null {
  if (view === undefined || view.keyids === null) return null
  const { signature } = row
  if (signature === null ? view.takesOurs : view.keyids.has(signature.keyid)) return null
  const detail =
    signature === null
      ? `its registry does not sign it, and the view ${view.name} does not trust this server's own key`
      : `the view ${view.name} does not trust ${signature.keyid}, which vouches for it`
  return { code: 'unknown-key', detail }
}
