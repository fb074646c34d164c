/**
 * Rules for serving from a file, as `policy set -f` and `config apply -f` take them: `[[policy]]`
 * tables in TOML, or in JSON the list itself, or the answer of `policy list --json`.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { ConfigError } from '../config-values.ts'
import { RegistryError } from '../registries/errors.ts'
import { checkRules, type Rule, RuleShape, RulesShape } from '../registries/policy/policy-rule.ts'
import { type At, checked, checkKeys, type OperatorFile } from './operator-file.ts'

/** What `policy list --json` says of a rule besides what it is. */
const ADDED = new Set(['place', 'since'])
const FileShape = Type.Object({
  policy: Type.Unknown(),
  view: Type.Unknown(),
  revision: Type.Unknown(),
  rules: Type.Unknown(),
})

/** The rules of a file that holds nothing else. @throws ConfigError that names the line */
export function rulesOfFile(file: OperatorFile): Rule[] {
  const { value } = file
  if (Array.isArray(value)) return rulesIn(file, value, [])
  checkKeys(file, FileShape, value, [])
  const { policy, rules } = checked(file, Type.Partial(FileShape), value)
  if (policy === undefined && rules === undefined) {
    throw new ConfigError(
      `${file.where([])}: holds no rules: [[policy]] tables are expected, or 'policy = []' for none`,
    )
  }
  return policy === undefined ? rulesIn(file, rules, ['rules']) : rulesIn(file, policy, ['policy'])
}

/** A list of rules in a file. @throws ConfigError that names the line */
export function rulesIn(file: OperatorFile, value: unknown, at: At): Rule[] {
  const list = checked(file, Type.Array(Type.Record(Type.String(), Type.Unknown())), value, at)
  const plain = list.map(entry =>
    Object.fromEntries(Object.entries(entry).filter(([key]) => !ADDED.has(key))),
  )
  for (const [i, entry] of plain.entries()) checkKeys(file, RuleShape, entry, [...at, i])
  const rules = checked(file, RulesShape, plain, at)
  for (const [i, rule] of rules.entries()) {
    try {
      checkRules([rule])
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      throw new ConfigError(`${file.where([...at, i])}: ${error.message}`, { cause: error })
    }
  }
  return rules
}
