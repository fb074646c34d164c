/**
 * `npm whoami`, `npm profile` and `npm token` over the wire forms of npm 12 and of those before it.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Scope, SCOPES } from '../../../src/registries/accounts/access.ts'
import { AccountsServer, PASSWORD } from '../../fixtures/accounts.ts'
import { errorOf } from '../../fixtures/instance.ts'

const TOKENS = '-/npm/v1/tokens'
const PROFILE = '-/npm/v1/user'

const TokenShape = Type.Object({
  token: Type.String(),
  key: Type.String(),
  name: Type.String(),
  created: Type.String(),
  readonly: Type.Boolean(),
  cidr_whitelist: Type.Union([Type.Array(Type.String()), Type.Null()]),
})
const ListShape = Type.Object({
  objects: Type.Array(TokenShape),
  total: Type.Integer(),
  urls: Type.Object({}),
})

let server: AccountsServer
let secret: string

beforeEach(async () => {
  server = new AccountsServer({ adminToken: 'an-admin-token-of-at-least-32-characters' })
  await server.addPerson('ana')
  await server.parts.accountAdmin.addUser({ name: 'bob', password: null })
  secret = server.parts.accountAdmin.issueLogin('ana', 'npm login').secret
})
afterEach(() => server[Symbol.asyncDispose]())

function limited(scopes: readonly Scope[], readOnly = false): string {
  const token = { user: 'ana', kind: 'granular', name: 't', scopes, packages: ['**'] } as const
  return server.parts.accountAdmin.issue({ ...token, readOnly }).secret
}

function get(path: string, by: string | null = secret): Promise<Response> {
  return server.ask(path, by === null ? {} : { headers: { authorization: `Bearer ${by}` } })
}

async function create(body: object): Promise<Static<typeof TokenShape>> {
  const answer = await server.send('POST', TOKENS, { password: PASSWORD, ...body }, secret)
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return Value.Parse(TokenShape, await answer.json())
}

async function list(): Promise<Static<typeof ListShape>> {
  return Value.Parse(ListShape, await (await get(TOKENS)).json())
}

function remove(key: string, by = secret): Promise<Response> {
  const headers = { authorization: `Bearer ${by}` }
  return server.ask(`${TOKENS}/token/${key}`, { method: 'DELETE', headers })
}

describe('whoami', () => {
  test('says whose a token is, whatever else it may do', async () => {
    expect(await server.whoami(secret)).toBe('{"username":"ana"}')
    expect(await server.whoami(limited(['publish'], true))).toBe('{"username":"ana"}')
    expect(await server.whoami('an-admin-token-of-at-least-32-characters')).toBe(
      '{"username":"admin-token"}',
    )
  })

  test('tells nobody why it is nobody', async () => {
    const answer = await get('-/whoami', null)
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    expect((await errorOf(answer)).error).toContain('npm login')
    const unknown = await errorOf(await get('-/whoami', 'npmx_none'))
    expect(unknown.error).toContain('not known')
  })

  test('two Authorization headers are a mistake', async () => {
    const headers = { authorization: `Bearer ${secret}, Bearer ${secret}` }
    expect((await server.ask('-/whoami', { headers })).status).toBe(400)
  })
})

describe('profile', () => {
  test('shows what is kept', async () => {
    expect(await (await get(PROFILE)).json()).toMatchObject({
      name: 'ana',
      email: '',
      email_verified: false,
      tfa: null,
    })
  })

  test('the address changes, as npm sends it: with all the rest empty', async () => {
    const empty = { fullname: null, homepage: null, freenode: '', twitter: null, github: null }
    const body = { ...empty, email: 'ana@example.org', password: null }
    expect((await server.send('POST', PROFILE, body, secret)).status).toBe(200)
    expect(await (await get(PROFILE)).json()).toMatchObject({ email: 'ana@example.org' })
    const wrong = { ...body, email: 'nonsense' }
    expect((await server.send('POST', PROFILE, wrong, secret)).status).toBe(400)
    const other = { ...body, fullname: 'Ana' }
    expect((await server.send('POST', PROFILE, other, secret)).status).toBe(422)
    const tfa = { tfa: { mode: 'auth-only', password: PASSWORD } }
    expect((await server.send('POST', PROFILE, tfa, secret)).status).toBe(422)
  })

  test('the password changes with the old one, and ends the other logins', async () => {
    const elsewhere = server.parts.accountAdmin.issueLogin('ana', 'elsewhere').secret
    const change = (old: string, next: string) =>
      server.send('POST', PROFILE, { password: { old, new: next } }, secret)
    expect((await change('wrong password', 'a new password')).status).toBe(401)
    expect((await change(PASSWORD, 'short')).status).toBe(422)
    expect((await change(PASSWORD, 'a new password')).status).toBe(200)
    expect(await server.whoami(secret)).toBe('{"username":"ana"}')
    expect(await server.whoami(elsewhere)).toBe(401)
    expect((await server.legacyLogin('ana', PASSWORD)).status).toBe(401)
    expect((await server.legacyLogin('ana', 'a new password')).status).toBe(201)
    expect(server.everything()).not.toContain('a new password')
  })

  test('is for the person: not for another scope, a read-only token, the admin token', async () => {
    expect((await get(PROFILE, limited(['read', 'publish']))).status).toBe(403)
    const reading = limited(['account'], true)
    expect((await get(PROFILE, reading)).status).toBe(200)
    expect((await server.send('POST', PROFILE, { email: null }, reading)).status).toBe(403)
    expect((await get(PROFILE, null)).status).toBe(401)
    expect((await get(PROFILE, 'an-admin-token-of-at-least-32-characters')).status).toBe(403)
  })

  test('npm owner finds a person, and an address only of oneself', async () => {
    await server.parts.accountAdmin.setUser('bob', { email: 'bob@example.org' })
    await server.parts.accountAdmin.setUser('ana', { email: 'ana@example.org' })
    const bob = await get('-/user/org.couchdb.user:bob')
    expect(await bob.text()).not.toContain('example.org')
    const ana = await get('-/user/org.couchdb.user:ana?write=true')
    expect(await ana.json()).toMatchObject({ name: 'ana', email: 'ana@example.org' })
    expect((await get('-/user/org.couchdb.user:carl')).status).toBe(404)
    expect((await get('-/user/org.couchdb.user:bob', null)).status).toBe(401)
    expect((await get('-/user/bob')).status).toBe(404)
  })
})

describe('tokens', () => {
  test('npm 12: packages, scopes, networks and days', async () => {
    const made = await create({
      name: 'ci',
      description: 'for the pipeline',
      packages: ['left-pad'],
      scopes: ['@acme'],
      packages_and_scopes_permission: 'read-write',
      expires: 30,
      cidr_whitelist: ['127.0.0.0/8'],
      bypass_2fa: true,
    })
    expect(made.token).toMatch(/^npmx_[\w-]{43}$/)
    expect(server.parts.accounts.identify(`Bearer ${made.token}`, '127.0.0.1')).toMatchObject({
      user: 'ana',
      grant: { scopes: ['read', 'publish'], packages: ['left-pad', '@acme/*'], readOnly: false },
    })
    expect(server.parts.accounts.identify(`Bearer ${made.token}`, '192.0.2.1').role).toBe(
      'anonymous',
    )
    server.pass(30 * 86_400)
    expect(await server.whoami(made.token)).toBe(401)
    expect(server.everything()).not.toContain(made.token.slice(5))
  })

  test.each<[object, readonly Scope[], readonly string[], boolean]>([
    [{}, ['read', 'publish', 'account', 'team'], ['**'], false],
    [{ readonly: true, cidr_whitelist: [] }, ['read'], ['**'], true],
    [{ packages_all: true, packages_and_scopes_permission: 'read-only' }, ['read'], ['**'], true],
    [{ packages: ['a'] }, ['read'], ['a'], true],
    [
      { packages: ['a'], packages_and_scopes_permission: 'read-write-stage-only' },
      ['read', 'stage'],
      ['a'],
      false,
    ],
    [
      { scopes: ['acme'], packages_and_scopes_permission: 'read-write' },
      ['read', 'publish'],
      ['@acme/*'],
      false,
    ],
    [{ orgs: ['acme'], orgs_permission: 'read-write' }, ['team'], ['**'], false],
  ])('%j', async (body, scopes, packages, readOnly) => {
    const { token } = await create(body)
    const { grant } = server.parts.accounts.identify(`Bearer ${token}`, null)
    expect(grant).toMatchObject({ packages, readOnly })
    expect([...(grant?.scopes ?? [])].toSorted()).toEqual([...scopes].toSorted())
    expect(scopes.every(scope => SCOPES.includes(scope))).toBe(true)
  })

  test.each([
    { packages_and_scopes_permission: 'read-write' },
    { packages_and_scopes_permission: 'no-access' },
    { packages: ['a'], packages_and_scopes_permission: 'no-access' },
    { packages: ['a'], packages_and_scopes_permission: 'all' },
    { packages: ['a b'] },
    { scopes: ['@a/b'] },
    { orgs: ['acme'] },
    { orgs_permission: 'read-write' },
    { cidr_whitelist: ['here'] },
    { expires: 0 },
    { expires: 1e9 },
    { expires: '30' },
    { name: '' },
    { name: 'a\u0007' },
  ])('refuses %j', async body => {
    const answer = await server.send('POST', TOKENS, { password: PASSWORD, ...body }, secret)
    expect([400, 422]).toContain(answer.status)
    expect((await list()).total).toBe(1)
  })

  test('a token makes no other without the password', async () => {
    for (const body of [{}, { password: '' }, { password: 'wrong password' }]) {
      const answer = await server.send('POST', TOKENS, body, secret)
      expect([400, 401]).toContain(answer.status)
    }
    const right = { password: PASSWORD }
    expect((await server.send('POST', TOKENS, right, limited(['publish']))).status).toBe(403)
    expect((await server.send('POST', TOKENS, right, limited(['account'], true))).status).toBe(403)
    expect((await server.send('POST', TOKENS, right)).status).toBe(401)
  })

  test('what a token of a view makes stays within the view', async () => {
    const asked = { user: 'ana', kind: 'granular', name: 'v', scopes: SCOPES } as const
    const by = server.parts.accountAdmin.issue({ ...asked, packages: ['**'], view: 'eu' }).secret
    const answer = await server.send('POST', TOKENS, { password: PASSWORD }, by)
    const { token } = Value.Parse(TokenShape, await answer.json())
    expect(server.parts.accounts.identify(`Bearer ${token}`, null).grant?.view).toBe('eu')
  })

  test('the list shows one’s own, without secrets', async () => {
    const made = await create({ name: 'mine' })
    const theirs = { user: 'bob', kind: 'login', name: 'theirs', scopes: SCOPES } as const
    server.parts.accountAdmin.issue({ ...theirs, packages: ['**'] })
    const text = await (await get(TOKENS)).text()
    expect(text).toContain('mine')
    expect(text).not.toContain('theirs')
    expect(text).not.toContain(made.token.slice(5))
    expect((await list()).objects.map(({ name }) => name).toSorted()).toEqual(['mine', 'npm login'])
    expect((await list()).objects.every(({ token }) => made.token.startsWith(token))).toBe(true)
  })

  test('revoke: by id and by secret, one’s own only, at once', async () => {
    const [one, two] = [await create({ name: 'one' }), await create({ name: 'two' })]
    const theirs = { user: 'bob', kind: 'login', name: 'theirs', scopes: SCOPES } as const
    const bobs = server.parts.accountAdmin.issue({ ...theirs, packages: ['**'] })
    expect((await remove(one.key, two.token)).status).toBe(204)
    expect(await server.whoami(one.token)).toBe(401)
    expect((await remove(encodeURIComponent(two.token))).status).toBe(204)
    expect(await server.whoami(two.token)).toBe(401)
    for (const key of [one.key, bobs.row.id, bobs.secret, 'none', '%E0']) {
      expect([400, 404]).toContain((await remove(key)).status)
    }
    expect(await server.whoami(bobs.secret)).toBe('{"username":"bob"}')
    expect((await list()).total).toBe(1)
  })
})
