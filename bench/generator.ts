/**
 * Load on one URL: so many keep-alive connections, each asking again as soon as it was answered
 * (a closed loop). `wrk` does it where it is installed; otherwise, and for servers so slow that a
 * run must end by count, raw sockets in this process.
 * @module
 */
import { join } from 'node:path'
import { adopt, temporaryFolder } from './processes.ts'
import { ResponseReader } from './response-reader.ts'
import { quantile } from './statistics.ts'

/** One run. @property requestsMin goes on for longer than the time to reach it, up to `msMax` */
export type Load = {
  url: string
  headers: Record<string, string>
  connections: number
  ms: number
  requestsMin?: number
  msMax?: number
}

export type LoadResult = { requestsPerSecond: number; p50Ms: number; p99Ms: number }

export type Generator = { name: string; run(load: Load): Promise<LoadResult> }

/** A request that takes longer counts as failed, and a run with one is void. */
const REQUEST_SECONDS_MAX = 60

export function chooseGenerator(): Generator {
  const program = Bun.which('wrk')
  if (program === null) return { name: 'own (raw sockets in Bun)', run: runOwn }
  const { stdout } = Bun.spawnSync([program, '-v'])
  const version = /^wrk (?:debian\/)?([\w.]+)/.exec(stdout.toString())?.[1] ?? ''
  return { name: `wrk ${version}, 1 thread`, run: load => runWrk(program, load) }
}

/** wrk calls this once at the end: exact figures in place of text made for people. */
const WRK_SCRIPT = `
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT %d %d %d %d %d\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
`

async function runWrk(program: string, load: Load): Promise<LoadResult> {
  using folder = temporaryFolder('wrk')
  const script = join(folder.path, 'done.lua')
  await Bun.write(script, WRK_SCRIPT)
  const headers = Object.entries(load.headers).flatMap(([name, value]) => [
    '-H',
    `${name}: ${value}`,
  ])
  const size = ['-t1', `-c${load.connections}`, `-d${Math.ceil(load.ms / 1000)}s`]
  const command = [program, ...size, `--timeout=${REQUEST_SECONDS_MAX}s`, '-s', script]
  const child = adopt(Bun.spawn([...command, ...headers, load.url], { stderr: 'ignore' }))
  const text = await new Response(child.stdout).text()
  await child.exited
  const found = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(text)
  if (found === null) throw new Error(`wrk gave no result for ${load.url}`)
  const [requests = 0, micros = 1, p50 = 0, p99 = 0, errors = 0] = found.slice(1).map(Number)
  if (errors > 0) throw new Error(`${errors} requests to ${load.url} failed`)
  return { requestsPerSecond: (requests * 1e6) / micros, p50Ms: p50 / 1000, p99Ms: p99 / 1000 }
}

/** What the connections of one run share. */
type Run = { request: string; started: number; latencies: number[]; lastMs: number; over: boolean }

/** The generator of our own. */
export async function runOwn(load: Load): Promise<LoadResult> {
  const url = new URL(load.url)
  const run: Run = {
    request: requestText(url, load.headers),
    started: performance.now(),
    latencies: [],
    lastMs: 0,
    over: false,
  }
  const connections = Array.from({ length: load.connections }, () => connect(url, run))
  const clients = connections.map(({ opened }) => opened)
  const broken = Promise.race(connections.map(({ closed }) => closed))
  await Promise.race([broken, enough(load, run)])
  run.over = true
  for (const client of await Promise.all(clients)) client.terminate()
  return {
    requestsPerSecond: (run.latencies.length * 1000) / Math.max(1, run.lastMs),
    p50Ms: quantile(run.latencies, 0.5),
    p99Ms: quantile(run.latencies, 0.99),
  }
}

function requestText(url: URL, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\n${lines.join('')}\r\n`
}

/** Between two looks whether a run has seen enough. */
const LOOK_MS = 20

async function enough({ ms, requestsMin = 1, msMax = ms }: Load, run: Run): Promise<void> {
  for (;;) {
    await Bun.sleep(LOOK_MS)
    const elapsed = performance.now() - run.started
    if (elapsed >= msMax || (elapsed >= ms && run.latencies.length >= requestsMin)) return
  }
}

/** One connection: `closed` rejects when it ends or is not understood before the run is over. */
function connect(url: URL, run: Run): { opened: Promise<Bun.Socket>; closed: Promise<never> } {
  const reader = new ResponseReader()
  const { promise: closed, reject } = Promise.withResolvers<never>()
  let asked = 0
  const ask = (socket: Bun.Socket): void => {
    asked = performance.now()
    socket.write(run.request)
  }
  const opened = Bun.connect({
    hostname: url.hostname,
    port: Number(url.port),
    socket: {
      open: ask,
      data(socket, piece) {
        if (run.over) return
        const { ended, failed } = reader.push(piece)
        if (failed > 0) reject(new Error(`${url.href} was not answered with 200`))
        if (ended === 0) return
        const now = performance.now()
        run.latencies.push(now - asked)
        run.lastMs = now - run.started
        ask(socket)
      },
      error: (_socket, error) => reject(error),
      close() {
        if (!run.over) reject(new Error(`${url.href} closed a connection`))
      },
    },
  })
  opened.catch(reject)
  return { opened, closed }
}
