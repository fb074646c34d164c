/**
 * Publishing: a crowd of clients, each one version of its package after the other. Ours beside a
 * bare server that answers the same requests with a fsync'd write of the same bytes, and beside
 * Verdaccio, which is not durable at its answer: as it comes, and with signed tokens.
 *
 * Most clients send one request; npm 11 asks for the packument first, which is measured apart.
 * Packages are new in each round; their scope lives here, so that no other registry is asked.
 * @module
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { publishBodyOf } from '../test/fixtures/publishing.ts'
import { isUnderLoad, waitForQuiet, watchProcessor } from './machine.ts'
import {
  environment,
  freePort,
  launch,
  launchOurs,
  type Server,
  temporaryFolder,
} from './processes.ts'
import { median, medianRatio, quantile } from './statistics.ts'
import type { Upstream } from './upstream.ts'
import { launchVerdaccio, type Peer, type PeerTokens, verdaccioToken } from './verdaccio.ts'

/** What the bare server is called. */
export const BARE_PUBLISH = "bare, fsync'd write"
/** The scope that all of them publish in. */
const SCOPE = '@bench/*'

const BARE = Bun.fileURLToPath(new URL('publish-bare.ts', import.meta.url))
/** At once, as the goal says. */
const CLIENTS = 100
/** The first makes the package, the others are next versions of it. */
const VERSIONS = 6
/** Verdaccio as it comes answers a few in a second. */
const SLOW_CLIENTS = 10
const SLOW_VERSIONS = 2
/** What does not shrink when it is packed: a tarball of 12 kB, which is the usual one. */
const SOURCE_CHARS = 16_000
/** Code is compiled and folders are made by then, on all of them. */
const WARM_VERSIONS = 2
const QUIET_MS_MAX = 5000
const ACCEPT = 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*'

type PublishNeeds = {
  binary: string
  upstream: Upstream
  peer: Peer
  rounds: number
  say: (line: string) => void
}

/** One run, or the medians of several. */
type PublishFigures = { publishesPerSecond: number; p50Ms: number; p95Ms: number }

/** @property asksFirst for the packument, within what is measured */
type PublishRow = PublishFigures & { server: string; clients: number; asksFirst: boolean }

export type Publish = {
  bodyBytes: number
  rows: PublishRow[]
  /** p95 of ours over that of the bare server, one request each. */
  p95OverBare: number
  /** Publishes per second of ours over those of Verdaccio as it comes. */
  overVerdaccio: number | null
  roundsUnderLoad: number
}

/** A server that is published to, and how many do it. */
type Target = {
  title: string
  server: Server
  headers: Record<string, string>
  clients: number
  versions: number
}
type Way = { target: Target; asksFirst: boolean; runs: PublishFigures[] }
/** One publish: where it is put, and what. */
type Release = { path: string; body: string }

export async function measurePublish(needs: PublishNeeds): Promise<Publish> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(temporaryFolder('publish')).path
  const targets = await startTargets(needs, folder, stack)
  const pids = targets.map(({ server }) => server.pid)
  for (const target of targets) {
    const versions = Math.min(WARM_VERSIONS, target.versions)
    await publishAll(target, releasesOf('warm', { ...target, versions }), true)
  }
  const ways = [false, true].flatMap(asksFirst =>
    targets.map((target): Way => ({ target, asksFirst, runs: [] })),
  )
  let roundsUnderLoad = 0
  for (let round = 1; round <= needs.rounds; round += 1) {
    needs.say(`publish: round ${round} of ${needs.rounds}`)
    await waitForQuiet(pids, QUIET_MS_MAX)
    const watch = watchProcessor(pids)
    for (const { target, asksFirst, runs } of ways) {
      const releases = releasesOf(`${round}-${asksFirst ? 'asked' : 'put'}`, target)
      runs.push(await publishAll(target, releases, asksFirst))
    }
    if (isUnderLoad(watch.othersShare())) roundsUnderLoad += 1
  }
  return { ...summary(ways), bodyBytes: bodyBytes(), roundsUnderLoad }
}

function summary(ways: readonly Way[]): Pick<Publish, 'rows' | 'p95OverBare' | 'overVerdaccio'> {
  const [ours, bare, verdaccio] = ways.filter(({ asksFirst }) => !asksFirst)
  const values = (way: Way | undefined, figure: keyof PublishFigures) =>
    (way?.runs ?? []).map(run => run[figure])
  const rates = values(ours, 'publishesPerSecond')
  return {
    rows: ways.map(({ target: { title: server, clients }, asksFirst, runs }) => {
      return { server, clients, asksFirst, ...medians(runs) }
    }),
    p95OverBare: medianRatio(values(ours, 'p95Ms'), values(bare, 'p95Ms')),
    overVerdaccio:
      verdaccio === undefined ? null : medianRatio(rates, values(verdaccio, 'publishesPerSecond')),
  }
}

/** Ours, the bare server, and where it is there Verdaccio in both forms. */
async function startTargets(
  { binary, upstream, peer }: PublishNeeds,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Target[]> {
  const dataDir = join(folder, 'data')
  const at = { binary, home: folder, dataDir }
  const ours = stack.use(await launchOurs({ ...at, upstream: upstream.url }))
  await operate(at, ['upstream', 'set', 'hosted', '--names', SCOPE])
  await operate(at, ['user', 'add', 'bench'])
  const scopes = ['--scope', 'read', 'publish']
  const token = (await operate(at, ['token', 'create', '--user', 'bench', ...scopes])).trim()
  const stored = join(folder, 'bare')
  mkdirSync(stored)
  const bare = stack.use(await launchBare(folder, stored))
  const targets = [targetOf('ours', ours, token), targetOf(BARE_PUBLISH, bare, token)]
  if ('missing' in peer) return targets
  const start = async (tokens: PeerTokens) => {
    const home = join(folder, `verdaccio-${tokens}`)
    mkdirSync(home)
    return stack.use(await launchVerdaccio(peer, home, upstream.url, tokens))
  }
  const asItComes = await start('default')
  const signed = await start('signed')
  const slow = { clients: SLOW_CLIENTS, versions: SLOW_VERSIONS }
  return [
    ...targets,
    {
      ...targetOf('Verdaccio, as it comes', asItComes, await verdaccioToken(asItComes.url)),
      ...slow,
    },
    targetOf('Verdaccio, signed tokens', signed, await verdaccioToken(signed.url)),
  ]
}

function launchBare(home: string, stored: string): Promise<Server> {
  const port = freePort()
  const command = [process.execPath, BARE, stored, String(port)]
  return launch({ command, home, url: `http://127.0.0.1:${port}`, readyPath: '/ready' })
}

function targetOf(title: string, server: Server, token: string): Target {
  const headers = { authorization: `Bearer ${token}` }
  return { title, server, headers, clients: CLIENTS, versions: VERSIONS }
}

/** Runs a command of ours on a data dir whose server runs. @returns what it says */
async function operate(
  { binary, home, dataDir }: { binary: string; home: string; dataDir: string },
  command: readonly string[],
): Promise<string> {
  const child = Bun.spawn([binary, ...command, '--data-dir', dataDir], {
    cwd: home,
    env: environment(home),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, complaint] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) === 0) return out
  throw new Error(`${command.slice(0, 2).join(' ')}: ${complaint.trim()}`)
}

/** What each client publishes, in order. */
function releasesOf(
  round: string,
  { clients, versions }: Pick<Target, 'clients' | 'versions'>,
): Release[][] {
  return Array.from({ length: clients }, (_, client) => {
    const name = `@bench/${round}-${client}`
    const path = `/${name.replace('/', '%2f')}`
    return Array.from({ length: versions }, (__, i) => ({ path, body: bodyOf(name, `1.0.${i}`) }))
  })
}

function bodyOf(name: string, version: string): string {
  const seed = crypto.getRandomValues(new Uint8Array((SOURCE_CHARS * 3) / 4)).toBase64()
  return JSON.stringify(publishBodyOf({ name, version, seed }))
}

/** All are as long, give or take some bytes. */
function bodyBytes(): number {
  return bodyOf('@bench/any-1', '1.0.0').length
}

async function publishAll(
  target: Target,
  releases: readonly (readonly Release[])[],
  asksFirst: boolean,
): Promise<PublishFigures> {
  const latencies: number[] = []
  const started = performance.now()
  const lanes = releases.map(async own => {
    for (const release of own) latencies.push(await publishOne(target, release, asksFirst))
  })
  await Promise.all(lanes)
  const elapsed = performance.now() - started
  return {
    publishesPerSecond: (latencies.length * 1000) / elapsed,
    p50Ms: quantile(latencies, 0.5),
    p95Ms: quantile(latencies, 0.95),
  }
}

/** @returns how long it took */
async function publishOne(
  { server, headers }: Target,
  { path, body }: Release,
  asksFirst: boolean,
): Promise<number> {
  const started = performance.now()
  const url = server.url + path
  if (asksFirst) {
    const asked = await fetch(url, { headers: { ...headers, accept: ACCEPT } })
    await asked.arrayBuffer()
  }
  const put = { method: 'PUT', headers: { ...headers, 'content-type': 'application/json' }, body }
  const answer = await fetch(url, put)
  const text = await answer.text()
  if (answer.status !== 201) throw new Error(`${url}: ${answer.status} ${text.slice(0, 200)}`)
  return performance.now() - started
}

function medians(runs: readonly PublishFigures[]): PublishFigures {
  return {
    publishesPerSecond: median(runs.map(run => run.publishesPerSecond)),
    p50Ms: median(runs.map(run => run.p50Ms)),
    p95Ms: median(runs.map(run => run.p95Ms)),
  }
}
