/**
 * Search, audits and attestations through the front door: passed on and answered byte for byte.
 * Goal: what the registry is asked is what the client asked, and nothing that the client did not
 * mean for it (credentials, cookies, sessions, its own name) goes along.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { APP_PACKAGES } from '../../fixtures/registry-app.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const BULK = '-/npm/v1/security/advisories/bulk'
const QUICK = '-/npm/v1/security/audits/quick'
const AUDITS = '-/npm/v1/security/audits'
const ATTESTATIONS = '-/npm/v1/attestations/'

/** Headers that clients send, and one that nobody knows: a canary in each. */
const PRIVATE = {
  'authorization': 'Bearer canary-token',
  'cookie': 'session=canary-cookie',
  'npm-session': 'canary-session',
  'npm-otp': 'canary-otp',
  'npm-auth-type': 'canary-auth',
  'proxy-authorization': 'Basic canary-proxy',
  'referer': 'http://127.0.0.1/canary-referer',
  'user-agent': 'npm/11.19.1 canary-agent',
  'x-forwarded-for': '192.0.2.7',
  'x-canary': 'canary-unknown',
}

let upstream: FixtureRegistry
let instance: Instance

beforeEach(async () => {
  upstream = startFixtureRegistry({ packages: APP_PACKAGES })
  instance = await Instance.start(upstream.url)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

function post(path: string, body: BodyInit, headers: Record<string, string> = {}) {
  return fetch(`${instance.url}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

/** The one request that reached the registry for a path. */
function passedOn(path: string) {
  const found = upstream.requests.filter(each => each.path.startsWith(`/${path}`))
  expect(found).toHaveLength(1)
  return found[0]
}

describe('search', () => {
  test('passes on what the registry knows, and its answer', async () => {
    const response = await instance.get('-/v1/search?text=fixture&size=5&from=0&secret=canary')
    expect(response.status).toBe(200)
    const body: unknown = await response.json()
    expect(body).toMatchObject({ total: 4 })
    const query = new URL(passedOn('-/v1/search')?.path ?? '', upstream.url).searchParams
    expect(Object.fromEntries(query)).toEqual({ text: 'fixture', size: '5', from: '0' })
  })

  test('passes text on as text, whatever is in it', async () => {
    const text = 'a&size=1#x %2e%2e/../ü “q” 日本'
    await instance.get(`-/v1/search?${new URLSearchParams({ text })}`)
    const query = new URL(passedOn('-/v1/search')?.path ?? '', upstream.url).searchParams
    expect(Object.fromEntries(query)).toEqual({ text })
  })
})

describe('audits', () => {
  for (const path of [BULK, QUICK, AUDITS]) {
    test(`${path}: passed on with its body's type`, async () => {
      const response = await post(path, JSON.stringify({ alpha: ['1.0.0'] }))
      expect(response.status).toBe(200)
      expect(await response.text()).toBe('{}')
      expect(response.headers.get('content-type')).toContain('application/json')
      expect(passedOn(path)).toMatchObject({
        method: 'POST',
        headers: { 'content-type': 'application/json', 'accept': 'application/json' },
      })
    })
  }

  test('a gzip body, as npm sends it, goes on as it came', async () => {
    const body = Bun.gzipSync(JSON.stringify({ alpha: ['1.0.0'] }))
    const response = await post(BULK, body, { 'content-encoding': 'gzip' })
    expect(response.status).toBe(200)
    expect(passedOn(BULK)?.headers).toMatchObject({
      'content-encoding': 'gzip',
      'content-length': String(body.length),
    })
  })

  test('a body that is too large is a 4xx and is not passed on, declared or not', async () => {
    const large = new Uint8Array(9 * 1024 * 1024)
    const streamed = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 9; i++) controller.enqueue(new Uint8Array(1024 * 1024))
        controller.close()
      },
    })
    for (const body of [large, streamed, new Uint8Array(4 * 1024 * 1024 + 1)]) {
      const response = await post(BULK, body)
      expect(response.status).toBeGreaterThanOrEqual(400)
      expect(response.status).toBeLessThan(500)
      expect((await errorOf(response)).error).toContain('audit')
      // The rest of the body is not read: a connection kept open would hold up a stop.
      expect(response.headers.get('connection')).toBe('close')
    }
    expect(upstream.requests.filter(each => each.method === 'POST')).toEqual([])
  })
})

describe('attestations', () => {
  test('are asked for by name and version, in every spelling', async () => {
    for (const path of ['alpha@1.0.0', '@fixture/core@1.0.0', '@fixture%2fcore@1.0.0']) {
      const response = await instance.get(`${ATTESTATIONS}${path}`)
      expect(response.status).toBe(200)
      expect(await response.json()).toEqual({ attestations: [] })
    }
    expect((await instance.get(`${ATTESTATIONS}alpha@9.9.9`)).status).toBe(404)
    expect((await instance.get(`${ATTESTATIONS}..%2f..%2fx@1.0.0`)).status).toBe(400)
    for (const { path } of upstream.requests) expect(path).not.toContain('..')
  })
})

test('nothing private of a client reaches the registry, on any surface', async () => {
  const before = upstream.requests.length
  for (const path of [
    '-/v1/search?text=alpha',
    `${ATTESTATIONS}alpha@1.0.0`,
    'alpha',
    'alpha/latest',
    '-/sumdb/lookup/beta@1.0.0',
    '-/npm/v1/keys',
  ]) {
    expect((await instance.get(path, PRIVATE)).status).toBe(200)
  }
  for (const path of [BULK, QUICK, AUDITS]) {
    expect((await post(path, '{}', PRIVATE)).status).toBe(200)
  }
  const got = await instance.get('gamma/-/gamma-0.4.2.tgz', { ...PRIVATE, 'user-agent': 'got (x)' })
  expect(got.status).toBe(200)
  const requests = upstream.requests.slice(before)
  expect(requests.length).toBeGreaterThan(8)
  for (const { path, headers } of requests) {
    expect(`${path} ${JSON.stringify(headers)}`).not.toContain('canary')
    expect(JSON.stringify(headers)).not.toContain('192.0.2.7')
    expect(headers['user-agent']).toStartWith('npmx-registry/')
    for (const name of ['authorization', 'cookie', 'npm-session', 'referer']) {
      expect(headers).not.toHaveProperty(name)
    }
  }
})

test('while the registry is down every one of them is 503 with a time to wait', async () => {
  await upstream.goAway('refuse')
  const answers = [
    await instance.get('-/v1/search?text=alpha'),
    await instance.get(`${ATTESTATIONS}alpha@1.0.0`),
    await post(BULK, '{}'),
    await post(QUICK, '{}'),
  ]
  for (const response of answers) {
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect((await errorOf(response)).error).not.toContain('canary')
  }
})
