/**
 * The definitions of the `policy` commands: their flags, help and examples.
 * @module
 */
import { type Command, Option } from 'commander'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
} from './command-parts.ts'
import type { Io } from './io.ts'
import type { PolicyFlags } from './policy.ts'

type View = { view?: string }

function shapeOf(given: Json & View): { json: boolean; view: string | null } {
  return { json: given.json === true, view: given.view ?? null }
}

function addShapeFlags(command: Command): Command {
  return addConfigFlags(command)
    .option('--view <name>', 'the rules of a view, in place of those for everybody')
    .option('--json', 'print as JSON')
}

/** Adds `policy` and everything below it. */
export function addPolicy(program: Command, io: Io, settle: Settle): void {
  const policy = program.command('policy').description('the rules for serving')
  addList(policy, io, settle)
  addSet(policy, io, settle)
  addTest(policy, io, settle)
}

function addList(policy: Command, io: Io, settle: Settle): void {
  const command = addShapeFlags(policy.command('list'))
    .summary('list the rules')
    .description('Lists the rules in order: the first one that decides about a version wins.')
    .action(async (given: ConfigFlags & Json & View) => {
      const { policyList } = await import('./policy.ts')
      settle(await policyList(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['policy list', 'policy list --json > rules.json'])
}

function addSet(policy: Command, io: Io, settle: Settle): void {
  const command = addShapeFlags(policy.command('set'))
    .summary('change the rules')
    .description(
      'With -f, puts the rules of a file in the place of all. With --match, sets one rule: in the\n' +
        'place of the one with the same match, else at the end. It holds from the next request on.',
    )
    .option('-f, --file <file>', 'all rules, as TOML or JSON; - is stdin')
    .option('--match <match>', 'a name, @scope/*, @*/* or **; then @ and a range of versions')
    .addOption(new Option('--action <action>').choices(['allow', 'deny', 'quarantine']))
    .option('--min-age <age>', 'how old a version has to be: 90m, 12h, 7d, 2w')
    .option('--require-signature', 'its registry has to have signed it')
    .option('--require-provenance', 'its registry has to name a provenance')
    .option('--reason <text>', 'one line, shown to whoever is refused')
    .option('--until <day>', 'the day from which the rule says nothing any more')
    .option('--at <place>', 'where in the list, from 1')
    .option('--remove <match>', 'take the rule with this match away')
    .action(async (given: ConfigFlags & Json & View & PolicyFlags) => {
      const { policySet } = await import('./policy.ts')
      settle(await policySet(flagsOf(given), given, shapeOf(given), io))
    })
  examples(command, [
    "policy set --match '**' --action quarantine --min-age 7d",
    "policy set --match '@acme/*' --action allow --at 1",
    "policy set --match 'left-pad@<1.3.0' --action deny --reason 'broken on Node 22'",
    'policy set -f rules.toml',
  ])
}

function addTest(policy: Command, io: Io, settle: Settle): void {
  const command = addShapeFlags(policy.command('test'))
    .summary('show what the rules decide')
    .description(
      'Shows for each version what is decided, by which rule and why. Exits with 1 when nothing\n' +
        'of it would be served.',
    )
    .argument('<name[@range]>')
    .option('-f, --file <file>', 'try the rules of this file, in place of those in force')
    .action(async (spec: string, given: ConfigFlags & Json & View & { file?: string }) => {
      const { policyTest } = await import('./policy.ts')
      const shape = { ...shapeOf(given), file: given.file }
      settle(await policyTest(flagsOf(given), spec, shape, io))
    })
  examples(command, ['policy test lodash', "policy test 'lodash@^4' -f rules.toml --json"])
}
