/**
 * What the bench reads of the machine: processor, memory of a process, and how much of the
 * processor others took during a run. Reads Linux' /proc (proc(5)); elsewhere memory comes from
 * `ps` and the rest is said to be unknown.
 * @module
 */
import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'

/** A run during which others took more of all processors than this is marked "under load". */
const FOREIGN_SHARE_MAX = 0.1

/** The machine line above the tables. */
export type Machine = {
  cpu: string
  cores: number
  platform: string
  bun: string
  generator: string
  load1: number
}

/** Memory of one process in bytes; null is not to be had here. */
export type Memory = { resident: number; peak: number | null; privateDirty: number | null }

export function machineLine(generator: string): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    platform: `${process.platform} ${process.arch}`,
    bun: Bun.version,
    generator,
    load1: loadavg()[0] ?? Number.NaN,
  }
}

export function memoryOf(pid: number): Memory {
  if (process.platform !== 'linux') return { ...memoryByPs(pid), peak: null, privateDirty: null }
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return {
    resident: kilobytes(status, 'VmRSS') ?? Number.NaN,
    peak: kilobytes(status, 'VmHWM'),
    privateDirty: kilobytes(rollup, 'Private_Dirty'),
  }
}

function memoryByPs(pid: number): { resident: number } {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'rss=', '-p', String(pid)])
  return { resident: Number(stdout.toString().trim()) * 1024 }
}

function kilobytes(text: string, field: string): number | null {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]
  return found === undefined ? null : Number(found) * 1024
}

/** Ticks of all processors, and of them those that some process or another guest used. */
type Ticks = { all: number; busy: number; own: number }

/**
 * Watches who uses the processor. Own are this process, its ended children and the processes
 * named; whatever else was busy is somebody else's. Interrupts are nobody's.
 */
export function watchProcessor(pids: readonly number[]): { othersShare(): number | null } {
  if (process.platform !== 'linux') return { othersShare: () => null }
  const before = ticks(pids)
  return {
    othersShare() {
      const after = ticks(pids)
      const foreign = after.busy - before.busy - (after.own - before.own)
      return Math.max(0, foreign / Math.max(1, after.all - before.all))
    },
  }
}

export function isUnderLoad(othersShare: number | null): boolean {
  return othersShare !== null && othersShare > FOREIGN_SHARE_MAX
}

function ticks(pids: readonly number[]): Ticks {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const own = pids.reduce((sum, pid) => sum + processTicks(pid).alone, processTicks('self').family)
  const busy = user + nice + system + steal
  return { all: busy + idle + wait + irq + soft, busy, own }
}

/** Fields 14 to 17 of /proc/<pid>/stat: user, system, and the same of children waited for. */
function processTicks(pid: number | 'self'): { alone: number; family: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number)
  return { alone: user + system, family: user + system + childUser + childSystem }
}

/** How often a wait for quiet looks. */
const LOOK_MS = 300

/** Waits until others leave the machine alone, at most so long. */
export async function waitForQuiet(pids: readonly number[], waitMsMax: number): Promise<void> {
  const end = performance.now() + waitMsMax
  while (performance.now() < end) {
    const watch = watchProcessor(pids)
    await Bun.sleep(LOOK_MS)
    if (!isUnderLoad(watch.othersShare())) return
  }
}
