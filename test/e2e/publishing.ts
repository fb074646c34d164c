/**
 * What the tests of publishing with real clients share: people with accounts, a machine of theirs
 * with an empty home, and what each client is told to log in, publish, tag, deprecate and unpublish.
 *
 * @module
 */

import { dirname, join } from 'node:path'
import { rm } from 'node:fs/promises'
import { newProject, type Project, runClient, type RunResult, type Turn } from './clients.ts'
import { runCommand, type ServerProcess } from './server.ts'

export const PUBLISHERS = ['npm11', 'npm12', 'pnpm', 'yarn1', 'yarn4', 'bun'] as const
export type PublishingClient = (typeof PUBLISHERS)[number]

export const PERSON = 'ana'
export const PASSWORD = 'correct horse battery'
export const EMAIL = 'ana@people.example'
const CSRF = /name="csrf" value="([^"]+)"/
const LOGIN_PAGE = /http:\/\/\S+\/-\/web\/login\/[\w-]+/

/** @property client another client, in the same home, where this one has no such command */
export type ClientCommand = { args: string[]; turns?: Turn[]; client?: PublishingClient }

type Commands = {
  logins: Record<string, ClientCommand>
  whoami: ClientCommand | null
  /** Before a folder can be published. */
  prepare: ClientCommand | null
  publish: ClientCommand
  addTag: (name: string, version: string) => ClientCommand
  listTags: (name: string) => ClientCommand
  removeTag: (name: string) => ClientCommand
  deprecate: (spec: string, text: string) => ClientCommand
  undeprecate: (spec: string) => ClientCommand
  unpublish: (spec: string) => ClientCommand
  unpublishAll: (name: string) => ClientCommand
}

const onPage: Turn = { asks: LOGIN_PAGE, answer: ([url]) => loginOnPage(url, PERSON) }
const asked = (asks: RegExp, typed: string): Turn => ({ asks, answer: () => typed })

/** The turns of a login with a password. */
export function byPassword(name: string): Turn[] {
  return [asked(/Username:/, name), asked(/Password:/, PASSWORD)]
}

/** As npm has them; pnpm has the same, and who has not borrows them. */
function npmCommands(borrowed?: PublishingClient): Omit<Commands, 'logins'> {
  const command = (...args: string[]): ClientCommand => ({
    args,
    ...(borrowed !== undefined && { client: borrowed }),
  })
  return {
    whoami: command('whoami'),
    prepare: null,
    publish: command('publish', '--access', 'public'),
    addTag: (name, version) => command('dist-tag', 'add', `${name}@${version}`, 'stable'),
    listTags: name => command('dist-tag', 'ls', name),
    removeTag: name => command('dist-tag', 'rm', name, 'stable'),
    deprecate: (spec, text) => command('deprecate', spec, text),
    undeprecate: spec => command('undeprecate', spec),
    unpublish: spec => command('unpublish', spec),
    unpublishAll: name => command('unpublish', name, '--force'),
  }
}

const npmLogins = {
  'with a password': { args: ['login', '--auth-type=legacy'], turns: byPassword(PERSON) },
  'on a page': { args: ['login'], turns: [onPage] },
}
/** Yarn and bun have no command to deprecate or to unpublish: their people take npm for it. */
const byNpm = npmCommands('npm12')

export const COMMANDS: Record<PublishingClient, Commands> = {
  npm11: { ...npmCommands(), logins: npmLogins },
  npm12: { ...npmCommands(), logins: npmLogins },
  // It asks for a password only where a registry has no page.
  pnpm: { ...npmCommands(), logins: { 'on a page': { args: ['login'], turns: [onPage] } } },
  // Its login only keeps the name: whatever changes something asks for the password, gets a token
  // for it and gives that back afterwards.
  yarn1: {
    ...byNpm,
    logins: {
      'with its name': {
        args: ['login'],
        turns: [asked(/npm username:/, PERSON), asked(/npm email:/, EMAIL)],
      },
    },
    whoami: null,
    publish: {
      args: ['publish', '--access', 'public'],
      turns: [asked(/New version:/, ''), asked(/npm password:/, PASSWORD)],
    },
    addTag: (name, version) => ({
      args: ['tag', 'add', `${name}@${version}`, 'stable'],
      turns: [asked(/npm password:/, PASSWORD)],
    }),
    listTags: name => ({ args: ['tag', 'list', name] }),
    removeTag: name => ({
      args: ['tag', 'remove', name, 'stable'],
      turns: [asked(/npm password:/, PASSWORD)],
    }),
  },
  yarn4: {
    ...byNpm,
    logins: {
      'with a password': { args: ['npm', 'login'], turns: byPassword(PERSON) },
      'on a page': {
        args: ['npm', 'login', '--web-login'],
        turns: [asked(/open your browser now/, 'n'), onPage],
      },
    },
    whoami: { args: ['npm', 'whoami'] },
    prepare: { args: ['install'] },
    publish: { args: ['npm', 'publish', '--access', 'public'] },
    addTag: (name, version) => ({ args: ['npm', 'tag', 'add', `${name}@${version}`, 'stable'] }),
    listTags: name => ({ args: ['npm', 'tag', 'list', name] }),
    removeTag: name => ({ args: ['npm', 'tag', 'remove', name, 'stable'] }),
  },
  // It has no login and says `bunx npm login`: npm's, in the same home, whose token it then reads.
  bun: {
    ...byNpm,
    logins: { 'by npm': { args: ['login'], turns: [onPage], client: 'npm12' } },
    whoami: { args: ['pm', 'whoami'] },
    publish: { args: ['publish', '--access', 'public'] },
  },
}

/** What a package holds besides its name and version. */
export type Contents = { manifest?: Record<string, unknown>; files?: Record<string, string> }

/** A machine with an empty home, a client, and folders of packages. */
export class Machine {
  readonly client: PublishingClient
  readonly #registry: string
  readonly #project: Project

  private constructor(client: PublishingClient, registry: string, project: Project) {
    this.client = client
    this.#registry = registry
    this.#project = project
  }

  static async new(client: PublishingClient, registry: string): Promise<Machine> {
    return new Machine(client, registry, await newProject({}))
  }

  /** Runs a command, in the folder of a package or of an empty project. */
  run({ args, turns, client = this.client }: ClientCommand, dir = this.#project.dir) {
    const options = { dir, registry: this.#registry, args, ...(turns !== undefined && { turns }) }
    return runClient(client, options)
  }

  /** Logs in as the client of a command does by default. */
  async logInFor({ client = this.client }: ClientCommand): Promise<void> {
    const login = Object.values(COMMANDS[client].logins).at(-1)
    if (login !== undefined) succeeded(await this.run({ client, ...login }))
  }

  /** Publishes a package that it writes first. */
  async publish(name: string, version: string, contents?: Contents): Promise<RunResult> {
    const { prepare, publish } = COMMANDS[this.client]
    const dir = await this.write(name, version, contents)
    if (prepare !== null) succeeded(await this.run(prepare, dir))
    return this.run(publish, dir)
  }

  /** Writes a package into a folder of its own. */
  async write(name: string, version: string, { manifest, files }: Contents = {}): Promise<string> {
    const dir = join(dirname(this.#project.dir), name.replace('/', '-'))
    await rm(dir, { recursive: true, force: true })
    const all = {
      'package.json': JSON.stringify({ name, version, license: 'MIT', ...manifest }, null, 2),
      'index.js': `module.exports = '${name}@${version}'\n`,
      // A project of its own, whatever stands around it.
      'yarn.lock': '',
      ...files,
    }
    for (const [file, text] of Object.entries(all)) await Bun.write(join(dir, file), text)
    return dir
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#project[Symbol.asyncDispose]()
  }
}

/** Hands on what the client did, or fails with all that it said. */
export function succeeded(run: RunResult): RunResult {
  if (run.exitCode === 0) return run
  throw new Error(`exit code ${run.exitCode}: ${run.output}`)
}

/** What a client said, without the lines and boxes that it laid it out in. */
export function told({ output }: Pick<RunResult, 'output'>): string {
  return output.replaceAll(/\s*\n\s*│\s*/g, ' ').replaceAll(/\s+/g, ' ')
}

/** Somebody with the password of these tests. */
export async function addPerson(
  server: ServerProcess,
  name: string,
  ...flags: string[]
): Promise<void> {
  const file = join(server.dataDir, `password-of-${name}`)
  await Bun.write(file, PASSWORD)
  await operate(server, 'user', 'add', name, '--password-file', file, ...flags)
}

/** A token from the operator. @returns its secret */
export async function addToken(server: ServerProcess, ...grant: string[]): Promise<string> {
  const made: unknown = JSON.parse(await operate(server, 'token', 'create', '--json', ...grant))
  if (typeof made === 'object' && made !== null && 'secret' in made) return String(made.secret)
  throw new TypeError('no secret')
}

/** A command of the operator that must succeed. @returns what it wrote to stdout */
export async function operate(server: ServerProcess, ...args: string[]): Promise<string> {
  const run = await runCommand([...args, '--data-dir', server.dataDir], server.dataDir)
  if (run.exitCode !== 0) throw new Error(`${args.join(' ')}: ${run.exitCode} ${run.output}`)
  return run.stdout
}

/** What a person does in a browser with the page of a web login; the client goes on by itself. */
async function loginOnPage(url: string, name: string): Promise<null> {
  const csrf = CSRF.exec(await (await fetch(url)).text())?.[1] ?? ''
  const answer = await fetch(url, {
    method: 'POST',
    headers: { origin: new URL(url).origin },
    body: new URLSearchParams({ name, password: PASSWORD, csrf }),
  })
  if (!answer.ok) throw new Error(`the page answered ${answer.status}: ${await answer.text()}`)
  return null
}
