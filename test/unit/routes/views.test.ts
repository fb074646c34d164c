/**
 * Views that a token carries, through the front door. Goal: a view takes away and sends elsewhere,
 * and for whatever two views both serve, integrity and signature are the same.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { givenToken, operate } from '../../fixtures/accounts.ts'
import { errorOf, Instance, YARN_4 } from '../../fixtures/instance.ts'
import { Client } from '../../fixtures/publishing.ts'
import { serverOf } from '../../fixtures/mirrored.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

let stack: AsyncDisposableStack
let npm: FixtureRegistry
let acme: FixtureRegistry
let mirrors: FixtureRegistry[]
let instance: Instance

const NAMES = ['one', 'two', 'three', '@acme/four']

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const versions = [{ version: '1.0.0' }, { version: '1.1.0' }]
  const packages = ['one', 'two', 'three'].map(name => ({ name, versions }))
  npm = stack.use(startFixtureRegistry({ packages }))
  mirrors = [0, 1].map(() => stack.use(startFixtureRegistry({ packages })))
  const own = [{ name: '@acme/four', versions }]
  acme = stack.use(startFixtureRegistry({ packages: own, seed: 'acme' }))
  instance = stack.use(
    await Instance.start(npm.url, '', [
      ...mirrors.map(({ url }, i) => ({ name: `mirror-${i}`, url })),
      {
        name: 'acme',
        url: acme.url,
        kind: 'registry',
        namespace: 'acme.example',
        names: ['@acme/*'],
        tarballs: 'redirect',
      },
    ]),
  )
  for (const name of NAMES) await instance.packument(name)
})
afterEach(() => stack.disposeAsync())

async function headersFor(view: string): Promise<Record<string, string>> {
  const { authorization } = await givenToken(instance, { user: null, view })
  return { authorization }
}

async function givenView(name: string, settings: object): Promise<Record<string, string>> {
  await operate(instance, 'view/add', { name, ...settings })
  return await headersFor(name)
}

function keyidsOf(registry: FixtureRegistry): string[] {
  return registry.state.keys.map(({ keyid }) => keyid)
}

test('a registry of its own path without its slash is sent on to it', async () => {
  const answer = await instance.get('~/acme')
  expect(answer.status).toBe(308)
  expect(answer.headers.get('location')).toBe('/~/acme/')
  expect((await instance.get('~/nobody')).status).toBe(404)
})

describe('a view', () => {
  test('refuses names of registries that it does not trust, with the reason', async () => {
    const headers = await givenView('narrow', { registries: ['npm'] })
    expect((await instance.get('one', headers)).status).toBe(200)
    const asked = acme.requests.length
    for (const path of ['@acme/four', '@acme/four/1.0.0', '@acme/four/-/four-1.0.0.tgz']) {
      const refused = await instance.get(path, headers)
      expect(refused.status).toBe(403)
      expect((await errorOf(refused)).error).toContain('which the view narrow does not trust')
    }
    expect((await instance.get('~/acme/@acme/four', headers)).status).toBe(403)
    expect(acme.requests).toHaveLength(asked)
    expect((await instance.get('@acme/four')).status).toBe(200)
  })

  test('refuses versions that only other keys vouch for', async () => {
    const headers = await givenView('keys', { keys: keyidsOf(npm) })
    expect((await instance.packument('one', headers)).versions['1.0.0']?.deprecated).toBeUndefined()
    const refused = await instance.packument('@acme/four', headers)
    expect(refused.versions['1.0.0']?.deprecated).toContain('the view keys does not trust SHA256:')
    const manifest = await instance.get('@acme/four/1.0.0', headers)
    expect(manifest.status).toBe(403)
    expect((await instance.get('@acme/four/-/four-1.0.0.tgz', headers)).status).toBe(403)
    const common = await instance.packument('@acme/four')
    expect(common.versions['1.0.0']?.deprecated).toBeUndefined()
    const keys = await (await instance.get('-/npm/v1/keys', headers)).text()
    expect(keys).toContain(keyidsOf(npm)[0] ?? 'no key')
    expect(keys).not.toContain(keyidsOf(acme)[0] ?? 'no key')
  })

  test('sends clients to its own mirrors, in its order', async () => {
    const placed = async (headers: Record<string, string>) => {
      const sent = await instance.get('one/-/one-1.0.0.tgz', headers)
      return serverOf(sent.headers.get('location') ?? '')
    }
    const first = await givenView('first', { mirrors: { npm: ['mirror-1', 'mirror-0'] } })
    const last = await givenView('last', { mirrors: { npm: ['mirror-0'] } })
    const none = await givenView('none', { mirrors: { npm: [] } })
    expect(await placed(first)).toBe(mirrors[1]?.url ?? '')
    expect(await placed(last)).toBe(mirrors[0]?.url ?? '')
    expect(await placed(none)).toBe(npm.url)
    await mirrors[1]?.goAway('refuse')
    await Bun.sleep(60)
    expect(await placed(first)).toBe(mirrors[0]?.url ?? '')
  })

  test('has its own rules for serving', async () => {
    const headers = await givenView('strict', {})
    const rules = [{ match: 'one', action: 'deny', reason: 'not for this team' }]
    await operate(instance, 'policy/set', { view: 'strict', rules })
    const refused = await instance.packument('one', headers)
    expect(refused.versions['1.0.0']?.deprecated).toContain('not for this team')
    expect((await instance.packument('one')).versions['1.0.0']?.deprecated).toBeUndefined()
  })

  test('has the dist-tags of its own packuments, also of what lives here', async () => {
    const names = ['@home/*']
    await operate(instance, 'upstream/set', { name: 'hosted', settings: { names }, confirm: [] })
    const ann = await Client.named(instance, 'ann')
    for (const version of ['1.0.0', '1.1.0']) {
      const access = 'restricted'
      expect((await ann.publish({ name: '@home/five', version, access })).status).toBe(201)
    }
    const headers = await givenView('tags', { registries: ['npm', 'hosted'] })
    await Client.named(instance, 'eve')
    const inView = async (user: string) => {
      const { authorization } = await givenToken(instance, { view: 'tags', scopes: ['read'], user })
      return { authorization }
    }
    const rules = ['one', '@home/five'].map(name => {
      return { match: `${name}@1.1.0`, action: 'deny', reason: 'not for this team' }
    })
    await operate(instance, 'policy/set', { view: 'tags', rules })
    const tagsOf = async (name: string, by = headers, at = '') => {
      const path = `${at}-/package/${name.replace('/', '%2f')}/dist-tags`
      const answer = await instance.get(path, by)
      return { status: answer.status, tags: answer.ok ? await answer.json() : null }
    }
    const [old, newest] = [{ latest: '1.0.0' }, { latest: '1.1.0' }]
    expect(await tagsOf('one')).toEqual({ status: 200, tags: old })
    expect((await instance.packument('one', headers))['dist-tags']).toEqual(old)
    expect(await tagsOf('one', headers, '~/npm/')).toEqual({ status: 200, tags: old })
    expect(await tagsOf('two')).toEqual({ status: 200, tags: newest })
    expect(await tagsOf('one', {})).toEqual({ status: 200, tags: newest })
    expect(await tagsOf('one', {}, '~/npm/')).toEqual({ status: 200, tags: newest })
    expect((await tagsOf('@acme/four')).status).toBe(403)
    expect(await tagsOf('@acme/four', {})).toEqual({ status: 200, tags: newest })
    expect(await tagsOf('@home/five', await inView('ann'))).toEqual({ status: 200, tags: old })
    for (const by of [{}, await inView('eve')]) {
      expect((await tagsOf('@home/five', by)).status).toBe(404)
    }
    expect((await tagsOf('none')).status).toBe(404)
  })

  test('is met by the next request when it changes, and by 403 when it is removed', async () => {
    const headers = await givenView('changing', { registries: ['npm'] })
    expect((await instance.get('@acme/four', headers)).status).toBe(403)
    const settings = { registries: null }
    await operate(instance, 'view/set', { name: 'changing', settings })
    expect((await instance.get('@acme/four', headers)).status).toBe(200)
    await operate(instance, 'view/remove', { name: 'changing' })
    await operate(instance, 'view/add', { name: 'another' })
    const gone = await instance.get('one', headers)
    expect(gone.status).toBe(403)
    expect((await errorOf(gone)).error).toContain('the view changing of this token is no more')
  })

  test('answers vary by authorization when there are views, and only then', async () => {
    const varies = async () => (await instance.get('one')).headers.get('vary') ?? ''
    expect(await varies()).not.toContain('authorization')
    const headers = await givenView('seen', {})
    expect(await varies()).toContain('authorization')
    expect((await instance.get('one', headers)).headers.get('vary')).toContain('authorization')
    await operate(instance, 'view/remove', { name: 'seen' })
    expect(await varies()).not.toContain('authorization')
  })

  test('names what exists, or is not saved', async () => {
    const wrong: [object, RegExp][] = [
      [{ registries: ['nobody'] }, /no registry nobody/],
      [{ registries: ['mirror-0'] }, /no registry mirror-0/],
      [{ keys: ['SHA256:none'] }, /no key/],
      [{ mirrors: { npm: ['acme'] } }, /npm has no mirror acme/],
      [{ mirrors: { nobody: [] } }, /no registry nobody/],
    ]
    for (const [settings, reason] of wrong) {
      const added = operate(instance, 'view/add', { name: 'wrong', ...settings })
      expect(added).rejects.toThrow(reason)
    }
    expect(operate(instance, 'view/add', { name: 'No' })).rejects.toThrow(/no name/)
    await operate(instance, 'view/add', { name: 'once' })
    expect(operate(instance, 'view/add', { name: 'once' })).rejects.toThrow(/already/)
    expect(await operate(instance, 'view/list', {})).toHaveLength(1)
  })
})

test('for any two views, what both serve has the same integrity and signatures', async () => {
  const keyids = [...keyidsOf(npm), ...keyidsOf(acme)]
  const headers = await givenView('any', {})
  const settings = fc.record({
    registries: fc.option(fc.subarray(['npm', 'acme'])),
    keys: fc.option(fc.subarray(keyids)),
    mirrors: fc.constantFrom<Record<string, string[]>>({}, { npm: [] }, { npm: ['mirror-1'] }),
  })
  const servedIn = async (view: object): Promise<Map<string, string>> => {
    await operate(instance, 'view/set', { name: 'any', settings: view })
    const served = new Map<string, string>()
    for (const name of NAMES) {
      const agent = { 'user-agent': YARN_4, ...headers }
      if ((await instance.get(name, agent)).status !== 200) continue
      const { versions } = await instance.packument(name, agent)
      for (const [version, { dist, deprecated }] of Object.entries(versions)) {
        if (deprecated !== undefined) continue
        const { integrity, signatures, tarball } = dist
        served.set(`${name}@${version}`, JSON.stringify({ integrity, signatures, tarball }))
      }
    }
    return served
  }
  const all = await servedIn({ registries: null, keys: null, mirrors: {} })
  expect(all.size).toBe(8)
  await fc.assert(
    fc.asyncProperty(settings, settings, async (a, b) => {
      const [one, two] = [await servedIn(a), await servedIn(b)]
      for (const [version, dist] of one) {
        expect(all.get(version)).toBe(dist)
        expect(two.get(version) ?? dist).toBe(dist)
      }
    }),
    { numRuns: 12 },
  )
}, 20_000)
