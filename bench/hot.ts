/**
 * Hot packuments: requests per second, latency and memory of ours beside a bare server that sends
 * the same stored bytes, and beside Verdaccio, in interleaved runs.
 *
 * Each size has processes of its own, so that memory is that of serving this size (and, for ours,
 * of having fetched, checked and rendered it a moment before).
 * @module
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type StoredBody, headersToKeep, writeBodies } from './bodies.ts'
import { type Generator, type Load, type LoadResult, runOwn } from './generator.ts'
import { isUnderLoad, type Memory, memoryOf, waitForQuiet, watchProcessor } from './machine.ts'
import { freePort, launch, launchOurs, type Server, temporaryFolder } from './processes.ts'
import { median, medianRatio } from './statistics.ts'
import { type Size, SIZES, type Upstream } from './upstream.ts'
import { launchVerdaccio, type Peer } from './verdaccio.ts'

/** As clients ask: npm for the full form, bun and pnpm for the abbreviated one. */
const FORMS = [
  {
    form: 'abbreviated',
    accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*',
  },
  { form: 'full', accept: 'application/json' },
] as const

type Form = (typeof FORMS)[number]

const BARE = Bun.fileURLToPath(new URL('bare.ts', import.meta.url))
const CONNECTIONS = 32
const RUN_MS = 3000
const WARM_MS = 1000
/** Verdaccio answers giants in seconds: few connections, few requests, and an end in any case. */
const PEER_LOAD = { connections: 4, ms: 1000, requestsMin: 8, msMax: 12_000 }
/** Before each round others get this long to leave the machine alone. */
const QUIET_MS_MAX = 5000

export type HotNeeds = {
  binary: string
  upstream: Upstream
  peer: Peer
  generator: Generator
  rounds: number
  say: (line: string) => void
}

/** One server's figures for one packument in one form: medians. */
export type Figures = LoadResult & { runs: LoadResult[] }

export type HotRow = {
  size: Size
  name: string
  form: Form['form']
  sentBytes: number
  ours: Figures
  bare: Figures
  verdaccio: Figures | null
  ofBare: number
  overVerdaccio: number | null
  roundsUnderLoad: number
}

/** Memory of each server after all runs of one size. */
export type HotMemory = {
  size: Size
  name: string
  ours: Memory
  bare: Memory
  verdaccio: Memory | null
}

export type Hot = { rows: HotRow[]; memory: HotMemory[]; ceiling: LoadResult }

type Contestants = { ours: Server; bare: Server; verdaccio: Server | null }

export async function measureHot(needs: HotNeeds): Promise<Hot> {
  const rows: HotRow[] = []
  const memory: HotMemory[] = []
  let ceiling: LoadResult | null = null
  for (const { size, name } of SIZES) {
    await using stack = new AsyncDisposableStack()
    const folder = stack.use(temporaryFolder(`hot-${size}`)).path
    const contestants = await startContestants(needs, name, folder, stack)
    const empty = await needs.generator.run(loadOf(contestants.bare, '/nothing', FORMS[0]))
    if (empty.requestsPerSecond > (ceiling?.requestsPerSecond ?? 0)) ceiling = empty
    for (const form of FORMS) {
      rows.push(await measureForm(needs, contestants, { size, name, form }))
    }
    const { ours, bare, verdaccio } = contestants
    memory.push({
      size,
      name,
      ours: memoryOf(ours.pid),
      bare: memoryOf(bare.pid),
      verdaccio: verdaccio === null ? null : memoryOf(verdaccio.pid),
    })
  }
  if (ceiling === null) throw new Error('nothing was measured')
  return { rows, memory, ceiling }
}

async function startContestants(
  { binary, upstream, peer }: HotNeeds,
  name: string,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Contestants> {
  const dataDir = join(folder, 'data')
  const ours = stack.use(
    await launchOurs({ binary, home: folder, dataDir, upstream: upstream.url }),
  )
  const stored = join(folder, 'stored')
  mkdirSync(stored)
  await storeBodies(ours, name, stored)
  const bare = stack.use(await launchBare(folder, stored))
  if ('missing' in peer) return { ours, bare, verdaccio: null }
  const home = join(folder, 'verdaccio')
  mkdirSync(home)
  const verdaccio = stack.use(await launchVerdaccio(peer, home, upstream.url))
  // Its first answer comes from the upstream.
  for (const form of FORMS) await ask(verdaccio, `/${name}`, form)
  return { ours, bare, verdaccio }
}

/** Keeps our answers as they go over the wire, for the bare server to send. */
async function storeBodies(ours: Server, name: string, folder: string): Promise<void> {
  const bodies: StoredBody[] = [{ path: '/nothing', file: 'nothing', headers: {} }]
  await Bun.write(join(folder, 'nothing'), 'nothing')
  for (const form of FORMS) {
    const { headers, bytes } = await ask(ours, `/${name}`, form)
    if (headers.get('content-encoding') !== 'gzip') throw new Error('our answer is not gzip')
    await Bun.write(join(folder, form.form), bytes)
    bodies.push({ path: `/${form.form}`, file: form.form, headers: headersToKeep(headers) })
  }
  await writeBodies(folder, bodies)
}

export function launchBare(home: string, stored: string): Promise<Server> {
  const port = freePort()
  const command = [process.execPath, BARE, stored, String(port)]
  return launch({ command, home, url: `http://127.0.0.1:${port}`, readyPath: '/nothing' })
}

async function ask(
  server: Server,
  path: string,
  { accept }: Form,
): Promise<{ headers: Headers; bytes: Uint8Array }> {
  const headers = { accept, 'accept-encoding': 'gzip' }
  const response = await fetch(server.url + path, { headers, decompress: false })
  const bytes = await response.bytes()
  if (response.status !== 200) throw new Error(`${server.url}${path}: ${response.status}`)
  return { headers: response.headers, bytes }
}

function loadOf(server: Server, path: string, { accept }: Form): Load {
  const headers = { accept, 'accept-encoding': 'gzip' }
  return { url: server.url + path, headers, connections: CONNECTIONS, ms: RUN_MS }
}

type Case = { size: Size; name: string; form: Form }

async function measureForm(
  { generator, rounds, say }: HotNeeds,
  { ours, bare, verdaccio }: Contestants,
  { size, name, form }: Case,
): Promise<HotRow> {
  const oursLoad = loadOf(ours, `/${name}`, form)
  const bareLoad = loadOf(bare, `/${form.form}`, form)
  const sentBytes = await equalBytes(ours, bare, name, form)
  for (const load of [oursLoad, bareLoad]) await generator.run({ ...load, ms: WARM_MS })
  const runs: Record<keyof Contestants, LoadResult[]> = { ours: [], bare: [], verdaccio: [] }
  const pids = [ours.pid, bare.pid, ...(verdaccio === null ? [] : [verdaccio.pid])]
  let roundsUnderLoad = 0
  for (let round = 1; round <= rounds; round += 1) {
    say(`hot ${name} ${form.form}: round ${round} of ${rounds}`)
    await waitForQuiet(pids, QUIET_MS_MAX)
    const watch = watchProcessor(pids)
    runs.ours.push(await generator.run(oursLoad))
    runs.bare.push(await generator.run(bareLoad))
    if (isUnderLoad(watch.othersShare())) roundsUnderLoad += 1
    if (verdaccio === null) continue
    runs.verdaccio.push(await runOwn({ ...loadOf(verdaccio, `/${name}`, form), ...PEER_LOAD }))
  }
  const peer = verdaccio === null ? null : runs.verdaccio
  return {
    size,
    name,
    form: form.form,
    sentBytes,
    ours: figures(runs.ours),
    bare: figures(runs.bare),
    verdaccio: peer === null ? null : figures(peer),
    ofBare: medianRatio(rates(runs.ours), rates(runs.bare)),
    overVerdaccio: peer === null ? null : medianRatio(rates(runs.ours), rates(peer)),
    roundsUnderLoad,
  }
}

/** Both must send the same bytes; @returns how many. */
async function equalBytes(ours: Server, bare: Server, name: string, form: Form): Promise<number> {
  const mine = await ask(ours, `/${name}`, form)
  const theirs = await ask(bare, `/${form.form}`, form)
  if (!Bun.deepEquals(mine.bytes, theirs.bytes))
    throw new Error('the bare server sends other bytes')
  if (!Bun.deepEquals(headersToKeep(mine.headers), headersToKeep(theirs.headers))) {
    throw new Error('the bare server sends other headers')
  }
  return mine.bytes.length
}

function figures(runs: LoadResult[]): Figures {
  return {
    requestsPerSecond: median(runs.map(run => run.requestsPerSecond)),
    p50Ms: median(runs.map(run => run.p50Ms)),
    p99Ms: median(runs.map(run => run.p99Ms)),
    runs,
  }
}

function rates(runs: readonly LoadResult[]): number[] {
  return runs.map(run => run.requestsPerSecond)
}
