/**
 * Canaries: a secret for each upstream, each user, each setting and each key, then a run over every
 * surface and every command, with errors, restarts and log lines at the lowest level. Afterwards
 * each secret was heard at its own origin and nowhere else: in no request to another, no answer, no
 * log line, no metric, no output of a command, no column of a database and no file, packed or not,
 * of the data dir or of a backup.
 *
 * That the search finds what is there: test/unit/fixtures/canaries.test.ts. What real clients do
 * with their tokens: canary-clients.test.ts.
 *
 * @module
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { serverReady } from '../e2e/ready.ts'
import { type ServerProcess, startServer } from '../e2e/server.ts'
import { Canaries, canary, SUITE } from '../fixtures/canaries.ts'
import { allKept } from '../fixtures/kept-bytes.ts'
import { ELSEWHERE_CERTIFICATE, TEST_KEY } from '../unit/registries/test-certificates.ts'
import { askEverything, logIn, type People } from './canary-people.ts'
import { addUpstreams, SECRETS, World } from './canary-world.ts'

const RUN_MS = 300_000
/** The server asks again about a package after a second. */
const NEXT_CHECK_MS = 1_050
const ALERT_MS_MAX = 10_000
const FRESH = { headers: { 'cache-control': 'no-cache' } }

/**
 * The name of a package about which two registries disagree: a text that does get everywhere, and
 * has to be found wherever nothing else is.
 */
const PLANTED = canary('planted')
const planted = new Canaries({ planted: PLANTED })

const ready = await serverReady()

/** What is wrong with upstreams: errors are where secrets come out. */
async function breakThings(world: World): Promise<void> {
  const { at, behind } = world.sources
  behind.mirror.act({ do: 'swap', name: 'victim', version: '1.1.0' })
  for (const each of [behind.npm, behind.mirror]) {
    each.act({ do: 'publish', name: 'victim', spec: { version: '2.1.0' } })
    const versions = [{ version: '1.0.0' }]
    each.act({ do: 'add-package', package: { name: PLANTED, versions } })
  }
  behind.mirror.act({ do: 'swap', name: PLANTED, version: '1.0.0' })
  await world.ask(PLANTED, FRESH)
  const closed = ['@acme/one', '@basic/one', '@closed/one']
  const registries = [behind.acme, behind.basic, behind.closed]
  for (const status of [401, 403, 500, 503]) {
    for (const each of registries) each.act({ do: 'status', path: '/*', status })
    await Promise.all(closed.map(name => world.ask(name, FRESH)))
    await Bun.sleep(NEXT_CHECK_MS)
  }
  for (const each of registries) {
    each.act({ do: 'heal' })
    each.act({ do: 'nonsense', path: '/*', answer: 'html' })
  }
  await Promise.all(closed.map(name => world.ask(name, FRESH)))
  for (const each of registries) each.act({ do: 'heal' })
  behind.acme.act({ do: 'alter-tarball', name: '@acme/one', version: '1.1.0' })
  // It is cut, or an error.
  await world.ask('@acme/one/-/one-1.1.0.tgz').catch(() => undefined)
  behind.npm.act({ do: 'rotate-key' })
  await at.basic[Symbol.asyncDispose]()
  await world.ask('@basic/one', FRESH)
  await world.ask('@basic/one/-/one-1.0.0.tgz')
  await alerted(world)
}

/** Another server in the place of the one with the certificate: it vouches for another name. */
async function changeCertificate(world: World): Promise<Bun.Server<undefined>> {
  const { closed } = world.sources.at
  const port = Number(new URL(closed.url).port)
  await closed[Symbol.asyncDispose]()
  const tls = { key: TEST_KEY, cert: ELSEWHERE_CERTIFICATE }
  return Bun.serve({ hostname: '127.0.0.1', port, tls, fetch: () => Response.json({}) })
}

async function alerted(world: World): Promise<void> {
  const giveUpAt = performance.now() + ALERT_MS_MAX
  while (!planted.in(world.hooked.join('\n')).length && performance.now() < giveUpAt) {
    await world.ask(PLANTED, FRESH)
    await Bun.sleep(200)
  }
}

/** Every command that only looks, and some that are refused. */
async function commandEverything(world: World): Promise<void> {
  const shown = [
    ['upstream', 'list', '--json'],
    ['upstream', 'show', 'acme'],
    ['upstream', 'show', 'closed', '--json'],
    ['upstream', 'keys', 'basic'],
    ['user', 'list', '--json'],
    ['token', 'list', '--json'],
    ['view', 'list', '--json'],
    ['policy', 'list', '--json'],
    ['incident', 'list', '--json'],
  ]
  for (const args of shown) await world.command(args)
  await world.command(['doctor'], [0, 1])
  await world.command(['doctor', '--json'], [0, 1])
  await dumpConfig(world)
  const inUrl = `http://user:${SECRETS.url}@127.0.0.1:9/`
  await world.command(['upstream', 'add', 'x', inUrl, '--names', '@x/*', '--yes'], [2])
  await world.command(['upstream', 'set', 'acme', '--url', inUrl, '--yes'], [2])
  const wrong = await world.secretFile('wrong', `${SECRETS.refused}\nand another line`)
  await world.command(['upstream', 'set', 'acme', '--token-file', wrong, '--yes'], [2])
  await world.command(['upstream', 'set', 'acme', '--basic-file', wrong, '--yes'], [2])
  await world.command(['upstream', 'set', 'closed', '--key-file', wrong, '--yes'], [2])
  const asked = { name: 'x', url: inUrl, names: ['@x/*'], secret: { token: SECRETS.refused } }
  await world.operate('upstream/add', { asked, confirm: [] })
  await world.operate('upstream/add', { asked: { ...asked, url: 1 }, confirm: SECRETS.refused })
  await world.operate('account/add-user', { name: 'x y', password: SECRETS.refused })
  for (const name of ['upstream/list', 'account/users', 'account/tokens', 'view/list']) {
    await world.operate(name, {})
  }
  for (const target of ['backup.tar', 'backup/'])
    await world.command(['backup', world.path(target)])
}

/** Settings with secrets in them: in use, and wrong. */
async function dumpConfig(world: World): Promise<void> {
  const hook = `webhook-url = "http://127.0.0.1:9/"\nwebhook-secret = "${SECRETS.webhook}"\n`
  const right = await world.secretFile('a.toml', `admin-token = "${SECRETS.admin}"\n${hook}`)
  await world.command(['config', 'dump', '--show-origin', '--config', right])
  await world.command(['config', 'dump', '--json', '--config', right])
  const wrong = [
    `admin-token = "${SECRETS.admin} ${SECRETS.refused}"\n`,
    `webhook-secret = "${SECRETS.webhook}"\n`,
    `admin-token = ["${SECRETS.refused}"]\n`,
    `webhook-url = "http://a:${SECRETS.url}@127.0.0.1:9/"\nwebhook-secret = "${SECRETS.webhook}"\n`,
  ]
  for (const text of wrong) {
    const file = await world.secretFile('wrong.toml', text)
    await world.command(['config', 'dump', '--config', file], [0, 2])
  }
}

describe.skipIf(!ready)('secrets', () => {
  let world: World
  let people: People
  beforeAll(async () => {
    world = await World.start()
    await addUpstreams(world)
    people = await logIn(world)
    await askEverything(world, people)
    await breakThings(world)
    using wrong = await changeCertificate(world)
    await world.ask('@closed/one', FRESH)
    await commandEverything(world)
    await wrong.stop(true)
    await world.server.stop()
    await world.server.start()
    await askEverything(world, people)
    await world.server.stop()
    await world.addKeyFiles()
  }, RUN_MS)
  afterAll(() => world[Symbol.asyncDispose]())

  test('the run was one: logins, credentials, alerts and log lines happened', async () => {
    const { at } = world.sources
    expect(at.acme.everything).toContain(`Bearer ${SECRETS.acme}`)
    expect(at.mirror.everything).toContain(`Bearer ${SECRETS.mirror}`)
    expect(at.basic.everything).toContain(btoa(`canary:${SECRETS.basic}`))
    expect(at.closed.heard.some(({ path }) => path.includes('one-1.0.0.tgz'))).toBe(true)
    expect(at.stranger.heard.map(({ path }) => path)).toContain('/@acme/one/-/one-1.0.0.tgz')
    expect(world.hooked).not.toBeEmpty()
    expect(await world.output()).toContain('"alert"')
    const good = world.said.filter(({ status }) => status === 200)
    for (const shown of ['"username":"canary"', '"user":"root"']) {
      expect(good.some(({ text }) => text.includes(shown))).toBe(true)
    }
    for (const path of ['-/api/audit', '-/api/upstreams', '-/metrics', '-/docs']) {
      expect(good.map(({ where }) => where)).toContain(path)
    }
    const evidence = world.said.filter(({ where }) => /^-\/why\/(?!0123)/.test(where))
    expect(evidence.some(({ text }) => text.includes('sha512-'))).toBe(true)
    const inApi = new Set(good.flatMap(({ where }) => /^-\/api\/[^?]+/.exec(where) ?? []))
    expect(inApi.size).toBeGreaterThan(12)
    const made = ['setup', 'login', 'web login', 'web token', 'granular', 'session', 'job']
    expect(world.canaries.names).toEqual(
      expect.arrayContaining([...made, 'id token', 'certificate', 'keys/log.key']),
    )
  })

  test('each registry hears its own and no other', () => {
    const { at, behind } = world.sources
    const own: Record<string, string[]> = { mirror: ['mirror'], acme: ['acme'], basic: ['basic'] }
    for (const [name, { everything }] of Object.entries(at)) {
      expect([name, ...world.canaries.in(everything)]).toEqual([name, ...(own[name] ?? [])])
    }
    expect(planted.in(at.npm.everything)).toEqual(['planted'])
    expect(planted.in(world.hooked.join('\n'))).toEqual(['planted'])
    for (const fixture of Object.values(behind)) {
      expect(world.canaries.in(JSON.stringify(fixture.requests))).toEqual([])
    }
    expect(world.canaries.in(world.hooked.join('\n'))).toEqual([])
    expect(world.canaries.in(world.issuer.asked.join('\n'))).toEqual([])
  })

  test('none is in an answer, a metric, or the output of a command', () => {
    expect(world.said.length).toBeGreaterThan(1_000)
    expect(world.leaks()).toEqual([])
    const where = world.leaks(planted).map(leak => leak.replace(/[?: ].*/, ''))
    expect(where).toEqual(expect.arrayContaining([PLANTED, '-/api/incidents', 'incident']))
    expect(where).not.toContain('-/metrics')
  })

  test('none is in a line of the log', async () => {
    const output = await world.output()
    expect(output.length).toBeGreaterThan(10_000)
    expect(world.canaries.in(output)).toEqual([])
    expect(planted.in(output)).toEqual(['planted'])
  })

  test.each([
    ['the data dir', () => world.server.dataDir],
    ['a backup', () => world.path('backup')],
  ])('none is in a file or a column of %s', (_, folder) => {
    const found = new Set<string>()
    const control = new Set<string>()
    let count = 0
    for (const { where, bytes } of allKept(folder())) {
      count += 1
      if (planted.in(bytes).length > 0) control.add(where)
      for (const name of world.canaries.in(bytes)) found.add(`${where}: ${name}`)
    }
    expect(count).toBeGreaterThan(200)
    expect([...control]).toEqual(expect.arrayContaining(['registry.db', 'version.name']))
    // A key stands in its own file.
    expect([...found].filter(line => !/^(keys\/\S+): \1$/.test(line))).toEqual([])
  })

  test('none is in a backup that is one file', async () => {
    const bytes = await Bun.file(world.path('backup.tar')).bytes()
    expect(bytes.length).toBeGreaterThan(100_000)
    expect(world.canaries.in(bytes)).toEqual([])
    expect(planted.in(bytes)).toEqual(['planted'])
  })
})

describe.skipIf(!ready)('the server of every end-to-end test', () => {
  const upstream = 'http://127.0.0.1:9/'
  const ended = async (server: ServerProcess) => await server[Symbol.asyncDispose]()

  test('finds a secret of the suite in its data dir', async () => {
    const server = await startServer({ upstream })
    await Bun.write(join(server.dataDir, 'leak'), btoa(`robot:${SUITE.client}`))
    await expect(ended(server)).rejects.toThrow('client in leak')
  })

  test('finds one in its output', async () => {
    const server = await startServer({ upstream: `${upstream}${SUITE.admin}/` })
    await expect(ended(server)).rejects.toThrow('admin in its output')
  })

  test('finds nothing where there is nothing', async () => {
    await ended(await startServer({ upstream }))
  })
})
