/**
 * The upstream is gone, slow or talks nonsense: what was verified before still installs, in every
 * client, and nothing unverified takes its place. Tarballs lie on a host of their own, which stays:
 * the server redirects to it and keeps no bytes itself.
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
const TEST_TIMEOUT_MS = 120_000
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

  test.each(CLIENTS)('lets %s install what was verified', install, TEST_TIMEOUT_MS)

  test.each(CLIENTS)(
    'lets %s install after a restart of the server',
    async client => {
      if (client === CLIENTS[0]) {
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

const NONSENSE = ['html', 'truncated', 'null', 'array', 'wrong-name', 'empty'] as const

describe.skipIf(!(await serverReady()))('an upstream that is not well', () => {
  beforeAll(async () => {
    await start()
    await (await server.revalidate('alpha')).body?.cancel()
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  async function expectLastVerifiedAnswer(): Promise<void> {
    const started = performance.now()
    const response = await server.revalidate('alpha')
    const text = await response.text()
    expect(response.status, text).toBe(200)
    expect(text).toContain(registry.integrityOf('alpha', '1.1.0'))
    expect(performance.now() - started).toBeLessThan(PATIENCE_MS)
  }

  test.each(NONSENSE)(
    'answers %s: the last verified answer is served, and none is made of it',
    async answer => {
      registry.act({ do: 'nonsense', path: '/alpha', answer })
      registry.act({ do: 'nonsense', path: '/beta', answer })
      await expectLastVerifiedAnswer()
      const unknown = await fetch(`${server.url}beta`)
      expect([502, 503]).toContain(unknown.status)
      expect(await unknown.json()).toMatchObject({ error: expect.any(String) })
      registry.act({ do: 'heal' })
    },
    TEST_TIMEOUT_MS,
  )

  test.each([429, 500, 503])(
    'answers %d: the last verified answer is served',
    async status => {
      registry.act({ do: 'status', path: '*', status, retryAfter: '60' })
      await expectLastVerifiedAnswer()
      registry.act({ do: 'heal' })
    },
    TEST_TIMEOUT_MS,
  )

  test.each(['refuse', 'hang-up'] as const)(
    'goes away (%s) and comes back: its news are seen',
    async how => {
      await registry.goAway(how)
      await expectLastVerifiedAnswer()
      registry.comeBack()
      const version = how === 'refuse' ? '2.1.0' : '2.2.0'
      registry.act({ do: 'publish', name: 'alpha', spec: { version } })
      // A pause after failures is fine, an endless one is not.
      const giveUpAt = Date.now() + 45_000
      let text = ''
      while (Date.now() < giveUpAt && !text.includes(`"${version}"`)) {
        text = await (await server.revalidate('alpha')).text()
        await Bun.sleep(250)
      }
      expect(text).toContain(`"${version}"`)
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
