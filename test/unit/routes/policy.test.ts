/**
 * Rules for serving through the front door: what a client gets, before, while and after a version
 * is held back, with rules that change while the server runs and a clock that a test turns.
 */
import { afterEach, beforeEach, describe, expect, setSystemTime, test } from 'bun:test'
import { errorOf, FRESH, Instance, YARN_1 } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { Shell } from '../cli/upstream-shell.ts'

const DAY_MS = 86_400_000
/** Checks of one package are at least this far apart (freshness.ts, FORCED_CHECK_MS_MIN). */
const NEXT_CHECK_MS = 1050
const START = new Date('2026-11-22T08:30:00Z')

const PACKAGES = [
  { name: 'lib', versions: [{ version: '1.0.0' }, { version: '1.1.0' }, { version: '2.0.0' }] },
  { name: '@acme/tool', versions: [{ version: '1.0.0' }] },
]

let upstream: FixtureRegistry
let instance: Instance
let shell: Shell

beforeEach(async () => {
  setSystemTime(START)
  upstream = startFixtureRegistry({ packages: PACKAGES })
  instance = await Instance.start(upstream.url)
  shell = new Shell(instance.dataDir)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
  setSystemTime()
})

function later(ms: number): void {
  setSystemTime(new Date(Date.now() + ms))
}

async function set(...args: string[]): Promise<void> {
  const { code, err } = await shell.run('policy', 'set', ...args)
  expect({ code, err }).toEqual({ code: 0, err: '' })
}

/** Publishes a version and asks for it, so that it is first seen now. */
async function publish(name: string, version: string): Promise<void> {
  upstream.act({ do: 'publish', name, spec: { version } })
  later(NEXT_CHECK_MS)
  await instance.packument(name, FRESH)
}

async function expectRefused(name: string, version: string, end: string): Promise<string> {
  const packument = await instance.packument(name)
  const [code = ''] = end.split('-until-')
  const blocked = `${instance.url}-/blocked/${name}@${version}/${end}`
  const tombstone = packument.versions[version]
  expect(tombstone?.dist.tarball).toBe(blocked)
  expect(packument.policyRestrictions?.versions).toHaveProperty([version])
  expect(Object.values(packument['dist-tags'])).not.toContain(version)
  const file = `${name.split('/').at(-1)}-${version}.tgz`
  for (const path of [
    `${name}/${version}`,
    `${name}/-/${file}`,
    blocked.slice(instance.url.length),
  ]) {
    const response = await instance.get(path)
    expect([path, response.status]).toEqual([path, 403])
    const body = await errorOf(response)
    expect(body.reason).toBe(code)
    expect(body.error).toContain(blocked)
    expect(body.error).toBe(tombstone?.deprecated ?? '')
  }
  const yarn = await instance.packument(name, { 'user-agent': YARN_1 })
  expect(yarn.versions).not.toHaveProperty([version])
  return tombstone?.deprecated ?? ''
}

/** A registry in front of another one that names a provenance of one version. */
function provingProxy(to: string, version: string): { url: string } & AsyncDisposable {
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      const text = await (await fetch(`${to}${pathname.slice(1)}`)).text()
      const provenance = { predicateType: 'https://slsa.dev/provenance/v1' }
      const attestations = JSON.stringify({ url: 'x', provenance })
      const file = `lib-${version}.tgz"`
      const headers = { 'content-type': 'application/json' }
      return new Response(text.replace(file, `${file},"attestations":${attestations}`), { headers })
    },
  })
  return { url: server.url.href, [Symbol.asyncDispose]: () => server.stop(true) }
}

describe('a quarantine', () => {
  beforeEach(async () => {
    await instance.packument('lib')
    await publish('lib', '2.1.0')
  })

  test('holds what appeared here, says until when, and ends by itself', async () => {
    const free = await instance.get('lib')
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.1.0')
    await set('--match', '**', '--action', 'quarantine', '--min-age', '7d', '--reason', 'new')
    const sentence = await expectRefused('lib', '2.1.0', 'quarantined-until-2026-11-29')
    expect(sentence).toContain('quarantined until 2026-11-29 by rule 1 (**): new')
    const held = await instance.packument('lib')
    expect(held['dist-tags']['latest']).toBe('2.0.0')
    expect(held.versions['1.1.0']?.dist.tarball).toContain('lib-1.1.0.tgz')
    const etag = (await instance.get('lib')).headers.get('etag') ?? ''
    expect(etag).not.toBe(free.headers.get('etag'))
    expect((await instance.get('lib', { 'if-none-match': etag })).status).toBe(304)
    later(7 * DAY_MS)
    const after = await instance.get('lib', { 'if-none-match': etag })
    expect(after.status).toBe(200)
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.1.0')
    expect((await instance.get('lib/2.1.0')).status).toBe(200)
    expect((await instance.get('lib/-/lib-2.1.0.tgz')).status).toBe(302)
    const gone = await instance.get('-/blocked/lib@2.1.0/quarantined-until-2026-11-29')
    expect(gone.status).toBe(404)
    expect((await errorOf(gone)).error).toContain('ask for it again')
  })

  test('ends on the second also while its registry is down and nothing was asked again', async () => {
    await set('--match', '**', '--action', 'quarantine', '--min-age', '60m')
    await expectRefused('lib', '2.1.0', 'quarantined-until-2026-11-22')
    await upstream.goAway('refuse')
    const seen = Date.parse('2026-11-22T08:30:01Z')
    setSystemTime(new Date(seen + 3_600_000 - 1))
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.0.0')
    setSystemTime(new Date(seen + 3_600_000))
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.1.0')
  })

  test('counts from the day of publication for what was there at first sight', async () => {
    await set('--match', '**', '--action', 'quarantine', '--min-age', '3650d')
    const packument = await instance.packument('lib')
    expect(packument.versions['1.0.0']?.dist.tarball).toContain('/quarantined-until-20')
    expect(packument.versions['1.0.0']?.dist.tarball).toContain('-until-2029-12-29')
  })

  test('stays over a restart with an empty cache, and changes no bytes', async () => {
    await set('--match', '**', '--action', 'quarantine', '--min-age', '7d')
    const before = await instance.get('lib')
    const text = await before.text()
    await instance.restart({ wipeCache: true })
    const after = await instance.get('lib')
    expect(await after.text()).toBe(text)
    expect(after.headers.get('etag')).toBe(before.headers.get('etag'))
  })

  test('is lifted by an earlier rule that allows, at once', async () => {
    await set('--match', '**', '--action', 'quarantine', '--min-age', '7d')
    await expectRefused('lib', '2.1.0', 'quarantined-until-2026-11-29')
    await set('--match', 'lib@2.1.0', '--action', 'allow', '--at', '1')
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.1.0')
    expect((await instance.get('lib/-/lib-2.1.0.tgz')).status).toBe(302)
  })

  test('makes no incident, and its page tells the rule', async () => {
    await set('--match', '**', '--action', 'quarantine', '--min-age', '7d', '--reason', '<i>x')
    await expectRefused('lib', '2.1.0', 'quarantined-until-2026-11-29')
    expect((await shell.run('incident', 'list', '--all')).out).toBe('no incidents\n')
    const path = '-/blocked/lib@2.1.0/quarantined-until-2026-11-29'
    expect(await (await instance.get(path)).json()).toMatchObject({
      firstSeen: expect.stringContaining('2026-11-22'),
      evidence: {
        rule: { match: '**', action: 'quarantine', minAge: '7d', reason: '<i>x' },
        place: 1,
        age: { by: 'seen' },
        until: '2026-11-29T08:30:01Z',
      },
    })
    const page = await (await instance.get(path, { accept: 'text/html' })).text()
    expect(page).toContain('&lt;i&gt;x')
    expect(page).not.toContain('<i>x')
  })
})

describe('other rules', () => {
  test('a denied range, with what is left of it', async () => {
    await set('--match', 'lib@>=2', '--action', 'deny', '--reason', 'not ready for it')
    const sentence = await expectRefused('lib', '2.0.0', 'denied')
    expect(sentence).toContain('denied by rule 1 (lib@>=2): not ready for it')
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('1.1.0')
    await set('--remove', 'lib@>=2')
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.0.0')
  })

  test('a signature can be asked for', async () => {
    await set('--match', 'lib', '--action', 'allow', '--require-signature')
    expect((await instance.packument('lib'))['dist-tags']['latest']).toBe('2.0.0')
    await using plain = startFixtureRegistry({ packages: PACKAGES, seed: 'plain' })
    plain.act({ do: 'keys', answer: 'missing' })
    await using other = await Instance.start(plain.url)
    using otherShell = new Shell(other.dataDir)
    await other.packument('lib')
    await otherShell.run(
      'policy',
      'set',
      '--match',
      '**',
      '--action',
      'allow',
      '--require-signature',
    )
    const { versions } = await other.packument('lib')
    expect(versions['2.0.0']?.dist.tarball).toBe(`${other.url}-/blocked/lib@2.0.0/unsigned`)
    expect(versions['2.0.0']?.deprecated).toContain('asks for a signature of its registry')
    const blocked = await other.get('-/blocked/lib@2.0.0/unsigned')
    expect([blocked.status, (await errorOf(blocked)).reason]).toEqual([403, 'unsigned'])
  })

  test('provenance can be asked for: what its registry named when a version was recorded', async () => {
    await using proving = provingProxy(upstream.url, '1.1.0')
    await using other = await Instance.start(proving.url)
    using otherShell = new Shell(other.dataDir)
    await other.packument('lib')
    await otherShell.run(
      'policy',
      'set',
      '--match',
      '**',
      '--action',
      'allow',
      '--require-provenance',
    )
    const packument = await other.packument('lib')
    expect(packument['dist-tags']['latest']).toBe('1.1.0')
    expect(packument.versions['2.0.0']?.dist.tarball).toContain('/no-provenance')
    expect((await other.get('lib/1.1.0')).status).toBe(200)
    expect((await errorOf(await other.get('lib/2.0.0'))).error).toContain('asks for provenance')
  })

  test('no rule lifts what was refused for its bytes or its signature', async () => {
    await instance.packument('lib')
    upstream.act({ do: 'swap', name: 'lib', version: '1.1.0' })
    upstream.act({ do: 'forge-signature', how: 'other-key', name: '@acme/tool', version: '1.0.0' })
    later(NEXT_CHECK_MS)
    await instance.packument('lib', FRESH)
    await set('--match', '**', '--action', 'allow', '--reason', 'everything')
    for (const [path, code] of [
      ['lib/1.1.0', 'conflict'],
      ['lib/-/lib-1.1.0.tgz', 'conflict'],
      ['@acme/tool/1.0.0', 'bad-signature'],
      ['@acme/tool/-/tool-1.0.0.tgz', 'bad-signature'],
    ] as const) {
      const response = await instance.get(path)
      expect([path, response.status, (await errorOf(response)).reason]).toEqual([path, 403, code])
    }
  })

  test('where nothing is left the packument still says why', async () => {
    await set('--match', '@acme/*', '--action', 'deny')
    const packument = await instance.packument('@acme/tool')
    expect(packument['dist-tags']).toEqual({ latest: '1.0.0' })
    expect(packument.versions['1.0.0']?.dist.tarball).toContain('/denied')
  })
})
