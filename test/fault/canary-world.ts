/**
 * A server with everything that has a secret, and everything that it says kept for a search: its
 * answers, its output, what its commands print, what its webhook is told.
 *
 * Secrets that the server makes (tokens, links, keys) are added to the search when they are shown to
 * whom they belong; that one answer is not searched for them, all others are.
 * @module
 */
import { createPrivateKey } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand, type ServerProcess, startServer } from '../e2e/server.ts'
import { Canaries, canary } from '../fixtures/canaries.ts'
import { OidcIssuer } from '../fixtures/oidc-issuer.ts'
import { TEST_CERTIFICATE, TEST_KEY } from '../unit/registries/test-certificates.ts'
import { type Sources, startSources } from './canary-sources.ts'

/** Those that are known before the start. */
export const SECRETS = {
  acme: canary('Acme'),
  mirror: canary('Mirror'),
  basic: canary('Basic'),
  root: canary('Root'),
  password: canary('Password'),
  cookie: canary('Cookie'),
  stranger: canary('Stranger'),
  query: canary('Query'),
  otp: canary('Otp'),
  url: canary('Url'),
  repeat: canary('Repeat'),
  refused: canary('Refused'),
  admin: canary('Admin'),
  webhook: canary('Webhook'),
}

export const JSON_TYPE = { 'content-type': 'application/json' }
/** What the server prints for the operator alone as long as there is no admin. */
const SETUP_LINE = /^ {2}http\S+\/-\/web\/setup\/(\S+)$/gm
/** What stands before the key in its file, and the public key says as well. */
const LOG_KEY_HEAD = /^PRIVATE\+KEY\+[^+]+\+[0-9a-f]{8}\+/
/** Not secret: the frame of PEM, and the public key of the log beside its key. */
const PUBLIC_LINE = /^(?:---|(?!PRIVATE\+KEY)[^+]+\+[0-9a-f]{8}\+)/
/** The lines in which the number of the key stands. */
const KEY_LINES = TEST_KEY.split('\n').slice(1, 3)

type Said = { where: string; status: number; text: string }
type Parts = {
  files: string
  sources: Sources
  issuer: OidcIssuer
  hooked: string[]
  server: ServerProcess
}

export class World implements AsyncDisposable {
  readonly canaries = new Canaries(SECRETS)
  readonly said: Said[] = []
  readonly sources: Sources
  readonly issuer: OidcIssuer
  /** What the webhook heard. */
  readonly hooked: string[]
  readonly server: ServerProcess
  readonly #files: string
  readonly #stack: AsyncDisposableStack

  private constructor(parts: Parts, stack: AsyncDisposableStack) {
    this.#files = parts.files
    this.sources = parts.sources
    this.issuer = parts.issuer
    this.hooked = parts.hooked
    this.server = parts.server
    this.#stack = stack
    for (const line of KEY_LINES) this.canaries.add('certificate', line)
    const { d = '' } = createPrivateKey(TEST_KEY).export({ format: 'jwk' })
    this.canaries.add('certificate', Buffer.from(d, 'base64url'))
  }

  static async start(): Promise<World> {
    await using stack = new AsyncDisposableStack()
    const files = await mkdtemp(join(tmpdir(), 'npmx-canary-'))
    stack.defer(() => rm(files, { recursive: true, force: true }))
    const sources = startSources(stack)
    const issuer = stack.use(await OidcIssuer.start())
    const { hooked, url } = startHook(stack)
    const env = {
      NPMX_REGISTRY_ADMIN_TOKEN: SECRETS.admin,
      NPMX_REGISTRY_REGISTRATION: 'open',
      NPMX_REGISTRY_WEBHOOK_URL: url,
      NPMX_REGISTRY_WEBHOOK_SECRET: SECRETS.webhook,
    }
    const args = ['--log-level', 'debug']
    const server = stack.use(await startServer({ upstream: sources.at.npm.url, args, env }))
    return new World({ files, sources, issuer, hooked, server }, stack.move())
  }

  /** Asks, and keeps all of the answer. */
  async ask(path: string, init: RequestInit = {}): Promise<string> {
    const url = new URL(path, this.server.url)
    const answer = await fetch(url, { redirect: 'manual', ...init })
    const { text, head } = await textOf(answer)
    this.said.push({ where: path, status: answer.status, text: head + text })
    return text
  }

  /** Asks for a secret, which is to be found nowhere else from now on. */
  async receive(name: string, path: string, init: RequestInit, shown: RegExp): Promise<string> {
    const answer = await fetch(new URL(path, this.server.url), { redirect: 'manual', ...init })
    const { text, head } = await textOf(answer)
    const secret = shown.exec(head + text)?.[1]
    if (secret === undefined) throw new Error(`${path} shows no ${name}: ${head} ${text}`)
    const where = `${path}, which shows the ${name}`
    this.said.push({ where, status: answer.status, text: (head + text).replaceAll(secret, '') })
    this.canaries.add(name, secret)
    return secret
  }

  /** A command of the operator, and all that it prints. */
  async command(args: string[], codes: number[] = [0]): Promise<void> {
    const run = await runCommand([...args, '--data-dir', this.server.dataDir], this.#files)
    this.said.push({ where: args.join(' '), status: 200, text: run.output })
    if (!codes.includes(run.exitCode)) throw new Error(`${args[0]}: ${run.exitCode} ${run.output}`)
  }

  /** A token from the operator. */
  async issue(name: string, args: string[]): Promise<string> {
    const command = ['token', 'create', '--json', '--data-dir', this.server.dataDir, ...args]
    const { stdout, output } = await runCommand(command, this.#files)
    const secret = /"secret": ?"([^"]+)"/.exec(stdout)?.[1]
    if (secret === undefined) throw new Error(output)
    this.said.push({ where: 'token create', status: 200, text: output.replaceAll(secret, '') })
    return this.canaries.add(name, secret)
  }

  /** An operation over the control socket. */
  async operate(name: string, args: object): Promise<void> {
    const unix = join(this.server.dataDir, 'control.sock')
    const body = JSON.stringify(args)
    const answer = await fetch(`http://localhost/${name}`, { unix, method: 'POST', body })
    const { text, head } = await textOf(answer)
    this.said.push({ where: name, status: answer.status, text: head + text })
  }

  /** A place for a file that is not part of what is searched. */
  path(name: string): string {
    return join(this.#files, name)
  }

  /** A file with a secret in it, for a command. */
  async secretFile(name: string, text: string): Promise<string> {
    await Bun.write(this.path(name), text)
    return this.path(name)
  }

  /** The link for the first admin. */
  async setupPath(): Promise<string> {
    const [link] = [...(await this.server.output()).matchAll(SETUP_LINE)].slice(-1)
    if (link?.[1] === undefined) throw new Error('the server printed no link')
    return `-/web/setup/${this.canaries.add('setup', link[1])}`
  }

  /** What the server wrote to stdout and stderr, without the link that it is to print. */
  async output(): Promise<string> {
    return (await this.server.output()).replaceAll(SETUP_LINE, '')
  }

  /** The keys that the server made: they stand in their files and nowhere else. */
  async addKeyFiles(): Promise<void> {
    const folder = join(this.server.dataDir, 'keys')
    for (const name of await readdir(folder)) {
      const text = await Bun.file(join(folder, name)).text()
      const lines = text.split('\n').filter(line => line.length > 30 && !PUBLIC_LINE.test(line))
      for (const line of lines) this.canaries.add(`keys/${name}`, line.replace(LOG_KEY_HEAD, ''))
    }
  }

  /** Names of secrets by where they were said. */
  leaks(canaries: Canaries = this.canaries): string[] {
    return this.said.flatMap(({ where, text }) =>
      canaries.in(text).map(name => `${where}: ${name}`),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }
}

/** Adds an upstream for each kind of credential. */
export async function addUpstreams(world: World): Promise<void> {
  const { at } = world.sources
  const add = (name: string, url: string, ...args: string[]) =>
    world.command(['upstream', 'add', name, url, '--yes', ...args])
  // It redirects there.
  const acme = ['--names', '@acme/*', '--tarball-origins', new URL(at.stranger.url).origin]
  await add('acme', at.acme.url, ...acme, '--token-file', await world.secretFile('a', SECRETS.acme))
  const mirror = ['--kind', 'mirror', '--of', 'npm', '--token-file']
  await add('mirror', at.mirror.url, ...mirror, await world.secretFile('m', SECRETS.mirror))
  const pair = await world.secretFile('b', `canary:${SECRETS.basic}`)
  await add('basic', at.basic.url, '--names', '@basic/*', '--basic-file', pair)
  const certificate = await world.secretFile('cert', TEST_CERTIFICATE)
  const key = await world.secretFile('key', TEST_KEY)
  const tls = ['--ca-file', certificate, '--cert-file', certificate, '--key-file', key]
  await add('closed', at.closed.url, '--names', '@closed/*', ...tls)
}

function startHook(stack: AsyncDisposableStack): { hooked: string[]; url: string } {
  const hooked: string[] = []
  const hook = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const headers = JSON.stringify(Object.fromEntries(request.headers))
      hooked.push(`${request.url} ${headers} ${await request.text()}`)
      return new Response(null, { status: 204 })
    },
  })
  stack.defer(() => hook.stop(true))
  return { hooked, url: `http://127.0.0.1:${hook.port}/alerts` }
}

async function textOf(answer: Response): Promise<{ head: string; text: string }> {
  const text = Buffer.from(await answer.arrayBuffer()).toString('latin1')
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`)
  return { head: `${answer.status}\n${headers.join('\n')}\n\n`, text }
}
