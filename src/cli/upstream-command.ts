/**
 * The definitions of the `upstream` commands: their flags, help and examples. What they do is in
 * upstream.ts, which is imported when one of them is asked for.
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
  shapeOf,
} from './command-parts.ts'
import type { Io } from './io.ts'
import { addRetireKey } from './key-command.ts'
import type { AddFlags, SetFlags } from './upstream.ts'

/** Adds `upstream` and everything below it. */
export function addUpstream(program: Command, io: Io, settle: Settle): void {
  const upstream = program
    .command('upstream')
    .description('the registries that packages come from, and their mirrors')
  addAdd(upstream, io, settle)
  addSet(upstream, io, settle)
  addList(upstream, io, settle)
  addShow(upstream, io, settle)
  addRemove(upstream, io, settle)
  addKeys(upstream, io, settle)
  addApproveKey(upstream, io, settle)
  addRetireKey(upstream, io, settle)
}

function addSettingFlags(command: Command): Command {
  return addConfigFlags(command)
    .option('--names <pattern...>', 'names that belong to it: a name, @scope/*, @*/* or **')
    .option('--namespace <namespace>', 'what the log calls it (default: the host of its URL)')
    .addOption(
      new Option('--signatures <mode>', 'must it sign? auto: when it ever did').choices([
        'auto',
        'require',
        'off',
      ]),
    )
    .addOption(
      new Option('--tarballs <mode>', 'where clients get tarballs from').choices([
        'canonical',
        'redirect',
        'upstream',
        'stream',
        'cache',
      ]),
    )
    .addOption(
      new Option(
        '--strict <mode>',
        'offer new versions only after a look into the tarball',
      ).choices(['on', 'off']),
    )
    .addOption(
      new Option(
        '--revisions <mode>',
        'it issues the bytes of a version again (JSR does); said before it is used',
      ).choices(['on', 'off']),
    )
    .option('--tarball-origins <origin...>', 'other origins that may send its tarballs; or none')
    .option('--sample <name>', 'a package to look at first')
    .option('--token-file <file>', 'file with a token for it; - is stdin')
    .option('--basic-file <file>', 'file with user:password for it; - is stdin')
    .option('--ca-file <file>', 'PEM of the authority that signed its certificate')
    .option('--cert-file <file>', 'PEM of a client certificate')
    .option('--key-file <file>', 'PEM of the key of that certificate')
    .option('--yes', 'do not ask: what is found is what is expected')
    .option('--accept-mismatch', 'with --yes: also where its domain names other keys')
    .option('--json', 'print the upstream as JSON')
}

function addAdd(upstream: Command, io: Io, settle: Settle): void {
  const command = addSettingFlags(upstream.command('add'))
    .summary('add a registry or a mirror')
    .description(
      'Asks the registry first and shows the fingerprints of its keys. Names go to exactly one\n' +
        'registry: a table that could be read in two ways is refused.',
    )
    .argument('<name>', 'what it is called here')
    .argument('<url>')
    .addOption(new Option('--kind <kind>').choices(['registry', 'mirror']).default('registry'))
    .option('--of <name>', 'the registry that a mirror is a mirror of')
    .action(async (name: string, url: string, given: ConfigFlags & Json & AddFlags) => {
      const { upstreamAdd } = await import('./upstream.ts')
      settle(await upstreamAdd(flagsOf(given), [name, url], given, shapeOf(given), io))
    })
  examples(command, [
    "upstream add acme https://npm.acme.example/ --names '@acme/*'",
    "upstream add acme https://npm.acme.example/ --names '@acme/*' --token-file token.txt --yes",
    'upstream add near https://mirror.example/npm/ --kind mirror --of npm',
  ])
}

function addSet(upstream: Command, io: Io, settle: Settle): void {
  const command = addSettingFlags(upstream.command('set'))
    .summary('change an upstream')
    .description('Changes what is named and leaves the rest. A new place is asked first.')
    .argument('<name>')
    .option('--url <url>', 'where it is now')
    .option('--no-credential', 'take its credential away')
    .action(async (name: string, given: ConfigFlags & Json & SetFlags) => {
      const { upstreamSet } = await import('./upstream.ts')
      settle(await upstreamSet(flagsOf(given), name, given, shapeOf(given), io))
    })
  examples(command, [
    "upstream set acme --names '@acme/*' '@acme-labs/*'",
    'upstream set acme --token-file - < token.txt',
    'upstream set npm --strict on',
  ])
}

function addList(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('list'))
    .summary('list the upstreams')
    .description('Lists who is asked for which names.')
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json) => {
      const { upstreamList } = await import('./upstream.ts')
      settle(await upstreamList(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['upstream list', 'upstream list --json'])
}

function addShow(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('show'))
    .summary('show one upstream')
    .description('Shows its settings, its keys and how it does. Credentials are never shown.')
    .argument('<name>')
    .option('--json', 'print as JSON')
    .action(async (name: string, given: ConfigFlags & Json) => {
      const { upstreamShow } = await import('./upstream.ts')
      settle(await upstreamShow(flagsOf(given), name, shapeOf(given), io))
    })
  examples(command, ['upstream show npm'])
}

function addRemove(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('remove'))
    .summary('remove an upstream')
    .description('Removes it with its credential and keys. What was recorded of it stays.')
    .argument('<name>')
    .option('--json', 'print what was removed as JSON')
    .action(async (name: string, given: ConfigFlags & Json) => {
      const { upstreamRemove } = await import('./upstream.ts')
      settle(await upstreamRemove(flagsOf(given), name, shapeOf(given), io))
    })
  examples(command, ['upstream remove acme'])
}

function addKeys(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('keys'))
    .summary('list the keys of a registry')
    .description('Lists every key it ever published here, and whether it is trusted.')
    .argument('<name>')
    .option('--json', 'print as JSON')
    .action(async (name: string, given: ConfigFlags & Json) => {
      const { upstreamKeys } = await import('./upstream.ts')
      settle(await upstreamKeys(flagsOf(given), name, shapeOf(given), io))
    })
  examples(command, ['upstream keys npm'])
}

function addApproveKey(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('approve-key'))
    .summary('trust a new key of a registry')
    .description('A key that appears later vouches for nothing until it is approved.')
    .argument('<name>')
    .argument('<keyid>', 'its fingerprint, as `upstream keys` shows it')
    .option('--json', 'print the key as JSON')
    .action(async (name: string, keyid: string, given: ConfigFlags & Json) => {
      const { upstreamApproveKey } = await import('./upstream.ts')
      settle(await upstreamApproveKey(flagsOf(given), [name, keyid], shapeOf(given), io))
    })
  examples(command, ['upstream approve-key npm SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'])
}
