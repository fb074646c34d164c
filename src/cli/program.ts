/**
 * The command line: which commands there are, their flags and examples, and what a failure exits
 * with. A command's module is imported when it is asked for, so that `serve` loads no lockfile
 * parser and `verify` no server: a cold start pays for one command only.
 * @module
 */
import { Command, CommanderError, Option } from 'commander'
import { ConfigError } from '../config-values.ts'
import { version } from '../version.ts'
import { addToken, addUser } from './account-commands.ts'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
} from './command-parts.ts'
import { addConfigApply } from './config-command.ts'
import { addIncident } from './incident-command.ts'
import { addDataDir } from './data-dir-command.ts'
import { EXIT, type Io } from './io.ts'
import { addKey } from './key-command.ts'
import { addPolicy } from './policy-command.ts'
import { addUpstream } from './upstream-command.ts'
import { addView } from './view-command.ts'

/** Runs one command line, without the name of the program, and answers with its exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let code: number = EXIT.ok
  const program = buildProgram(io, settled => {
    code = settled
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return failed(error, io)
  }
}

/** Every command, for `run` and for the test that reads their help. */
export function buildProgram(io: Io, settle: Settle): Command {
  const program = new Command('npmx-registry')
    .description('A verified, recorded way to install npm packages')
    .version(`npmx-registry ${version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError("Run 'npmx-registry --help' for help.")
    .configureOutput({ writeOut: text => io.out(text), writeErr: text => io.err(text) })
    .exitOverride()
  examples(program, ['serve', 'verify package-lock.json', 'serve --help'])
  addServe(program, io, settle)
  addVerify(program, io, settle)
  addUpstream(program, io, settle)
  addUser(program, io, settle)
  addToken(program, io, settle)
  addView(program, io, settle)
  addLog(program, io, settle)
  addPolicy(program, io, settle)
  addIncident(program, io, settle)
  addKey(program, io, settle)
  addConfig(program, io, settle)
  addHealthcheck(program, io, settle)
  addDataDir(program, io, settle)
  addVersion(program, io, settle)
  for (const command of program.commands) finishHelp(command)
  return program
}

/** What the groups are asked for most; each of their commands has examples of its own. */
const GROUP_EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  upstream: ["upstream add acme https://npm.acme.example/ --names '@acme/*'", 'upstream list'],
  user: ['user add ana --admin', 'user list'],
  token: ["token create --user ana --scope read publish --packages '@acme/*'", 'token list'],
  view: ['view add build --registries npm acme', 'view list'],
  log: ['log fsck'],
  policy: ["policy set --match '**' --action quarantine --min-age 7d", 'policy test lodash'],
  incident: ['incident list'],
  key: ['key show', 'key export > keys.txt'],
  config: ['config dump --show-origin', 'config apply -f registry.toml --dry-run'],
}

/** Help that fits the terminal: its own line breaks would come on top of those in descriptions. */
function finishHelp(command: Command): void {
  command.description(command.description().replaceAll('\n', ' '))
  for (const option of command.options) {
    const { defaultValue } = option
    if (Array.isArray(defaultValue) && defaultValue.length === 0) option.default([], 'none')
  }
  const lines = GROUP_EXAMPLES[command.name()]
  if (lines !== undefined && command.commands.length > 0) examples(command, lines)
  for (const each of command.commands) finishHelp(each)
}

function addServeFlags(command: Command): Command {
  return addConfigFlags(command)
    .option('--listen <address:port>', 'address and port to listen on (default 127.0.0.1:6769)')
    .option('--public-url <url>', 'the URL that clients use (default http://<listen>/)')
    .option('--upstream <url>', "replaces the URL of the upstream 'npm'")
    .option('--log-level <level>', 'silent, error, warn, info or debug (default info)')
}

function addServe(program: Command, io: Io, settle: Settle): void {
  const command = addServeFlags(program.command('serve'))
    .summary('run the registry')
    .description('Runs everything. No configuration is needed.')
    .option('--json', 'print where it serves as one line of JSON')
    .action(async (given: ConfigFlags & Json) => {
      const { serve } = await import('./serve.ts')
      settle(await serve(flagsOf(given), { json: given.json === true }, io))
    })
  examples(command, [
    'serve',
    'serve --listen 0.0.0.0:6769 --public-url https://npm.example/',
    'serve --data-dir ./data --upstream https://mirror.example/npm/',
  ])
}

function collect(pattern: string, before: string[]): string[] {
  return [...before, pattern]
}

type VerifyGiven = Json & {
  url?: string
  key?: string
  state?: string
  allowMissing: string[]
  allowRevisions: string[]
  format: 'text' | 'json' | 'sarif'
  fetch?: true
}

function addVerify(program: Command, io: Io, settle: Settle): void {
  const command = program
    .command('verify')
    .summary('check a lockfile against the log')
    .description(
      'Checks every entry of package-lock.json, npm-shrinkwrap.json, pnpm-lock.yaml, yarn.lock\n' +
        'or bun.lock against the log: signature, consistency, inclusion, integrity.',
    )
    .argument('[lockfile...]', 'found by itself when none is named')
    .option('--url <url>', "the registry that holds the log (default: the project's .npmrc)")
    .option('--key <vkey>', 'verifier key of the log (default: remembered, or asked on first use)')
    .option('--state <file>', 'where the newest checkpoint seen is remembered')
    .option(
      '--allow-missing <pattern>',
      'names that need not be in the log; repeatable',
      collect,
      [],
    )
    .option(
      '--allow-revisions <pattern>',
      'names whose registry issues versions again (JSR); repeatable',
      collect,
      [],
    )
    .addOption(new Option('--format <format>').choices(['text', 'json', 'sarif']).default('text'))
    .option('--fetch', 'download what the lockfile holds no comparable hash of, and hash it')
    .option('--json', 'the same as --format json')
    .action(async (lockfiles: string[], given: VerifyGiven) => {
      const { verify } = await import('./verify.ts')
      const { environment } = await import('../config.ts')
      const code = await verify(
        { ...given, lockfiles },
        {
          stdout: text => io.out(text),
          stderr: text => io.err(text),
          env: environment(),
          cwd: process.cwd(),
          tty: io.errIsTty,
        },
      )
      settle(code)
    })
  examples(command, [
    'verify',
    'verify package-lock.json --url https://npm.example/',
    "verify yarn.lock --fetch --allow-missing '@acme/*' --json",
  ])
}

function addLog(program: Command, io: Io, settle: Settle): void {
  const log = program.command('log').description('the transparency log')
  const command = addConfigFlags(log.command('fsck'))
    .summary('check a whole log')
    .description('Rebuilds the root from the leaf bytes; compares tiles, index and checkpoint.')
    .option('--url <url>', 'the registry whose log is read, in place of a data dir')
    .option('--key <vkey>', 'verifier key of the log (default: the one it shows)')
    .option('--json', 'print the findings as JSON')
    .action(async (given: ConfigFlags & Json & { url?: string; key?: string }) => {
      const { logFsck } = await import('./log-fsck.ts')
      const where = { url: given.url, key: given.key, json: given.json === true }
      settle(await logFsck(flagsOf(given), where, io))
    })
  examples(command, [
    'log fsck',
    'log fsck --data-dir ./data',
    'log fsck --url https://npm.example/',
  ])
}

function addConfig(program: Command, io: Io, settle: Settle): void {
  const config = program
    .command('config')
    .description('settings of the process; upstreams and rules from a file')
  const command = addServeFlags(config.command('dump'))
    .summary('print the settings in use')
    .description('Prints the settings as a configuration file would hold them.')
    .option('--show-origin', 'say where each value comes from')
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json & { showOrigin?: true }) => {
      const { configDump } = await import('./config-dump.ts')
      const shape = { json: given.json === true, showOrigin: given.showOrigin === true }
      settle(configDump(flagsOf(given), shape, io))
    })
  examples(command, ['config dump --show-origin', 'config dump > npmx-registry.toml'])
  addConfigApply(config, io, settle)
}

function addHealthcheck(program: Command, io: Io, settle: Settle): void {
  const command = addServeFlags(program.command('healthcheck'))
    .summary('ask the running server whether it is ready')
    .description('Exits with 0 when it is ready, 1 when it is not, 3 when nothing answers.')
    .option('--url <url>', 'the server to ask (default: the configured address)')
    .option('--wait <seconds>', 'keep asking for so long', '0')
    .option('--json', 'print the answer as JSON')
    .action(async (given: ConfigFlags & Json & { url?: string; wait: string }) => {
      const { healthcheck } = await import('./healthcheck.ts')
      const asked = { url: given.url, wait: given.wait, json: given.json === true }
      settle(await healthcheck(flagsOf(given), asked, io))
    })
  examples(command, ['healthcheck', 'healthcheck --wait 30'])
}

function addVersion(program: Command, io: Io, settle: Settle): void {
  const command = program
    .command('version')
    .summary('print the version and the commit')
    .description('Prints the version and the commit it was built from.')
    .option('--json', 'print as JSON')
    .action(async (given: Json) => {
      const { printVersion } = await import('./version.ts')
      settle(printVersion({ json: given.json === true }, io))
    })
  examples(command, ['version', 'version --json'])
}

/**
 * Commander has printed its message by now. A fault of ours ends as "could not check": nothing was
 * found, and a program that reads exit codes must not think so.
 */
function failed(error: unknown, io: Io): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof ConfigError) {
    io.err(`npmx-registry: ${error.message}\n`)
    return EXIT.usage
  }
  const told = error instanceof Error ? (error.stack ?? error.message) : String(error)
  io.err(`npmx-registry ${version}: this should not have happened:\n${told}\n`)
  return EXIT.unreachable
}
