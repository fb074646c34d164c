/**
 * Two registries behind one front door: each name goes to exactly one of them, and the other is
 * never told of it. Goal: dependency confusion, and changes while requests run.
 */
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { Log } from '../../../../src/log/log.ts'
import { Instance, YARN_4 } from '../../../fixtures/instance.ts'
import { Recorder } from '../../../fixtures/recorder.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../../fixtures/registry.ts'
import { Shell } from '../../cli/upstream-shell.ts'
import { until } from '../../../fixtures/patience.ts'

const BULK = '-/npm/v1/security/advisories/bulk'
const TREE = '-/npm/v1/security/audits'
const SECRET_NAME = /@acme|acme-internal/

let open: FixtureRegistry
let acme: FixtureRegistry
let atOpen: Recorder
let atAcme: Recorder
let instance: Instance
let shell: Shell

beforeEach(async () => {
  open = startFixtureRegistry()
  acme = startFixtureRegistry({
    seed: 'acme',
    packages: [
      { name: '@acme/tool', versions: [{ version: '1.0.0' }] },
      { name: 'acme-internal', versions: [{ version: '1.0.0' }] },
      { name: 'alpha', versions: [{ version: '99.0.0' }] },
    ],
  })
  // The public registry has planted packages under the private names.
  open.act({ do: 'add-package', package: { name: '@acme/tool', versions: [{ version: '9.9.9' }] } })
  atOpen = new Recorder(open)
  atAcme = new Recorder(acme)
  instance = await Instance.start(atOpen.url)
  shell = new Shell(instance.dataDir)
  const added = await shell.upstream(
    'add',
    'acme',
    atAcme.url,
    '--yes',
    '--names',
    '@acme/*',
    'acme-internal',
  )
  expect(added).toMatchObject({ code: 0 })
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  for (const each of [atOpen, atAcme, open, acme]) await each[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
})

async function post(path: string, body: string, headers: Record<string, string> = {}) {
  return await fetch(`${instance.url}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

describe('packuments, tarballs and lookups', () => {
  test('a table that was saved is in effect, also when the log cannot show itself', async () => {
    using struck = spyOn(Log.prototype, 'publish').mockImplementationOnce(() => {
      throw new Error('no space is left')
    })
    expect(await shell.upstream('set', 'acme', '--names', '@acme/*')).not.toMatchObject({ code: 0 })
    expect(struck).toHaveBeenCalled()
    expect((await instance.get('acme-internal')).status).toBe(404)
    expect(atAcme.everything).not.toContain('acme-internal')
  })

  test('a name is asked of its own registry; what another one has of it is never offered', async () => {
    expect(Object.keys((await instance.packument('@acme/tool')).versions)).toEqual(['1.0.0'])
    expect((await instance.packument('alpha')).versions).not.toHaveProperty(['99.0.0'])
    expect((await instance.get('alpha/-/alpha-99.0.0.tgz')).status).toBe(404)
    expect((await instance.get('@acme/tool/-/tool-9.9.9.tgz')).status).toBe(404)
    expect((await instance.get('-/sumdb/lookup/alpha@99.0.0')).status).toBe(404)
    const { host } = new URL(atAcme.url)
    const lookup = await (await instance.get('-/sumdb/lookup/@acme/tool@1.0.0')).text()
    expect(lookup).toContain(`${host}/@acme/tool@1.0.0 `)
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
    expect(atAcme.everything).not.toContain('alpha')
  })

  test('nothing falls through to another registry on a 404 or an outage', async () => {
    expect((await instance.get('@acme/none')).status).toBe(404)
    expect((await instance.get('-/sumdb/lookup/@acme/none@1.0.0')).status).toBe(404)
    await atAcme[Symbol.asyncDispose]()
    for (const path of [
      '@acme/tool',
      '@acme/tool/1.0.0',
      '@acme/tool/-/tool-9.9.9.tgz',
      'acme-internal',
      '-/sumdb/lookup/@acme/tool@9.9.9',
    ]) {
      expect((await instance.get(path, { 'user-agent': YARN_4 })).status).toBe(503)
    }
    expect((await instance.get('alpha')).status).toBe(200)
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
  })

  test('tarball URLs of a further registry are ours, answered by its own', async () => {
    const packument = await instance.packument('@acme/tool')
    const tarball = packument.versions['1.0.0']?.dist.tarball ?? ''
    expect(tarball).toBe(`${instance.url}@acme/tool/-/tool-1.0.0.tgz`)
    const sent = await fetch(tarball, { redirect: 'manual', headers: { 'user-agent': 'npm/11' } })
    expect(sent.status).toBe(302)
    expect(sent.headers.get('location')).toStartWith(acme.url)
  })
})

describe('search', () => {
  test.each(['@acme/tool', '@acme', '@acme/', 'acme-internal', 'scope:acme', '"@ACME/tool" x'])(
    'words that name what another registry owns go to it alone: %s',
    async text => {
      const query = new URLSearchParams({ text })
      expect((await instance.get(`-/v1/search?${query}`)).status).toBe(200)
      expect(atAcme.everything).toContain('/-/v1/search')
      expect(atOpen.everything).not.toContain('/-/v1/search')
    },
  )

  test('other words go to the main registry', async () => {
    expect((await instance.get('-/v1/search?text=alpha')).status).toBe(200)
    expect(atOpen.everything).toContain('/-/v1/search?text=alpha')
    expect(atAcme.everything).not.toContain('alpha')
  })
})

describe('audits', () => {
  test('a bulk audit is cut by owner, plain or compressed', async () => {
    const question = JSON.stringify({ 'alpha': ['1.0.0'], '@acme/tool': ['1.0.0'] })
    for (const isPacked of [false, true]) {
      const answer = isPacked
        ? await fetch(`${instance.url}${BULK}`, {
            method: 'POST',
            body: Bun.gzipSync(question),
            headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
          })
        : await post(BULK, question)
      const advisories: unknown = await answer.json()
      expect(advisories).toMatchObject({
        'alpha': [{ url: atOpen.url }],
        '@acme/tool': [{ url: atAcme.url }],
      })
      // The open registry owns every other name, so its word about one counts; acme's does not.
      expect(advisories).toHaveProperty(['not-asked', 0, 'url'], atOpen.url)
    }
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
    expect(atAcme.everything).not.toContain('alpha')
  })

  test('a tree is cut by owner; what was below a foreign package is still asked about', async () => {
    const tree = {
      name: '@acme/app',
      version: '1.0.0',
      requires: { 'alpha': '1', '@acme/tool': '1' },
      dependencies: {
        'alpha': { version: '1.0.0', requires: { beta: '1' } },
        '@acme/tool': {
          version: '1.0.0',
          requires: { beta: '2', alpha: '2' },
          dependencies: { alpha: { version: '2.0.0' }, beta: { version: '2.0.0' } },
        },
      },
    }
    const answer: unknown = await (await post(TREE, JSON.stringify(tree))).json()
    expect(answer).toMatchObject({ metadata: { dependencies: 4, vulnerabilities: { high: 4 } } })
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
    expect(atOpen.everything).toContain('2.0.0')
    expect(atAcme.everything).toContain('@acme/app')
    expect(atAcme.everything).not.toMatch(/alpha|beta/)
  })

  test('a registry without audits leaves its names out; one that is down fails the audit', async () => {
    const question = JSON.stringify({ 'alpha': ['1.0.0'], '@acme/tool': ['1.0.0'] })
    atAcme.auditStatus = 404
    const partial = await post(BULK, question)
    expect(partial.status).toBe(200)
    expect(await partial.json()).not.toHaveProperty(['@acme/tool'])
    await atAcme[Symbol.asyncDispose]()
    expect((await post(BULK, question)).status).toBe(503)
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
  })

  test.each([
    '[]',
    'null',
    '{',
    '1',
    `${'{"dependencies":{"a":'.repeat(300)}{}${'}}'.repeat(300)}`,
  ])('nonsense is refused here: %#', async body => {
    expect((await post(TREE, body)).status).toBe(400)
  })
})

describe('changes while it runs', () => {
  test('names that move are asked of their new owner at once', async () => {
    await instance.packument('beta')
    acme.act({ do: 'add-package', package: { name: 'beta', versions: [{ version: '7.0.0' }] } })
    const { code } = await shell.upstream('set', 'acme', '--names', '@acme/*', 'beta')
    expect(code).toBe(0)
    expect(Object.keys((await instance.packument('beta')).versions)).toEqual(['7.0.0'])
    expect((await shell.upstream('set', 'acme', '--names', '@acme/*')).code).toBe(0)
    expect((await instance.packument('beta')).versions).not.toHaveProperty(['7.0.0'])
  })

  test('another place: what was cached of the old one is gone', async () => {
    await instance.packument('@acme/tool')
    const moved = startFixtureRegistry({
      seed: 'acme',
      packages: [{ name: '@acme/tool', versions: [{ version: '1.0.0' }, { version: '2.0.0' }] }],
    })
    const set = await shell.upstream('set', 'acme', '--url', moved.url, '--yes')
    expect(set).toMatchObject({ code: 0 })
    expect((await instance.packument('@acme/tool')).versions).toHaveProperty(['2.0.0'])
    await moved.goAway('refuse')
    // Also its last answer: the one of the old place never comes back.
    expect((await instance.get('@acme/tool')).status).toBe(200)
    await moved[Symbol.asyncDispose]()
  })

  test('a request under way is answered, by whoever owns the name when it ends', async () => {
    open.act({ do: 'delay', path: '/gamma', ms: 1_500 })
    acme.act({ do: 'add-package', package: { name: 'gamma', versions: [{ version: '5.0.0' }] } })
    const before = instance.packument('gamma')
    await until(() => open.count('/gamma') > 0)
    expect((await shell.upstream('set', 'acme', '--names', '@acme/*', 'gamma')).code).toBe(0)
    expect(Object.keys((await before).versions)).toEqual(['5.0.0'])
    expect(Object.keys((await instance.packument('gamma')).versions)).toEqual(['5.0.0'])
  })

  test('a removed registry is not asked again, its names go to no other by themselves', async () => {
    await instance.packument('acme-internal')
    expect((await shell.upstream('set', 'npm', '--names', 'alpha')).code).toBe(0)
    expect((await shell.upstream('remove', 'acme')).code).toBe(0)
    const heard = atAcme.heard.length
    expect((await instance.get('acme-internal')).status).toBe(404)
    expect((await instance.get('@acme/tool')).status).toBe(404)
    expect(atAcme.heard).toHaveLength(heard)
    expect(atOpen.everything).not.toMatch(SECRET_NAME)
  })
})
