/**
 * The choice among mirrors and what one mirror tells of itself.
 * Goal: the choice is a pure function of names that moves only what it must, and nobody is sent to
 * a mirror that did not just show that it has the tarball.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { Incidents } from '../../../../src/db/incidents.ts'
import { openRegistry } from '../../../../src/db/open.ts'
import type { RegistryDb } from '../../../../src/db/registry-db.ts'
import { Credential } from '../../../../src/registries/fetch/credential.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { Mirror, PROBE_LIMITS } from '../../../../src/registries/sources/mirror.ts'
import { BAD_MIRROR, Mirrors, rendezvous } from '../../../../src/registries/sources/mirrors.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../../fixtures/registry.ts'
import { type TemporaryDir, temporaryDir } from '../../db/data-dir.ts'

const PATH = 'alpha/-/alpha-1.0.0.tgz'
/** Longer than a sign of life counts (mirror.ts). */
const LATER_MS = 100
const NEGATIVE_MS = 60_000
const NOW = '2026-11-22T08:31:07Z'

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), {
  minLength: 1,
  maxLength: 8,
})
const asChoices = (list: readonly string[]) => list.map(name => ({ name }))
const asNames = (list: readonly { name: string }[]) => list.map(({ name }) => name)

describe('rendezvous', () => {
  test('holds every choice once, whatever their order', () => {
    fc.assert(
      fc.property(fc.string(), names, (name, list) => {
        const order = asNames(rendezvous(name, asChoices(list)))
        expect(order.toSorted()).toEqual(list.toSorted())
        expect(asNames(rendezvous(name, asChoices(list.toReversed())))).toEqual(order)
      }),
    )
  })

  test('without one choice the order of the others stays', () => {
    fc.assert(
      fc.property(fc.string(), names, (name, list) => {
        const [gone] = list
        const order = asNames(rendezvous(name, asChoices(list)))
        const without = asNames(rendezvous(name, asChoices(list.slice(1))))
        expect(without).toEqual(order.filter(each => each !== gone))
      }),
    )
  })

  test('gives each of four about a quarter of 10,000 names', () => {
    const shares = new Map<string, number>()
    for (let i = 0; i < 10_000; i += 1) {
      const [first] = rendezvous(`package-${i}`, asChoices(['a', 'b', 'c', 'd']))
      shares.set(first?.name ?? '', (shares.get(first?.name ?? '') ?? 0) + 1)
    }
    expect([...shares.keys()].toSorted()).toEqual(['a', 'b', 'c', 'd'])
    for (const share of shares.values()) expect(Math.abs(share - 2_500)).toBeLessThan(200)
  })
})

describe('mirrors', () => {
  let dir: TemporaryDir
  let db: RegistryDb
  let servers: FixtureRegistry[]
  let clockMs: number

  beforeEach(() => {
    dir = temporaryDir()
    db = openRegistry(dir.path)
    servers = [startFixtureRegistry(), startFixtureRegistry({ host: 'localhost' })]
    clockMs = 0
  })
  afterEach(async () => {
    for (const each of servers) await each[Symbol.asyncDispose]()
    db[Symbol.dispose]()
    dir[Symbol.dispose]()
  })

  function server(): FixtureRegistry {
    const [first] = servers
    if (first === undefined) throw new RangeError('servers')
    return first
  }

  function mirrorAt(url: string, name = 'm'): Mirror {
    const fetcher = new Fetcher({ userAgent: 'test' })
    const probes = new Fetcher({ userAgent: 'test', limits: PROBE_LIMITS })
    const options = { name, url, namespace: 'npm' }
    return new Mirror(options, { fetcher, probes, nowMs: () => clockMs })
  }

  function mirrors(): Mirrors {
    const list = servers.map(({ url }, i) => mirrorAt(url, `m${i}`))
    return new Mirrors(list, 'npm', new Incidents(db))
  }

  function heads(): number {
    return server().requests.filter(({ method }) => method === 'HEAD').length
  }

  test('a tarball is asked for once in a burst, and its presence is remembered', async () => {
    const mirror = mirrorAt(server().url)
    expect(await Promise.all([mirror.offers(PATH), mirror.offers(PATH)])).toEqual([true, true])
    expect(await mirror.offers(PATH)).toBe(true)
    expect(heads()).toBe(1)
    clockMs += LATER_MS
    expect(await mirror.offers(PATH)).toBe(true)
    expect(heads()).toBe(2)
  })

  test('what is missing is asked for again after a minute', async () => {
    const mirror = mirrorAt(server().url)
    const path = 'alpha/-/alpha-9.9.9.tgz'
    expect(await mirror.offers(path)).toBe(false)
    server().act({ do: 'publish', name: 'alpha', spec: { version: '9.9.9' } })
    clockMs += NEGATIVE_MS - 1
    expect(await mirror.offers(path)).toBe(false)
    expect(heads()).toBe(1)
    clockMs += 1
    expect(await mirror.offers(path)).toBe(true)
  })

  test('a known tarball of a mirror that died is not offered', async () => {
    const mirror = mirrorAt(server().url)
    expect(await mirror.offers(PATH)).toBe(true)
    await server().goAway('refuse')
    clockMs += LATER_MS
    expect(await mirror.offers(PATH)).toBe(false)
  })

  test.each([500, 502, 503, 429, 401, 403])(
    '%i is no offer, and not taken for lag',
    async status => {
      const mirror = mirrorAt(server().url)
      server().act({ do: 'status', path: `/${PATH}`, status })
      expect(await mirror.offers(PATH)).toBe(false)
      server().act({ do: 'heal' })
      expect(await mirror.offers(PATH)).toBe(true)
    },
  )

  test('a mirror that hangs is given up after half a second', async () => {
    const mirror = mirrorAt(server().url)
    await server().goAway('black-hole')
    const started = performance.now()
    expect(await mirror.offers(PATH)).toBe(false)
    expect(performance.now() - started).toBeLessThan(900)
  })

  test('one that is down is not asked any more', async () => {
    const mirror = mirrorAt(server().url)
    await server().goAway('refuse')
    for (let i = 0; i < 5; i += 1) await mirror.offers(`${PATH}?${i}`)
    expect(mirror.isWell).toBe(false)
  })

  test('no client is sent where only this server has a password', async () => {
    const [fetcher, probes] = [
      new Fetcher({ userAgent: 'test' }),
      new Fetcher({ userAgent: 'test' }),
    ]
    const credential = new Credential('Bearer secret')
    const options = { name: 'm', url: server().url, namespace: 'npm', credential }
    const locked = new Mirror(options, { fetcher, probes })
    const found = new Mirrors([locked], 'npm', new Incidents(db))
    expect(await found.placeFor('alpha', PATH)).toBeUndefined()
    expect(asNames(found.candidates('alpha'))).toEqual(['m'])
  })

  test('one that was caught is passed over for that package alone, also after a restart', () => {
    const found = mirrors()
    const [chosen] = found.candidates('alpha')
    const about = { code: BAD_MIRROR, namespace: 'npm', version: '1.0.0', sentence: '' }
    const evidence = JSON.stringify({ mirror: chosen?.name, more: [] })
    new Incidents(db).record({ ...about, name: 'alpha', claim: '', evidence }, NOW)
    expect(asNames(found.candidates('alpha'))).toContain(chosen?.name ?? '')
    found.distrust('alpha')
    expect(asNames(found.candidates('alpha'))).not.toContain(chosen?.name ?? '')
    expect(found.candidates('alpha')).toHaveLength(1)
    expect(found.candidates('beta')).toHaveLength(2)
    expect(mirrors().candidates('alpha')).toHaveLength(1)
  })

  test('the next one serves what the first does not have, and nobody what none has', async () => {
    const found = mirrors()
    const [first, second] = found.candidates('alpha')
    expect((await found.placeFor('alpha', PATH))?.name).toBe(first?.name ?? '')
    const lagging = servers.find(({ url }) => url === first?.url)
    lagging?.act({ do: 'unpublish', name: 'alpha', version: '1.1.0' })
    const place = await found.placeFor('alpha', 'alpha/-/alpha-1.1.0.tgz')
    expect(place?.name).toBe(second?.name ?? '')
    expect(await found.placeFor('alpha', 'alpha/-/alpha-7.7.7.tgz')).toBeUndefined()
  })
})
