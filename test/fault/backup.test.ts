/**
 * Backups of a server under load, restores of them, and kill -9 of both at random moments:
 * `SEED=7 bun test test/fault/backup.test.ts`.
 * Goal: each backup is whole, its log sound, and everything that was answered before it began is in
 * it; what a kill leaves behind is empty, refused, or whole.
 */
import { describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseLookup } from '../../src/log/lookup.ts'
import { SqliteLogStore } from '../../src/db/log-store.ts'
import { openRegistryReadonly } from '../../src/db/open.ts'
import { programUnderTest } from '../e2e/server.ts'
import { randomFrom } from '../fixtures/random.ts'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import { canMeasure, LoadServer } from './load-server.ts'

const BACKUPS = Number(process.env['BACKUPS'] ?? 5)
const KILLS = Number(process.env['KILLS'] ?? 25)
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const PACKAGES = 600
const VERSIONS = 4
const LANES = 6
/** A package that nobody asks for while backups are made. */
const UNASKED = 'unasked'

/** Index and text of each record that was answered. */
type Answered = Map<string, { index: number; text: string }>

function packages() {
  return Array.from({ length: PACKAGES }, (_, i) => ({
    name: `package-${i}`,
    versions: Array.from({ length: VERSIONS }, (__, v) => ({ version: `${v}.0.${i}` })),
  })).concat({ name: UNASKED, versions: [{ version: '1.0.0' }] })
}

async function ask(url: string, answered: Answered, random: () => number): Promise<void> {
  const i = Math.floor(random() * PACKAGES)
  const asked = `package-${i}@${Math.floor(random() * VERSIONS)}.0.${i}`
  const response = await fetch(`${url}-/sumdb/lookup/${asked}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`${asked}: ${response.status}`)
  const { index, leaf } = parseLookup(bytes)
  answered.set(asked, { index, text: new TextDecoder().decode(leaf) })
}

/** A command of the program; ended by SIGKILL after so many milliseconds where that is named. */
async function command(args: string[], killAfterMs?: number) {
  const child = Bun.spawn([...(programUnderTest() ?? []), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '' },
  })
  if (killAfterMs !== undefined) {
    await Bun.sleep(killAfterMs)
    child.kill('SIGKILL')
  }
  const said = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  await child.exited
  return { exitCode: child.exitCode, said: said.join('\n') }
}

function folder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'npmx-registry-backup-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** What of these answers a data dir does not have. */
function missing(dataDir: string, answered: Answered): string[] {
  using db = openRegistryReadonly(dataDir)
  const store = new SqliteLogStore(db, dataDir)
  const size = store.readState()?.size ?? 0
  return [...answered].flatMap(([asked, { index, text }]) => {
    if (index >= size) return [`${asked}: ${index} of ${size}`]
    const [leaf] = store.readLeaves(index, index + 1)
    return new TextDecoder().decode(leaf) === text ? [] : [`${asked}: another leaf at ${index}`]
  })
}

describe.if(canMeasure)('backup and restore', () => {
  test(`${BACKUPS} times under load: whole, sound, nothing that was answered is missing`, async () => {
    await using upstream = startFixtureRegistry({ packages: packages() })
    await using server = await LoadServer.start(upstream.url)
    using place = folder()
    const random = randomFrom(SEED)
    const answered: Answered = new Map()
    const life = { isOver: false }
    const lane = async () => {
      while (!life.isOver) await ask(server.url, answered, random)
    }
    const lanes = Promise.all(Array.from({ length: LANES }, lane))
    const made: { path: string; before: Answered; seen: string }[] = []
    for (let turn = 0; turn < BACKUPS; turn++) {
      await Bun.sleep(50 + random() * 200)
      const path = join(place.path, turn % 2 === 0 ? `${turn}.tar` : `${turn}/`)
      const seen = join(place.path, `${turn}.seen`)
      writeFileSync(seen, await (await fetch(`${server.url}-/sumdb/checkpoint`)).text())
      const before = new Map(answered)
      const said = await command(['backup', path, '--with-keys', '--data-dir', server.dataDir])
      expect({ seed: SEED, turn, ...said }).toMatchObject({ exitCode: 0 })
      made.push({ path, before, seen })
    }
    life.isOver = true
    await lanes
    expect(answered.size).toBeGreaterThan(made[0]?.before.size ?? Infinity)
    for (const [turn, { path, before, seen }] of made.entries()) {
      const dataDir = join(place.path, `restored-${turn}`)
      const to = ['restore', path, '--data-dir', dataDir]
      // The world has seen more than the first backups hold: by now, this one at least.
      if (turn === 0) {
        expect((await fetch(`${server.url}-/sumdb/lookup/${UNASKED}@1.0.0`)).status).toBe(200)
        const said = await command([...to, '--seen', server.url])
        expect(said).toMatchObject({ exitCode: 1 })
        expect(said.said).toContain('second history')
      }
      expect(await command([...to, '--seen', seen])).toMatchObject({ exitCode: 0 })
      const fsck = await command(['log', 'fsck', '--data-dir', dataDir])
      expect({ turn, ...fsck }).toMatchObject({ exitCode: 0 })
      expect(missing(dataDir, before)).toEqual([])
    }
    console.log(`seed ${SEED}: ${made.map(({ before }) => before.size).join(', ')} records before`)
  }, 300_000)

  test(`${KILLS} kills of backup and of restore`, async () => {
    await using upstream = startFixtureRegistry({ packages: packages() })
    await using server = await LoadServer.start(upstream.url)
    using place = folder()
    const random = randomFrom(SEED)
    const answered: Answered = new Map()
    for (let i = 0; i < 400; i++) await ask(server.url, answered, random)
    const whole = join(place.path, 'whole.tar')
    const usual = performance.now()
    const backup = (path: string) => ['backup', path, '--with-keys', '--data-dir', server.dataDir]
    expect(await command(backup(whole))).toMatchObject({ exitCode: 0 })
    const usualMs = performance.now() - usual
    const left = { empty: 0, refused: 0, whole: 0, backups: 0 }
    for (let kill = 0; kill < KILLS; kill++) {
      const path = join(place.path, `${kill}.tar`)
      await command(backup(path), random() * usualMs * 1.5)
      // A file of that name is a whole backup; there is nothing in between.
      left.backups += existsSync(path) ? 1 : 0
      const from = existsSync(path) ? path : whole
      const dataDir = join(place.path, `data-${kill}`)
      const restore = ['restore', from, '--data-dir', dataDir, '--accept-rollback']
      await command(restore, random() * usualMs * 1.5)
      const found = await outcome(dataDir, answered)
      left[found] += 1
    }
    console.log(`seed ${SEED}: after ${KILLS} kills of each: ${JSON.stringify(left)}`)
    // The server went on all the while, and its data dir is sound.
    expect(await server.fsck()).toMatchObject({ exitCode: 0 })
  }, 300_000)

  /** What a killed restore left: nothing, something that is refused, or all of it. */
  async function outcome(dataDir: string, answered: Answered) {
    const names = existsSync(dataDir) ? readdirSync(dataDir) : []
    if (names.includes('restoring')) {
      const served = await command(['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir])
      expect(served).toMatchObject({ exitCode: 2 })
      expect(served.said).toContain('unfinished restore')
      return 'refused'
    }
    if (names.every(name => name.startsWith('lock.'))) return 'empty'
    const fsck = await command(['log', 'fsck', '--data-dir', dataDir])
    expect(fsck).toMatchObject({ exitCode: 0 })
    expect(missing(dataDir, answered)).toEqual([])
    return 'whole'
  }

  test('a full disk: no backup, no restore, and the server does not notice', async () => {
    await using upstream = startFixtureRegistry({ packages: packages() })
    await using server = await LoadServer.start(upstream.url)
    using place = folder()
    await ask(server.url, new Map(), randomFrom(1))
    // bash counts in KiB; SIGXFSZ is ignored, so that writing fails as on a full disk.
    const script = join(place.path, 'limited.sh')
    writeFileSync(script, 'trap "" XFSZ; ulimit -f 64; exec "$@"\n')
    chmodSync(script, 0o700)
    const target = join(place.path, 'full.tar')
    const limited = Bun.spawnSync(
      [
        'bash',
        script,
        ...(programUnderTest() ?? []),
        'backup',
        target,
        '--data-dir',
        server.dataDir,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    expect(limited.exitCode).not.toBe(0)
    expect(readdirSync(place.path)).toEqual(['limited.sh'])
    expect((await fetch(`${server.url}package-1`)).status).toBe(200)
  }, 60_000)
})

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/backup.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
