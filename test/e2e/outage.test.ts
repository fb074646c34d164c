/**
 * The upstream is gone, slow or talks nonsense: what was verified before still installs, in every
 * client, and nothing unverified takes its place. Tarballs lie on a host of their own, which stays:
 * the server redirects to it and keeps no bytes itself. That leaves out yarn 4, to which bytes only
 * come through the server, which fetches them from no loopback host but the registry.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { APP_DEPENDENCIES, APP_TREE } from '../fixtures/registry-app.ts'
import { CLIENTS, newProject, runClient } from './clients.ts'
import { installedPackages } from './installed.ts'
import { clientsAndServerReady, serverReady } from './ready.ts'
import { type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const REDIRECTED = CLIENTS.filter(client => client !== 'yarn4')
const TEST_TIMEOUT_MS = 300_000
/** A person waits this long for what the server has at hand, and not for a dead upstream. */
const PATIENCE_MS = 5_000

let registry: FixtureRegistry
let server: ServerProcess

async function start(): Promise<void> {
  registry = startFixtureRegistry({ separateTarballs: true })
  server = await startServer({ upstream: registry.url })
  // Every document is out of date at once, so that each request needs the upstream.
  registry.act({ do: 'cache-control', value: 'max-age=0' })
}

async function stop(): Promise<void> {
  await server[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
}

async function install(client: (typeof CLIENTS)[number]): Promise<void> {
  await using project = await newProject(APP_DEPENDENCIES)
  const run = await runClient(client, { dir: project.dir, registry: server.url })
  expect(run.exitCode, run.output).toBe(0)
  expect((await installedPackages(client, project.dir, run.home)).size).toBe(APP_TREE.length)
}

describe.skipIf(!ready)('an upstream that is gone', () => {
  beforeAll(async () => {
    await start()
    for (const name of registry.state.packages.keys()) {
      await (await server.revalidate(name)).body?.cancel()
    }
    await registry.goAway('refuse')
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(REDIRECTED)('lets %s install what was verified', install, TEST_TIMEOUT_MS)

  test.each(REDIRECTED)(
    'lets %s install after a restart of the server',
    async client => {
      if (client === REDIRECTED[0]) {
        await server.stop()
        await server.start()
      }
      await install(client)
    },
    TEST_TIMEOUT_MS,
  )

  test('gives 503 with Retry-After for what was never asked for, and not 404', async () => {
    const response = await fetch(`${server.url}never-asked-for`)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.json()).toMatchObject({ error: expect.any(String) })
  })
})

/** Each fault meets a package of its own: one that failed is not asked for again at once. */
const NONSENSE = [
  ['html', 'beta'],
  ['truncated', 'gamma'],
  ['null', 'deep'],
  ['array', 'hello-bin'],
  ['wrong-name', 'with-script'],
  ['empty', 'optional-fine'],
] as const
const STATUSES = [
  [429, 'with-optional'],
  [500, '@fixture/base'],
  [503, '@fixture/tool'],
] as const

describe.skipIf(!(await serverReady()))('an upstream that is not well', () => {
  beforeAll(async () => {
    await start()
    for (const name of registry.state.packages.keys()) {
      await (await server.revalidate(name)).body?.cancel()
    }
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  /** Asks until the upstream was asked as well: every answer is the one that was verified. */
  async function expectLastVerifiedAnswer(name: string): Promise<void> {
    const version = registry.state.packages.get(name)?.tags.get('latest') ?? ''
    const before = registry.count(`/${name}`)
    await server.revalidateUntil(name, text => {
      expect(text).toContain(`"integrity":"${registry.integrityOf(name, version)}"`)
      expect(text).toContain(`"name":"${name}"`)
      return registry.count(`/${name}`) > before
    })
    const started = performance.now()
    const response = await fetch(server.url + name.replace('/', '%2f'))
    expect(response.status).toBe(200)
    expect(performance.now() - started).toBeLessThan(PATIENCE_MS)
    await response.body?.cancel()
  }

  test.each(NONSENSE)(
    'answers %s: the last verified answer is served, and none is made of it',
    async (answer, name) => {
      const unknown = `never-asked-for-${answer}`
      const versions = [{ version: '1.0.0' }]
      registry.act({ do: 'add-package', package: { name: unknown, versions } })
      registry.act({ do: 'nonsense', path: `/${name}`, answer })
      registry.act({ do: 'nonsense', path: `/${unknown}`, answer })
      await expectLastVerifiedAnswer(name)
      const refused = await fetch(server.url + unknown)
      expect([502, 503]).toContain(refused.status)
      expect(await refused.json()).toMatchObject({ error: expect.any(String) })
      registry.act({ do: 'heal' })
    },
    TEST_TIMEOUT_MS,
  )

  test.each(STATUSES)(
    'answers %d: the last verified answer is served',
    async (status, name) => {
      registry.act({ do: 'status', path: `/${name}`, status, retryAfter: '60' })
      await expectLastVerifiedAnswer(name)
      registry.act({ do: 'heal' })
    },
    TEST_TIMEOUT_MS,
  )

  test.each(['refuse', 'hang-up'] as const)(
    'goes away (%s) and comes back: its news are seen',
    async how => {
      await registry.goAway(how)
      const meanwhile = await (await server.revalidate('alpha')).text()
      expect(meanwhile).toContain(registry.integrityOf('alpha', '1.1.0'))
      registry.comeBack()
      const version = how === 'refuse' ? '2.1.0' : '2.2.0'
      registry.act({ do: 'publish', name: 'alpha', spec: { version } })
      // A pause after failures is fine, an endless one is not.
      const text = await server.revalidateUntil('alpha', body => body.includes(`"${version}"`))
      expect(text).toContain(registry.integrityOf('alpha', version))
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'answers 404: that is not hidden by what was served before',
    async () => {
      registry.state.packages.delete('gamma')
      expect((await server.revalidate('gamma')).status).toBe(404)
    },
    TEST_TIMEOUT_MS,
  )
})
