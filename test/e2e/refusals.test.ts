/**
 * Versions that the server must not hand out, through every client: swapped after they were
 * recorded, forged or unsigned, and new ones of a registry that dropped its keys. An exact request
 * fails and says why; a range goes on to an older version; other versions install.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import type { Forgery } from '../fixtures/registry-actions.ts'
import { CLIENTS } from './clients.ts'
import { clientsAndServerReady, serverReady } from './ready.ts'
import { expectInstalled, expectRefused } from './refused.ts'
import { type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000
const VICTIMS = ['victim', '@fixture/victim']
/**
 * Deno 2.9 takes the highest version of a range whether it is deprecated or not, and stops at the
 * refused one with the whole reason. Without that version in the packument a range would go on,
 * but an exact request would no longer say why; so it is asked for a range without it.
 */
const DENO_RANGE = '~1.0.0'

let registry: FixtureRegistry
let server: ServerProcess

async function start(): Promise<void> {
  registry = startFixtureRegistry()
  server = await startServer({ upstream: registry.url })
}

async function stop(): Promise<void> {
  await server[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
}

/** Has the server record every version of both victims. */
async function recordVictims(): Promise<void> {
  for (const name of VICTIMS) await server.revalidateUntil(name, text => text.includes('"2.0.0"'))
}

/** Waits until the server has seen what became of a version of both victims. */
async function seeRefused(version: string): Promise<void> {
  for (const name of VICTIMS) {
    const blocked = `/-/blocked/${name}@${version}/`
    await server.revalidateUntil(name, text => decodeURIComponent(text).includes(blocked))
  }
}

/** 1.1.0 of both victims is refused; the versions around it are not. */
async function expectOnlyTheMiddleRefused(client: (typeof CLIENTS)[number]): Promise<void> {
  await expectRefused(client, server.url, 'victim', '1.1.0')
  const range = client === 'deno' ? DENO_RANGE : '^1.0.0'
  const dependencies = { 'victim': range, '@fixture/victim': '2.0.0' }
  const wanted = { 'victim': '1.0.0', '@fixture/victim': '2.0.0' }
  await expectInstalled(client, server.url, dependencies, wanted)
}

describe.skipIf(!ready)('a version swapped after it was recorded', () => {
  beforeAll(async () => {
    await start()
    await recordVictims()
    for (const name of VICTIMS) registry.act({ do: 'swap', name, version: '1.1.0' })
    await seeRefused('1.1.0')
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)('is refused in %s', expectOnlyTheMiddleRefused, TEST_TIMEOUT_MS)

  test.each(CLIENTS)(
    'is refused in %s when the name is scoped',
    client => expectRefused(client, server.url, '@fixture/victim', '1.1.0'),
    TEST_TIMEOUT_MS,
  )

  test(
    'is refused in yarn1 with the reason or its URL too',
    () => expectRefused('yarn1', server.url, 'victim', '1.1.0', 'told'),
    TEST_TIMEOUT_MS,
  )

  test(
    'stays refused after a restart with an empty cache',
    async () => {
      await server.restartWithEmptyCache()
      const swapped = registry.integrityOf('victim', '1.1.0')
      // The very first answer: there is no cache that could have saved it.
      const first = await (await fetch(`${server.url}victim`)).text()
      expect(first).not.toContain(`"integrity":"${swapped}"`)
      expect(first).toContain('/-/blocked/victim@1.1.0/conflict')
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)('is refused in %s then', expectOnlyTheMiddleRefused, TEST_TIMEOUT_MS)

  test('has its tarball refused too, with the reason as JSON', async () => {
    const url = `${server.url}victim/-/victim-1.1.0.tgz`
    const response = await fetch(url, { redirect: 'manual' })
    expect(response.status).toBe(403)
    const body: unknown = await response.json()
    expect(body).toMatchObject({ package: 'victim', version: '1.1.0', error: expect.any(String) })
  })
})

const FORGERIES: (Forgery | 'dropped')[] = [
  'dropped',
  'other-key',
  'unknown-key',
  'bit-flip',
  'borrowed',
]

describe.skipIf(!(await serverReady()))('signatures that do not vouch', () => {
  test.each(FORGERIES)(
    '%s: the version is never recorded nor offered',
    async how => {
      await start()
      const victim = { name: 'victim', version: '1.1.0' }
      if (how === 'dropped') registry.act({ do: 'drop-signatures', ...victim })
      else registry.act({ do: 'forge-signature', how, ...victim })
      const text = await (await server.revalidate('victim')).text()
      const lookup = await fetch(`${server.url}-/sumdb/lookup/victim@1.1.0`)
      const tarball = await fetch(`${server.url}victim/-/victim-1.1.0.tgz`, { redirect: 'manual' })
      const good = await fetch(`${server.url}-/sumdb/lookup/victim@1.0.0`)
      await stop()
      expect(text).toContain('/-/blocked/victim@1.1.0/')
      expect(lookup.status).toBe(403)
      expect(tarball.status).toBe(403)
      expect(good.status).toBe(200)
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)('a forged signature', () => {
  beforeAll(async () => {
    await start()
    const how = 'other-key'
    for (const name of VICTIMS) registry.act({ do: 'forge-signature', how, name, version: '1.1.0' })
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)('is refused in %s', expectOnlyTheMiddleRefused, TEST_TIMEOUT_MS)
})

describe.skipIf(!ready)('a dropped signature', () => {
  beforeAll(async () => {
    await start()
    for (const name of VICTIMS) registry.act({ do: 'drop-signatures', name, version: '1.1.0' })
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)('is refused in %s', expectOnlyTheMiddleRefused, TEST_TIMEOUT_MS)
})

describe.skipIf(!ready)('a registry that dropped its keys', () => {
  beforeAll(async () => {
    await start()
    await recordVictims()
    registry.act({ do: 'keys', answer: 'missing' })
    const spec = { version: '2.1.0', signed: false }
    for (const name of VICTIMS) registry.act({ do: 'publish', name, spec })
    await server.restartWithEmptyCache()
    await seeRefused('2.1.0')
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)(
    'has new versions refused in %s, and not the recorded ones',
    async client => {
      await expectRefused(client, server.url, 'victim', '2.1.0')
      const range = client === 'deno' ? '~2.0.0' : '^2.0.0'
      const dependencies = { 'victim': range, '@fixture/victim': 'latest' }
      const wanted = { 'victim': '2.0.0', '@fixture/victim': '2.0.0' }
      await expectInstalled(client, server.url, dependencies, wanted)
    },
    TEST_TIMEOUT_MS,
  )
})
