/**
 * Mirrors and tarball modes through the front door: who is chosen, and who sends the bytes.
 * Goal: a mirror carries bytes and nothing else: it changes no answer, and its death costs nothing.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FRESH, type Instance, YARN_4 } from '../../fixtures/instance.ts'
import { placeOf, serverOf, startMirrored } from '../../fixtures/mirrored.ts'

/** A sign of life of a mirror counts for less than this (mirror.ts). */
const ALIVE_MS = 50
const ASKED_AT_ONCE = 10
const ENDLESS = { do: 'cache-control', value: 'max-age=300' } as const

let cleanup: AsyncDisposableStack
beforeEach(() => {
  cleanup = new AsyncDisposableStack()
})
afterEach(() => cleanup.disposeAsync())

function packages(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    name: `package-${i}`,
    versions: [{ version: '1.0.0' }],
  }))
}

async function placesOf(instance: Instance, names: readonly string[]): Promise<string[]> {
  const places: string[] = []
  for (let i = 0; i < names.length; i += ASKED_AT_ONCE) {
    const some = names.slice(i, i + ASKED_AT_ONCE).map(name => placeOf(instance, name))
    places.push(...(await Promise.all(some)))
  }
  return places
}

describe('four mirrors of one registry', () => {
  test('each of 100 packages stays on its mirror, and each mirror serves some', async () => {
    const { mirrors, registry, instance } = await startMirrored(
      cleanup,
      { packages: packages(100) },
      4,
    )
    const names = packages(100).map(({ name }) => name)
    await Promise.all(names.map(name => instance.packument(name)))
    const first = await placesOf(instance, names)
    const shares = mirrors.map(({ url }) => first.filter(each => serverOf(each) === url).length)
    for (const share of shares) expect(share).toBeGreaterThan(10)
    expect(shares.reduce((sum, share) => sum + share, 0)).toBe(100)
    await instance.restart()
    expect(await placesOf(instance, names)).toEqual(first)
    const dead = mirrors[1]
    if (dead === undefined) throw new RangeError('mirrors')
    await dead.goAway('refuse')
    await Bun.sleep(ALIVE_MS)
    const without = await placesOf(instance, names)
    for (const [i, place] of without.entries()) {
      const before = serverOf(first[i] ?? '')
      if (before === dead.url) expect([dead.url, registry.url]).not.toContain(serverOf(place))
      else expect(place).toBe(first[i] ?? '')
    }
    for (const place of without) expect((await fetch(place)).status).toBe(200)
  }, 60_000)

  test('dist.tarball does not depend on who serves', async () => {
    const { mirrors, instance } = await startMirrored(cleanup, { packages: packages(3) }, 4)
    const before = await (await instance.get('package-1')).text()
    await placeOf(instance, 'package-1')
    for (const mirror of mirrors) await mirror.goAway('refuse')
    await placeOf(instance, 'package-1')
    expect(await (await instance.get('package-1', FRESH)).text()).toBe(before)
    expect(before).toContain(`${instance.url}package-1/-/package-1-1.0.0.tgz`)
  })

  test.each(['refuse', 'hang-up', 'black-hole'] as const)(
    'the registry itself serves when all of them are gone (%s)',
    async how => {
      const { mirrors, registry, instance } = await startMirrored(
        cleanup,
        { packages: packages(2) },
        4,
      )
      await instance.packument('package-0')
      for (const mirror of mirrors) await mirror.goAway(how)
      const started = performance.now()
      const place = await placeOf(instance, 'package-0')
      expect(performance.now() - started).toBeLessThan(2_000)
      expect(serverOf(place)).toBe(registry.url)
    },
  )

  test('what is missing on a mirror is lag: the next one serves, nothing is refused', async () => {
    const { mirrors, registry, instance } = await startMirrored(
      cleanup,
      { packages: packages(1) },
      4,
    )
    registry.act({ do: 'publish', name: 'package-0', spec: { version: '1.1.0' } })
    const last = mirrors[3]
    last?.act({ do: 'publish', name: 'package-0', spec: { version: '1.1.0' } })
    const { versions } = await instance.packument('package-0')
    expect(versions['1.1.0']?.dist.tarball).toContain('package-0-1.1.0.tgz')
    expect(serverOf(await placeOf(instance, 'package-0', '1.1.0'))).toBe(last?.url ?? '')
    last?.state.packages.clear()
    expect((await instance.packument('package-0', FRESH)).versions).toHaveProperty(['1.1.0'])
  })

  test('yarn 4 gets verified bytes through here, from a mirror or past a dead one', async () => {
    const { mirrors, registry, instance } = await startMirrored(
      cleanup,
      { packages: packages(1) },
      2,
    )
    await instance.packument('package-0')
    const path = 'package-0/-/package-0-1.0.0.tgz'
    const ask = async () => await (await instance.get(path, { 'user-agent': YARN_4 })).bytes()
    const bytes = await ask()
    expect(`sha512-${new Bun.CryptoHasher('sha512').update(bytes).digest('base64')}`).toBe(
      registry.integrityOf('package-0', '1.0.0'),
    )
    const served = mirrors.filter(mirror => mirror.count(`/${path}`) > 0)
    expect(served).toHaveLength(1)
    expect(registry.count(`/${path}`)).toBe(0)
    for (const mirror of mirrors) await mirror.goAway('refuse')
    expect(await ask()).toEqual(bytes)
    expect(registry.count(`/${path}`)).toBe(1)
  })

  test('a mirror that sends other bytes is cut, and not asked again', async () => {
    const { mirrors, registry, instance } = await startMirrored(
      cleanup,
      { packages: packages(1) },
      1,
    )
    await instance.packument('package-0')
    mirrors[0]?.act({ do: 'alter-tarball', name: 'package-0', version: '1.0.0' })
    const ask = async () => {
      const response = await instance.get('package-0/-/package-0-1.0.0.tgz', {
        'user-agent': YARN_4,
      })
      return Buffer.from(await response.bytes())
    }
    const good = Buffer.from(
      await (await fetch(`${registry.url}package-0/-/package-0-1.0.0.tgz`)).bytes(),
    )
    // A client may try a cut answer again by itself, as this one does when nothing has come yet.
    const first = await ask().catch(() => good)
    expect(first).toEqual(good)
    expect(mirrors[0]?.requests.some(({ method }) => method === 'GET')).toBe(true)
    expect(await ask()).toEqual(good)
    expect(serverOf(await placeOf(instance, 'package-0'))).toBe(registry.url)
    await instance.restart()
    expect(serverOf(await placeOf(instance, 'package-0'))).toBe(registry.url)
  })
})

describe('tarball modes', () => {
  const PLAIN = { name: 'plain', versions: [{ version: '1.0.0' }] }
  const FILE = 'plain/-/plain-1.0.0.tgz'
  const npmAs = (tarballs: 'canonical' | 'redirect' | 'upstream' | 'stream' | 'cache') => [
    { name: 'npm', url: '', kind: 'registry' as const, tarballs },
  ]

  test.each([
    ['canonical', 302],
    ['redirect', 302],
    ['upstream', 302],
    ['stream', 200],
    ['cache', 200],
  ] as const)(
    '%s answers a tarball with %d, and yarn 4 always with bytes',
    async (mode, status) => {
      const { registry, instance } = await startMirrored(
        cleanup,
        { packages: [PLAIN] },
        0,
        npmAs(mode),
      )
      registry.act(ENDLESS)
      const { versions } = await instance.packument('plain')
      const base = mode === 'upstream' ? registry.url : instance.url
      expect(versions['1.0.0']?.dist.tarball).toBe(base + FILE)
      expect((await instance.get(FILE)).status).toBe(status)
      const yarn = await instance.get(FILE, { 'user-agent': YARN_4 })
      expect(yarn.status).toBe(200)
      expect(Buffer.from(await yarn.bytes())).toEqual(
        Buffer.from(await (await fetch(registry.url + FILE)).bytes()),
      )
    },
  )

  test('HEAD says how long bytes are that pass through', async () => {
    const { instance } = await startMirrored(cleanup, { packages: [PLAIN] }, 0, npmAs('stream'))
    const whole = await (await instance.get(FILE)).bytes()
    const head = await fetch(`${instance.url}${FILE}`, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe(String(whole.length))
    expect(await head.text()).toBe('')
  })

  test('cache keeps the bytes over an outage, whole, in part, and by HEAD', async () => {
    const { registry, instance } = await startMirrored(
      cleanup,
      { packages: [PLAIN] },
      0,
      npmAs('cache'),
    )
    await instance.packument('plain')
    const whole = Buffer.from(await (await instance.get(FILE)).bytes())
    await registry.goAway('refuse')
    const again = await instance.get(FILE)
    expect(Buffer.from(await again.bytes())).toEqual(whole)
    expect(again.headers.get('accept-ranges')).toBe('bytes')
    for (const [range, from, to] of [
      ['bytes=0-9', 0, 10],
      ['bytes=5-', 5, whole.length],
      ['bytes=-7', whole.length - 7, whole.length],
    ] as const) {
      const part = await instance.get(FILE, { range })
      expect(part.status).toBe(206)
      expect(part.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/${whole.length}`)
      expect(Buffer.from(await part.bytes())).toEqual(whole.subarray(from, to))
    }
    expect((await instance.get(FILE, { range: `bytes=${whole.length}-` })).status).toBe(416)
    const head = await fetch(`${instance.url}${FILE}`, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe(String(whole.length))
    await instance.restart()
    expect(Buffer.from(await (await instance.get(FILE)).bytes())).toEqual(whole)
  })

  test('a damaged file of the cache is never sent, and fetched anew', async () => {
    const { instance } = await startMirrored(cleanup, { packages: [PLAIN] }, 0, npmAs('cache'))
    await instance.packument('plain')
    const whole = Buffer.from(await (await instance.get(FILE)).bytes())
    const folder = `${instance.dataDir}/cache/tarballs`
    const [file = ''] = [...new Bun.Glob('*').scanSync(folder)]
    const damaged = Buffer.from(whole)
    damaged[20] = (damaged[20] ?? 0) ^ 1
    await Bun.write(`${folder}/${file}`, damaged)
    expect(Buffer.from(await (await instance.get(FILE)).bytes())).toEqual(whole)
  })

  test('wrong bytes are neither sent whole nor kept', async () => {
    const { registry, instance } = await startMirrored(
      cleanup,
      { packages: [PLAIN] },
      0,
      npmAs('cache'),
    )
    await instance.packument('plain')
    registry.act({ do: 'alter-tarball', name: 'plain', version: '1.0.0' })
    const wrong = async () => await (await instance.get(FILE)).bytes()
    await expect(wrong()).rejects.toThrow()
    expect([...new Bun.Glob('*').scanSync(`${instance.dataDir}/cache/tarballs`)]).toEqual([])
  })
})
