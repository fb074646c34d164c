/**
 * `/~/<upstream>/` through the front door: a registry URL of its own that answers of exactly that
 * registry. Goal: two registries with the same name and version are both reachable, and neither
 * learns what belongs to the other.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, FRESH, Instance, YARN_4 } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const ACME = '~/acme/'
/** A check is not repeated sooner (freshness.ts). */
const CHECK_MS = 120

let stack: AsyncDisposableStack
let npm: FixtureRegistry
let acme: FixtureRegistry
let third: FixtureRegistry
let instance: Instance

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const twice = { name: 'twice', versions: [{ version: '1.0.0' }] }
  const secret = { name: '@third/secret', versions: [{ version: '1.0.0' }] }
  npm = stack.use(startFixtureRegistry({ packages: [twice, secret] }))
  const files = { 'index.js': 'another' }
  const other = { name: 'twice', versions: [{ version: '1.0.0', files }, { version: '1.1.0' }] }
  acme = stack.use(startFixtureRegistry({ packages: [other], seed: 'acme' }))
  third = stack.use(startFixtureRegistry({ packages: [secret], seed: 'third' }))
  const row = { kind: 'registry', tarballs: 'redirect' } as const
  instance = stack.use(
    await Instance.start(npm.url, '', [
      { ...row, name: 'acme', url: acme.url, namespace: 'acme.example', names: ['@acme/*'] },
      { ...row, name: 'third', url: third.url, namespace: 'third.example', names: ['@third/*'] },
    ]),
  )
})
afterEach(() => stack.disposeAsync())

describe('one registry alone', () => {
  test('both of two versions with one name are served, each by its registry', async () => {
    const common = await instance.packument('twice')
    const theirs = await instance.packument(`${ACME}twice`)
    expect(Object.keys(common.versions)).toEqual(['1.0.0'])
    expect(Object.keys(theirs.versions)).toEqual(['1.0.0', '1.1.0'])
    const [one, two] = [common, theirs].map(each => each.versions['1.0.0']?.dist)
    expect(one?.integrity).toBe(npm.integrityOf('twice', '1.0.0'))
    expect(two?.integrity).toBe(acme.integrityOf('twice', '1.0.0'))
    expect(one?.integrity).not.toBe(two?.integrity)
    expect(two?.tarball).toBe(`${instance.url}${ACME}twice/-/twice-1.0.0.tgz`)
    // Once more, from memory: neither has taken the other's place.
    expect(await instance.packument('twice')).toEqual(common)
    expect(await instance.packument(`${ACME}twice`)).toEqual(theirs)
    await instance.restart()
    expect(await instance.packument('twice')).toEqual(common)
    expect(await instance.packument(`${ACME}twice`)).toEqual(theirs)
  })

  test('its tarballs are its own, passed through or redirected', async () => {
    await instance.packument(`${ACME}twice`)
    const path = `${ACME}twice/-/twice-1.0.0.tgz`
    const sent = await instance.get(path)
    expect(sent.status).toBe(302)
    expect(sent.headers.get('location')).toBe(`${acme.url}twice/-/twice-1.0.0.tgz`)
    const passed = await instance.get(path, { 'user-agent': YARN_4 })
    const digest = new Bun.CryptoHasher('sha512').update(await passed.bytes()).digest('base64')
    expect(`sha512-${digest}`).toBe(acme.integrityOf('twice', '1.0.0'))
  })

  test('its records are its own, and a lockfile is verified against them', async () => {
    const record = async (path: string) => (await instance.get(path)).text()
    const common = await record('-/sumdb/lookup/twice@1.0.0')
    const theirs = await record(`${ACME}-/sumdb/lookup/twice@1.0.0`)
    expect(common).toContain(`npm/twice@1.0.0 ${npm.integrityOf('twice', '1.0.0')}`)
    expect(theirs).toContain(`acme.example/twice@1.0.0 ${acme.integrityOf('twice', '1.0.0')}`)
    expect(await record('-/sumdb/lookup/twice@1.0.0?ns=acme.example')).toContain('acme.example/')
    expect(await record(`${ACME}-/sumdb/vkey`)).toBe(`${instance.vkey}\n`)
  })

  test('its keys are its own and ours', async () => {
    const keyids = async (path: string) => {
      const body: { keys: { keyid: string }[] } = JSON.parse(
        await (await instance.get(path)).text(),
      )
      return body.keys.map(({ keyid }) => keyid)
    }
    await instance.packument('twice')
    await instance.packument(`${ACME}twice`)
    const theirs = acme.state.keys.map(({ keyid }) => keyid)
    const found = await keyids(`${ACME}-/npm/v1/keys`)
    expect(found).toEqual(expect.arrayContaining(theirs))
    expect(found).toHaveLength(theirs.length + 1)
    const all = await keyids('-/npm/v1/keys')
    expect(all).toEqual(expect.arrayContaining([...found, ...npm.state.keys.map(k => k.keyid)]))
    expect((await instance.get(`${ACME}-/ping`)).status).toBe(200)
  })

  test('what is refused of it says so below its URL', async () => {
    await instance.packument(`${ACME}twice`)
    acme.act({ do: 'swap', name: 'twice', version: '1.0.0' })
    await Bun.sleep(CHECK_MS)
    const packument = await instance.packument(`${ACME}twice`, FRESH)
    const { tarball = '' } = packument.versions['1.0.0']?.dist ?? {}
    expect(tarball).toBe(`${instance.url}${ACME}-/blocked/twice@1.0.0/conflict`)
    expect(packument['dist-tags']['latest']).toBe('1.1.0')
    const reason = await fetch(tarball)
    expect(reason.status).toBe(403)
    expect(await reason.text()).toContain('acme.example')
    const refused = await instance.get(`${ACME}twice/-/twice-1.0.0.tgz`)
    expect(refused.status).toBe(403)
    expect((await instance.packument('twice')).versions['1.0.0']?.deprecated).toBeUndefined()
  })

  test('a refusal that one reading finds is met by the other at once', async () => {
    acme.act({ do: 'cache-control', value: 'max-age=300' })
    npm.act({ do: 'cache-control', value: 'max-age=300' })
    expect((await instance.packument('~/npm/twice')).versions['1.0.0']?.deprecated).toBeUndefined()
    await instance.packument('twice')
    npm.act({ do: 'swap', name: 'twice', version: '1.0.0' })
    await Bun.sleep(CHECK_MS)
    const found = await instance.packument('twice', FRESH)
    expect(found.versions['1.0.0']?.deprecated).toContain('refused by')
    const other = await instance.packument('~/npm/twice')
    expect(other.versions['1.0.0']?.deprecated).toContain('refused by')
  })

  test('names of a third registry are in no audit and no search of it', async () => {
    const body = JSON.stringify({ 'twice': ['1.0.0'], '@third/secret': ['1.0.0'] })
    const audit = await fetch(`${instance.url}~/npm/-/npm/v1/security/advisories/bulk`, {
      method: 'POST',
      body,
    })
    expect(audit.status).toBe(200)
    expect(npm.count('/-/npm/v1/security/advisories/bulk')).toBe(1)
    expect((await instance.get('~/npm/-/v1/search?text=@third/secret')).status).toBe(200)
    expect(npm.count('/-/v1/search')).toBe(0)
    expect(third.requests).toEqual([])
    expect((await instance.get('~/npm/-/v1/search?text=twice')).status).toBe(200)
    expect(npm.count('/-/v1/search')).toBe(1)
  })

  test('an unknown registry is a 404 that says so, and nothing is written', async () => {
    const unknown = await instance.get('~/nobody/twice')
    expect(unknown.status).toBe(404)
    expect((await errorOf(unknown)).error).toContain('"nobody"')
    const put = await fetch(`${instance.url}${ACME}twice`, { method: 'PUT', body: '{}' })
    expect(put.status).toBeGreaterThanOrEqual(400)
    for (const { method } of acme.requests) expect(method).not.toBe('PUT')
  })

  test('works below a prefix of the public URL', async () => {
    await using below = await Instance.start(npm.url, '/npm')
    const { versions } = await below.packument('~/npm/twice', { 'user-agent': YARN_4 })
    expect(versions['1.0.0']?.dist.tarball).toBe(`${below.url}~/npm/twice/-/twice-1.0.0.tgz`)
    expect((await below.get('~/npm/-/ping')).status).toBe(200)
  })
})
