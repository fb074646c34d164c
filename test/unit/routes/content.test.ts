/**
 * Packages named by their bytes, through the front door. Goal: whoever names bytes gets exactly
 * these or an error, and nothing that is refused or not recorded.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, FRESH, Instance, YARN_4 } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const PNPM = 'pnpm/12.21.0 npm/? node/v24 linux x64'
/** A check is not repeated sooner (freshness.ts). */
const CHECK_MS = 120

let stack: AsyncDisposableStack
let npm: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance

function hexOf(registry: FixtureRegistry, name: string, version: string): string {
  return Buffer.from(registry.integrityOf(name, version).slice(7), 'base64').toString('hex')
}

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const versions = ['1.0.0', '1.1.0', '2.0.0'].map(version => ({ version }))
  npm = stack.use(startFixtureRegistry({ packages: [{ name: 'few', versions }] }))
  const own = [{ version: '1.0.0', files: { 'index.js': 'acme' } }]
  acme = stack.use(startFixtureRegistry({ packages: [{ name: 'few', versions: own }] }))
  instance = stack.use(
    await Instance.start(npm.url, '', [
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
  await instance.packument('few')
})
afterEach(() => stack.disposeAsync())

describe('@cas/sha512', () => {
  test('is a packument of the one version with these bytes', async () => {
    const name = `@cas/sha512-${hexOf(npm, 'few', '1.1.0')}`
    for (const path of [name, name.replace('/', '%2f'), name.replace('/', '%2F')]) {
      const packument = await instance.packument(path)
      expect(packument.name).toBe(name)
      expect(packument['dist-tags']).toEqual({ latest: '1.1.0' })
      expect(Object.keys(packument.versions)).toEqual(['1.1.0'])
      const dist = packument.versions['1.1.0']?.dist
      expect(dist?.integrity).toBe(npm.integrityOf('few', '1.1.0'))
      expect(dist?.tarball).toBe(`${instance.url}few/-/few-1.1.0.tgz`)
    }
    const manifest = await instance.get(`${name}/latest`)
    expect(await manifest.json()).toMatchObject({ name: 'few', version: '1.1.0' })
    expect((await instance.get(`${name}/1.0.0`)).status).toBe(404)
    const { headers } = await instance.get(name)
    const again = await instance.get(name, { 'if-none-match': headers.get('etag') ?? '' })
    expect(again.status).toBe(304)
  })

  test('finds the bytes of a registry that does not own their name', async () => {
    await instance.packument('~/acme/few')
    const packument = await instance.packument(`@cas/sha512-${hexOf(acme, 'few', '1.0.0')}`)
    const { tarball = '' } = packument.versions['1.0.0']?.dist ?? {}
    expect(tarball).toBe(`${instance.url}~/acme/few/-/few-1.0.0.tgz`)
    const bytes = await (await fetch(tarball)).bytes()
    const digest = new Bun.CryptoHasher('sha512').update(bytes).digest('hex')
    expect(digest).toBe(hexOf(acme, 'few', '1.0.0'))
  })

  test('a refused version is not to be had by its bytes either', async () => {
    const hex = hexOf(npm, 'few', '1.1.0')
    npm.act({ do: 'swap', name: 'few', version: '1.1.0' })
    await Bun.sleep(CHECK_MS)
    await instance.packument('few', FRESH)
    expect((await instance.get(`@cas/sha512-${hex}`)).status).toBe(404)
    expect((await instance.get(`@cas/sha512-${hexOf(npm, 'few', '1.1.0')}`)).status).toBe(404)
  })

  test('unknown bytes and malformed names are said to be so, and no registry hears of them', async () => {
    const asked = npm.requests.length
    const unknown = await instance.get(`@cas/sha512-${'0'.repeat(128)}`)
    expect(unknown.status).toBe(404)
    expect((await errorOf(unknown)).error).toContain('no version that is recorded here')
    for (const name of ['@cas/md5-00', '@cas/sha512-00', `@cas/sha512-${'A'.repeat(128)}`]) {
      const { status } = await instance.get(name)
      expect(status).toBe(400)
    }
    const lookup = await instance.get(`-/sumdb/lookup/@cas/sha512-${'0'.repeat(128)}@1.0.0`)
    expect(lookup.status).toBe(404)
    expect((await instance.get(`@cas/sha512-${'0'.repeat(128)}/-/x-1.0.0.tgz`)).status).toBe(404)
    expect(npm.requests).toHaveLength(asked)
  })
})

test('@cas/sha256 is known from when the bytes have passed through here', async () => {
  const tarball = npm.state.packages.get('few')?.versions.get('2.0.0')?.tarball
  const hex = new Bun.CryptoHasher('sha256').update(tarball ?? '').digest('hex')
  const before = await instance.get(`@cas/sha256-${hex}`)
  expect(before.status).toBe(404)
  expect((await errorOf(before)).error).toContain('SHA-512')
  const passed = await instance.get('few/-/few-2.0.0.tgz', { 'user-agent': YARN_4 })
  expect((await passed.bytes()).length).toBeGreaterThan(0)
  const packument = await instance.packument(`@cas/sha256-${hex}`)
  expect(packument.versions['2.0.0']?.dist.integrity).toBe(npm.integrityOf('few', '2.0.0'))
})

describe('the dist-tag of bytes', () => {
  test('is listed to whoever resolves, where there are few, and never to whoever writes', async () => {
    const plain = await instance.packument('few')
    expect(plain['dist-tags']).toEqual({ latest: '2.0.0' })
    const expected = ['1.0.0', '1.1.0', '2.0.0'].map(version => [
      `sha512-${hexOf(npm, 'few', version)}`,
      version,
    ])
    const all = { ...plain, 'dist-tags': { latest: '2.0.0', ...Object.fromEntries(expected) } }
    expect(await instance.packument('few', { 'npm-command': 'install' })).toEqual(all)
    const own = await instance.packument('few', { 'user-agent': PNPM })
    expect(own['dist-tags']).toEqual(all['dist-tags'])
    const response = await instance.get('few')
    expect(response.headers.get('vary')).toContain('user-agent, npm-command')
    expect(await instance.packument('few', { 'npm-command': 'deprecate' })).toEqual(plain)
    const written = await instance.packument('few?write=true', { 'user-agent': PNPM })
    expect(written['dist-tags']).toEqual({ latest: '2.0.0' })
  })

  test('is not listed where there are many, and leads to a manifest all the same', async () => {
    const many = Array.from({ length: 21 }, (_, i) => ({ version: `1.0.${i}` }))
    npm.act({ do: 'add-package', package: { name: 'many', versions: many } })
    const listed = await instance.packument('many', { 'user-agent': PNPM })
    expect(Object.keys(listed['dist-tags'])).toEqual(['latest'])
    const manifest = await instance.get(`many/sha512-${hexOf(npm, 'many', '1.0.7')}`)
    expect(await manifest.json()).toMatchObject({ name: 'many', version: '1.0.7' })
    expect((await instance.get(`many/sha512-${'0'.repeat(128)}`)).status).toBe(404)
  })

  test('a refused version has none', async () => {
    const tag = `sha512-${hexOf(npm, 'few', '1.1.0')}`
    npm.act({ do: 'swap', name: 'few', version: '1.1.0' })
    await Bun.sleep(CHECK_MS)
    const listed = (await instance.packument('few', { 'user-agent': PNPM, ...FRESH }))['dist-tags']
    expect(Object.values(listed)).not.toContain('1.1.0')
    const refused = await instance.get(`few/${tag}`)
    expect(refused.status).toBe(403)
    expect((await errorOf(refused)).reason).toBe('conflict')
  })
})
