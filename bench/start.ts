/**
 * Start: from the spawn of the binary to the first 200 of its readiness, with a fresh data dir and
 * with one that holds the packuments of the bench; and the memory of the process a moment later.
 * Beside it, in the same rounds, the bare server, which is this runtime running two small files.
 * @module
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeBodies } from './bodies.ts'
import { launchBare } from './hot.ts'
import { isUnderLoad, type Memory, memoryOf, waitForQuiet, watchProcessor } from './machine.ts'
import { launchOurs, temporaryFolder } from './processes.ts'
import { median } from './statistics.ts'
import { SIZES, type Upstream } from './upstream.ts'

/** Idle is: ready, and so long without a request. */
const IDLE_MS = 1500
const QUIET_MS_MAX = 5000

export type StartNeeds = {
  binary: string
  upstream: Upstream
  rounds: number
  say: (line: string) => void
}

export type Start = {
  freshMs: number
  existingMs: number
  bareMs: number
  runs: { freshMs: number[]; existingMs: number[]; bareMs: number[] }
  idle: Memory
  roundsUnderLoad: number
}

export async function measureStart({ binary, upstream, rounds, say }: StartNeeds): Promise<Start> {
  using folder = temporaryFolder('start')
  const existing = join(folder.path, 'existing')
  const stored = join(folder.path, 'stored')
  mkdirSync(stored)
  await Bun.write(join(stored, 'nothing'), 'nothing')
  await writeBodies(stored, [{ path: '/nothing', file: 'nothing', headers: {} }])
  const at = (dataDir: string) =>
    launchOurs({ binary, home: folder.path, dataDir, upstream: upstream.url })
  await fill(at, existing)
  const runs: Start['runs'] = { freshMs: [], existingMs: [], bareMs: [] }
  const idle: Memory[] = []
  let roundsUnderLoad = 0
  for (let round = 1; round <= rounds; round += 1) {
    say(`start: round ${round} of ${rounds}`)
    await waitForQuiet([], QUIET_MS_MAX)
    const watch = watchProcessor([])
    {
      await using ours = await at(join(folder.path, `fresh-${round}`))
      runs.freshMs.push(ours.readyMs)
    }
    {
      await using ours = await at(existing)
      runs.existingMs.push(ours.readyMs)
      await Bun.sleep(IDLE_MS)
      idle.push(memoryOf(ours.pid))
    }
    {
      await using bare = await launchBare(folder.path, stored)
      runs.bareMs.push(bare.readyMs)
    }
    if (isUnderLoad(watch.othersShare())) roundsUnderLoad += 1
  }
  return {
    freshMs: median(runs.freshMs),
    existingMs: median(runs.existingMs),
    bareMs: median(runs.bareMs),
    runs,
    idle: medianMemory(idle),
    roundsUnderLoad,
  }
}

/** Makes the data dir that the runs with an existing one begin with. */
async function fill(
  at: (dataDir: string) => ReturnType<typeof launchOurs>,
  dataDir: string,
): Promise<void> {
  await using ours = await at(dataDir)
  for (const { name } of SIZES) {
    const response = await fetch(`${ours.url}/${name}`)
    await response.arrayBuffer()
    if (response.status !== 200) throw new Error(`${name} was answered with ${response.status}`)
  }
}

function medianMemory(all: readonly Memory[]): Memory {
  return {
    resident: median(all.map(one => one.resident)),
    peak: knownMedian(all.map(one => one.peak)),
    privateDirty: knownMedian(all.map(one => one.privateDirty)),
  }
}

function knownMedian(values: readonly (number | null)[]): number | null {
  return values.includes(null) ? null : median(values.map(Number))
}
