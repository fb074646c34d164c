/**
 * Backups of a registry that is published to all the while, and restores of them:
 * `SEED=7 bun test test/fault/backup-publish.test.ts`.
 * Goal: whatever was acknowledged before a backup began is in it, whatever else is in it is whole,
 * and what is removed while it is made is removed only after it.
 */
import { describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programUnderTest } from '../e2e/server.ts'
import { randomFrom } from '../fixtures/random.ts'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import { canMeasure, LoadServer } from './load-server.ts'
import { faultsOnDisk, faultsServed, neededFiles, storedFiles } from './publish-copy.ts'
import { type Mark, PublishLoad } from './publish-load.ts'

const BACKUPS = Number(process.env['BACKUPS'] ?? 4)
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const LANES = 6
/** Between two backups: some of each kind. */
const CHANGES_BETWEEN = 40
const POLL_MS = 10
const WAIT_MS_MAX = 60_000
const TIMEOUT_MS = 240_000

function folder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'npmx-registry-backup-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + WAIT_MS_MAX
  while (!isSo()) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain: ${what}`)
    await Bun.sleep(POLL_MS)
  }
}

function start(args: string[]) {
  return Bun.spawn([...(programUnderTest() ?? []), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '' },
  })
}

/** A command of the program, to its end. */
async function command(...args: string[]) {
  const child = start(args)
  const said = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { exitCode: await child.exited, said: said.join('\n') }
}

/** Reads the first header of the tar, and the rest when it is told to; not for ever. */
const HALFWAY = `
  set -o pipefail
  cd "$1" && shift
  (echo $BASHPID >pid; exec "$@" 2>said) | (
    head -c 512 >tar; touch begun
    for ((i = 0; i < 6000; i++)); do if [ -e go ]; then break; fi; sleep 0.02; done
    cat >>tar
  )`

/**
 * A backup that waits in its middle: it has its copy of the database, which is its first file, and
 * is larger than what a pipe holds.
 */
async function startHalfway(place: string, dataDir: string) {
  const backup = [...(programUnderTest() ?? []), 'backup', '-', '--data-dir', dataDir]
  const script = ['bash', '-c', HALFWAY, 'bash', place, ...backup, '--with-keys']
  const child = Bun.spawn(script, { stdio: ['ignore', 'ignore', 'ignore'] })
  await until('a backup begins', () => existsSync(join(place, 'begun')))
  const path = join(place, 'tar')
  return {
    path,
    kill: () => process.kill(Number(readFileSync(join(place, 'pid'), 'utf8')), 'SIGKILL'),
    finish: async () => {
      writeFileSync(join(place, 'go'), '')
      return { exitCode: await child.exited, said: readFileSync(join(place, 'said'), 'utf8') }
    },
  }
}

function inTar(path: string, file: string): string {
  return Bun.spawnSync(['tar', '-xOf', path, file]).stdout.toString()
}

/** Restores a backup, starts a server on it, and says all that is wrong. */
async function restored(path: string, upstream: string, load: PublishLoad, mark: Mark) {
  const dataDir = mkdtempSync(join(tmpdir(), 'npmx-registry-restored-'))
  const restoring = await command('restore', path, '--data-dir', dataDir, '--accept-rollback')
  expect({ seed: SEED, ...restoring }).toMatchObject({ exitCode: 0 })
  expect(await command('log', 'fsck', '--data-dir', dataDir)).toMatchObject({ exitCode: 0 })
  const faults = faultsOnDisk(dataDir, mark)
  await using server = await LoadServer.start(upstream, dataDir)
  faults.push(...(await faultsServed(server.url, load.authorization, mark)))
  // What the start tidied up was not what is needed.
  expect(storedFiles(dataDir).toSorted()).toEqual(neededFiles(dataDir).toSorted())
  return faults
}

describe.if(canMeasure)('backup of a registry that is published to', () => {
  test(
    `${BACKUPS} times under load: what was acknowledged is there, what is there is whole`,
    async () => {
      await using upstream = startFixtureRegistry()
      await using server = await LoadServer.start(upstream.url)
      using place = folder()
      const load = await PublishLoad.of(server, randomFrom(SEED))
      load.begin(LANES)
      const made: { path: string; mark: Mark; during: number }[] = []
      for (let turn = 0; turn < BACKUPS; turn++) {
        const enough = load.count + CHANGES_BETWEEN
        await until('changes', () => load.count >= enough || load.failures.length > 0)
        const path = join(place.path, turn % 2 === 0 ? `${turn}.tar` : `${turn}/`)
        const [begun, removals] = [load.mark(), load.removals]
        const said = await command('backup', path, '--with-keys', '--data-dir', server.dataDir)
        expect({ seed: SEED, turn, ...said }).toMatchObject({ exitCode: 0 })
        made.push({ path, mark: load.close(begun), during: load.removals - removals })
      }
      await load.end()
      expect({ seed: SEED, failures: load.failures }).toEqual({ seed: SEED, failures: [] })
      // What the clients take for true is what the server says.
      const last = load.close(load.mark())
      expect(await faultsServed(server.url, load.authorization, last)).toEqual([])
      for (const [turn, { path, mark }] of made.entries()) {
        const faults = await restored(path, upstream.url, load, mark)
        expect({ seed: SEED, turn, faults }).toEqual({ seed: SEED, turn, faults: [] })
      }
      const during = made.map(each => each.during).join(', ')
      console.log(`seed ${SEED}: ${load.count} changes; removals during each backup: ${during}`)
    },
    TIMEOUT_MS,
  )

  test(
    'what is removed meanwhile goes when the backup is done, also after kill -9 of the server',
    async () => {
      await using upstream = startFixtureRegistry()
      await using server = await LoadServer.start(upstream.url)
      using place = folder()
      const load = await PublishLoad.of(server, randomFrom(SEED))
      const [one, all, waits, again] = Array.from({ length: 4 }, () => load.newPackage())
      if (again === undefined || waits === undefined) throw new Error('four packages')
      for (const each of [one, one, all]) await load.publish(each ?? again)
      const ids = [await load.stage(waits), await load.stage(again)] as const
      const before = storedFiles(server.dataDir)
      expect(before).toHaveLength(5)
      const begun = load.mark()
      const key = readFileSync(join(server.dataDir, 'keys', 'registry.key'), 'utf8')
      const backup = await startHalfway(place.path, server.dataDir)
      const rotation = await command('key', 'rotate', '--data-dir', server.dataDir)
      expect(rotation).toMatchObject({ exitCode: 0 })
      // Three tarballs and two bodies are needed no more, but for the body that comes again.
      await load.unpublish(one ?? again, '1.0.0')
      await load.unpublishAll(all ?? again)
      await load.approve(waits, '1.0.0', ids[0])
      await load.reject(again, ids[1])
      const anew = await load.stage(again, '1.0.0')
      expect(storedFiles(server.dataDir)).toEqual(expect.arrayContaining(before))
      await server.kill()
      await server.start()
      const isTidy = () =>
        Bun.deepEquals(
          storedFiles(server.dataDir).toSorted(),
          neededFiles(server.dataDir).toSorted(),
        )
      // The start looks for what nothing refers to; what it finds, it must put off.
      await load.publish(one ?? again)
      expect(storedFiles(server.dataDir)).toEqual(expect.arrayContaining(before))
      expect(isTidy()).toBe(false)
      expect(await backup.finish()).toMatchObject({ exitCode: 0 })
      await until('what was put off is removed', isTidy)
      // Nothing that was asked for later is in it: its moment was before.
      expect(inTar(backup.path, 'keys/registry.key')).toBe(key)
      expect(await restored(backup.path, upstream.url, load, begun)).toEqual([])
      const now = load.close(load.mark())
      expect(await faultsServed(server.url, load.authorization, now)).toEqual([])
      await load.approve(again, '1.0.0', anew)
      await until('its body is removed', isTidy)
    },
    TIMEOUT_MS,
  )

  test(
    'a backup that is killed holds nothing back',
    async () => {
      await using upstream = startFixtureRegistry()
      await using server = await LoadServer.start(upstream.url)
      using place = folder()
      const load = await PublishLoad.of(server, randomFrom(SEED))
      const each = load.newPackage()
      await load.publish(each)
      const backup = await startHalfway(place.path, server.dataDir)
      await load.unpublishAll(each)
      expect(storedFiles(server.dataDir)).toHaveLength(1)
      backup.kill()
      expect((await backup.finish()).exitCode).not.toBe(0)
      await until('the tarball is removed', () => storedFiles(server.dataDir).length === 0)
    },
    TIMEOUT_MS,
  )

  test(
    'to stdout that is a socket, as it is over ssh',
    async () => {
      await using upstream = startFixtureRegistry()
      await using server = await LoadServer.start(upstream.url)
      using place = folder()
      const load = await PublishLoad.of(server, randomFrom(SEED))
      for (let i = 0; i < 3; i++) await load.publish(load.newPackage())
      // Pipes of the test runner are sockets.
      const child = start(['backup', '-', '--with-keys', '--data-dir', server.dataDir])
      const path = join(place.path, 'socket.tar')
      await Bun.write(path, await new Response(child.stdout).arrayBuffer())
      expect({ exitCode: await child.exited }).toEqual({ exitCode: 0 })
      expect(await restored(path, upstream.url, load, load.close(load.mark()))).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'kill -9 of the server under load while a backup is made: both are whole',
    async () => {
      await using upstream = startFixtureRegistry()
      await using server = await LoadServer.start(upstream.url)
      using place = folder()
      const load = await PublishLoad.of(server, randomFrom(SEED))
      load.begin(LANES)
      await until('changes', () => load.count >= CHANGES_BETWEEN || load.failures.length > 0)
      const begun = load.mark()
      const backup = await startHalfway(place.path, server.dataDir)
      const enough = load.count + CHANGES_BETWEEN
      await until('changes', () => load.count >= enough || load.failures.length > 0)
      load.expectDeath()
      await server.kill()
      await load.end()
      expect(load.failures).toEqual([])
      await server.start()
      expect(await backup.finish()).toMatchObject({ exitCode: 0 })
      const mark = load.close(begun)
      // What was asked for when it was killed happened or did not; what was answered, happened.
      const now = load.close(load.mark())
      expect(await faultsServed(server.url, load.authorization, now)).toEqual([])
      expect(await server.fsck()).toMatchObject({ exitCode: 0 })
      const faults = await restored(backup.path, upstream.url, load, mark)
      expect({ seed: SEED, faults }).toEqual({ seed: SEED, faults: [] })
    },
    TIMEOUT_MS,
  )
})

test.if(!canMeasure)('is skipped: this is not Linux, or there is no program', () => {
  console.log('test/fault/backup-publish.test.ts: NOTHING WAS TESTED')
  expect(canMeasure).toBe(false)
})
