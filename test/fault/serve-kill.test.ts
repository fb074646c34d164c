/**
 * kill -9 of the whole program under load, at random moments, first starts and recoveries among
 * them: `KILLS=1000 SEED=7 bun test test/fault/serve-kill.test.ts`. (kill.test.ts does the same to
 * the log alone, more often.)
 * Goal: it starts again without a hand, the log is sound, every record that was ever answered is
 * there with the same index, and every checkpoint ever shown is part of the one history.
 */
import { describe, expect, test } from 'bun:test'
import { httpReader } from '../../src/cli/log-http.ts'
import { openCheckpoint } from '../../src/log/checkpoint.ts'
import { LogClient } from '../../src/log/client.ts'
import { parseLookup } from '../../src/log/lookup.ts'
import { newVerifier } from '../../src/log/note.ts'
import { randomFrom } from '../fixtures/random.ts'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import { canMeasure, LoadServer } from './load-server.ts'
import { leastMs, until } from '../fixtures/patience.ts'

const KILLS = Number(process.env['KILLS'] ?? 60)
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
/** Packages of the upstream; each kill meets versions that were never asked for. */
const PACKAGES = 400
const VERSIONS = 4
/** Askers at once, while the program is killed. */
const LANES = 8
/** What most lives answer at least before they end, so that there is something to lose. */
const ANSWERS_PER_LIFE_MIN = 3
/** A second process must give up within this. */
const REFUSAL_MS_MAX = 2000

/**
 * What the program said before it died: records by what was asked, and signed checkpoints.
 * @property answers how often it gave a record, also the same one again
 */
type Witnessed = {
  records: Map<string, { index: number; text: string }>
  notes: Set<string>
  answers: number
}

function packages() {
  return Array.from({ length: PACKAGES }, (_, i) => ({
    name: i % 3 === 0 ? `@kill/package-${i}` : `package-${i}`,
    versions: Array.from({ length: VERSIONS }, (__, v) => ({ version: `${v}.0.${i}` })),
  }))
}

/** One question; lookups and checkpoints are witnessed when their answer is whole. */
async function askOnce(url: string, random: () => number, seen: Witnessed): Promise<void> {
  if (random() < 0.1) {
    seen.notes.add(await (await fetch(`${url}-/sumdb/checkpoint`)).text())
    return
  }
  const i = Math.floor(random() * PACKAGES)
  const name = i % 3 === 0 ? `@kill%2fpackage-${i}` : `package-${i}`
  if (random() < 0.3) {
    await (await fetch(`${url}${name}`)).arrayBuffer()
    return
  }
  const asked = `${name}@${Math.floor(random() * VERSIONS)}.0.${i}`
  const response = await fetch(`${url}-/sumdb/lookup/${asked}`)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${asked}: ${response.status} ${text}`)
  witness(asked, text, seen)
}

function witness(asked: string, answer: string, seen: Witnessed): void {
  const { index, leaf, note } = parseLookup(new TextEncoder().encode(answer))
  const text = new TextDecoder().decode(leaf)
  const before = seen.records.get(asked)
  expect(before ?? { index, text }).toEqual({ index, text })
  seen.records.set(asked, { index, text })
  seen.notes.add(note)
  seen.answers += 1
}

/** Asks until the program is gone. Only a broken connection is no fault then. */
async function askUntilGone(
  url: string,
  random: () => number,
  seen: Witnessed,
  life: { isOver: boolean },
): Promise<void> {
  while (!life.isOver) {
    try {
      await askOnce(url, random, seen)
    } catch (error) {
      if (!life.isOver) throw error
    }
  }
}

async function loadAndKill(server: LoadServer, random: () => number, seen: Witnessed) {
  const life = { isOver: false }
  const lanes = Array.from({ length: LANES }, () => askUntilGone(server.url, random, seen, life))
  const asking = Promise.allSettled(lanes)
  // Some are killed before they have said anything; how long that takes is the machine's affair.
  const wanted = seen.answers + (random() < 0.8 ? ANSWERS_PER_LIFE_MIN : 0)
  await until(() => seen.answers >= wanted)
  await Bun.sleep(random() * 250)
  // From here on a question may fail; an answer that is whole counts all the same.
  life.isOver = true
  await server.kill()
  for (const lane of await asking) expect(lane).toEqual({ status: 'fulfilled', value: undefined })
}

async function startAndKill(server: LoadServer, random: () => number): Promise<void> {
  const child = server.spawn(`127.0.0.1:${server.port}`)
  await Bun.sleep(20 + random() * 150)
  child.kill('SIGKILL')
  await child.exited
}

/** Asks again for everything that was ever answered, with a client that checks the proofs. */
async function findings(server: LoadServer, seen: Witnessed): Promise<string[]> {
  const { ops, readVkey } = httpReader(server.url)
  const verifier = newVerifier(await readVkey())
  const faults: string[] = []
  // In order of size, each checked consistent with the one before; then the one that is served now.
  const notes = [...seen.notes].map(note => ({ note, size: openCheckpoint(note, verifier).size }))
  let remembered: string | undefined
  for (const { note } of notes.toSorted((a, b) => a.size - b.size)) {
    const client = new LogClient({ ...ops, readCheckpoint: async () => note }, verifier, remembered)
    await client.update()
    remembered = client.latest
  }
  const client = new LogClient(ops, verifier, remembered)
  const { size } = await client.update()
  const newest = Math.max(0, ...notes.map(note => note.size))
  if (size < newest) faults.push(`a checkpoint of ${newest} was seen, the log has ${size}`)
  for (const [asked, record] of seen.records) {
    const at = asked.lastIndexOf('@')
    const name = decodeURIComponent(asked.slice(0, at))
    const found = await client.lookup(name, asked.slice(at + 1), 'npm')
    const text = new TextDecoder().decode(found.leaf)
    if (found.index !== record.index) faults.push(`${asked}: ${record.index} -> ${found.index}`)
    if (text !== record.text) faults.push(`${asked}: another record`)
  }
  return faults
}

describe.if(canMeasure)('kill -9 of serve', () => {
  test(`${KILLS} times under load: nothing that was answered is lost or changed`, async () => {
    await using upstream = startFixtureRegistry({ packages: packages() })
    await using server = await LoadServer.start(upstream.url)
    const random = randomFrom(SEED)
    const seen: Witnessed = { records: new Map(), notes: new Set(), answers: 0 }
    for (let kill = 1; kill <= KILLS; kill++) {
      await loadAndKill(server, random, seen)
      if (random() < 0.3) {
        await startAndKill(server, random)
        kill += 1
      }
      const { exitCode, output } = await server.fsck()
      expect({ seed: SEED, kill, exitCode, output }).toMatchObject({ exitCode: 0 })
      await server.start()
    }
    console.log(
      `seed ${SEED}: ${KILLS} kills, ${seen.records.size} records and ${seen.notes.size} ` +
        'checkpoints witnessed',
    )
    expect(seen.records.size).toBeGreaterThan(KILLS)
    expect(await findings(server, seen)).toEqual([])
    const { exitCode, output } = await server.fsck()
    expect(output).toContain('sound')
    expect(exitCode).toBe(0)
  }, 600_000)

  test('a second serve on the same data dir gives up at once, and the first goes on', async () => {
    await using upstream = startFixtureRegistry({})
    await using server = await LoadServer.start(upstream.url)
    for (const listen of [`127.0.0.1:${server.port}`, '127.0.0.1:0']) {
      const tookMs = await leastMs(REFUSAL_MS_MAX, async () => {
        const second = server.spawn(listen)
        const said = await new Response(second.stderr).text()
        expect(await second.exited).toBe(2)
        expect(said).toContain(server.dataDir)
      })
      expect(tookMs).toBeLessThan(REFUSAL_MS_MAX)
    }
    expect((await fetch(`${server.url}alpha`)).status).toBe(200)
    // Freed by a kill, not by a clean end.
    await server.kill()
    await server.start()
    expect((await fetch(`${server.url}alpha`)).status).toBe(200)
  }, 120_000)
})

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/serve-kill.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
