/**
 * Strict mode, odd places of tarballs and further origins, through the front door. Goal: in strict
 * mode nobody is offered a version whose manifest is not that of its bytes, and everybody is told
 * why.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, FRESH, Instance, type NewUpstream, YARN_4 } from '../../fixtures/instance.ts'
import { placeOf, startMirrored } from '../../fixtures/mirrored.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { Shell } from '../cli/upstream-shell.ts'
import { until } from '../../fixtures/patience.ts'

const NEXT_CHECK_MS = 1050
const SINCE_EVER = '2020-01-01T00:00:00Z'
const PACKAGES = [
  { name: 'plain', versions: [{ version: '1.0.0' }, { version: '1.1.0' }] },
  { name: 'liar', versions: [{ version: '1.0.0' }, { version: '1.1.0' }] },
]
const EVIL = { scripts: { postinstall: 'node evil.js' }, dependencies: { evil: '1.0.0' } }

let cleanup: AsyncDisposableStack
beforeEach(() => {
  cleanup = new AsyncDisposableStack()
})
afterEach(() => cleanup.disposeAsync())

/** `npm` at a registry, with settings of its row. */
async function start(registry: FixtureRegistry, row: Partial<NewUpstream>): Promise<Instance> {
  const npm = { name: 'npm', kind: 'registry', url: registry.url, ...row } as const
  return cleanup.use(await Instance.start(registry.url, '', [npm]))
}

/** Asks until nothing of the package is being looked into any more. */
async function settled(instance: Instance, name: string) {
  let packument = await instance.packument(name)
  const isChecked = () => !JSON.stringify(packument).includes('/unchecked')
  await until(async () => {
    packument = await instance.packument(name)
    return isChecked()
  })
  if (!isChecked()) throw new Error(`${name} was never checked`)
  return { ...packument, text: JSON.stringify(packument) }
}

describe('strict mode', () => {
  test('a version is offered after its tarball was looked into, and not before', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const instance = await start(registry, { strictSince: SINCE_EVER })
    const first = await instance.packument('plain')
    expect(first.versions['1.1.0']?.dist.tarball).toBe(
      `${instance.url}-/blocked/plain@1.1.0/unchecked`,
    )
    expect(first.versions['1.1.0']?.deprecated).toContain('Try again in a moment')
    const { versions, ...rest } = await settled(instance, 'plain')
    expect(versions['1.1.0']?.dist.tarball).toContain('plain-1.1.0.tgz')
    expect(rest['dist-tags']['latest']).toBe('1.1.0')
    expect(registry.count('/plain/-/plain-1.1.0.tgz')).toBe(1)
    await instance.restart({ wipeCache: true })
    expect((await settled(instance, 'plain')).text).toContain('plain-1.1.0.tgz')
    expect(registry.count('/plain/-/plain-1.1.0.tgz')).toBe(1)
  })

  test('the exact version says that it is being looked into, and its page does too', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    registry.act({ do: 'delay', path: '/plain/-/plain-1.0.0.tgz', ms: 300 })
    const instance = await start(registry, { strictSince: SINCE_EVER })
    await instance.packument('plain')
    for (const path of ['plain/1.0.0', 'plain/-/plain-1.0.0.tgz']) {
      const response = await instance.get(path)
      expect(response.status).toBe(403)
      const { reason, error } = await errorOf(response)
      expect(reason).toBe('unchecked')
      expect(error).toContain('/-/blocked/plain@1.0.0/unchecked')
    }
    const page = await instance.get('-/blocked/plain@1.0.0/unchecked')
    expect(page.status).toBe(403)
    expect(await page.text()).toContain('strict mode')
    await settled(instance, 'plain')
    expect((await instance.get('plain/1.0.0')).status).toBe(200)
  })

  test('a manifest that is not that of the bytes is refused, with both as evidence', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    registry.act({ do: 'change-manifest', name: 'liar', version: '1.1.0', patch: EVIL })
    const instance = await start(registry, { strictSince: SINCE_EVER })
    await instance.packument('liar')
    const { versions, ...rest } = await settled(instance, 'liar')
    const tarball = versions['1.1.0']?.dist.tarball ?? ''
    expect(tarball).toBe(`${instance.url}-/blocked/liar@1.1.0/manifest-mismatch`)
    expect(rest['dist-tags']['latest']).toBe('1.0.0')
    const why = await (await fetch(tarball)).text()
    expect(why).toContain('node evil.js')
    expect(why).toContain(registry.integrityOf('liar', '1.1.0'))
    expect((await instance.get('liar/-/liar-1.1.0.tgz')).status).toBe(403)
    expect((await errorOf(await instance.get('liar/1.1.0'))).reason).toBe('manifest-mismatch')
    await instance.restart({ wipeCache: true })
    expect((await settled(instance, 'liar')).text).toContain('/manifest-mismatch')
  })

  test('without it the same version is served', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    registry.act({ do: 'change-manifest', name: 'liar', version: '1.1.0', patch: EVIL })
    const instance = await start(registry, {})
    const { versions } = await instance.packument('liar')
    expect(versions['1.1.0']?.dist.tarball).toContain('liar-1.1.0.tgz')
  })

  test('what was recorded before it was turned on goes on being offered', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().replace(/\.\d+/, '')
    const instance = await start(registry, { strictSince: tomorrow })
    const { versions } = await instance.packument('plain')
    expect(versions['1.1.0']?.dist.tarball).toContain('plain-1.1.0.tgz')
  })

  test('a tarball that cannot be had leaves the version refused, and the rest served', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    registry.act({ do: 'status', path: '/plain/-/plain-1.1.0.tgz', status: 404 })
    const instance = await start(registry, { strictSince: SINCE_EVER })
    await instance.packument('plain')
    await until(async () => {
      const { versions } = await instance.packument('plain')
      return versions['1.0.0']?.dist.tarball.includes('plain-1.0.0.tgz') === true
    })
    const { versions } = await instance.packument('plain')
    expect(versions['1.0.0']?.dist.tarball).toContain('plain-1.0.0.tgz')
    expect(versions['1.1.0']?.dist.tarball).toContain('/unchecked')
  })

  test('is turned on and off while the server runs, and everybody can see it', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const instance = await start(registry, {})
    const shell = cleanup.use(new Shell(instance.dataDir))
    await instance.packument('plain')
    // Records are dated by the second: these are older than strict mode.
    await Bun.sleep(NEXT_CHECK_MS)
    expect(await shell.upstream('set', 'npm', '--strict', 'on')).toMatchObject({ code: 0 })
    const parties = await (await instance.get('-/registries')).text()
    expect(parties).toMatch(/"strictSince":"20\d\d-/)
    await Bun.sleep(NEXT_CHECK_MS)
    registry.act({ do: 'publish', name: 'plain', spec: { version: '1.2.0' } })
    registry.act({ do: 'delay', path: '/plain/-/plain-1.2.0.tgz', ms: 5_000 })
    const { versions } = await instance.packument('plain', FRESH)
    expect(versions['1.2.0']?.dist.tarball).toContain('/unchecked')
    expect(versions['1.1.0']?.dist.tarball).toContain('plain-1.1.0.tgz')
    expect(await shell.upstream('set', 'npm', '--strict', 'off')).toMatchObject({ code: 0 })
    const after = await instance.packument('plain', FRESH)
    expect(after.versions['1.2.0']?.dist.tarball).toContain('plain-1.2.0.tgz')
  })

  test('a mirror that adds a script or a dependency to a signed version: nobody sees it', async () => {
    const { mirrors, instance } = await startMirrored(cleanup, { packages: PACKAGES }, 1)
    for (const mirror of mirrors) {
      mirror.act({ do: 'change-manifest', name: 'plain', version: '1.1.0', patch: EVIL })
    }
    for (const headers of [{}, FRESH, { 'user-agent': YARN_4 }]) {
      await Bun.sleep(headers === FRESH ? NEXT_CHECK_MS : 0)
      expect(await (await instance.get('plain', headers)).text()).not.toContain('evil')
      expect(await (await instance.get('plain/1.1.0', headers)).text()).not.toContain('evil')
    }
  })
})

describe('odd places', () => {
  /** The registry's documents, with other tarball URLs in them; `asked` hears what it was asked. */
  function rewriting(registry: FixtureRegistry, rewrite: (url: string) => string) {
    const asked: string[] = []
    const server: Bun.Server<undefined> = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url)
        asked.push(pathname + search)
        const odd = /^\/(?:odd|get)\/.*?([\w.-]+)-(\d+\.\d+\.\d+)/.exec(pathname)
        const path = odd === null ? pathname : `/${odd[1]}/-/${odd[1]}-${odd[2]}.tgz`
        const answer = await fetch(new URL(path.slice(1), registry.url))
        const type = answer.headers.get('content-type') ?? ''
        if (!type.includes('json'))
          return new Response(await answer.bytes(), { status: answer.status })
        const own = `http://127.0.0.1:${server.port}/`
        const text = (await answer.text()).replaceAll(registry.url, own)
        const urls = text.replaceAll(/"tarball":"([^"]+)"/g, (_, url: string) =>
          JSON.stringify({ tarball: rewrite(url) }).slice(1, -1),
        )
        return new Response(urls, { status: answer.status, headers: { 'content-type': type } })
      },
    })
    cleanup.defer(() => server.stop(true))
    return { asked, url: `http://127.0.0.1:${server.port}/` }
  }

  test.each([
    ['a file name of its own', (url: string) => url.replace('/plain/-/', '/odd/')],
    ['a query', (url: string) => `${url}?build=7`],
    ['another path', (url: string) => url.replace('/plain/-/', '/get/npm/plain/download/')],
  ])('a registry that keeps its tarballs under %s', async (_, rewrite) => {
    const behind = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const { url, asked } = rewriting(behind, rewrite)
    const instance = cleanup.use(await Instance.start(url))
    await instance.packument('plain')
    const place = rewrite(`${url}plain/-/plain-1.0.0.tgz`)
    expect(await placeOf(instance, 'plain')).toBe(place)
    const streamed = await instance.get('plain/-/plain-1.0.0.tgz', { 'user-agent': YARN_4 })
    expect(streamed.status).toBe(200)
    expect((await streamed.bytes()).length).toBeGreaterThan(50)
    expect(asked).toContain(place.slice(url.length - 1))
  })

  test('a mirror that keeps them at places of its own is asked there', async () => {
    const registry = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const behind = cleanup.use(startFixtureRegistry({ packages: PACKAGES }))
    const { url } = rewriting(behind, each => each.replace('/plain/-/', '/odd/'))
    const instance = cleanup.use(await Instance.start(registry.url, '', [{ name: 'm', url }]))
    await instance.packument('plain')
    const wanted = `${url}odd/plain-1.0.0.tgz`
    await until(async () => (await placeOf(instance, 'plain')) === wanted)
    expect(await placeOf(instance, 'plain')).toBe(wanted)
    const streamed = await instance.get('plain/-/plain-1.0.0.tgz', { 'user-agent': YARN_4 })
    expect(streamed.status).toBe(200)
    await streamed.bytes()
    await instance.restart()
    expect(await placeOf(instance, 'plain')).toBe(wanted)
  })

  test('another host is streamed from only when the operator listed it, and all see it', async () => {
    const options = { packages: PACKAGES, separateTarballs: true }
    const registry = cleanup.use(startFixtureRegistry(options))
    const tarballOrigins = [new URL(registry.tarballUrl).origin]
    const closed = await start(registry, {})
    const open = await start(registry, { tarballOrigins })
    const path = 'plain/-/plain-1.0.0.tgz'
    const refused = await closed.get(path, { 'user-agent': YARN_4 })
    expect(refused.status).toBe(502)
    expect((await errorOf(refused)).error).toContain('--tarball-origins')
    expect((await open.get(path, { 'user-agent': YARN_4 })).status).toBe(200)
    const parties = await (await open.get('-/registries')).json()
    expect(JSON.stringify(parties)).toContain(JSON.stringify(tarballOrigins))
  })

  test('origins are listed by a command; what is none is refused', async () => {
    const options = { packages: PACKAGES, separateTarballs: true }
    const registry = cleanup.use(startFixtureRegistry(options))
    const instance = await start(registry, {})
    const shell = cleanup.use(new Shell(instance.dataDir))
    const path = 'plain/-/plain-1.0.0.tgz'
    const streamed = async () => (await instance.get(path, { 'user-agent': YARN_4 })).status
    const set = (...origins: string[]) =>
      shell.upstream('set', 'npm', '--tarball-origins', ...origins)
    for (const bad of [
      'files.example',
      'http://files.example',
      'https://files.example/x',
      'ftp://a',
    ]) {
      expect(await set(bad)).toMatchObject({ code: 2 })
    }
    expect(await streamed()).toBe(502)
    expect(await set('https://files.example', registry.tarballUrl)).toMatchObject({ code: 0 })
    expect(await streamed()).toBe(200)
    expect(await set('none')).toMatchObject({ code: 0 })
    expect(await streamed()).toBe(502)
  })
})
