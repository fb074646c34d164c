/**
 * Installs of a real application (bench/app) through ours beside direct ones, each in an empty home
 * with an empty cache and without a lockfile. Cold: our data dir is fresh, everything is fetched,
 * checked and logged on the way. Warm: the same server again, as the second person meets it.
 *
 * Clients write to memory where that can be had: on a disk that is old or shared, making 20,000
 * files takes ten times as long as everything else and hides the server. Our data dir is on disk.
 * @module
 */
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isUnderLoad, type Memory, memoryOf, waitForQuiet, watchProcessor } from './machine.ts'
import { adopt, environment, launchOurs, memoryFolder, temporaryFolder } from './processes.ts'
import { median, medianRatio } from './statistics.ts'

const APP = join(import.meta.dir, 'app/package.json')
/** An install that takes longer has failed. */
const INSTALL_MS_MAX = 300_000
const QUIET_MS_MAX = 10_000

const CLIENTS = {
  bun: [process.execPath, 'install', '--ignore-scripts', '--no-progress'],
  npm: ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
} as const

export type Client = keyof typeof CLIENTS

const WAYS = ['direct', 'cold', 'warm'] as const

type Way = (typeof WAYS)[number]

/** Cold comes before warm in any order. */
const REVERSED: readonly Way[] = ['cold', 'warm', 'direct']

export type InstallNeeds = {
  binary: string
  registry: string
  rounds: number
  say: (line: string) => void
}

export type InstallRow = {
  client: Client
  ms: Record<Way, number>
  runs: Record<Way, number[]>
  coldOverDirect: number
  warmOverDirect: number
  packages: number
  /** Of our server after the last install. */
  memory: Memory
  clientsOn: 'memory' | 'disk'
  roundsUnderLoad: number
}

export async function measureInstalls(needs: InstallNeeds): Promise<InstallRow[]> {
  return [await measureClient('bun', needs), await measureClient('npm', needs)]
}

async function measureClient(client: Client, needs: InstallNeeds): Promise<InstallRow> {
  const runs: Record<Way, number[]> = { direct: [], cold: [], warm: [] }
  const packages = new Set<number>()
  let memory: Memory | null = null
  let roundsUnderLoad = 0
  for (let round = 1; round <= needs.rounds; round += 1) {
    needs.say(`install with ${client}: round ${round} of ${needs.rounds}`)
    await waitForQuiet([], QUIET_MS_MAX)
    using folder = temporaryFolder(`install-${client}`)
    using clients = temporaryFolder(`client-${client}`, memoryFolder() ?? undefined)
    const { binary, registry } = needs
    const dataDir = join(folder.path, 'data')
    await using ours = await launchOurs({ binary, home: folder.path, dataDir, upstream: registry })
    const watch = watchProcessor([ours.pid])
    // Whatever drifts within a round must not always hit the same way.
    const order = round % 2 === 1 ? WAYS : REVERSED
    for (const way of order) {
      const from = way === 'direct' ? registry : `${ours.url}/`
      const installed = await install(client, from, join(clients.path, way))
      runs[way].push(installed.ms)
      packages.add(installed.packages)
    }
    if (isUnderLoad(watch.othersShare())) roundsUnderLoad += 1
    memory = memoryOf(ours.pid)
  }
  if (memory === null) throw new Error('nothing was measured')
  if (packages.size > 1)
    throw new Error(`installs of ${client} differ: ${[...packages].join(', ')}`)
  return {
    client,
    ms: { direct: median(runs.direct), cold: median(runs.cold), warm: median(runs.warm) },
    runs,
    coldOverDirect: medianRatio(runs.cold, runs.direct),
    warmOverDirect: medianRatio(runs.warm, runs.direct),
    packages: packages.values().next().value ?? 0,
    memory,
    clientsOn: memoryFolder() === null ? 'disk' : 'memory',
    roundsUnderLoad,
  }
}

async function install(
  client: Client,
  registry: string,
  folder: string,
): Promise<{ ms: number; packages: number }> {
  const home = join(folder, 'home')
  const project = join(folder, 'project')
  mkdirSync(home, { recursive: true })
  mkdirSync(project)
  cpSync(APP, join(project, 'package.json'))
  await Bun.write(join(project, '.npmrc'), `registry=${registry}\n`)
  settleDisk()
  const started = performance.now()
  const child = adopt(
    Bun.spawn([...CLIENTS[client]], {
      cwd: project,
      env: environment(home),
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: INSTALL_MS_MAX,
    }),
  )
  const complaints = await new Response(child.stderr).text()
  const exitCode = await child.exited
  const ms = performance.now() - started
  if (exitCode !== 0) throw new Error(`${client} install from ${registry}: ${complaints.trim()}`)
  const packages = countPackages(join(project, 'node_modules'))
  rmSync(folder, { recursive: true })
  return { ms, packages }
}

/** What one run wrote must not be on its way to disk during the next. */
function settleDisk(): void {
  Bun.spawnSync(['sync'])
}

/** Folders of packages at the top of node_modules: enough to see that two installs did the same. */
function countPackages(folder: string): number {
  const names = readdirSync(folder).filter(name => !name.startsWith('.'))
  return names.reduce(
    (sum, name) => sum + (name.startsWith('@') ? readdirSync(join(folder, name)).length : 1),
    0,
  )
}
