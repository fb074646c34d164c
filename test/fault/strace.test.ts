/**
 * Each system call of one append that touches the data dir is made to fail, one run per call: the
 * process is killed there, or the call answers EIO. Afterwards the data dir must be sound. The idea
 * is transparency-dev/tessera's `integration/fault/posix`. Needs strace; without it nothing is
 * tested and the output says so. `SECONDS=600` waits for all points on a slow machine.
 */
import { describe, expect, test } from 'bun:test'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDir, type TemporaryDir } from '../unit/db/data-dir.ts'
import { findingsAfterRestart, findingsAsItLies, witness, type Witnessed } from './verdict.ts'

const SECONDS = Number(process.env['SECONDS'] ?? 55)
const WRITER = join(import.meta.dir, 'writer.ts')
/** One below a full tile, so that the append under test closes one and writes its files. */
const BASE_LEAVES = 255
const APPENDED_LEAVES = 3
const LANES = 3
/** At most so many runs may strike another call than planned: threads start in any order. */
const MISSES_MAX = 0.2

const CALLS = ['openat', 'mkdir', 'write', 'pwrite64', 'fsync', 'fdatasync', 'rename', 'ftruncate']
const FAULTS = ['signal=KILL', 'error=EIO'] as const

type Point = { call: string; when: number; fault: string }
type Outcome = { isHit: boolean; output: string }

const strace = Bun.which('strace')

async function makeBase(): Promise<TemporaryDir> {
  const dir = temporaryDir()
  await run([process.execPath, WRITER, dir.path, 'once', String(BASE_LEAVES)])
  return dir
}

async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'ignore', timeout: 60_000 })
  const output = await new Response(child.stdout).text()
  await child.exited
  return output
}

function traced(straceArguments: string[], dataDir: string): string[] {
  const writer = [process.execPath, WRITER, dataDir, 'once', String(APPENDED_LEAVES)]
  return ['strace', '-f', '-y', ...straceArguments, ...writer]
}

/** Where the calls of an undisturbed run touch the data dir, counted as strace's `when` counts. */
async function planPoints(base: TemporaryDir): Promise<Point[]> {
  using dir = temporaryDir()
  const dataDir = join(dir.path, 'data')
  const trace = join(dir.path, 'trace')
  cpSync(base.path, dataDir, { recursive: true })
  await run(traced(['-o', trace, '-e', `trace=${CALLS.join(',')}`], dataDir))
  const counts = new Map<string, number>()
  const points: Point[] = []
  const lines = readFileSync(trace, 'utf8').split('\n')
  const main = lines[0]?.split(' ')[0]
  for (const line of lines) {
    const [, thread, call = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    if (thread !== main) continue
    const when = (counts.get(call) ?? 0) + 1
    counts.set(call, when)
    if (!line.includes(dataDir)) continue
    for (const fault of FAULTS) points.push({ call, when, fault })
  }
  return points
}

async function strike(base: TemporaryDir, point: Point): Promise<Outcome> {
  using dir = temporaryDir()
  const dataDir = join(dir.path, 'data')
  const trace = join(dir.path, 'trace')
  cpSync(base.path, dataDir, { recursive: true })
  const inject = `inject=${point.call}:${point.fault}:when=${point.when}`
  const options = ['-o', trace, '-e', `trace=${point.call}`, '-e', inject]
  const output = await run(traced(options, dataDir))
  const seen: Witnessed = { leaves: new Map(), notes: new Set() }
  witness(output, seen)
  const lies = await findingsAsItLies(dataDir)
  const restart = await findingsAfterRestart(dataDir, seen)
  expect({ point, lies, restart }).toEqual({ point, lies: [], restart: [] })
  return { isHit: wasHit(readFileSync(trace, 'utf8'), dataDir, point), output }
}

/** A failed call is marked in the trace; a killed one has no answer, so it is the last. */
function wasHit(trace: string, dataDir: string, point: Point): boolean {
  const isKill = point.fault === 'signal=KILL'
  const mark = isKill ? /\) += \?$|<unfinished \.\.\.>$/ : /\(INJECTED\)$/
  return trace.split('\n').some(line => line.includes(dataDir) && mark.test(line))
}

describe('a fault at every system call of an append', () => {
  test.if(strace !== null)(
    'the data dir is sound afterwards, and opens without a hand',
    async () => {
      using base = await makeBase()
      const points = await planPoints(base)
      expect(points.length).toBeGreaterThan(50)
      const deadline = performance.now() + SECONDS * 1000
      const queue = points.entries()
      const outcomes: Outcome[] = []
      const lane = async () => {
        for (const [, point] of queue) {
          if (performance.now() > deadline) return
          outcomes.push(await strike(base, point))
        }
      }
      await Promise.all(Array.from({ length: LANES }, () => lane()))
      const hits = outcomes.filter(({ isHit }) => isHit).length
      console.log(`${outcomes.length} of ${points.length} points run, ${hits} struck as planned`)
      expect(hits).toBeGreaterThan(outcomes.length * (1 - MISSES_MAX))
    },
    { timeout: SECONDS * 1000 + 240_000 },
  )

  test.if(strace === null)('is skipped: strace is not installed', () => {
    console.log('test/fault/strace.test.ts: strace is missing, NOTHING WAS TESTED')
    expect(strace).toBe(null)
  })
})
