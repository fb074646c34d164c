/**
 * Why a version is not served, in words that every client shows.
 *
 * CONTRACT "Refusals": a refused version stays in the packument as a tombstone whose tarball is a
 * readable URL, because of a registry's error body most clients print nothing, while all of them
 * print the URL that failed. This file makes the sentence, the URL and the stable id; it does not
 * decide what is refused.
 * @module
 */
import { RegistryError } from '../errors.ts'

/** npm clients print `error` on one line; longer sentences are cut by terminals. */
export const SENTENCE_CHARS_MAX = 300

/** Why one version is refused; also the last part of its `/-/blocked/` URL. */
export type RefusalCode =
  | 'conflict'
  | 'unsigned'
  | 'bad-signature'
  | 'unknown-key'
  | 'expired-key'
  | 'no-integrity'
  | 'invalid'
  | 'changed'
  | 'quarantined'
  | 'denied'
  | 'no-provenance'
  | 'unchecked'
  | 'manifest-mismatch'

/** What a refusal is about. `incident` names the evidence that is kept of it. */
export type Refusal = {
  code: RefusalCode
  name: string
  version: string
  detail: string
  incident: string | null
  /** The day on which it ends by itself, when one is known. */
  until?: string | null
}

const ADVICE: Record<RefusalCode, string> = {
  'conflict': 'Do not retry with another registry; report it',
  'unsigned': 'Ask its registry to sign it',
  'bad-signature': 'Do not install it from elsewhere; report it',
  'unknown-key': 'The operator of this server can approve the key',
  'expired-key': 'Ask its registry to sign it with a current key',
  'no-integrity': 'Ask its publisher for a release with a sha512 integrity',
  'invalid': 'Ask its registry to mend the document',
  'changed': 'Do not install it from elsewhere; report it',
  'quarantined': 'Use an older version, or ask the operator of this server to allow it',
  'denied': 'Use another version, or ask the operator of this server to allow it',
  'no-provenance': 'Ask its publisher for a release with provenance',
  'unchecked': 'Try again in a moment',
  'manifest-mismatch': 'Do not install it from elsewhere; report it',
}

/** Also the code of the incident that is kept of it, in strict mode or not. */
export const MANIFEST_MISMATCH = 'manifest-mismatch'

const CODES: ReadonlySet<string> = new Set(Object.keys(ADVICE))

/** Is this state of a version row a refusal? */
export function isRefusalCode(state: string): state is RefusalCode {
  return CODES.has(state)
}

/** The URL that a tombstone's tarball points at. @param base public URL, ends in `/` */
export function blockedUrl(
  base: string,
  refusal: Pick<Refusal, 'name' | 'version' | 'code' | 'until'>,
): string {
  const { name, version, code, until = null } = refusal
  const end = until === null ? '' : `-until-${until}`
  return `${base}-/blocked/${name}@${encodeURIComponent(version)}/${code}${end}`
}

function reasonUrl(base: string, refusal: Refusal): string {
  const { incident } = refusal
  return incident === null ? blockedUrl(base, refusal) : `${base}-/why/${incident}`
}

/** One line: who refused, why, what to do, where to read more; never longer than the limit. */
export function refusalSentence(base: string, refusal: Refusal): string {
  const head = `${refusal.name}@${refusal.version} refused by ${new URL(base).host}: `
  const tail = `. ${ADVICE[refusal.code]}: ${reasonUrl(base, refusal)}`
  const room = Math.max(0, SENTENCE_CHARS_MAX - head.length - tail.length)
  const why = refusal.detail.replaceAll(/\s+/g, ' ')
  return head + (why.length > room ? `${why.slice(0, Math.max(0, room - 1))}…` : why) + tail
}

/** The error a client meets that asks for exactly the refused version. */
export function refusalError(base: string, refusal: Refusal): RegistryError {
  return new RegistryError('refused', refusalSentence(base, refusal), {
    package: refusal.name,
    version: refusal.version,
    reason: refusal.code,
    evidenceUrl: reasonUrl(base, refusal),
  })
}
