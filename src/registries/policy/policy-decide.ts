/**
 * What the rules say of one version at one instant: a pure function, so that everybody who asks at
 * the same moment gets the same answer, and the answer can be kept until the next moment at which
 * it may be another.
 *
 * Rules are asked in order; the first one that decides wins. A rule is asked when it names the
 * package and the version, and its `until` is not over.
 *
 * - `deny` decides: the version is refused.
 * - `allow` decides: the version is served, and no later rule is asked. When it lacks what the rule
 *   asks for (`minAge`, `requireSignature`, `requireProvenance`) it is refused for that.
 * - `quarantine` refuses a version that lacks what the rule asks for. One that has all of it goes on
 *   to the next rule. Without anything to ask for it holds all that it names.
 *
 * A version about which no rule decides is served. What integrity, signatures and disputes refuse
 * never comes here: no rule can lift it (plan.ts asks after that).
 * @module
 */
import semver from 'semver'
import { type CheckedRule, isAbout } from './policy-rule.ts'

/** Why rules refuse a version. */
export type PolicyCode = 'quarantined' | 'denied' | 'unsigned' | 'no-provenance'

/** All of a version that a rule can ask for. */
export type VersionFacts = {
  version: string
  /** When this server first saw it. */
  firstSeen: string
  /** It appeared after its package was first seen here. */
  sinceFirstSight: boolean
  /** When it was published, as its registry says. */
  published: string | null
  /** Its registry signed it. */
  signed: boolean
  /** Its registry named a provenance. */
  provenance: boolean
}

/**
 * @property rule the one that decided @property changesMs the answer is this one until then
 */
export type Decision =
  | { outcome: 'served'; rule: CheckedRule | null; changesMs: number }
  | {
      outcome: 'refused'
      rule: CheckedRule
      code: PolicyCode
      /** When it will be served, if nothing is changed by then. */
      untilMs: number | null
      changesMs: number
    }

type Asked = { outcome: 'served'; rule: CheckedRule | null } | Refusing
type Refusing = { outcome: 'refused'; rule: CheckedRule; code: PolicyCode }

/** For ever: no instant is later. */
export const NEVER_MS = Number.POSITIVE_INFINITY

/** @param rules in order, those that name the package */
export function decide(
  rules: readonly CheckedRule[],
  facts: VersionFacts,
  nowMs: number,
): Decision {
  const hasRanges = rules.some(({ range }) => range !== null)
  const version = hasRanges ? semver.parse(facts.version, { loose: true }) : null
  const about = rules.filter(rule => isAbout(rule, version))
  const first = decideAt(about, facts, nowMs)
  if (first.outcome === 'served') return first
  let next: Asked & { changesMs: number } = first
  // Each step passes the end of a rule or of an age: there are two of them to a rule at most.
  while (next.outcome === 'refused' && next.changesMs !== NEVER_MS) {
    const { changesMs } = next
    next = decideAt(about, facts, changesMs)
    if (next.outcome === 'served') return { ...first, untilMs: changesMs }
  }
  return { ...first, untilMs: null }
}

function decideAt(
  about: readonly CheckedRule[],
  facts: VersionFacts,
  nowMs: number,
): Asked & { changesMs: number } {
  let changesMs = NEVER_MS
  for (const rule of about) {
    const { untilMs } = rule
    if (untilMs !== null && untilMs <= nowMs) continue
    if (untilMs !== null) changesMs = Math.min(changesMs, untilMs)
    const answer = ask(rule, facts, nowMs)
    if (answer === 'next') continue
    if (answer === 'served') return { outcome: 'served', rule, changesMs }
    const { code, endsMs } = answer
    return { outcome: 'refused', rule, code, changesMs: Math.min(changesMs, endsMs) }
  }
  return { outcome: 'served', rule: null, changesMs }
}

/** One rule's word. @property endsMs when what it lacks comes by itself */
function ask(
  { rule, minAgeMs }: CheckedRule,
  facts: VersionFacts,
  nowMs: number,
): 'served' | 'next' | { code: PolicyCode; endsMs: number } {
  const { action, requireSignature = false, requireProvenance = false } = rule
  if (action === 'deny') return { code: 'denied', endsMs: NEVER_MS }
  if (requireSignature && !facts.signed) return { code: 'unsigned', endsMs: NEVER_MS }
  if (requireProvenance && !facts.provenance) return { code: 'no-provenance', endsMs: NEVER_MS }
  const oldEnoughMs = minAgeMs === null ? nowMs : bornMs(facts).ms + minAgeMs
  if (oldEnoughMs > nowMs) return { code: 'quarantined', endsMs: oldEnoughMs }
  if (action === 'allow') return 'served'
  const asksForNothing = minAgeMs === null && !requireSignature && !requireProvenance
  return asksForNothing ? { code: 'quarantined', endsMs: NEVER_MS } : 'next'
}

/**
 * From when a version's age counts. What appeared since its package is known here: from when it was
 * seen, which its registry cannot forge. What was there before: from its publication as the
 * registry says, but never after it was seen; without a usable date, from when it was seen.
 */
export function bornMs(facts: Pick<VersionFacts, 'firstSeen' | 'sinceFirstSight' | 'published'>): {
  ms: number
  by: 'seen' | 'published'
} {
  const seenMs = Date.parse(facts.firstSeen)
  const publishedMs = Date.parse(facts.published ?? '')
  const isSeen = facts.sinceFirstSight || Number.isNaN(publishedMs) || publishedMs > seenMs
  return isSeen ? { ms: seenMs, by: 'seen' } : { ms: publishedMs, by: 'published' }
}
