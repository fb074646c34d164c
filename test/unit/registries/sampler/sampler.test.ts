/**
 * The background sampler over real sources: what clients were sent on to is looked at here too.
 * Goal: other bytes and other manifests become incidents, within the budget, and nothing else does.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Incidents } from '../../../../src/db/incidents.ts'
import { Packages, type VersionRow } from '../../../../src/db/packages.ts'
import { Samples } from '../../../../src/db/samples.ts'
import { Upstreams } from '../../../../src/db/upstreams.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import {
  hashProjection,
  type JsonObject,
  projectManifest,
} from '../../../../src/registries/packument/manifest.ts'
import { Mirror } from '../../../../src/registries/sources/mirror.ts'
import { Mirrors } from '../../../../src/registries/sources/mirrors.ts'
import { Sampler, type SamplerPace } from '../../../../src/registries/sampler/sampler.ts'
import { TarballChecker } from '../../../../src/registries/sampler/sampler-check.ts'
import { lookInside } from '../../../../src/registries/sampler/sampler-reader.ts'
import type { Source } from '../../../../src/registries/sources/source.ts'
import { locateTarball, Places } from '../../../../src/registries/sources/tarball-location.ts'
import { Trust } from '../../../../src/registries/sources/trust.ts'
import { Upstream } from '../../../../src/registries/sources/upstream.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../../fixtures/registry.ts'
import { packTarball } from '../../../fixtures/registry-tarball.ts'
import { openLog, temporaryDir } from '../../db/data-dir.ts'
import { until } from '../../../fixtures/patience.ts'

const NOW = '2026-11-22T08:31:07Z'
const EAGER: SamplerPace = { bytesPerMinute: 1e9, quietMs: 0, restQuietMs: 0, tickMs: 5 }
const PACKAGES = [
  { name: 'alpha', versions: [{ version: '1.0.0' }, { version: '1.1.0' }, { version: '1.2.0' }] },
]

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

function setup(pace: Partial<SamplerPace> = {}) {
  const registry = stack.use(startFixtureRegistry({ packages: PACKAGES }))
  const other = stack.use(startFixtureRegistry({ packages: PACKAGES }))
  const dir = stack.use(temporaryDir())
  const { db, log } = stack.use(openLog(dir.path))
  const [incidents, packages, samples] = [new Incidents(db), new Packages(db), new Samples(db)]
  const fetcher = new Fetcher({ userAgent: 'test' })
  const now = () => new Date()
  const warn = () => undefined
  const options = { name: 'npm', url: registry.url, namespace: 'npm' }
  const upstream = new Upstream(options, fetcher)
  const mirror = new Mirror({ ...options, name: 'm', url: other.url }, { fetcher, probes: fetcher })
  const mirrors = new Mirrors([mirror], 'npm', incidents)
  const trustParts = { db, log, incidents, now, warn, upstream, store: new Upstreams(db) }
  const trust = new Trust({ name: 'npm', namespace: 'npm', mode: 'auto', ...trustParts })
  const names = { name: 'npm', namespace: 'npm', cacheName: 'npm' }
  const source: Source = {
    ...names,
    tarballs: 'canonical',
    strictSince: null,
    upstream,
    trust,
    mirrors,
  }
  const places = new Places(samples, now)
  const noted: string[][] = []
  const parts = { samples, packages, incidents, places, now, warn }
  const checker = new TarballChecker({ ...parts, noted: (...pair) => void noted.push(pair) })
  const sampler = stack.use(new Sampler({ samples, checker, now, pace: { ...EAGER, ...pace } }))
  const found = (version: string, manifest: JsonObject = {}) =>
    locateTarball(source, record(registry, packages, version, manifest))
  return { registry, other, mirror, sampler, samples, incidents, found, noted, source }
}

/** A logged row as the ledger would have written it. */
function record(
  registry: FixtureRegistry,
  packages: Packages,
  version: string,
  manifest: JsonObject,
): VersionRow {
  const projection = projectManifest(manifest, 'alpha')
  const row: VersionRow = {
    namespace: 'npm',
    name: 'alpha',
    version,
    integrity: registry.integrityOf('alpha', version),
    manifestHash: hashProjection(projection),
    projection,
    signature: null,
    leafIndex: 0,
    firstSeen: NOW,
    sinceFirstSight: false,
    state: 'logged',
    detail: '',
    incident: null,
    tarball: `${registry.url}alpha/-/alpha-${version}.tgz`,
    file: `alpha-${version}.tgz`,
    shasum: null,
    published: null,
  }
  packages.upsert([row])
  return row
}

describe('Sampler', () => {
  test('looks where the client was sent, then at the registry, each once', async () => {
    const { registry, other, mirror, sampler, samples, found, noted } = setup()
    sampler.redirected(found('1.0.0'), mirror)
    sampler.redirected(found('1.0.0'), mirror)
    await until(() => sampler.counts.same === 2)
    const path = '/alpha/-/alpha-1.0.0.tgz'
    expect([other.count(path), registry.count(path)]).toEqual([1, 1])
    for (const place of ['m', '']) {
      const row = samples.get('npm', 'alpha', '1.0.0', place)
      expect(row).toMatchObject({ bytes: 'same', manifest: 'same', incident: null })
    }
    expect(noted).toHaveLength(2)
    expect(noted[0]?.[0]).toMatch(/^[0-9a-f]{64}$/)
    sampler.redirected(found('1.0.0'), mirror)
    await Bun.sleep(50)
    expect(other.count(path)).toBe(1)
  })

  test('other bytes at a mirror: an incident, and it is not used for the package', async () => {
    const { other, mirror, sampler, incidents, found, source } = setup()
    other.act({ do: 'alter-tarball', name: 'alpha', version: '1.0.0' })
    sampler.redirected(found('1.0.0'), mirror)
    await until(() => sampler.counts.other === 1)
    expect(incidents.latest(9).map(({ code }) => code)).toEqual(['bad-mirror'])
    expect(source.mirrors.candidates('alpha')).toEqual([])
  })

  test('other bytes at the registry itself: altered-tarball, both hashes in it', async () => {
    const { registry, sampler, incidents, found } = setup()
    const before = registry.integrityOf('alpha', '1.1.0')
    registry.act({ do: 'alter-tarball', name: 'alpha', version: '1.1.0' })
    sampler.redirected(found('1.1.0'), undefined)
    await until(() => sampler.counts.other === 1)
    const [incident] = incidents.latest(9)
    expect(incident?.code).toBe('altered-tarball')
    expect(incident?.evidence).toContain(before)
    expect(incident?.evidence.match(/sha512-/g)).toHaveLength(2)
  })

  test('a manifest that is not that of the tarball: an incident with both', async () => {
    const { sampler, samples, incidents, found } = setup()
    const lie = { scripts: { postinstall: 'evil' }, dependencies: { evil: '1.0.0' } }
    sampler.redirected(found('1.2.0', lie), undefined)
    await until(() => sampler.counts.mismatch === 1)
    const [incident] = incidents.latest(9)
    expect(incident?.code).toBe('manifest-mismatch')
    expect(incident?.sentence).toContain('dependencies, scripts')
    expect(incident?.evidence).toContain('evil')
    expect(samples.get('npm', 'alpha', '1.2.0', '')).toMatchObject({ manifest: 'different' })
  })

  test('a budget holds it back; a busy registry is left alone', async () => {
    const { registry, sampler, found } = setup({ bytesPerMinute: 1, quietMs: 60_000 })
    sampler.redirected(found('1.0.0'), undefined)
    await Bun.sleep(50)
    expect(registry.requests).toHaveLength(0)
    expect(sampler.waiting).toBe(1)
  })

  test('after a large one the others wait', async () => {
    const { registry, sampler, found } = setup({ bytesPerMinute: 100 })
    for (const version of ['1.0.0', '1.1.0']) sampler.redirected(found(version), undefined)
    const asked = () => registry.requests.filter(({ path }) => path.endsWith('.tgz'))
    await until(() => asked().length > 0)
    await Bun.sleep(80)
    expect(asked()).toHaveLength(1)
  })

  test('a place that cannot be asked is no incident', async () => {
    const { other, mirror, sampler, incidents, found } = setup()
    await other.goAway('refuse')
    sampler.redirected(found('1.0.0'), mirror)
    await until(() => sampler.counts.failed === 1)
    expect(incidents.latest(9)).toEqual([])
  })
})

describe('lookInside()', () => {
  const GOOD = packTarball({ 'package.json': '{"name":"a"}', 'x.js': 'x'.repeat(5000) })

  async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
  }

  test.each([1, 7, 1000])('reads in pieces of %d bytes', async size => {
    const look = await lookInside(chunks(GOOD, size))
    expect(look.inside?.manifest).toEqual({ name: 'a' })
    expect(look.length).toBe(GOOD.length)
  })

  test('each byte changed: an answer, and never this hash', async () => {
    const { integrity } = await lookInside(chunks(GOOD, 1000))
    for (let at = 0; at < GOOD.length; at += 3) {
      const bad = GOOD.slice()
      bad[at] = (bad[at] ?? 0) ^ 0x55
      const look = await lookInside(chunks(bad, 1000))
      expect(look.integrity).not.toBe(integrity)
    }
  })

  test.each([
    ['no package.json', packTarball({ 'x.js': '' })],
    ['nonsense in it', packTarball({ 'package.json': 'null' })],
    ['cut', GOOD.subarray(0, -12)],
    ['no archive', new TextEncoder().encode('<!doctype html>')],
    ['nothing', new Uint8Array(0)],
  ])('%s: a fault in words', async (_, bytes) => {
    const look = await lookInside(chunks(bytes, 100))
    expect(look.inside).toBeUndefined()
    expect(look.fault).not.toBe('')
  })
})
