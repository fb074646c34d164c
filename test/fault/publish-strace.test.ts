/**
 * Each system call of one publish that touches the data dir is made to fail, one run per call: the
 * process is killed there, or the call answers EIO or ENOSPC. Afterwards the version is there as a
 * whole or not at all. Needs strace; without it nothing is tested and the output says so.
 * `SECONDS=900` waits for all points.
 */
import { describe, expect, test } from 'bun:test'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openLogKey } from '../../src/db/keys.ts'
import { SqliteLogStore } from '../../src/db/log-store.ts'
import { openRegistry } from '../../src/db/open.ts'
import { Log } from '../../src/log/log.ts'
import { temporaryDir, type TemporaryDir } from '../unit/db/data-dir.ts'
import { versionLeaves } from '../unit/log/leaves.ts'
import { BEFORE, Served, STRUCK, type StruckKind } from './publish-server.ts'
import { judge, logFaults } from './publish-verdict.ts'

const SECONDS = Number(process.env['SECONDS'] ?? 55)
const WRITER = join(import.meta.dir, 'publish-writer.ts')
/** One below a full tile, so that the publish under test closes one and writes its files. */
const BASE_LEAVES = 255
const LANES = 3
/** At most so many runs may strike nothing: pages of SQLite differ from run to run. */
const MISSES_MAX = 0.2

const CALLS = ['openat', 'mkdir', 'write', 'pwrite64', 'fsync', 'fdatasync', 'rename', 'ftruncate']
/** Calls that take room on the disk. */
const GROWING = new Set(['openat', 'mkdir', 'write', 'pwrite64', 'rename', 'ftruncate'])

/** @property path below the data dir @property when the how manieth such call of its thread */
type Point = { kind: StruckKind; call: string; path: string; when: number; fault: string }
type Outcome = { isHit: boolean; isThere: boolean; point: Point }

const strace = Bun.which('strace')

/** A data dir with one package, and a log that is about to close a tile. */
async function makeBase(): Promise<TemporaryDir> {
  const dir = temporaryDir()
  {
    await using served = await Served.on(dir.path)
    expect((await served.publish(BEFORE)).status).toBe(201)
  }
  using db = openRegistry(dir.path)
  const store = new SqliteLogStore(db, dir.path)
  const { signer } = openLogKey(dir.path, '', true, () => new Uint8Array(0))
  const log = Log.open(store, signer)
  log.append(versionLeaves(log.size, BASE_LEAVES))
  log.publish()
  expect(log.size).toBe(BASE_LEAVES)
  return dir
}

async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'ignore', timeout: 60_000 })
  const output = await new Response(child.stdout).text()
  await child.exited
  return output
}

function traced(options: string[], dataDir: string, kind: StruckKind): string[] {
  const writer = [process.execPath, WRITER, dataDir, kind]
  return ['strace', '-f', '-y', ...options, ...writer]
}

/** Where an undisturbed publish touches the data dir, counted as strace's `when` counts. */
async function planPoints(base: TemporaryDir, kind: StruckKind): Promise<Point[]> {
  using dir = temporaryDir()
  const dataDir = join(dir.path, 'data')
  const trace = join(dir.path, 'trace')
  cpSync(base.path, dataDir, { recursive: true })
  const said = await run(traced(['-o', trace, '-e', `trace=${CALLS.join(',')}`], dataDir, kind))
  expect(said).toBe('publishing\nanswered 201\n')
  const counts = new Map<string, number>()
  const points: Point[] = []
  let isPublishing = false
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    if (line.includes('"answered ')) break
    isPublishing ||= line.includes('"publishing\\n"')
    const [, thread = '', call = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    const at = line.indexOf(`${dataDir}/`)
    if (call === '' || at < 0) continue
    const path = /^[^">]*/.exec(line.slice(at + dataDir.length + 1))?.[0] ?? ''
    const key = `${thread} ${call} ${path}`
    const when = (counts.get(key) ?? 0) + 1
    counts.set(key, when)
    if (isPublishing)
      points.push(...faultsOf(call).map(fault => ({ kind, call, path, when, fault })))
  }
  return points
}

function faultsOf(call: string): string[] {
  return ['signal=KILL', 'error=EIO', ...(GROWING.has(call) ? ['error=ENOSPC'] : [])]
}

async function strike(base: TemporaryDir, point: Point): Promise<Outcome> {
  using dir = temporaryDir()
  const dataDir = join(dir.path, 'data')
  const trace = join(dir.path, 'trace')
  cpSync(base.path, dataDir, { recursive: true })
  const { kind, call, path, when, fault } = point
  const where = ['-P', join(dataDir, path), '-e', `trace=${call}`]
  const inject = ['-e', `inject=${call}:${fault}:when=${when}`]
  const output = await run(traced(['-o', trace, ...where, ...inject], dataDir, kind))
  const status = /^answered (\d+)$/m.exec(output)?.[1]
  const lies = await logFaults(dataDir)
  const left = await judge(dataDir, STRUCK[kind], status === undefined ? null : Number(status))
  expect({ point, status, lies, faults: left.faults }).toEqual({
    point,
    status,
    lies: [],
    faults: [],
  })
  const mark = fault === 'signal=KILL' ? 'killed by SIGKILL' : '(INJECTED)'
  return { isHit: readFileSync(trace, 'utf8').includes(mark), isThere: left.isThere, point }
}

/** Neighbours are far apart by this, and any beginning is spread over the whole. */
const GOLDEN = (Math.sqrt(5) - 1) / 2

/** Kills first, since there may not be time for all; within a fault from all over the publish. */
function inOrder(points: readonly Point[]): Point[] {
  const ranks = faultsOf('write')
  return points
    .map((point, i) => ({ point, key: ranks.indexOf(point.fault) + ((i * GOLDEN) % 1) }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ point }) => point)
}

describe('a fault at every system call of a publish', () => {
  test.if(strace !== null)(
    'the version is there as a whole or not at all, and nothing else changed',
    async () => {
      using base = await makeBase()
      const points = inOrder([
        ...(await planPoints(base, 'next')),
        ...(await planPoints(base, 'first')),
        ...(await planPoints(base, 'file')),
      ])
      expect(points.length).toBeGreaterThan(100)
      const deadline = performance.now() + SECONDS * 1000
      const queue = points.values()
      const outcomes: Outcome[] = []
      const lane = async () => {
        for (const point of queue) {
          if (performance.now() > deadline) return
          outcomes.push(await strike(base, point))
        }
      }
      await Promise.all(Array.from({ length: LANES }, () => lane()))
      const hits = outcomes.filter(({ isHit }) => isHit)
      const there = hits.filter(({ isThere }) => isThere)
      console.log(
        `${outcomes.length} of ${points.length} points run, ${hits.length} struck as planned: ` +
          `${there.length} left the version whole, ${hits.length - there.length} nothing of it`,
      )
      expect(hits.length).toBeGreaterThan(outcomes.length * (1 - MISSES_MAX))
    },
    { timeout: SECONDS * 1000 + 240_000 },
  )

  test.if(strace === null)('is skipped: strace is not installed', () => {
    console.log('test/fault/publish-strace.test.ts: strace is missing, NOTHING WAS TESTED')
    expect(strace).toBe(null)
  })
})
