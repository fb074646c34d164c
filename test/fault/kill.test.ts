/**
 * kill -9 at random moments under load. `KILLS=1000 SEED=7 bun test test/fault/kill.test.ts`
 */
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryDir } from '../unit/db/data-dir.ts'
import { randomFrom } from '../fixtures/random.ts'
import { findingsAfterRestart, findingsAsItLies, witness, type Witnessed } from './verdict.ts'

const KILLS = Number(process.env['KILLS'] ?? 300)
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
/** A new data dir now and then: first starts are killed too, and logs stay quick to check. */
const KILLS_PER_DIR = 10
const WRITER = join(import.meta.dir, 'writer.ts')

async function runAndKill(dataDir: string, random: () => number): Promise<string> {
  const child = Bun.spawn([process.execPath, WRITER, dataDir, 'load'], {
    stdout: 'pipe',
    stderr: 'ignore',
  })
  const decoder = new TextDecoder()
  let output = ''
  try {
    // One in five is killed while it starts and recovers, the others while they write.
    if (random() < 0.2) await Bun.sleep(20 + random() * 80)
    const isReady = random() < 0.8
    const reader = child.stdout.getReader()
    if (isReady) {
      const { value } = await reader.read()
      output += decoder.decode(value, { stream: true })
      // Synchronous: a late timer would only make the log longer, not the moment more random.
      Bun.sleepSync(random() * 60)
    }
    child.kill('SIGKILL')
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      output += decoder.decode(value, { stream: true })
    }
    await child.exited
    return output
  } finally {
    child.kill('SIGKILL')
  }
}

type Totals = { kills: number; leaves: number; notes: number }

/** One data dir after the other, each killed several times, until all kills are done. */
async function killAll(totals: Totals, random: () => number): Promise<void> {
  while (totals.kills < KILLS) {
    using dir = temporaryDir()
    const seen: Witnessed = { leaves: new Map(), notes: new Set() }
    for (let i = 0; i < KILLS_PER_DIR && totals.kills < KILLS; i++) {
      const kill = ++totals.kills
      witness(await runAndKill(dir.path, random), seen)
      // Before the first note there may be no database yet.
      const lies = seen.notes.size === 0 ? [] : await findingsAsItLies(dir.path)
      // Every other time the next writer recovers, not this process.
      const restart = i % 2 === 0 ? await findingsAfterRestart(dir.path, seen) : []
      expect({ seed: SEED, kill, lies, restart }).toEqual({
        seed: SEED,
        kill,
        lies: [],
        restart: [],
      })
    }
    expect(await findingsAfterRestart(dir.path, seen)).toEqual([])
    totals.leaves += seen.leaves.size
    totals.notes += seen.notes.size
  }
}

describe('kill -9', () => {
  test(`${KILLS} times at random moments: one history, nothing acknowledged is lost`, async () => {
    const totals = { kills: 0, leaves: 0, notes: 0 }
    await killAll(totals, randomFrom(SEED))
    console.log(`seed ${SEED}: ${JSON.stringify(totals)}`)
    expect(totals.leaves).toBeGreaterThan(KILLS)
  }, 600_000)
})
