/**
 * The admin API through the front door: who may do what, problems, conditions, repetitions, pages.
 * @module
 */
import { afterAll, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Idempotency } from '../../../src/db/idempotency.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const ADMIN_TOKEN = 'an-admin-token-that-only-this-test-knows'
const PASSWORD = 'correct horse battery staple'
const PROBLEM = 'application/problem+json'

const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  instance: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
})
const Named = Type.Object({ name: Type.String() })
const Items = Type.Object({ items: Type.Array(Type.Unknown()) })
const Names = Type.Object({ items: Type.Array(Named) })
const Probe = Type.Object({ keys: Type.Array(Type.Object({ keyid: Type.String() })) })
const Session = Type.Object({ csrf: Type.String() })
const Issued = Type.Object({ token: Type.Object({ id: Type.String() }), secret: Type.String() })

let npm: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  npm = startFixtureRegistry({ packages: [{ name: 'left', versions: [{ version: '1.0.0' }] }] })
  acme = startFixtureRegistry({
    packages: [{ name: '@acme/widget', versions: [{ version: '1.0.0' }, { version: '2.0.0' }] }],
    seed: 'acme',
  })
  instance = await Instance.start(npm.url, '/pre', [], { adminToken: ADMIN_TOKEN })
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await npm[Symbol.asyncDispose]()
  await acme[Symbol.asyncDispose]()
})

type Asked = { as?: string | null; body?: unknown; headers?: Record<string, string> }

/** Asks as the admin, unless told otherwise. */
function ask(method: string, path: string, { as, body, headers }: Asked = {}): Promise<Response> {
  const token = as === undefined ? ADMIN_TOKEN : as
  return fetch(`${instance.url}-/api/${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
}

async function problemOf(answer: Response, status: number) {
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe(PROBLEM)
  const problem = Value.Parse(Problem, await answer.json())
  expect(problem.status).toBe(status)
  expect(problem.type).toStartWith(`${instance.url}-/docs/problems/`)
  return problem
}

async function tokenWith(asked: object): Promise<string> {
  const answer = await ask('POST', 'tokens', { body: { user: null, name: 'test', ...asked } })
  return Value.Parse(Issued, await answer.json()).secret
}

async function keysOfAcme(): Promise<string[]> {
  const body = { name: 'looked-at', url: acme.url, names: ['@looked-at/*'] }
  const answer = await ask('POST', 'probes', { body })
  expect(answer.status).toBe(200)
  return Value.Parse(Probe, await answer.json()).keys.map(({ keyid }) => keyid)
}

describe('the document', () => {
  test('is valid OpenAPI 3.0.3 and lists every route', async () => {
    const answer = await ask('GET', 'openapi.json', { as: null })
    expect(answer.status).toBe(200)
    const document: unknown = await answer.json()
    const validator = new Validator()
    expect(await validator.validate(Object(document))).toMatchObject({ valid: true })
    expect(validator.version).toBe('3.0')
    const paths = Object.keys(Object(document).paths)
    expect(paths).toContain('/-/api/openapi.json')
    expect(paths).toContain('/-/api/upstreams/{name}/keys/{keyid}/approval')
    expect(Object(document).servers[0].url).toBe(instance.url.replace(/\/$/, ''))
  })

  test('each operation has words, an example and a scope', async () => {
    const document = Object(await (await ask('GET', 'openapi.json')).json())
    const operations = Object.values<object>(document.paths).flatMap(item => Object.values(item))
    expect(operations.length).toBeGreaterThan(20)
    for (const operation of operations) {
      expect(operation.summary.length).toBeGreaterThan(5)
      expect(operation.description.length).toBeGreaterThan(20)
      expect(operation['x-scope']).toMatch(/^(?:public|account|admin:read|admin:write)$/)
      for (const response of Object.values<{ description: string }>(operation.responses)) {
        expect(response.description.length).toBeGreaterThan(5)
      }
    }
  })
})

describe('who may', () => {
  test('nobody: 401 with what to send', async () => {
    const answer = await ask('GET', 'upstreams', { as: null })
    expect(answer.headers.get('www-authenticate')).toStartWith('Bearer')
    await problemOf(answer, 401)
    await problemOf(await ask('GET', 'upstreams', { as: 'npmx_no-such-token' }), 401)
  })

  test('reading is not writing, and a read-only token writes nothing', async () => {
    const reader = await tokenWith({ scopes: ['admin:read'] })
    expect((await ask('GET', 'upstreams', { as: reader })).status).toBe(200)
    const body = { name: 'acme', url: acme.url, names: ['@acme/*'] }
    await problemOf(await ask('POST', 'upstreams', { as: reader, body }), 403)
    const careful = await tokenWith({ scopes: ['admin:read', 'admin:write'], readOnly: true })
    await problemOf(await ask('POST', 'probes', { as: careful, body }), 403)
    const member = await tokenWith({ scopes: ['read', 'publish'] })
    await problemOf(await ask('GET', 'upstreams', { as: member }), 403)
  })
})

describe('what is not there', () => {
  test('another path is a problem, in every method', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      await problemOf(await ask(method, 'no-such-thing', { as: null }), 404)
    }
    expect((await ask('HEAD', 'no-such-thing')).status).toBe(404)
  })

  test('another method is 405 with Allow', async () => {
    const answer = await ask('PUT', 'upstreams')
    expect(answer.headers.get('allow')).toBe('GET, POST, HEAD')
    await problemOf(answer, 405)
    expect((await ask('GET', 'probes')).headers.get('allow')).toBe('POST')
  })
})

describe('bodies', () => {
  test('another type, no JSON, another form, too much', async () => {
    const plain = { 'content-type': 'text/plain' }
    await problemOf(await ask('POST', 'users', { body: '{}', headers: plain }), 415)
    await problemOf(await ask('POST', 'users', { body: '{' }), 400)
    const far = JSON.stringify({ name: 'x'.repeat(200_000) })
    await problemOf(await ask('POST', 'users', { body: far }), 413)
  })

  test('places are named by pointers, what was sent is not repeated', async () => {
    const body = { name: 'hunter2-name', url: 7, hunter2: 'hunter2-value', secret: { token: [] } }
    const answer = await ask('POST', 'upstreams', { body })
    const text = await answer.clone().text()
    expect(text).not.toContain('hunter2')
    const problem = await problemOf(answer, 422)
    expect(problem.errors).toContainEqual({ pointer: '/url', detail: 'Expected string' })
    expect(problem.errors).toContainEqual({ pointer: '', detail: 'a property that is not known' })
  })

  test('parameters are checked', async () => {
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'limit=1&limit=2', 'nonsense=1']) {
      await problemOf(await ask('GET', `upstreams?${query}`), 400)
    }
    await problemOf(await ask('GET', 'upstreams/%zz'), 400)
    await problemOf(await ask('GET', 'incidents?after=none'), 400)
    await problemOf(await ask('GET', 'audit?after=none'), 400)
  })
})

describe('upstreams', () => {
  test('probe, add what was seen, read, change, remove', async () => {
    const confirm = await keysOfAcme()
    expect(confirm).toEqual([acme.state.signer.published.keyid])
    const asked = { name: 'acme', url: acme.url, names: ['@acme/*'], namespace: 'acme.example' }
    await problemOf(await ask('POST', 'upstreams', { body: { ...asked, confirm: [] } }), 409)
    const added = await ask('POST', 'upstreams', { body: { ...asked, confirm } })
    expect(added.status).toBe(201)
    expect(added.headers.get('location')).toBe(`${instance.url}-/api/upstreams/acme`)
    expect((await instance.packument('@acme/widget'))['dist-tags']['latest']).toBe('2.0.0')

    const keyid = encodeURIComponent(confirm[0] ?? '')
    const keys = await ask('GET', 'upstreams/acme/keys')
    expect(await keys.json()).toMatchObject({ items: [{ keyid: confirm[0], state: 'approved' }] })
    await problemOf(await ask('POST', `upstreams/acme/keys/${keyid}x/approval`), 404)

    const shown = await ask('GET', 'upstreams/acme')
    const etag = shown.headers.get('etag') ?? ''
    expect(
      (await ask('GET', 'upstreams/acme', { headers: { 'if-none-match': etag } })).status,
    ).toBe(304)
    const change = { body: { names: ['@acme/*', '@acme-labs/*'] } }
    const changed = await ask('PATCH', 'upstreams/acme', {
      ...change,
      headers: { 'if-match': etag },
    })
    expect(changed.status).toBe(200)
    const stale = await ask('PATCH', 'upstreams/acme', { ...change, headers: { 'if-match': etag } })
    await problemOf(stale, 412)
    await problemOf(await ask('DELETE', 'upstreams/acme', { headers: { 'if-match': etag } }), 412)
    expect((await ask('DELETE', 'upstreams/acme')).status).toBe(204)
    await problemOf(await ask('GET', 'upstreams/acme'), 404)
    const audit = await ask('GET', 'audit?limit=3')
    expect(await audit.json()).toMatchObject({
      items: [
        { action: 'upstream.remove', actor: 'admin-token', target: 'acme', after: null },
        { action: 'upstream.set' },
        { action: 'upstream.add', before: null },
      ],
    })
  })

  test('a server that does not answer is what was asked, not a fault of this one', async () => {
    const body = { name: 'down', url: 'http://127.0.0.1:1/', names: ['@down/*'] }
    const problem = await problemOf(await ask('POST', 'probes', { body }), 422)
    expect(problem.type).toEndWith('/upstream-unreachable')
  })

  test('two changes with the same ETag at the same time: one is made', async () => {
    const current = await ask('GET', 'upstreams/npm')
    const headers = { 'if-match': current.headers.get('etag') ?? '' }
    const both = await Promise.all(
      ['stream', 'redirect'].map(tarballs =>
        ask('PATCH', 'upstreams/npm', { body: { tarballs }, headers }),
      ),
    )
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 412])
  })
})

describe('repetitions', () => {
  test('the same key gives the same answer, another body none', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() }
    const body = { name: 'grace', password: PASSWORD }
    const first = await ask('POST', 'users', { body, headers })
    const again = await ask('POST', 'users', { body, headers })
    expect([first.status, again.status]).toEqual([201, 201])
    expect(await again.text()).toBe(await first.text())
    expect(again.headers.get('location')).toBe(first.headers.get('location'))
    await problemOf(await ask('POST', 'users', { body: { ...body, role: 'admin' }, headers }), 422)
    await problemOf(await ask('POST', 'users', { body }), 409)
  })

  test('under way: 409; failed: tried again', async () => {
    const headers = { 'idempotency-key': 'under-way' }
    const body = { name: 'heidi', password: PASSWORD }
    const both = await Promise.all([1, 2].map(() => ask('POST', 'users', { body, headers })))
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409])
    const failing = { 'idempotency-key': 'failing' }
    await problemOf(await ask('POST', 'users', { body, headers: failing }), 409)
    const other = { name: 'ivan', password: PASSWORD }
    expect((await ask('POST', 'users', { body: other, headers: failing })).status).toBe(201)
  })

  test('a fault between the change and its answer: the change is not made again', async () => {
    const count = async () => Value.Parse(Items, await (await ask('GET', 'tokens')).json()).items
    const before = (await count()).length
    const headers = { 'idempotency-key': 'cut-off' }
    const body = { user: null, name: 'cut off', scopes: ['read'] }
    const keep = spyOn(Idempotency.prototype, 'keep').mockImplementationOnce(() => {
      throw new Error('the disk is full')
    })
    await problemOf(await ask('POST', 'tokens', { body, headers }), 500)
    keep.mockRestore()
    const { detail } = await problemOf(await ask('POST', 'tokens', { body, headers }), 409)
    expect(detail).toContain('carried out already')
    await problemOf(await ask('POST', 'tokens', { body: { ...body, name: 'x' }, headers }), 422)
    expect(await count()).toHaveLength(before + 1)
  })

  test('a key that cannot be kept takes the change back, and may be used again', async () => {
    const headers = { 'idempotency-key': 'taken-back' }
    const body = { name: 'mallory', password: PASSWORD }
    const begin = spyOn(Idempotency.prototype, 'begin').mockImplementationOnce(() => {
      throw new Error('the disk is full')
    })
    await problemOf(await ask('POST', 'users', { body, headers }), 500)
    begin.mockRestore()
    await problemOf(await ask('GET', 'users/mallory'), 404)
    expect((await ask('POST', 'users', { body, headers })).status).toBe(201)
    expect((await ask('POST', 'users', { body, headers })).status).toBe(201)
  })

  test('a secret is told once, and is nowhere on disk', async () => {
    const headers = { 'idempotency-key': 'token' }
    const body = { user: null, name: 'once', scopes: ['read'] }
    const first = await ask('POST', 'tokens', { body, headers })
    expect(first.headers.get('cache-control')).toBe('no-store')
    const { secret } = Value.Parse(Issued, await first.json())
    await problemOf(await ask('POST', 'tokens', { body, headers }), 409)
    for (const file of ['registry.db', 'registry.db-wal']) {
      const bytes = Buffer.from(await Bun.file(`${instance.dataDir}/${file}`).bytes())
      expect(bytes.includes(secret)).toBe(false)
    }
  })
})

describe('pages', () => {
  test('lead one to the next, and end', async () => {
    const names: string[] = []
    let path: string | undefined = 'users?limit=2'
    for (let turns = 0; path !== undefined && turns < 20; turns += 1) {
      const answer = await ask('GET', path)
      names.push(...Value.Parse(Names, await answer.json()).items.map(({ name }) => name))
      const next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
      path = next?.slice(`${instance.url}-/api/`.length)
    }
    expect(names).toEqual(['grace', 'heidi', 'ivan', 'mallory'])
  })

  test('the audit trail goes back to its first line', async () => {
    const all = Value.Parse(Items, await (await ask('GET', 'audit?limit=200')).json()).items
    const seen: unknown[] = []
    let after = ''
    for (let turns = 0; turns < 50; turns += 1) {
      const answer = await ask('GET', `audit?limit=3${after}`)
      seen.push(...Value.Parse(Items, await answer.json()).items)
      const next = /after=(\d+)/.exec(answer.headers.get('link') ?? '')?.[1]
      if (next === undefined) break
      after = `&after=${next}`
    }
    expect(seen).toEqual(all)
  })
})

describe('sessions', () => {
  test('a cookie that scripts cannot read, a CSRF token for changes, an end', async () => {
    const body = { name: 'judy', password: PASSWORD, role: 'admin' }
    expect((await ask('POST', 'users', { body })).status).toBe(201)
    const credentials = { name: 'judy', password: PASSWORD }
    const begun = await ask('POST', 'sessions', { as: null, body: credentials })
    expect(begun.status).toBe(201)
    const set = begun.headers.get('set-cookie') ?? ''
    expect(set).toContain('HttpOnly; SameSite=Strict')
    expect(set).toContain('Path=/pre/-/;')
    const cookie = set.split(';', 1)[0] ?? ''
    const { csrf } = Value.Parse(Session, await begun.json())
    expect((await ask('GET', 'users', { as: null, headers: { cookie } })).status).toBe(200)
    const change = { as: null, body: { state: 'disabled' } }
    await problemOf(await ask('PATCH', 'users/ivan', { ...change, headers: { cookie } }), 403)
    const wrong = { cookie, 'x-csrf-token': `${csrf.slice(0, -1)}_` }
    await problemOf(await ask('PATCH', 'users/ivan', { ...change, headers: wrong }), 403)
    const meant = { cookie, 'x-csrf-token': csrf }
    expect((await ask('PATCH', 'users/ivan', { ...change, headers: meant })).status).toBe(200)
    expect((await ask('DELETE', 'sessions/current', { as: null, headers: meant })).status).toBe(204)
    await problemOf(await ask('GET', 'users', { as: null, headers: { cookie } }), 401)
  })

  test('a wrong password, and a token of another kind in the cookie, are nobody', async () => {
    const body = { name: 'judy', password: `${PASSWORD}!` }
    await problemOf(await ask('POST', 'sessions', { as: null, body }), 401)
    const headers = { cookie: `npmx-registry-session=${ADMIN_TOKEN}` }
    await problemOf(await ask('GET', 'users', { as: null, headers }), 401)
  })
})

describe('incidents', () => {
  test('are listed by filter and read with their evidence', async () => {
    npm.act({ do: 'publish', name: 'left', spec: { version: '1.1.0', signed: false } })
    await instance.packument('left', { 'cache-control': 'no-cache' })
    const found = await ask('GET', 'incidents?package=left&code=unsigned')
    const shape = Type.Object({ items: Type.Array(Type.Object({ id: Type.String() })) })
    const [first] = Value.Parse(shape, await found.json()).items
    const whole = await ask('GET', `incidents/${first?.id ?? ''}`)
    expect(await whole.json()).toMatchObject({ package: 'left', version: '1.1.0' })
    const none = await ask('GET', 'incidents?package=left&code=conflict')
    expect(await none.json()).toEqual({ items: [] })
    expect((await ask('GET', 'disputes')).status).toBe(200)
  })
})
