/**
 * The real package managers, each run as a person with a new machine would: an empty home and
 * cache, none of our settings in the environment, only the registry set, everything else at its
 * default. They are installed once into clients/node_modules, exactly as clients/bun.lock says.
 * It judges nothing: it hands back what the client printed and left behind.
 *
 * @module
 */

import { existsSync, readdirSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { SUITE } from '../fixtures/canaries.ts'

export const CLIENTS = ['npm11', 'npm12', 'pnpm', 'yarn1', 'yarn4', 'bun', 'deno'] as const
export type Client = (typeof CLIENTS)[number] | 'pnpm10'

export const LOCKFILES: Record<Client, string> = {
  npm11: 'package-lock.json',
  npm12: 'package-lock.json',
  pnpm: 'pnpm-lock.yaml',
  pnpm10: 'pnpm-lock.yaml',
  yarn1: 'yarn.lock',
  yarn4: 'yarn.lock',
  bun: 'bun.lock',
  deno: 'deno.lock',
}

/** A client that hangs must not hold up the suite; the slowest refusal seen takes 12 s. */
const CLIENT_TIMEOUT_MS = 120_000
/** Wide and high enough that no client wraps a URL or clears what it asked. */
const TERMINAL_COLUMNS = 300
const TERMINAL_ROWS = 60
/** Exit code of a client that was stopped at its time limit, as coreutils' timeout has it. */
const EXIT_TIMEOUT = 124
const INSTALLED = join(import.meta.dir, 'clients')
const MODULES = join(INSTALLED, 'node_modules')
/** What a program needs of the caller's environment to reach a registry outside at all. */
const ENV_KEPT = [
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
]

/** One turn of a conversation: once the client printed `asks`, what is typed; null: nothing is. */
export type Turn = {
  asks: RegExp
  answer: (asked: RegExpExecArray) => string | null | Promise<string | null>
}

export type RunOptions = {
  /** The project: its package.json and lockfile are read and written here. */
  dir: string
  /** Ends in `/`; null leaves the client on its own default. */
  registry: string | null
  /** Adds `spec` to the project instead of installing what package.json says. */
  add?: string
  /** Runs these arguments instead of an install. */
  args?: string[]
  /** For clients written in JavaScript: loaded before the client. */
  preload?: string
  /** Sent to the registry's host, as after a login. By default one that is nobody's, with installs. */
  token?: string
  timeoutMs?: number
  /** Runs it at a terminal of its own, where somebody answers in this order. */
  turns?: Turn[]
  /**
   * Asks npm, pnpm and yarn 4 to give up at the first failure. Only for tests of what they refuse:
   * by default they try a bad tarball again, pnpm after 10 and 60 seconds, which changes no result.
   */
  noRetries?: boolean
}

export type Project = { dir: string; [Symbol.asyncDispose](): Promise<void> }

export type RunResult = {
  exitCode: number
  /** What a person would see. */
  output: string
  /** Null when the client wrote none. */
  lockfile: string | null
  /** Its home, for caches; gone when the project is. */
  home: string
}

/**
 * Installs the clients unless they are here. Returns a sentence for those who skip their tests
 * when that is impossible (no registry can be reached), else null.
 */
export async function installClients(): Promise<string | null> {
  const install = Bun.spawn([process.execPath, 'install', '--frozen-lockfile'], {
    cwd: INSTALLED,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const stderr = await new Response(install.stderr).text()
  if ((await install.exited) === 0) return null
  return `SKIPPED: the clients cannot be installed here: ${stderr.trim().split('\n').at(-1)}`
}

/** A project in a new folder, with nothing above it that a client could take for its root. */
export async function newProject(
  dependencies: Record<string, string>,
  rest: Record<string, unknown> = {},
): Promise<Project> {
  const root = await mkdtemp(join(tmpdir(), 'npmx-e2e-'))
  const dir = join(root, 'app')
  await mkdir(join(root, 'home'), { recursive: true })
  const manifest = { name: 'app', version: '1.0.0', private: true, dependencies, ...rest }
  await Bun.write(join(dir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  // pnpm 11 and later exit 1 while an install script waits for the project's decision.
  await Bun.write(join(dir, 'pnpm-workspace.yaml'), 'allowBuilds:\n  with-script: true\n')
  return { dir, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) }
}

/** Runs one install with one client. Its home lies beside the project folder. */
export async function runClient(client: Client, options: RunOptions): Promise<RunResult> {
  const home = join(dirname(options.dir), 'home')
  await writeSettings(client, options)
  const { preload, timeoutMs = CLIENT_TIMEOUT_MS } = options
  const command = commandOf(client, options)
  const env = {
    ...environmentOf(home),
    ...(preload !== undefined && { NODE_OPTIONS: `--require ${preload}` }),
  }
  const settings = { cwd: options.dir, env }
  const { exitCode, output } =
    options.turns === undefined
      ? await runUnattended(command, settings, timeoutMs)
      : await runAtTerminal(command, settings, timeoutMs, options.turns)
  const lockfile = Bun.file(join(options.dir, LOCKFILES[client]))
  return {
    exitCode,
    output,
    lockfile: (await lockfile.exists()) ? await lockfile.text() : null,
    home,
  }
}

type Settings = { cwd: string; env: Record<string, string> }
type Ended = Pick<RunResult, 'exitCode' | 'output'>

async function runUnattended(
  command: string[],
  settings: Settings,
  timeoutMs: number,
): Promise<Ended> {
  const streams = { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' } as const
  const child = Bun.spawn(command, { ...settings, ...streams })
  const [exitCode, stdout, stderr] = await Promise.all([
    exitCodeOf(child, timeoutMs),
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { exitCode, output: `${stdout}\n${stderr}` }
}

/** The client at a pseudo-terminal, and somebody there who answers what it asks. */
async function runAtTerminal(
  command: string[],
  settings: Settings,
  timeoutMs: number,
  turns: readonly Turn[],
): Promise<Ended> {
  const decoder = new TextDecoder()
  const waiting = [...turns]
  let output = ''
  let heard = 0
  let answering = Promise.resolve()
  const child = Bun.spawn(command, {
    cwd: settings.cwd,
    env: { ...settings.env, TERM: 'xterm' },
    terminal: {
      cols: TERMINAL_COLUMNS,
      rows: TERMINAL_ROWS,
      data(terminal, bytes) {
        output += Bun.stripANSI(decoder.decode(bytes, { stream: true }))
        const [turn] = waiting
        const asked = turn?.asks.exec(output.slice(heard))
        if (turn === undefined || asked === null || asked === undefined) return
        waiting.shift()
        heard = output.length
        answering = answer(terminal, turn, asked, answering)
      },
    },
  })
  const exitCode = await exitCodeOf(child, timeoutMs)
  await answering
  child.terminal?.close()
  const unasked = waiting.map(({ asks }) => `\nnever asked: ${asks}`).join('')
  return { exitCode, output: output + unasked }
}

/** @param before the answer that is still being given */
async function answer(
  terminal: Bun.Terminal,
  turn: Turn,
  asked: RegExpExecArray,
  before: Promise<void>,
): Promise<void> {
  await before
  const typed = await turn.answer(asked)
  if (typed !== null) terminal.write(`${typed}\r`)
}

async function exitCodeOf(child: Bun.Subprocess, timeoutMs: number): Promise<number> {
  let isStopped = false
  const timer = setTimeout(() => {
    isStopped = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const exitCode = await child.exited
  clearTimeout(timer)
  return isStopped ? EXIT_TIMEOUT : exitCode
}

function environmentOf(home: string): Record<string, string> {
  const kept = ENV_KEPT.flatMap(name => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  })
  return {
    ...Object.fromEntries(kept),
    HOME: home,
    XDG_CACHE_HOME: join(home, '.cache'),
    XDG_DATA_HOME: join(home, '.local', 'share'),
    PATH: `${dirname(nodeBinary())}:/usr/bin:/bin`,
    LANG: 'C.UTF-8',
    NO_COLOR: '1',
    // Yarn 1 takes root's home to be /usr/local/share, unless it is root in name only.
    FAKEROOTKEY: '1',
    // Neither is a setting of an install: they stop calls to the clients' own makers.
    DENO_NO_UPDATE_CHECK: '1',
    YARN_ENABLE_TELEMETRY: '0',
  }
}

/** Writes the registry where each client's own documentation says to. */
async function writeSettings(client: Client, options: RunOptions): Promise<void> {
  const { dir, registry, noRetries } = options
  if (registry === null) return
  const token = tokenOf(options)
  const authority = registry.slice(registry.indexOf(':') + 1)
  const auth = token === null ? '' : `${authority}:_authToken=${token}\n`
  const retries = noRetries === true ? 'fetch-retries=0\n' : ''
  await Bun.write(join(dir, '.npmrc'), `registry=${registry}\n${auth}${retries}`)
  if (client === 'pnpm' && noRetries === true) {
    await appendFile(join(dir, 'pnpm-workspace.yaml'), 'fetchRetries: 0\n')
  }
  if (client !== 'yarn4') return
  const lines = [
    `npmRegistryServer: ${JSON.stringify(registry.slice(0, -1))}`,
    // Yarn 4 talks plain HTTP to nobody else; on loopback there is no certificate to check.
    `unsafeHttpWhitelist: ["127.0.0.1", "localhost"]`,
    ...(token === null ? [] : [`npmAuthToken: ${JSON.stringify(token)}`]),
    ...(noRetries === true ? ['httpRetry: 0'] : []),
  ]
  await Bun.write(join(dir, '.yarnrc.yml'), `${lines.join('\n')}\n`)
}

/** Other commands may find a login's token in the home, which one in the project would hide. */
function tokenOf({ token, args }: RunOptions): string | null {
  return token ?? (args === undefined ? SUITE.client : null)
}

function commandOf(client: Client, { add, args }: RunOptions): string[] {
  const [file, ...prefix] = programOf(client)
  if (file === undefined) throw new RangeError(client)
  if (args !== undefined) return [file, ...prefix, ...args]
  if (add === undefined) return [file, ...prefix, 'install']
  const verb = client.startsWith('npm') ? 'install' : 'add'
  return [file, ...prefix, verb, client === 'deno' ? `npm:${add}` : add]
}

function programOf(client: Client): string[] {
  switch (client) {
    case 'npm11':
      return script('npm11/bin/npm-cli.js')
    case 'npm12':
      return script('npm12/bin/npm-cli.js')
    case 'pnpm10':
      return script('pnpm10/bin/pnpm.cjs')
    case 'yarn1':
      return script('yarn/bin/yarn.js')
    case 'yarn4':
      return script('@yarnpkg/cli-dist/bin/yarn.js')
    case 'pnpm':
      return [platformBinary('@pnpm', 'exe.', 'pnpm')]
    case 'bun':
      return [platformBinary('@oven', 'bun-', 'bin/bun')]
    default:
      return [platformBinary('@deno', '', 'deno')]
  }
}

function nodeBinary(): string {
  return platformBinary('', 'node-', 'bin/node')
}

/**
 * The program in the package for this platform, such as `@oven/bun-linux-x64/bin/bun`: what the
 * postinstall scripts, which do not run here, would have linked.
 */
function platformBinary(scope: string, prefix: string, file: string): string {
  const wanted = `${prefix}${process.platform}-${process.arch}`
  const folder = join(MODULES, scope)
  const found = readdirSync(folder).find(
    name => name.startsWith(wanted) && existsSync(join(folder, name, file)),
  )
  if (found === undefined) throw new Error(`no ${wanted} in ${folder}`)
  return join(folder, found, file)
}

function script(path: string): string[] {
  return [nodeBinary(), join(MODULES, path)]
}
