/**
 * What a redirect hides: a mirror that sends other bytes is found by the server itself, soon after
 * somebody was sent there, and set aside for that package; and in strict mode the real clients are
 * offered a version after a look into its tarball, and never one whose manifest is another.
 *
 * @module
 */

import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SUITE } from '../fixtures/canaries.ts'
import { addUpstreams } from '../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type Client, newProject, runClient } from './clients.ts'
import { installedPackages } from './installed.ts'
import { clientsAndServerReady } from './ready.ts'
import { expectInstalled, expectRefused } from './refused.ts'
import { runCommand, type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000
/** Twelve times the silence that the sampler waits for, and a second (sampler.ts). */
const SAMPLED_MS_MAX = 61_000
const SECOND_MS = 1_000
const ADMIN_TOKEN = 'an-admin-token-for-this-test-only-0123456789'
const WEBHOOK_SECRET = 'a-webhook-secret-for-this-test'
const VERSIONS = [{ version: '1.0.0' }, { version: '1.1.0' }]
const NAMES = Array.from({ length: 12 }, (_, i) => `package-${i}`)

/** Where an install is sent for a tarball. */
async function placeOf(server: ServerProcess, name: string, version: string): Promise<string> {
  const url = `${server.url}${name}/-/${name}-${version}.tgz`
  const answer = await fetch(url, { redirect: 'manual', headers: { 'user-agent': 'npm/11.0.0' } })
  await answer.body?.cancel()
  return `${new URL(answer.headers.get('location') ?? 'none:').origin}/`
}

async function until(isSo: () => Promise<boolean>, ms: number): Promise<void> {
  const giveUpAt = performance.now() + ms
  while (!(await isSo())) {
    if (performance.now() > giveUpAt) throw new Error(`not within ${ms} ms: ${String(isSo)}`)
    await Bun.sleep(200)
  }
}

describe.skipIf(!ready)('a mirror that sends other bytes', () => {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
  const hooked: { headers: Headers; text: string }[] = []
  let stack: AsyncDisposableStack
  let mirrors: FixtureRegistry[]
  let server: ServerProcess
  /** The mirror of `name`. */
  let bad: FixtureRegistry
  const [name = ''] = NAMES
  let places: string[]

  beforeAll(async () => {
    stack = new AsyncDisposableStack()
    const packages = NAMES.map(each => ({ name: each, versions: VERSIONS }))
    const start = () => stack.use(startFixtureRegistry({ packages }))
    const registry = start()
    mirrors = [start(), start()]
    const hook = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch(request) {
        hooked.push({ headers: request.headers, text: await request.text() })
        return new Response(null, { status: 204 })
      },
    })
    stack.defer(() => hook.stop(true))
    const env = {
      NPMX_REGISTRY_ADMIN_TOKEN: ADMIN_TOKEN,
      NPMX_REGISTRY_WEBHOOK_URL: `http://127.0.0.1:${hook.port}/`,
      NPMX_REGISTRY_WEBHOOK_SECRET: WEBHOOK_SECRET,
    }
    server = stack.use(await startServer({ upstream: registry.url, env }))
    await server.stop()
    const rows = mirrors.map(({ url }, i) => ({ name: `mirror-${i}`, url }))
    addUpstreams(server.dataDir, rows)
    await server.start()
    for (const each of NAMES) await (await server.revalidate(each)).body?.cancel()
    places = await Promise.all(NAMES.map(each => placeOf(server, each, '1.1.0')))
    bad = mirrors.find(({ url }) => url === places[0]) ?? registry
    bad.act({ do: 'alter-tarball', name, version: '1.0.0' })
  }, TEST_TIMEOUT_MS)
  afterAll(() => stack.disposeAsync())

  const install = async (client: Client) => {
    await using project = await newProject({ [name]: '1.0.0' })
    const options = { dir: project.dir, registry: server.url, noRetries: true }
    const run = await runClient(client, options)
    const found = await installedPackages(client, project.dir, run.home)
    return { ...run, count: found.size }
  }
  const incidents = async () =>
    await (await fetch(`${server.url}-/api/incidents`, { headers })).text()

  test(
    'fails one install, and is found by the server itself',
    async () => {
      expect(mirrors).toContain(bad)
      const run = await install('npm11')
      expect(run.exitCode).not.toBe(0)
      expect(run.output).toContain('EINTEGRITY')
      expect(run.count).toBe(0)
      // Clients keep that to themselves: nobody has told the server.
      expect(await incidents()).not.toContain('bad-mirror')
      await until(async () => (await incidents()).includes('bad-mirror'), SAMPLED_MS_MAX)
      const shown = await incidents()
      expect(shown).toMatch(new RegExp(`"code":"bad-mirror"[^{}]*"package":"${name}"`))
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'is set aside for that package and goes on for the others, also after a restart',
    async () => {
      for (const again of [false, true]) {
        if (again) {
          await server.stop()
          await server.start()
        }
        expect(await placeOf(server, name, '1.0.0')).not.toBe(bad.url)
        expect(await placeOf(server, name, '1.1.0')).not.toBe(bad.url)
        const others = NAMES.slice(1)
        const now = await Promise.all(others.map(each => placeOf(server, each, '1.1.0')))
        expect(now).toEqual(places.slice(1))
        expect(now).toContain(bad.url)
      }
      for (const client of ['npm11', 'npm12', 'pnpm', 'bun'] as const) {
        const run = await install(client)
        expect([run.exitCode, run.count], run.output).toEqual([0, 1])
      }
    },
    TEST_TIMEOUT_MS,
  )

  test('is told to the webhook, signed, and once', async () => {
    await until(async () => hooked.length > 0, SAMPLED_MS_MAX)
    const [message] = hooked
    if (message === undefined) throw new RangeError('no message')
    expect(hooked).toHaveLength(1)
    expect(JSON.parse(message.text)).toMatchObject({
      type: 'incident.bad-mirror',
      data: { code: 'bad-mirror', package: name, version: '1.0.0' },
    })
    // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    const [id, seconds] = ['id', 'timestamp'].map(word => message.headers.get(`webhook-${word}`))
    const signed = createHmac('sha256', WEBHOOK_SECRET).update(`${id}.${seconds}.${message.text}`)
    expect(message.headers.get('webhook-signature')).toBe(`v1,${signed.digest('base64')}`)
  })

  test('is on the page that the message names, and in the log', async () => {
    const url = /"url":"([^"]+)"/.exec(hooked[0]?.text ?? '')?.[1] ?? ''
    const why = await (await fetch(url)).text()
    expect(why).toContain(bad.integrityOf(name, '1.0.0'))
    expect(why).toContain(bad.url)
    expect(await server.output()).toContain('"code":"bad-mirror"')
  })
})

describe.skipIf(!ready)('metrics of the sampler', () => {
  test(
    'count what it compared, and what it found',
    async () => {
      await using registry = startFixtureRegistry({ packages: [{ name: 'p', versions: VERSIONS }] })
      await using server = await startServer({ upstream: registry.url })
      await (await server.revalidate('p')).body?.cancel()
      registry.act({ do: 'alter-tarball', name: 'p', version: '1.0.0' })
      expect(await placeOf(server, 'p', '1.0.0')).toBe(registry.url)
      expect(await placeOf(server, 'p', '1.1.0')).toBe(registry.url)
      const headers = { authorization: `Bearer ${SUITE.admin}` }
      const metrics = async () => await (await fetch(`${server.url}-/metrics`, { headers })).text()
      await until(
        async () => (await metrics()).includes('sampler_tarballs_total{result="same"} 1'),
        SAMPLED_MS_MAX,
      )
      const text = await metrics()
      expect(text).toContain('npmx_registry_sampler_tarballs_total{result="other"} 1')
      expect(text).toContain('npmx_registry_incidents_total{code="altered-tarball"} 1')
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)('strict mode', () => {
  const EVIL = { scripts: { postinstall: 'node evil.js' }, dependencies: { evil: '1.0.0' } }
  let registry: FixtureRegistry
  let server: ServerProcess

  beforeAll(async () => {
    const packages = ['plain', 'victim'].map(name => ({ name, versions: VERSIONS }))
    registry = startFixtureRegistry({ packages })
    server = await startServer({ upstream: registry.url })
    for (const { name } of packages) await (await server.revalidate(name)).body?.cancel()
    // Records are dated by the second: these are older than strict mode.
    await Bun.sleep(SECOND_MS + 100)
    const on = ['upstream', 'set', 'npm', '--strict', 'on', '--yes']
    const set = await runCommand([...on, '--data-dir', server.dataDir], server.dataDir)
    expect(set.exitCode, set.output).toBe(0)
    await Bun.sleep(SECOND_MS + 100)
    registry.act({ do: 'publish', name: 'plain', spec: { version: '1.2.0' } })
    registry.act({ do: 'delay', path: '/plain/-/plain-1.2.0.tgz', ms: 60_000 })
    registry.act({ do: 'publish', name: 'victim', spec: { version: '1.2.0' } })
    registry.act({ do: 'change-manifest', name: 'victim', version: '1.2.0', patch: EVIL })
    await server.revalidateUntil('plain', text => text.includes('plain@1.2.0/unchecked'))
  }, TEST_TIMEOUT_MS)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  test(
    'npm takes an older version while the newest is looked into, and that one afterwards',
    async () => {
      await expectInstalled('npm11', server.url, { plain: '^1.0.0' }, { plain: '1.1.0' })
      await expectRefused('npm11', server.url, 'plain', '1.2.0')
      registry.act({ do: 'heal' })
      await server.revalidateUntil('plain', text => !text.includes('/unchecked'))
      for (const client of ['npm11', 'npm12'] as const) {
        await expectInstalled(client, server.url, { plain: '^1.0.0' }, { plain: '1.2.0' })
      }
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'npm is never offered a version whose manifest adds a script and a dependency',
    async () => {
      await server.revalidateUntil('victim', text => text.includes('1.2.0/manifest-mismatch'))
      for (const client of ['npm11', 'npm12'] as const) {
        await expectInstalled(client, server.url, { victim: '^1.0.0' }, { victim: '1.1.0' })
        await expectRefused(client, server.url, 'victim', '1.2.0')
      }
    },
    TEST_TIMEOUT_MS,
  )
})
