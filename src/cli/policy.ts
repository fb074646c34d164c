/**
 * `policy list|set|test`: the rules for serving of a running server, or of a data dir that no server
 * has open.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import type { PolicyView } from '../registries/operator/policy-admin.ts'
import { type Rule, ruleOf } from '../registries/policy/policy-rule.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { readOperatorFile } from './operator-file.ts'
import { rulesOfFile } from './policy-file.ts'
import { rulesText, testText } from './policy-text.ts'
import { type Input, processInput } from './upstream-input.ts'

/** The flags of `set`, as commander reads them. */
export type PolicyFlags = {
  file?: string
  match?: string
  action?: Rule['action']
  minAge?: string
  requireSignature?: true
  requireProvenance?: true
  reason?: string
  until?: string
  at?: string
  remove?: string
}

type Shape = { json: boolean; view: string | null }

export async function policyList(flags: Flags, { json, view }: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ policy }) => {
    const listed = await policy.list(view)
    io.out(json ? `${JSON.stringify(listed)}\n` : rulesText(listed.rules))
    return EXIT.ok
  })
}

export async function policySet(
  flags: Flags,
  given: PolicyFlags,
  { json, view }: Shape,
  io: Io,
  input: Input = processInput(),
): Promise<number> {
  const { file, match, remove } = given
  if ([file, match, remove].filter(each => each !== undefined).length !== 1) {
    throw new ConfigError('give a file with all rules (-f), one rule (--match), or --remove')
  }
  const whole = file === undefined ? null : rulesOfFile(await readOperatorFile(file, input))
  const added = match === undefined ? null : addedBy(match, given)
  return await withOperations(flags, io, async ({ policy }) => {
    const before = await policy.list(view)
    const rules = whole ?? changed(before, added, given)
    // Somebody else's change in between is not undone, unless the whole list is given.
    const after = await policy.set(view, rules, whole === null ? before.revision : undefined)
    io.out(json ? `${JSON.stringify(after)}\n` : rulesText(after.rules))
    return EXIT.ok
  })
}

/** Exits with 1 when nothing of what was asked about would be served. */
export async function policyTest(
  flags: Flags,
  spec: string,
  { json, view, file }: Shape & { file: string | undefined },
  io: Io,
  input: Input = processInput(),
): Promise<number> {
  const at = spec.indexOf('@', 1)
  const name = at === -1 ? spec : spec.slice(0, at)
  const range = at === -1 ? undefined : spec.slice(at + 1)
  const rules = file === undefined ? undefined : rulesOfFile(await readOperatorFile(file, input))
  return await withOperations(flags, io, async ({ policy }) => {
    const tested = await policy.test({
      name,
      view,
      ...(range !== undefined && { range }),
      ...(rules !== undefined && { rules }),
    })
    io.out(json ? `${JSON.stringify(tested)}\n` : testText(tested))
    return tested.versions.some(({ outcome }) => outcome === 'served') ? EXIT.ok : EXIT.findings
  })
}

function addedBy(match: string, given: PolicyFlags): Rule {
  const { action } = given
  if (action === undefined) throw new ConfigError('--match needs --action allow|deny|quarantine')
  return ruleOf({ ...given, match, action })
}

/** One rule more, in the place of the one with the same match; or those of a match less. */
function changed({ rules }: PolicyView, added: Rule | null, given: PolicyFlags): Rule[] {
  const before = rules.map(ruleOf)
  const match = added?.match ?? given.remove
  const others = before.filter(rule => rule.match !== match)
  if (added === null) {
    if (others.length < before.length) return others
    throw new ConfigError(`there is no rule for ${JSON.stringify(match)}`)
  }
  const known = before.findIndex(rule => rule.match === match)
  const end = known === -1 ? others.length : known
  return others.toSpliced(given.at === undefined ? end : placeOf(given.at), 0, added)
}

function placeOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text) - 1
  throw new ConfigError(`--at ${text}: expected a place in the list, from 1`)
}
