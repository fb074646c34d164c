/**
 * The program under test as its users run it: one process, started with `serve`, spoken to over
 * HTTP and the command line, ended by its own process id. Which file is run:
 * `NPMX_REGISTRY_BINARY`, else dist/npmx-registry, else the source. It imports nothing of src/.
 *
 * Every run has an admin token and, where its registry is one of these tests, a credential for it.
 * No test ends well when one of them, or the token that clients send (clients.ts), stands in
 * anything that the program wrote: its output and every file of its data dir are searched before
 * they are gone. Registries of tests look at what they were told themselves (fixtures/).
 *
 * @module
 */

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { secretOf, SUITE, suiteCanaries } from '../fixtures/canaries.ts'
import { filesOf } from '../fixtures/kept-bytes.ts'

const ROOT = join(import.meta.dir, '..', '..')
/** Generous: a start takes well under a second, but test machines are busy. */
const READY_TIMEOUT_MS = 60_000
const READY_POLL_MS = 25
/** A server that does not end by itself within this is killed, and the test says so. */
const STOP_TIMEOUT_MS = 30_000
const COMMAND_TIMEOUT_MS = 120_000
/** What is polled for comes within seconds; only what never comes takes this long. */
const SEEN_TIMEOUT_MS = 60_000
const SEEN_POLL_MS = 200

/** Registries that are started by tests; nobody listens on the discard port. */
const OF_THESE_TESTS = /^http:\/\/(?:127\.0\.0\.1|localhost):(?!9\/)/

export type CommandResult = { exitCode: number; stdout: string; stderr: string; output: string }

/** How to start the program, or null when this checkout has none yet. */
export function programUnderTest(): string[] | null {
  const named = process.env['NPMX_REGISTRY_BINARY']
  if (named !== undefined && named !== '') return [named]
  const built = join(ROOT, 'dist', 'npmx-registry')
  if (existsSync(built)) return [built]
  const source = join(ROOT, 'src', 'main.ts')
  return existsSync(source) ? [process.execPath, source] : null
}

/** Why the tests that need the server cannot run here, or null when they can. */
export async function whyNoServer(): Promise<string | null> {
  if (programUnderTest() === null) return 'SKIPPED: there is no program to test yet (bun run build)'
  try {
    await using server = await startServer({ upstream: 'http://127.0.0.1:9/' })
    await server.stop()
    return null
  } catch (error) {
    // A binary that was named must work: then this is a failure and not a reason to skip.
    if (process.env['NPMX_REGISTRY_BINARY'] !== undefined) throw error
    return `SKIPPED: the server does not start: ${String(error)}`
  }
}

/** Runs a command of the program to its end. */
export async function runCommand(args: string[], cwd: string): Promise<CommandResult> {
  const child = Bun.spawn([...programOrThrow(), ...args], {
    cwd,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: COMMAND_TIMEOUT_MS,
    env: { ...process.env, NO_COLOR: '1' },
  })
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { exitCode: await child.exited, stdout, stderr, output: `${stdout}\n${stderr}` }
}

export type ServerOptions = {
  /** Null: the program's own default. */
  upstream: string | null
  args?: string[]
  /** Settings as a service manager would give them. */
  env?: Record<string, string>
}

export class ServerProcess {
  readonly dataDir: string
  readonly port: number
  private readonly options: ServerOptions
  private child: Bun.Subprocess<'ignore', 'pipe', 'pipe'> | null = null
  private log: Promise<string> = Promise.resolve('')
  private heard: Promise<unknown> = Promise.resolve()
  /** Everything that it wrote so far, to stdout and stderr. */
  private soFar = ''

  constructor(dataDir: string, port: number, options: ServerOptions) {
    this.dataDir = dataDir
    this.port = port
    this.options = options
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`
  }

  /** Of the running process, for whoever looks at it from outside. */
  get pid(): number {
    if (this.child === null) throw new Error('the server does not run')
    return this.child.pid
  }

  async start(): Promise<void> {
    const { upstream, args = [], env = {} } = this.options
    const where = ['--listen', `127.0.0.1:${this.port}`, '--data-dir', this.dataDir]
    const from = upstream === null ? [] : ['--upstream', upstream]
    const child = Bun.spawn([...programOrThrow(), 'serve', ...where, ...from, ...args], {
      cwd: this.dataDir,
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      env: { NPMX_REGISTRY_ADMIN_TOKEN: SUITE.admin, ...process.env, NO_COLOR: '1', ...env },
    })
    this.child = child
    this.log = this.hear(child.stderr)
    const banner = this.hear(child.stdout)
    this.heard = Promise.all([this.heard, this.log, banner])
    const giveUpAt = Date.now() + READY_TIMEOUT_MS
    while (Date.now() < giveUpAt) {
      if (child.exitCode !== null) throw new Error(`serve exited: ${await this.log}`)
      const ready = await fetch(`${this.url}-/readyz`).catch(() => null)
      await ready?.body?.cancel()
      if (ready?.ok === true) return
      await Bun.sleep(READY_POLL_MS)
    }
    await this.stop()
    throw new Error(`serve was not ready within ${READY_TIMEOUT_MS} ms: ${await this.log}`)
  }

  /** Ends the process as a service manager would; returns what it wrote to stderr. */
  async stop(): Promise<string> {
    const { child } = this
    this.child = null
    if (child === null) return this.log
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await child.exited
    clearTimeout(timer)
    return this.log
  }

  /** Stops, forgets every cached document, and starts again on the same port and data. */
  async restartWithEmptyCache(): Promise<void> {
    await this.stop()
    await rm(join(this.dataDir, 'cache'), { recursive: true, force: true })
    await this.start()
  }

  /** Has the server ask its upstream about `name` now, however fresh its copy is. */
  async revalidate(name: string): Promise<Response> {
    return fetch(this.url + name.replace('/', '%2f'), { headers: { 'cache-control': 'no-cache' } })
  }

  /** Asks until the packument of `name` satisfies `seen`; returns it. */
  async revalidateUntil(name: string, seen: (text: string) => boolean): Promise<string> {
    const giveUpAt = Date.now() + SEEN_TIMEOUT_MS
    while (Date.now() < giveUpAt) {
      const text = await (await this.revalidate(name)).text()
      if (seen(text)) return text
      await Bun.sleep(SEEN_POLL_MS)
    }
    throw new Error(`the packument of ${name} did not change within ${SEEN_TIMEOUT_MS} ms`)
  }

  /** Everything that it wrote to stdout and stderr since the first start; so far, while it runs. */
  async output(): Promise<string> {
    if (this.child === null) await this.heard
    return this.soFar
  }

  /** @throws Error when it wrote one of the tokens of these tests anywhere */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    const leaks = suiteCanaries.in(await this.output()).map(name => `${name} in its output`)
    for (const { where, bytes } of filesOf(this.dataDir)) {
      leaks.push(...suiteCanaries.in(bytes).map(name => `${name} in ${where}`))
    }
    await rm(this.dataDir, { recursive: true, force: true })
    if (leaks.length > 0) throw new Error(`the server wrote down secrets: ${leaks.join(', ')}`)
  }

  private async hear(stream: ReadableStream<Uint8Array>): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of stream) {
      const piece = decoder.decode(chunk, { stream: true })
      text += piece
      this.soFar += piece
    }
    return text
  }
}

export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'npmx-data-'))
  const server = new ServerProcess(dataDir, freePort(), options)
  await server.start()
  if (OF_THESE_TESTS.test(options.upstream ?? ''))
    await giveCredential(server, options.upstream ?? '')
  return server
}

/** Whoever cannot be asked, or has keys that nobody would agree to, gets none. */
async function giveCredential({ dataDir }: ServerProcess, upstream: string): Promise<void> {
  const operate = async (name: string, args: object) => {
    const unix = join(dataDir, 'control.sock')
    const init = { unix, method: 'POST', body: JSON.stringify(args) }
    return await (await fetch(`http://localhost/upstream/${name}`, init)).text()
  }
  const change = { name: 'npm', settings: { secret: { token: secretOf(upstream) } } }
  const seen = await operate('probe-change', change)
  const confirm = [...seen.matchAll(/"keyid":"([^"]+)"/g)].map(([, keyid]) => keyid)
  await operate('set', { ...change, confirm })
}

/** A port that was free a moment ago: the program is told which, since it restarts on it. */
function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => undefined } })
  const { port } = probe
  probe.stop(true)
  return port
}

function programOrThrow(): string[] {
  const program = programUnderTest()
  if (program === null) throw new Error('there is no program to run: bun run build')
  return program
}
