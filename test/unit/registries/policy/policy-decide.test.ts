/**
 * What rules decide: a table of cases by hand, then properties over lists of rules made at random.
 * Goal: the first rule that decides wins, ages count by the right clock, and the answer holds for
 * exactly as long as it says.
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  type Decision,
  decide,
  NEVER_MS,
  type VersionFacts,
} from '../../../../src/registries/policy/policy-decide.ts'
import {
  checkRules,
  namesPackage,
  type Rule,
  ruleOf,
} from '../../../../src/registries/policy/policy-rule.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')
const DAY_MS = 86_400_000

const OLD: VersionFacts = {
  version: '1.2.3',
  firstSeen: '2026-11-20T12:00:00Z',
  sinceFirstSight: false,
  published: '2020-01-01T00:00:00.000Z',
  signed: true,
  provenance: true,
}
/** Its registry says that it is old; here it appeared two days ago. */
const NEW: VersionFacts = { ...OLD, sinceFirstSight: true }

function asked(rules: Rule[], facts: VersionFacts, nowMs = NOW): Decision {
  return decide(checkRules(rules), facts, nowMs)
}

function shown(decision: Decision): string {
  const { rule } = decision
  if (decision.outcome === 'served') return `served by ${rule?.place ?? 'nobody'}`
  const { untilMs } = decision
  const until = untilMs === null ? '' : ` until ${new Date(untilMs).toISOString().slice(0, 10)}`
  return `${decision.code}${until} by ${rule?.place ?? 'nobody'}`
}

const WEEK: Rule = { match: '**', action: 'quarantine', minAge: '7d' }
const ALLOW: Rule = { match: '**', action: 'allow' }
const DENY: Rule = { match: '**', action: 'deny' }

describe('what is decided', () => {
  test.each<[string, Rule[], Partial<VersionFacts>, string]>([
    ['no rules', [], {}, 'served by nobody'],
    ['a deny', [DENY], {}, 'denied by 1'],
    ['the first one wins', [ALLOW, DENY], {}, 'served by 1'],
    ['the first one wins, the other way', [DENY, ALLOW], {}, 'denied by 1'],
    ['old by its registry', [WEEK], {}, 'served by nobody'],
    ['new since its package is known', [WEEK], NEW, 'quarantined until 2026-11-27 by 1'],
    ['no date: when it was seen', [WEEK], { published: null }, 'quarantined until 2026-11-27 by 1'],
    ['nonsense for a date', [WEEK], { published: 'x' }, 'quarantined until 2026-11-27 by 1'],
    [
      'a date after it was seen',
      [WEEK],
      { published: '2099-01-01T00:00:00Z' },
      'quarantined until 2026-11-27 by 1',
    ],
    [
      'published yesterday, before it was seen',
      [WEEK],
      { firstSeen: '2026-11-22T11:00:00Z', published: '2026-11-21T00:00:00Z' },
      'quarantined until 2026-11-28 by 1',
    ],
    ['an exemption from a later quarantine', [ALLOW, WEEK], NEW, 'served by 1'],
    ['a passed quarantine goes on', [WEEK, DENY], {}, 'denied by 2'],
    ['a quarantine without end', [{ match: '**', action: 'quarantine' }], {}, 'quarantined by 1'],
    [
      'a quarantine until a day',
      [{ match: '**', action: 'quarantine', until: '2026-12-01' }],
      {},
      'quarantined until 2026-12-01 by 1',
    ],
    ['a rule that is over', [{ ...DENY, until: '2026-11-22' }], {}, 'served by nobody'],
    ['a deny until a day', [{ ...DENY, until: '2026-11-23' }], {}, 'denied until 2026-11-23 by 1'],
    [
      'after one end comes the next',
      [{ ...DENY, until: '2026-11-23' }, WEEK],
      NEW,
      'denied until 2026-11-27 by 1',
    ],
    [
      'an exemption that ends later does not hide what comes after',
      [{ ...ALLOW, until: '2026-11-23' }, DENY],
      {},
      'served by 1',
    ],
    [
      'an allow that asks for something decides',
      [{ ...ALLOW, requireSignature: true }, ALLOW],
      { signed: false },
      'unsigned by 1',
    ],
    [
      'an allow that has what it asks for',
      [{ ...ALLOW, requireSignature: true, minAge: '1d' }, DENY],
      NEW,
      'served by 1',
    ],
    [
      'provenance',
      [{ ...ALLOW, requireProvenance: true }],
      { provenance: false },
      'no-provenance by 1',
    ],
    [
      'a quarantine of what lacks provenance passes the rest on',
      [{ match: '**', action: 'quarantine', requireProvenance: true }, WEEK],
      NEW,
      'quarantined until 2026-11-27 by 2',
    ],
    ['a range', [{ match: 'x@<1.2.0', action: 'deny' }], {}, 'served by nobody'],
    ['in a range', [{ match: 'x@^1.2.0', action: 'deny' }], {}, 'denied by 1'],
    [
      'a prerelease is in a range',
      [{ match: 'x@<2.0.0', action: 'deny' }],
      { version: '1.9.0-rc.1' },
      'denied by 1',
    ],
    [
      'what semver cannot read is denied',
      [{ match: 'x@<0.0.1', action: 'deny' }],
      { version: 'no~version' },
      'denied by 1',
    ],
    [
      'what semver cannot read is not allowed',
      [{ match: 'x@>=0', action: 'allow' }, DENY],
      { version: 'no~version' },
      'denied by 2',
    ],
  ])('%s', (_, rules, facts, expected) => {
    expect(shown(asked(rules, { ...OLD, ...facts }))).toBe(expected)
  })

  test('the answer of a new version changes when its quarantine ends, to the millisecond', () => {
    const ends = Date.parse(NEW.firstSeen) + 7 * DAY_MS
    expect(asked([WEEK], NEW).changesMs).toBe(ends)
    expect(asked([WEEK], NEW, ends - 1).outcome).toBe('refused')
    expect(asked([WEEK], NEW, ends)).toEqual({ outcome: 'served', rule: null, changesMs: NEVER_MS })
  })
})

describe('which packages a rule names', () => {
  test.each([
    ['@acme/*', '@acme/tool', true],
    ['@acme/*', '@acme-labs/tool', false],
    ['@acme/tool@^1', '@acme/tool', true],
    ['@*/*', '@acme/tool', true],
    ['@*/*', 'tool', false],
    ['tool', 'tool', true],
    ['tool', 'tools', false],
    ['**', 'anything', true],
    ['@acme/*@<2', '@acme/tool', true],
  ])('%s and %s', (match, name, expected) => {
    const [rule] = checkRules([{ match, action: 'deny' }])
    expect(rule === undefined ? undefined : namesPackage(rule, name)).toBe(expected)
  })
})

describe('what is no rule', () => {
  test.each<[unknown, string]>([
    [{ match: 'a*', action: 'deny' }, 'is no pattern'],
    [{ match: '', action: 'deny' }, 'match'],
    [{ match: 'x@', action: 'deny' }, 'no range stands after'],
    [{ match: 'x@one or two', action: 'deny' }, 'is no range'],
    [{ match: 'x', action: 'refuse' }, 'action'],
    [{ match: 'x', action: 'quarantine', minAge: '7 days' }, 'write 90m'],
    [{ match: 'x', action: 'quarantine', minAge: '0d' }, 'write 90m'],
    [{ match: 'x', action: 'quarantine', minAge: '9999w' }, 'ten years'],
    [{ match: 'x', action: 'deny', minAge: '7d' }, 'stands in a quarantine'],
    [{ match: 'x', action: 'deny', until: '2026-02-30' }, 'is no day'],
    [{ match: 'x', action: 'deny', until: 'tomorrow' }, 'is no day'],
    [{ match: 'x', action: 'deny', reason: 'a\nb' }, 'one line'],
    [{ match: 'x', action: 'deny', colour: 'red' }, 'colour'],
  ])('%j', (rule, reason) => {
    expect(() => checkRules([JSON.parse(JSON.stringify(rule))])).toThrow(reason)
  })
})

const day = fc.integer({ min: -20, max: 20 }).map(days => new Date(NOW + days * DAY_MS))
const ruleArbitrary: fc.Arbitrary<Rule> = fc
  .record({
    match: fc.constantFrom('**', 'x', 'x@^1.0.0', 'x@>=2', '@*/*', 'y'),
    action: fc.constantFrom('allow' as const, 'deny' as const, 'quarantine' as const),
    minAge: fc.option(fc.constantFrom('1h', '1d', '7d', '3w')),
    requireSignature: fc.boolean(),
    requireProvenance: fc.boolean(),
    until: fc.option(day),
  })
  .map(({ until, ...rule }) => {
    const said = rule.action === 'deny' ? { match: rule.match, action: rule.action } : rule
    return ruleOf({ ...said, until: until?.toISOString() })
  })
const rulesArbitrary = fc.array(ruleArbitrary, { maxLength: 6 })
const factsArbitrary: fc.Arbitrary<VersionFacts> = fc.record({
  version: fc.constantFrom('0.9.0', '1.2.3', '1.3.0-rc.1', '2.0.0', 'odd~one'),
  firstSeen: day.map(date => `${date.toISOString().slice(0, 19)}Z`),
  sinceFirstSight: fc.boolean(),
  published: fc.option(day.map(date => date.toISOString())),
  signed: fc.boolean(),
  provenance: fc.boolean(),
})

/** Rules as `decide` gets them: those that name the package. */
function rulesOf(rules: Rule[]) {
  return checkRules(rules).filter(rule => namesPackage(rule, 'x'))
}

describe('for all rules', () => {
  test('rules after the one that decided, and rules of other packages, change nothing', () => {
    fc.assert(
      fc.property(rulesArbitrary, rulesArbitrary, factsArbitrary, (rules, more, facts) => {
        const before = decide(rulesOf(rules), facts, NOW)
        const decided = before.rule
        if (decided === null) return
        const after = decide(rulesOf([...rules.slice(0, decided.place), ...more]), facts, NOW)
        expect(after.outcome).toBe(before.outcome)
        expect(after.rule?.place).toBe(decided.place)
        expect(after.changesMs).toBe(before.changesMs)
      }),
    )
  })

  test('nothing changes before the answer says that it may, and the end is an end', () => {
    fc.assert(
      fc.property(
        rulesArbitrary,
        factsArbitrary,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (given, facts, part) => {
          const rules = rulesOf(given)
          const before = decide(rules, facts, NOW)
          const untilMs = Math.min(before.changesMs, NOW + 100 * DAY_MS)
          const between = NOW + Math.floor((untilMs - 1 - NOW) * part)
          expect(decide(rules, facts, between)).toEqual(before)
          if (before.outcome === 'served' || before.untilMs === null) return
          expect(decide(rules, facts, before.untilMs).outcome).toBe('served')
        },
      ),
    )
  })

  test('a deny at the front refuses, an allow at the front serves, for every version', () => {
    fc.assert(
      fc.property(rulesArbitrary, factsArbitrary, (rules, facts) => {
        expect(decide(rulesOf([DENY, ...rules]), facts, NOW)).toMatchObject({ code: 'denied' })
        expect(decide(rulesOf([ALLOW, ...rules]), facts, NOW).outcome).toBe('served')
      }),
    )
  })
})
