/**
 * The definition of `config apply`: its flags, help and examples.
 * @module
 */
import type { Command } from 'commander'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
} from './command-parts.ts'
import type { ApplyFlags } from './config-apply.ts'
import type { Io } from './io.ts'

/** Adds `config apply`. */
export function addConfigApply(config: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(config.command('apply'))
    .summary('apply upstreams, keys and rules from a file')
    .description(
      'Changes what differs from the file, after all of it was looked at; what the file does not\n' +
        'name stays. Applying it again changes nothing.',
    )
    .option('-f, --file <file>', 'TOML or JSON; - is stdin')
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--yes', 'do not ask: the keys that are found are the ones that are expected')
    .option('--credentials', 'write credentials again where there are some')
    .option('--json', 'print the changes as JSON')
    .action(async (given: ConfigFlags & Json & ApplyFlags) => {
      const { configApply } = await import('./config-apply.ts')
      settle(await configApply(flagsOf(given), given, { json: given.json === true }, io))
    })
  examples(command, [
    'config apply -f registry.toml --dry-run',
    'config apply -f registry.toml',
    'config apply -f - < registry.toml',
  ])
}
