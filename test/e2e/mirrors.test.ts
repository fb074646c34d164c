/**
 * Four mirrors and the real clients: every client installs through redirects to mirrors, a mirror
 * that is killed while they install fails none of them, the lockfile that was written before
 * installs again from other places, and what a mirror says of a version is seen by nobody.
 *
 * @module
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { addUpstreams } from '../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { APP_DEPENDENCIES, APP_TREE } from '../fixtures/registry-app.ts'
import {
  type Client,
  CLIENTS,
  newProject,
  type Project,
  runClient,
  type RunResult,
} from './clients.ts'
import { installedPackages } from './installed.ts'
import { operate } from './publishing.ts'
import { clientsAndServerReady } from './ready.ts'
import { expectInstalled } from './refused.ts'
import { type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000
const INSTALLERS: Client[] = ['npm11', 'npm12', 'pnpm', 'yarn4', 'bun']
/** What clients say when a tarball is not where they expect it. */
const COMPLAINTS = /EALLOWREMOTE|TARBALL_URL_MISMATCH|EINTEGRITY/

const LOCKFILE_NAMES: [Client, string][] = [
  ['npm11', 'package-lock.json'],
  ['npm12', 'package-lock.json'],
  ['pnpm', 'pnpm-lock.yaml'],
  ['yarn4', 'yarn.lock'],
  ['bun', 'bun.lock'],
]

let registry: FixtureRegistry
let mirrors: FixtureRegistry[]
let server: ServerProcess

/** A server whose registry has four mirrors. */
async function start(): Promise<void> {
  registry = startFixtureRegistry()
  mirrors = Array.from({ length: 4 }, () => startFixtureRegistry())
  server = await startServer({ upstream: registry.url })
  await server.stop()
  addUpstreams(
    server.dataDir,
    mirrors.map(({ url }, i) => ({ name: `mirror-${i}`, url })),
  )
  await server.start()
}

async function stop(): Promise<void> {
  await server[Symbol.asyncDispose]()
  for (const source of [registry, ...mirrors]) await source[Symbol.asyncDispose]()
}

async function install(client: Client, project: Project): Promise<RunResult> {
  const run = await runClient(client, { dir: project.dir, registry: server.url })
  expect(run.exitCode, `${client}: ${run.output}`).toBe(0)
  expect(run.output).not.toMatch(COMPLAINTS)
  const found = await installedPackages(client, project.dir, run.home)
  expect(found.size, client).toBe(APP_TREE.length)
  return run
}

function tarballsFrom(source: FixtureRegistry): number {
  return source.requests.filter(({ method, path }) => method === 'GET' && path.endsWith('.tgz'))
    .length
}

/** Installs with a lockfile that is there, on a machine that has nothing else. */
async function installAgain(client: Client, lockfile: string, name: string): Promise<void> {
  await using project = await newProject(APP_DEPENDENCIES)
  await Bun.write(join(project.dir, name), lockfile)
  const run = await install(client, project)
  expect(run.lockfile).toBe(lockfile)
}

describe.skipIf(!ready)('four mirrors of the registry', () => {
  const lockfiles = new Map<Client, string>()

  beforeAll(start, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(INSTALLERS)(
    '%s installs from mirrors, and every mirror serves some',
    async client => {
      await using project = await newProject(APP_DEPENDENCIES)
      const run = await install(client, project)
      lockfiles.set(client, run.lockfile ?? '')
      for (const { url } of mirrors) expect(run.lockfile).not.toContain(new URL(url).host)
      if (client !== INSTALLERS.at(-1)) return
      expect(mirrors.filter(mirror => tarballsFrom(mirror) > 0).length).toBeGreaterThan(1)
      expect(tarballsFrom(registry)).toBe(0)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'killing the busiest while five clients install fails no install',
    async () => {
      const [busiest] = mirrors.toSorted((a, b) => tarballsFrom(b) - tarballsFrom(a))
      if (busiest === undefined) throw new RangeError('mirrors')
      const before = tarballsFrom(busiest)
      const projects = await Promise.all(INSTALLERS.map(() => newProject(APP_DEPENDENCIES)))
      const killed = killOnceAsked(busiest, before)
      const runs = await Promise.allSettled(
        INSTALLERS.map((client, i) => install(client, projects[i] ?? fail())),
      )
      expect(await killed).toBe(true)
      for (const project of projects) await project[Symbol.asyncDispose]()
      const failed = runs.flatMap(run => (run.status === 'rejected' ? [String(run.reason)] : []))
      expect(failed).toEqual([])
    },
    TEST_TIMEOUT_MS,
  )

  test.each(LOCKFILE_NAMES)(
    '%s takes its lockfile after the mirrors changed',
    async (client, name) => {
      await installAgain(client, lockfiles.get(client) ?? '', name)
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)('mirrors that were replaced by another', () => {
  const lockfiles = new Map<Client, string>()
  let other: FixtureRegistry

  beforeAll(async () => {
    await start()
    for (const [client] of LOCKFILE_NAMES) {
      await using project = await newProject(APP_DEPENDENCIES)
      lockfiles.set(client, (await install(client, project)).lockfile ?? '')
    }
    other = startFixtureRegistry({ host: 'localhost' })
    const add = ['upstream', 'add', 'other', other.url, '--kind', 'mirror', '--of', 'npm', '--yes']
    await operate(server, ...add)
    for (const i of mirrors.keys()) await operate(server, 'upstream', 'remove', `mirror-${i}`)
    for (const mirror of mirrors) await mirror.goAway('black-hole')
  }, TEST_TIMEOUT_MS)
  afterAll(async () => {
    await stop()
    await other[Symbol.asyncDispose]()
  })

  test.each(LOCKFILE_NAMES)(
    '%s takes its lockfile, and the bytes from there',
    async (client, name) => {
      const before = tarballsFrom(other)
      await installAgain(client, lockfiles.get(client) ?? '', name)
      expect(tarballsFrom(other)).toBeGreaterThan(before)
    },
    TEST_TIMEOUT_MS,
  )

  test.each([
    ['npm11', 'package-lock.json', ['ci']],
    ['npm12', 'package-lock.json', ['ci']],
    ['pnpm', 'pnpm-lock.yaml', ['install', '--frozen-lockfile']],
  ] as const)(
    '%s does so when nothing may be changed',
    async (client, name, args) => {
      await using project = await newProject(APP_DEPENDENCIES)
      const { dir } = project
      await Bun.write(join(dir, name), lockfiles.get(client) ?? '')
      const run = await runClient(client, { dir, registry: server.url, args: [...args] })
      expect(run.exitCode, run.output).toBe(0)
      expect(run.output).not.toMatch(COMPLAINTS)
      expect((await installedPackages(client, dir, run.home)).size).toBe(APP_TREE.length)
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)('a mirror that changes the manifest of a signed version', () => {
  const EVIL = { scripts: { postinstall: 'node evil.js' }, dependencies: { evil: '1.0.0' } }
  beforeAll(async () => {
    await start()
    for (const mirror of mirrors) {
      mirror.act({ do: 'change-manifest', name: 'victim', version: '1.1.0', patch: EVIL })
      const versions = [{ version: '1.0.0' }]
      mirror.act({ do: 'add-package', package: { name: 'evil', versions } })
    }
    await server.restartWithEmptyCache()
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)(
    '%s sees nothing of it',
    async client => {
      await expectInstalled(client, server.url, { victim: '1.1.0' }, { victim: '1.1.0' })
    },
    TEST_TIMEOUT_MS,
  )

  test('neither does anybody while the registry itself is away', async () => {
    await registry.goAway('refuse')
    await server.restartWithEmptyCache()
    const answer = await server.revalidate('victim')
    const text = await answer.text()
    expect([answer.status, text.includes('"1.1.0"')]).toEqual([200, true])
    expect(text).not.toContain('evil')
    expect(mirrors.some(mirror => mirror.count('/victim') > 0)).toBe(true)
  })
})

/** Kills a mirror as soon as it has sent a tarball more than before. */
async function killOnceAsked(mirror: FixtureRegistry, before: number): Promise<boolean> {
  const giveUpAt = performance.now() + TEST_TIMEOUT_MS / 2
  while (performance.now() < giveUpAt) {
    if (tarballsFrom(mirror) > before) {
      await mirror.goAway('refuse')
      return true
    }
    await Bun.sleep(5)
  }
  return false
}

function fail(): never {
  throw new RangeError('a project for each client')
}
