/**
 * Rules and what they decide, as people read them on a terminal.
 * @module
 */
import type { PolicyTest, PolicyView } from '../registries/operator/policy-admin.ts'
import type { Rule } from '../registries/policy/policy-rule.ts'
import { table } from './table.ts'

/** One line per rule. */
export function rulesText(rules: PolicyView['rules']): string {
  if (rules.length === 0) return 'no rules: whatever is verified is served\n'
  return table(
    ['place', 'action', 'match', 'asks for', 'until', 'reason'],
    rules.map(rule => [
      String(rule.place),
      rule.action,
      rule.match,
      conditionsText(rule),
      rule.until ?? '-',
      rule.reason ?? '-',
    ]),
  )
}

/** What a rule asks for, on one line. */
export function conditionsText(rule: Rule): string {
  const parts = [
    rule.minAge === undefined ? '' : `age ${rule.minAge}`,
    rule.requireSignature === true ? 'signature' : '',
    rule.requireProvenance === true ? 'provenance' : '',
  ]
  return parts.filter(part => part !== '').join(', ') || '-'
}

/** One line per version. */
export function testText({ name, versions, more }: PolicyTest): string {
  if (versions.length === 0) return `no version of ${name} is in this range\n`
  const lines = table(
    ['version', 'outcome', 'rule', 'until', 'why'],
    versions.map(each => [
      each.version,
      each.code ?? each.outcome,
      each.place === null ? '-' : `${each.place} (${each.match ?? ''})`,
      each.until ?? '-',
      each.why,
    ]),
  )
  return more === 0 ? lines : `${lines}and ${more} more: give a range to see them\n`
}
