/**
 * `/-/metrics` through the front door. Goal: Prometheus can read it, it counts what happened, only
 * an admin sees it, and no name of a package is in it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { SURFACES, surfaceOf } from '../../../src/routes/metrics.ts'

const TOKEN = 'npmx_test-admin-token-of-the-metrics-0123456789'
const ADMIN = { authorization: `Bearer ${TOKEN}` }

let registry: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url, '', [], { adminToken: TOKEN })
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

/** Samples by `name{labels}`. */
async function scrape(): Promise<Map<string, number>> {
  const response = await instance.get('-/metrics', ADMIN)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4')
  const lines = (await response.text()).split('\n').filter(line => line !== '' && line[0] !== '#')
  return new Map(
    lines.map(line => {
      const [, name = '', value] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [line, line]
      return [name, Number(value)]
    }),
  )
}

describe('/-/metrics', () => {
  test.each([{}, { authorization: 'Bearer nobody' }])('not for everybody: %p', async headers => {
    const response = await instance.get('-/metrics', headers)
    expect(response.status).toBe(401)
  })

  test('counts answers by surface and class, the log, and the upstream', async () => {
    const before = await scrape()
    await instance.packument('alpha')
    await instance.get('nobody-has-this')
    await instance.get('alpha/-/alpha-1.0.0.tgz')
    await instance.get('-/ping')
    await instance.get('-/sumdb/checkpoint')
    await instance.get('-/nothing/here')
    const after = await scrape()
    const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
    const request = (surface: string, status: string) =>
      grown(`npmx_registry_requests_total{surface="${surface}",status="${status}"}`)
    expect(request('package', '2xx')).toBe(1)
    expect(request('package', '4xx')).toBe(1)
    expect(request('tarball', '3xx')).toBe(1)
    expect(request('ping', '2xx')).toBe(1)
    expect(request('sumdb', '2xx')).toBe(1)
    expect(request('other', '4xx')).toBe(1)
    expect(request('metrics', '2xx')).toBe(1)
    expect(after.get('npmx_registry_log_size')).toBeGreaterThan(1)
    const age = Date.now() / 1000 - (after.get('npmx_registry_checkpoint_timestamp_seconds') ?? 0)
    expect(Math.abs(age)).toBeLessThan(60)
    expect(grown('npmx_registry_upstream_requests_total{upstream="npm"}')).toBeGreaterThan(1)
    expect(after.get('npmx_registry_upstream_up{upstream="npm"}')).toBe(1)
    expect(after.get('npmx_registry_cache_bytes{kind="documents"}')).toBeGreaterThan(0)
    expect(after.get('npmx_registry_event_loop_lag_seconds')).toBeGreaterThanOrEqual(0)
    expect(after.get('process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(after.get('npmx_registry_sampler_waiting{mode="background"}')).toBe(1)
  })

  test('counts refusals and incidents by code', async () => {
    await instance.packument('victim')
    registry.act({ do: 'drop-signatures', name: '@fixture/victim', version: '1.1.0' })
    await instance.packument('@fixture/victim')
    expect((await instance.get('@fixture/victim/1.1.0')).status).toBe(403)
    const after = await scrape()
    expect(after.get('npmx_registry_refusals_total{reason="unsigned"}')).toBe(1)
    expect(after.get('npmx_registry_incidents_total{code="unsigned"}')).toBe(1)
  })

  test('every value is a number, every counter ends in _total, no package is named', async () => {
    const samples = await scrape()
    for (const [name, value] of samples) {
      expect(value, name).not.toBeNaN()
      expect(name).not.toMatch(/alpha|victim|fixture\//)
    }
    const text = await (await instance.get('-/metrics', ADMIN)).text()
    for (const [, name] of text.matchAll(/^# TYPE (\S+) counter$/gm)) {
      expect(name).toMatch(/_total$/)
    }
    for (const [, name] of text.matchAll(/^# HELP (\S+) (\S.*)$/gm))
      expect(name).toMatch(/^npmx_registry_|^process_/)
  })

  test.each([
    ['/vite', 'package'],
    ['/@s%2fn', 'package'],
    ['/@s/n/-/n-1.0.0.tgz', 'tarball'],
    ['/-/npm/v1/keys', 'npm'],
    ['/-/ping?x=1', 'ping'],
    ['/-/made-up-by-a-client', 'other'],
    ['/', 'package'],
  ])('%s is counted as %s', (path, surface) => {
    expect(SURFACES[surfaceOf(`http://127.0.0.1:1${path}`, '')]).toBe(surface)
    expect(SURFACES[surfaceOf(`http://127.0.0.1:1/below${path}`, '/below')]).toBe(surface)
  })
})
