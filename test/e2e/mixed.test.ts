/**
 * Dependency confusion, against the program itself: a key speaks for its own registry only, and what
 * belongs to a private registry is never told to another, whatever is asked and whoever is down.
 * Everything that a registry was ever told is written down by a recorder before it.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { addUpstreams } from '../fixtures/instance.ts'
import { publishBodyOf } from '../fixtures/publishing.ts'
import { Recorder } from '../fixtures/recorder.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type Client, newProject, runClient } from './clients.ts'
import { installedPackages } from './installed.ts'
import { addPerson, addToken, operate, PERSON } from './publishing.ts'
import { clientsAndServerReady, serverReady } from './ready.ts'
import { type ServerProcess, startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
const SCOPE = '@acme-private'
const SECRET = `${SCOPE}/skunkworks`
const PUBLIC = [
  { name: 'react', versions: [{ version: '18.0.0' }, { version: '18.2.0' }] },
  { name: 'left', versions: [{ version: '1.0.0' }] },
]
const PRIVATE = [{ name: SECRET, versions: [{ version: '1.0.0' }] }]
const BULK = '-/npm/v1/security/advisories/bulk'

let stack: AsyncDisposableStack
let registry: FixtureRegistry
let acme: FixtureRegistry
let mirror: FixtureRegistry
let recorder: Recorder
let mirrorRecorder: Recorder
let acmeRecorder: Recorder
let server: ServerProcess

/** `npm` with a mirror, and a private registry of one scope, each behind a recorder. */
async function start(): Promise<void> {
  stack = new AsyncDisposableStack()
  registry = stack.use(startFixtureRegistry({ packages: PUBLIC }))
  mirror = stack.use(startFixtureRegistry({ packages: PUBLIC }))
  // The private one has a `react` of its own too: nobody asked it.
  const packages = [...PRIVATE, { name: 'react', versions: [{ version: '99.0.0' }] }]
  acme = stack.use(startFixtureRegistry({ packages, seed: 'acme' }))
  recorder = stack.use(new Recorder(registry))
  mirrorRecorder = stack.use(new Recorder(mirror))
  acmeRecorder = stack.use(new Recorder(acme))
  server = stack.use(await startServer({ upstream: recorder.url }))
  await server.stop()
  addUpstreams(server.dataDir, [
    { name: 'near', url: mirrorRecorder.url },
    {
      name: 'acme',
      url: acmeRecorder.url,
      kind: 'registry',
      namespace: 'acme.example',
      names: [`${SCOPE}/*`],
      tarballs: 'stream',
      // Its documents name the registry behind the recorder.
      tarballOrigins: [new URL(acme.url).origin],
    },
  ])
  await server.start()
}

/** Asks everything that could be asked about a package. */
async function askAll(
  name: string,
  more: Record<string, string> = {},
): Promise<Map<string, number>> {
  const [scope = '', base = ''] = name.split('/')
  const escaped = name.replace('/', '%2f')
  const paths = [
    name,
    escaped,
    `${name}/1.0.0`,
    `${name}/latest`,
    `${name}/-/${base}-1.0.0.tgz`,
    `${name}/-/${base}-9.9.9.tgz`,
    `-/sumdb/lookup/${name}@1.0.0`,
    `-/sumdb/proof/${name}@1.0.0`,
    `-/npm/v1/attestations/${name}@1.0.0`,
    `-/v1/search?text=${encodeURIComponent(name)}`,
    `-/v1/search?text=scope:${scope.slice(1)}`,
    `-/blocked/${name}@1.0.0/conflict`,
    `-/package/${escaped}/dist-tags`,
    `-/package/${escaped}/trust`,
    `-/package/${escaped}/collaborators`,
    `-/org/${scope.slice(1)}/package`,
  ]
  const found = new Map<string, number>()
  for (const path of paths) {
    const headers = { 'cache-control': 'no-cache', 'user-agent': 'npm/11.19.1', ...more }
    const answer = await fetch(`${server.url}${path}`, { headers, redirect: 'manual' })
    found.set(path, answer.status)
    await answer.body?.cancel()
  }
  const headers = { 'content-type': 'application/json', ...more }
  const body = JSON.stringify({ [name]: ['1.0.0'], left: ['1.0.0'] })
  const audit = await fetch(`${server.url}${BULK}`, { method: 'POST', headers, body })
  await audit.text()
  const tree = { requires: {}, dependencies: { [name]: { version: '1.0.0' } } }
  const quick = await fetch(`${server.url}-/npm/v1/security/audits/quick`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ name: 'app', version: '1.0.0', ...tree }),
  })
  found.set('audit', audit.status)
  found.set('quick', quick.status)
  return found
}

function plant(target: FixtureRegistry, signer: FixtureRegistry, version: string): void {
  const name = 'react'
  target.act({ do: 'publish', name, spec: { version } })
  const stored = target.state.packages.get(name)?.versions.get(version)
  if (stored === undefined) throw new RangeError(version)
  const integrity = target.integrityOf(name, version)
  stored.signatures = [signer.state.signer.sign(name, version, integrity)]
}

describe.skipIf(!(await serverReady()))('a key speaks for its own registry only', () => {
  beforeAll(start, TEST_TIMEOUT_MS)
  afterAll(() => stack.disposeAsync())

  test('react@99.0.0 with a valid signature of another registry is never offered', async () => {
    // Known first, and approved, for its own names.
    expect((await fetch(`${server.url}${SECRET.replace('/', '%2f')}`)).status).toBe(200)
    plant(registry, acme, '99.0.0')
    const text = await (await server.revalidate('react')).text()
    expect(text).toContain('/-/blocked/react@99.0.0/unknown-key')
    expect(text).toContain('"latest":"18.2.0"')
    for (const path of [
      'react/99.0.0',
      'react/-/react-99.0.0.tgz',
      '-/sumdb/lookup/react@99.0.0',
    ]) {
      expect((await fetch(`${server.url}${path}`, { redirect: 'manual' })).status, path).toBe(403)
    }
    const latest = await (await fetch(`${server.url}react/latest`)).text()
    expect(latest).toContain('"version":"18.2.0"')
    expect(acmeRecorder.everything).not.toContain('react')
  })

  test('nor one that only a mirror has, whoever signed it', async () => {
    plant(mirror, mirror, '97.0.0')
    plant(mirror, acme, '98.0.0')
    await server.restartWithEmptyCache()
    const text = await (await server.revalidate('react')).text()
    expect(text).toContain('"latest":"18.2.0"')
    for (const version of ['97.0.0', '98.0.0']) {
      expect(text).not.toContain(version)
      expect((await fetch(`${server.url}react/${version}`)).status).toBe(404)
      expect((await fetch(`${server.url}react/-/react-${version}.tgz`)).status).toBe(404)
    }
  })
})

describe.skipIf(!(await serverReady()))('a private scope', () => {
  beforeAll(start, TEST_TIMEOUT_MS)
  afterAll(() => stack.disposeAsync())

  function expectUntold(): void {
    for (const other of [recorder, mirrorRecorder]) {
      expect(other.everything).not.toContain('skunkworks')
      expect(other.everything.toLowerCase()).not.toContain(SCOPE.slice(1))
    }
  }

  test('is asked of its own registry alone', async () => {
    const found = await askAll(SECRET)
    expect(found.get(SECRET)).toBe(200)
    expect(found.get(`${SECRET}/-/skunkworks-1.0.0.tgz`)).toBe(200)
    expect(found.get('audit')).toBe(200)
    expectUntold()
    expect(acmeRecorder.everything).toContain('skunkworks')
  })

  test('is told to nobody else while its own registry is down', async () => {
    await acmeRecorder[Symbol.asyncDispose]()
    await server.restartWithEmptyCache()
    const found = await askAll(SECRET)
    expect(found.get(SECRET)).toBe(503)
    expect([...found.values()]).not.toContain(302)
    expectUntold()
    expect((await fetch(`${server.url}left`)).status).toBe(200)
  })
})

describe.skipIf(!(await serverReady()))('a scope that is published here', () => {
  const [OPEN, CLOSED] = ['@house-hosted/open', '@house-hosted/closed']
  let authorization: string
  beforeAll(async () => {
    await start()
    await operate(server, 'upstream', 'set', 'hosted', '--names', '@house-hosted/*', '--yes')
    await addPerson(server, PERSON)
    const grant = ['--user', PERSON, '--scope', 'read', 'publish']
    authorization = `Bearer ${await addToken(server, ...grant)}`
    for (const [name, access] of [
      [OPEN, 'public'],
      [CLOSED, 'restricted'],
    ] as const) {
      const answer = await fetch(`${server.url}${name.replace('/', '%2f')}`, {
        method: 'PUT',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify(publishBodyOf({ name, version: '1.0.0', access })),
      })
      expect(answer.status).toBe(201)
    }
  }, TEST_TIMEOUT_MS)
  afterAll(() => stack.disposeAsync())

  test('reaches no other registry, whoever asks, and neither does a planted copy reach anybody', async () => {
    for (const name of [OPEN, CLOSED, '@house-hosted/none']) {
      const versions = [{ version: '99.0.0' }]
      for (const other of [registry, mirror]) {
        other.act({ do: 'add-package', package: { name, versions } })
      }
    }
    await server.restartWithEmptyCache()
    for (const name of [OPEN, CLOSED, '@house-hosted/none']) {
      const found = await askAll(name, { authorization })
      expect(found.get(name)).toBe(name.endsWith('none') ? 404 : 200)
      expect([...found.values()].every(status => status < 500)).toBe(true)
      const anybodys = await askAll(name)
      expect(anybodys.get(name)).toBe(name === OPEN ? 200 : 404)
      const text = await (await server.revalidate(name)).text()
      expect(text).not.toContain('99.0.0')
    }
    for (const each of [recorder, mirrorRecorder, acmeRecorder]) {
      expect(each.everything).not.toContain('house-hosted')
    }
  })

  test('is in the log as far as everybody may see it', async () => {
    const size = Number((await get('-/sumdb/checkpoint')).split('\n')[1])
    const entries = await get(`-/sumdb/tile/entries/000.p/${size}`)
    expect(entries).toContain(OPEN)
    expect(entries).not.toContain(CLOSED)
  })

  const get = async (path: string) => await (await fetch(`${server.url}${path}`)).text()
})

describe.skipIf(!(await clientsAndServerReady()))(
  'a tree of a public and a private registry',
  () => {
    beforeAll(start, TEST_TIMEOUT_MS)
    afterAll(() => stack.disposeAsync())
    const INSTALLERS: Client[] = ['npm11', 'npm12', 'pnpm', 'yarn4', 'bun']

    test.each(INSTALLERS)(
      '%s installs it from both',
      async client => {
        await using project = await newProject({ [SECRET]: '1.0.0', react: '^18.0.0' })
        const run = await runClient(client, {
          dir: project.dir,
          registry: server.url,
          noRetries: true,
        })
        expect(run.exitCode, run.output).toBe(0)
        expect((await installedPackages(client, project.dir, run.home)).size).toBe(2)
        for (const other of [recorder, mirrorRecorder]) {
          expect(other.everything).not.toContain('skunkworks')
        }
      },
      TEST_TIMEOUT_MS,
    )

    test(
      'a planted copy at the public registry installs in none of them',
      async () => {
        await acmeRecorder[Symbol.asyncDispose]()
        registry.act({
          do: 'add-package',
          package: { name: SECRET, versions: [{ version: '99.0.0' }] },
        })
        mirror.act({
          do: 'add-package',
          package: { name: SECRET, versions: [{ version: '99.0.0' }] },
        })
        await server.restartWithEmptyCache()
        for (const client of INSTALLERS) {
          await using project = await newProject({ [SECRET]: '>=1.0.0' })
          const { dir } = project
          const options = { dir, registry: server.url, noRetries: true, timeoutMs: 8_000 }
          const run = await runClient(client, options)
          expect(run.exitCode, `${client}: ${run.output}`).not.toBe(0)
          expect((await installedPackages(client, dir, run.home)).size, client).toBe(0)
        }
        for (const other of [recorder, mirrorRecorder]) {
          expect(other.everything).not.toContain('skunkworks')
        }
      },
      TEST_TIMEOUT_MS,
    )
  },
)
