/**
 * One rule for serving, as operators write it: its shape, its checks, and whether it is about a
 * version. CONTRACT "Policy".
 *
 *     { "match": "@acme/*", "action": "allow" }
 *     { "match": "left-pad@<1.3.0", "action": "deny", "reason": "broken" }
 *     { "match": "**", "action": "quarantine", "minAge": "7d" }
 *
 * Ranges are those of semver, prereleases included. A version that semver cannot read is in every
 * range that refuses and in none that allows. Pure; what rules decide is policy-decide.ts.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import semver from 'semver'
import { assertPattern, AuthorityError, matchesName } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'

/** The longest name and a long range. */
const MATCH_CHARS_MAX = 512
/** One line for people; sentences of refusals have 300 characters in all. */
const REASON_CHARS_MAX = 160
/** A list that a person still reads; each is asked for every version that it is about. */
export const RULES_MAX = 1000
/** Ten years: more is a slip of the finger, and dates have to stay dates. */
const MIN_AGE_MS_MAX = 3660 * 86_400_000

const MIN_AGE = /^([1-9]\d{0,5})([mhdw])$/
const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
}
/** A day, which begins at midnight UTC, or an instant (RFC 3339, UTC). */
const UNTIL = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?Z)?$/

export const RuleShape = Type.Object(
  {
    match: Type.String({
      minLength: 1,
      maxLength: MATCH_CHARS_MAX,
      description: 'a name, @scope/*, @*/* or **; after another @ a range of versions',
    }),
    action: Type.Union([Type.Literal('allow'), Type.Literal('deny'), Type.Literal('quarantine')]),
    minAge: Type.Optional(
      Type.String({ maxLength: 8, description: 'how old a version has to be: 90m, 12h, 7d, 2w' }),
    ),
    requireSignature: Type.Optional(Type.Boolean()),
    requireProvenance: Type.Optional(Type.Boolean()),
    reason: Type.Optional(Type.String({ minLength: 1, maxLength: REASON_CHARS_MAX })),
    until: Type.Optional(
      Type.String({ maxLength: 24, description: 'from then on the rule says nothing' }),
    ),
  },
  { additionalProperties: false },
)
export type Rule = Static<typeof RuleShape>

/** A rule without what it does not say. */
export function ruleOf(
  of: Pick<Rule, 'match' | 'action'> & {
    [Field in Exclude<keyof Rule, 'match' | 'action'>]?: Rule[Field] | null | undefined
  },
): Rule {
  const { match, action, minAge, requireSignature, requireProvenance, reason, until } = of
  return {
    match,
    action,
    ...(typeof minAge === 'string' && { minAge }),
    ...(requireSignature === true && { requireSignature }),
    ...(requireProvenance === true && { requireProvenance }),
    ...(typeof reason === 'string' && { reason }),
    ...(typeof until === 'string' && { until }),
  }
}

/** The whole list of a view. */
export const RulesShape = Type.Array(RuleShape, { maxItems: RULES_MAX })

/** A checked rule. @property place from 1 @property range null: every version */
export type CheckedRule = {
  rule: Rule
  place: number
  pattern: string
  range: semver.Range | null
  minAgeMs: number | null
  untilMs: number | null
}

/** Checks a list. @throws RegistryError bad-request, which names the rule */
export function checkRules(rules: readonly Rule[]): CheckedRule[] {
  if (rules.length > RULES_MAX) throw bad(`more than ${RULES_MAX} rules`)
  return rules.map((rule, i) => {
    try {
      return checkRule(rule, i + 1)
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      throw bad(`rule ${i + 1} (${shown(rule.match)}): ${error.message}`)
    }
  })
}

function checkRule(rule: Rule, place: number): CheckedRule {
  const [fault] = Value.Errors(RuleShape, rule)
  if (fault !== undefined) throw bad(`${fault.path.slice(1)}: ${fault.message}`)
  const { action, minAge, requireSignature, requireProvenance, reason, until } = rule
  const asksFor = minAge !== undefined || requireSignature === true || requireProvenance === true
  if (action === 'deny' && asksFor) {
    throw bad('deny refuses whatever it is about: what is to be asked for stands in a quarantine')
  }
  if (reason !== undefined && (/[\p{C}\p{Zl}\p{Zp}]/u.test(reason) || reason.trim() !== reason)) {
    throw bad('its reason is not one line of text')
  }
  return {
    rule,
    place,
    ...parseMatch(rule.match),
    minAgeMs: minAge === undefined ? null : parseAge(minAge),
    untilMs: until === undefined ? null : parseUntil(until),
  }
}

/** `@acme/*`, `left-pad@<1.3.0`, `@acme/tool@^2`. @throws RegistryError bad-request */
export function parseMatch(match: string): Pick<CheckedRule, 'pattern' | 'range'> {
  const at = match.indexOf('@', 1)
  const pattern = at === -1 ? match : match.slice(0, at)
  try {
    assertPattern('match', pattern)
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw bad(error.message)
  }
  if (at === -1) return { pattern, range: null }
  const text = match.slice(at + 1)
  if (text.trim() === '') throw bad('no range stands after its @')
  try {
    return { pattern, range: new semver.Range(text, { includePrerelease: true, loose: true }) }
  } catch {
    throw bad(`${shown(text)} is no range of versions`)
  }
}

/** Is the rule about this version of a package that it names? @param version as semver reads it */
export function isAbout(checked: CheckedRule, version: semver.SemVer | null): boolean {
  const { range, rule } = checked
  if (range === null) return true
  return version === null ? rule.action !== 'allow' : range.test(version)
}

/** Does the rule name this package? */
export function namesPackage(checked: CheckedRule, name: string): boolean {
  return matchesName(checked.pattern, name)
}

function parseAge(text: string): number {
  const [, count = '', unit = ''] = MIN_AGE.exec(text) ?? []
  const ms = Number(count) * (UNIT_MS[unit] ?? Number.NaN)
  if (ms > 0 && ms <= MIN_AGE_MS_MAX) return ms
  throw bad(`minAge ${shown(text)} is none: write 90m, 12h, 7d or 2w, ten years at most`)
}

function parseUntil(text: string): number {
  const ms = UNTIL.test(text) ? Date.parse(text) : Number.NaN
  // A day that the calendar does not have is moved to one that it has: not what was meant.
  const isReal = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 10))
  if (isReal) return ms
  throw bad(`until ${shown(text)} is no day: write 2026-11-29 or 2026-11-29T08:30:00Z`)
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
