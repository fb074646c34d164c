/**
 * The compiled program as the load and kill tests run it: started on a data dir, watched through
 * /proc, killed without warning, started again in the same place. With it, helpers that are
 * processes of their own, so that whoever measures is not busy. Linux only, as /proc is.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programUnderTest } from '../e2e/server.ts'
import type { Catalogue } from './load-upstream.ts'

const READY_TIMEOUT_MS = 60_000
const READY_POLL_MS = 10
const STOP_TIMEOUT_MS = 30_000

/** Where these tests can measure; elsewhere they say that they are skipped. */
export const canMeasure = process.platform === 'linux' && programUnderTest() !== null

/** Resident memory now, and the most there ever was, in bytes. */
export type Memory = { now: number; most: number }

export class LoadServer {
  readonly port: number
  readonly dataDir: string
  readonly #upstream: string
  #child: Bun.Subprocess<'ignore', 'ignore', 'pipe'> | null = null

  private constructor(upstream: string, dataDir?: string) {
    this.#upstream = upstream
    this.port = freePort()
    this.dataDir = dataDir ?? mkdtempSync(join(tmpdir(), 'npmx-registry-load-'))
  }

  /** @param dataDir of another one, restored: it is taken, and removed in the end */
  static async start(upstream: string, dataDir?: string): Promise<LoadServer> {
    const server = new LoadServer(upstream, dataDir)
    await server.start()
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`
  }

  get memory(): Memory {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8')
    return { now: kibibytesOf(status, 'VmRSS') * 1024, most: kibibytesOf(status, 'VmHWM') * 1024 }
  }

  /** Starts the program on the data dir; returns when it says that it is ready. */
  async start(): Promise<void> {
    const child = this.spawn(`127.0.0.1:${this.port}`)
    this.#child = child
    const giveUpAt = performance.now() + READY_TIMEOUT_MS
    while (performance.now() < giveUpAt) {
      if (child.exitCode !== null) break
      const ready = await fetch(`${this.url}-/readyz`).catch(() => null)
      await ready?.body?.cancel()
      if (ready?.ok === true) return
      await Bun.sleep(READY_POLL_MS)
    }
    child.kill('SIGKILL')
    throw new Error(`serve did not start: ${await new Response(child.stderr).text()}`)
  }

  /** One more process on this data dir. */
  spawn(listen: string): Bun.Subprocess<'ignore', 'ignore', 'pipe'> {
    const place = ['--listen', listen, '--data-dir', this.dataDir, '--upstream', this.#upstream]
    return Bun.spawn([...programOf(), 'serve', '--public-url', this.url, ...place], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  }

  /** kill -9, and gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#child?.exited
    this.#child = null
  }

  /** Runs `log fsck` on the data dir. */
  async fsck(): Promise<{ exitCode: number; output: string }> {
    const command = [...programOf(), 'log', 'fsck', '--data-dir', this.dataDir]
    const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] })
    const texts = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    return { exitCode: await child.exited, output: texts.join('\n') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child
    child?.kill('SIGTERM')
    const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await child?.exited
    clearTimeout(timer)
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

/** A script of this folder that runs beside the test and says one line when it is ready. */
export class Helper implements AsyncDisposable {
  /** Its first line. */
  readonly said: string
  readonly #child: Bun.Subprocess<'pipe', 'pipe', 'inherit'>
  readonly #lines: AsyncIterator<string>

  private constructor(
    child: Bun.Subprocess<'pipe', 'pipe', 'inherit'>,
    lines: AsyncIterator<string>,
    said: string,
  ) {
    this.#child = child
    this.#lines = lines
    this.said = said
  }

  static async start(script: string, argument: unknown): Promise<Helper> {
    const command = [process.execPath, join(import.meta.dir, script), JSON.stringify(argument)]
    const child = Bun.spawn(command, { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' })
    const lines = linesOf(child.stdout)
    const first = await lines.next()
    if (first.done === true) throw new Error(`${script} ended at once`)
    return new Helper(child, lines, first.value)
  }

  /** Sends a line and returns the one that comes back. */
  async ask(line: string): Promise<string> {
    void this.#child.stdin.write(`${line}\n`)
    await this.#child.stdin.flush()
    const answer = await this.#lines.next()
    if (answer.done === true) throw new Error('a helper ended')
    return answer.value
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill()
    await this.#child.exited
  }
}

/** The upstream of the load tests, in a process of its own. */
export async function startUpstream(catalogue: Catalogue): Promise<Helper> {
  return await Helper.start('load-upstream.ts', catalogue)
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const piece of stream) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  return undefined
}

function kibibytesOf(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN)
}

function programOf(): string[] {
  const program = programUnderTest()
  if (program === null) throw new Error('there is no program to run: bun run build')
  return program
}

/** A port that was free a moment ago: the program is told which, since it restarts on it. */
function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}
