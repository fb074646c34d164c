/**
 * The npm surface through the front door: what must be in an answer, and what must not.
 * Goal: every form, spelling and condition that clients use, on a whole instance over loopback.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { ABBREVIATED, errorOf, FRESH, Instance, YARN_4 } from '../../fixtures/instance.ts'
import { APP_PACKAGES } from '../../fixtures/registry-app.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

let upstream: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  upstream = startFixtureRegistry({ packages: APP_PACKAGES })
  instance = await Instance.start(upstream.url)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

describe('GET /<name>', () => {
  test('answers the three spellings of a scope with the same bytes', async () => {
    const bodies = await Promise.all(
      ['@fixture/core', '@fixture%2fcore', '@fixture%2Fcore'].map(async path =>
        (await instance.get(path)).text(),
      ),
    )
    expect(new Set(bodies).size).toBe(1)
    expect(bodies[0]).toContain('"@fixture/core"')
  })

  test('points tarballs at this instance, never at the upstream', async () => {
    const { versions } = await instance.packument('@fixture/core')
    for (const [version, { dist }] of Object.entries(versions)) {
      expect(dist.tarball).toBe(`${instance.url}@fixture/core/-/core-${version}.tgz`)
      expect(dist.integrity).toBe(upstream.integrityOf('@fixture/core', version))
    }
  })

  test('keeps signatures, time and unknown fields in the full form', async () => {
    const document = await instance.packument('alpha', { accept: 'application/json' })
    expect(document.time?.['1.0.0']).toBeString()
    expect(document.versions['1.0.0']?.dist.signatures).toBeArrayOfSize(1)
  })

  test('answers the abbreviated form by Accept, with its type and time', async () => {
    const response = await instance.get('alpha', { accept: ABBREVIATED })
    expect(response.headers.get('content-type')).toBe('application/vnd.npm.install-v1+json')
    const document: unknown = await response.json()
    expect(document).not.toHaveProperty('_id')
    expect(document).toHaveProperty(['time', '1.0.0'])
    expect(document).toHaveProperty(['versions', '2.0.0', 'dist', 'signatures'])
  })

  test('varies by accept and accept-encoding and compresses where asked', async () => {
    for (const [asked, got] of [
      ['gzip', 'gzip'],
      ['gzip;q=0', null],
      ['zstd, gzip', 'zstd'],
      ['identity', null],
    ] as const) {
      const response = await instance.get('alpha', { 'accept-encoding': asked })
      expect(response.headers.get('content-encoding')).toBe(got)
      expect(response.headers.get('vary')).toContain('accept, accept-encoding')
      expect(await response.json()).toMatchObject({ name: 'alpha' })
    }
  })

  test('answers 304 only to a condition that holds', async () => {
    const first = await instance.get('beta')
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^(?:W\/)?"[^"]+"$/)
    expect((await instance.get('beta', { 'if-none-match': etag })).status).toBe(304)
    expect((await instance.get('beta', { 'if-none-match': `"x", ${etag}` })).status).toBe(304)
    expect((await instance.get('beta', { 'if-none-match': '"x"' })).status).toBe(200)
    const date = first.headers.get('last-modified') ?? ''
    expect((await instance.get('beta', { 'if-modified-since': date })).status).toBe(304)
    const past = new Date(0).toUTCString()
    expect((await instance.get('beta', { 'if-modified-since': past })).status).toBe(200)
    const both = { 'if-none-match': '"x"', 'if-modified-since': date }
    expect((await instance.get('beta', both)).status).toBe(200)
  })

  test('HEAD answers the headers of GET without a body', async () => {
    const response = await fetch(`${instance.url}alpha`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(response.headers.get('etag')).toBeString()
    expect(await response.text()).toBe('')
  })

  test('shows a new version to a client that asks for a fresh answer', async () => {
    await instance.packument('gamma')
    upstream.act({ do: 'publish', name: 'gamma', spec: { version: '0.6.0' } })
    await Bun.sleep(1100)
    const { versions } = await instance.packument('gamma', FRESH)
    expect(Object.keys(versions)).toContain('0.6.0')
  })
})

describe('GET /<name>/<version or tag>', () => {
  test('answers a manifest with its signatures, by version and by tag', async () => {
    for (const path of ['@fixture%2fcore/1.0.0', '@fixture/core/1.0.0']) {
      const manifest: unknown = await (await instance.get(path)).json()
      expect(manifest).toHaveProperty('version', '1.0.0')
      expect(manifest).toHaveProperty(['dist', 'signatures'])
    }
    const latest: unknown = await (await instance.get('alpha/latest')).json()
    expect(latest).toHaveProperty('version', '2.0.0')
  })

  test('answers 404 with a sentence for a version that is not there', async () => {
    const response = await instance.get('alpha/9.9.9')
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ code: 'not-found', package: 'alpha' })
  })
})

describe('GET /<name>/-/<file>', () => {
  test('sends clients that check integrity on by 302, in all spellings', async () => {
    for (const path of [
      '@fixture/core/-/core-1.0.0.tgz',
      '@fixture%2fcore/-/core-1.0.0.tgz',
      '@fixture%2Fcore/-/core-1.0.0.tgz',
    ]) {
      const response = await instance.get(path)
      expect(response.status).toBe(302)
      expect(response.headers.get('location')).toStartWith(upstream.url)
    }
  })

  test('works for a file whose packument nobody asked for yet', async () => {
    expect((await instance.get('deep/-/deep-3.0.0.tgz')).status).toBe(302)
  })

  test('sends verified bytes to clients that check nothing', async () => {
    const response = await instance.get('alpha/-/alpha-1.0.0.tgz', { 'user-agent': YARN_4 })
    expect(response.status).toBe(200)
    const hash = new Bun.CryptoHasher('sha512').update(await response.bytes()).digest('base64')
    expect(`sha512-${hash}`).toBe(upstream.integrityOf('alpha', '1.0.0'))
  })

  test('never completes altered bytes', async () => {
    await instance.packument('victim')
    upstream.act({ do: 'alter-tarball', name: 'victim', version: '1.0.0' })
    const body = instance
      .get('victim/-/victim-1.0.0.tgz', { 'user-agent': YARN_4 })
      .then(response => response.bytes())
    await expect(body).rejects.toThrow()
  })

  test('answers 404 for a file that no version declares', async () => {
    expect((await instance.get('alpha/-/alpha-7.0.0.tgz')).status).toBe(404)
  })
})

describe('errors', () => {
  test('are JSON with one line of error, code and request id', async () => {
    const response = await instance.get('not-there-at-all', { 'x-request-id': 'abc-1' })
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/json')
    const body = await errorOf(response)
    expect(body.error).toContain('not-there-at-all')
    expect(body.requestId).toBe('abc-1')
  })

  test('name what is wrong with a name', async () => {
    for (const path of ['..%2f..%2fetc', '%00', '@a', '@a/b/c/d', '.x', '@%2f%2f/x']) {
      const response = await instance.get(path)
      expect([400, 404]).toContain(response.status)
      expect(await response.json()).toHaveProperty('error')
    }
  })

  test('answer unknown methods and routes under /-/ with JSON', async () => {
    const post = await fetch(`${instance.url}alpha`, { method: 'POST', body: '{}' })
    expect(post.status).toBe(404)
    expect(await post.json()).toHaveProperty('error')
    const unknown = await instance.get('-/nothing/here')
    expect([400, 404]).toContain(unknown.status)
    expect(await unknown.json()).toHaveProperty('error')
  })
})

test('whoami says that nobody is logged in, whatever token is sent', async () => {
  const response = await instance.get('-/whoami', { authorization: 'Bearer npm_x' })
  expect(response.status).toBe(401)
  expect(response.headers.get('www-authenticate')).toBe('Bearer')
  expect((await errorOf(response)).code).toBe('unauthorized')
})

test('a prefix of the public URL moves every route', async () => {
  await using prefixed = await Instance.start(upstream.url, '/mirrors/npm')
  const response = await prefixed.get('alpha')
  expect(response.status).toBe(200)
  expect(await response.text()).toContain(`${prefixed.url}alpha/-/alpha-1.0.0.tgz`)
  expect((await prefixed.get('-/sumdb/checkpoint')).status).toBe(200)
  const outside = await fetch(new URL('/alpha', prefixed.url))
  expect(outside.status).toBe(404)
})

test('clients that ask at once for one cold package cost one upstream request', async () => {
  upstream.act({ do: 'delay', path: '/hello-bin', ms: 300 })
  // Below the 256 requests that one process may have under way: the server shares it here. A
  // thousand clients are test/fault/herd.test.ts.
  const answers = await Promise.all(
    Array.from({ length: 150 }, async () => (await instance.get('hello-bin')).text()),
  )
  expect(new Set(answers).size).toBe(1)
  expect(answers[0]).toContain('hello-bin')
  expect(upstream.count('/hello-bin')).toBe(1)
})
