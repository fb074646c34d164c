/**
 * From an Authorization header to an identity: each limit of a token, and that every change counts
 * at once.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  ANONYMOUS,
  hasScope,
  reachesPackage,
  SCOPES,
} from '../../../../src/registries/accounts/access.ts'
import type { NewToken } from '../../../../src/registries/accounts/accounts.ts'
import { AccountsServer } from '../../../fixtures/accounts.ts'

const ADMIN_TOKEN = 'an-admin-token-of-at-least-32-characters'
const HERE = '192.0.2.7'

let server: AccountsServer

beforeEach(async () => {
  server = new AccountsServer({ adminToken: ADMIN_TOKEN })
  await server.parts.accountAdmin.addUser({ name: 'ana', password: null })
  await server.parts.accountAdmin.addUser({ name: 'root', password: null, role: 'admin' })
})
afterEach(() => server[Symbol.asyncDispose]())

function issue(asked: Partial<NewToken> = {}) {
  return server.parts.accountAdmin.issue({
    user: 'ana',
    kind: 'granular',
    name: 'test',
    scopes: SCOPES,
    packages: ['**'],
    ...asked,
  })
}

const identify = (authorization: string | null, address: string | null = HERE) =>
  server.parts.accounts.identify(authorization, address)
const bearer = (secret: string, address: string | null = HERE) =>
  identify(`Bearer ${secret}`, address)
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('identify()', () => {
  test('knows a person by a token, as Bearer and in Basic', () => {
    const { secret, row } = issue({ packages: ['@acme/*'], view: 'eu' })
    const expected = {
      user: 'ana',
      role: 'member',
      grant: {
        id: row.id,
        isOfJob: false,
        scopes: [...SCOPES],
        packages: ['@acme/*'],
        readOnly: false,
        view: 'eu',
      },
      actor: 'user:ana',
      problem: null,
    } as const
    const headers = [
      `Bearer ${secret}`,
      `bearer  ${secret} `,
      basic(`ana:${secret}`),
      basic(`:${secret}`),
    ]
    for (const header of headers) expect(identify(header)).toEqual(expected)
    expect(reachesPackage(bearer(secret), '@acme/tool')).toBe(true)
    expect(reachesPackage(bearer(secret), 'acme')).toBe(false)
  })

  test('nothing said is nobody, without a problem', () => {
    expect(identify(null)).toBe(ANONYMOUS)
    expect(identify('')).toBe(ANONYMOUS)
  })

  test.each([
    'Bearer',
    'Bearer ',
    'Bearer a b',
    `Digest x`,
    'Basic !',
    basic('no colon'),
    basic('ana:'),
    `Bearer ${'x'.repeat(5000)}`,
    'npmx_abc',
  ])('%p is nobody, and why', header => {
    expect(identify(header)).toMatchObject({ role: 'anonymous', user: null })
    expect(identify(header).problem).toBeString()
  })

  test('never throws, and lets nobody in, whatever it is given', () => {
    const { secret } = issue()
    const strange = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }).map(text => `Bearer ${text}`),
      fc.string({ unit: 'binary' }).map(text => basic(`ana:${text}`)),
      fc.nat(secret.length - 1).map(at => `Bearer ${secret.slice(0, at)}`),
      fc.nat(secret.length - 1).map(at => {
        const other = secret[at] === 'x' ? 'y' : 'x'
        return `Bearer ${secret.slice(0, at)}${other}${secret.slice(at + 1)}`
      }),
    )
    fc.assert(
      fc.property(strange, header => {
        expect(identify(header).role).toBe('anonymous')
      }),
    )
  })

  test('expired: from that second on', () => {
    const { secret } = issue({ expires: '2026-11-22T09:31:07Z' })
    expect(bearer(secret).user).toBe('ana')
    server.pass(3599)
    expect(bearer(secret).user).toBe('ana')
    server.pass(1)
    expect(bearer(secret)).toMatchObject({
      role: 'anonymous',
      problem: 'this token expired at 2026-11-22T09:31:07Z',
    })
  })

  test('revoked: at once', async () => {
    const { secret, row } = issue()
    expect(bearer(secret).user).toBe('ana')
    await server.parts.accountAdmin.revokeToken(row.id)
    expect(bearer(secret)).toMatchObject({ role: 'anonymous', problem: 'this token was revoked' })
  })

  test('from elsewhere', () => {
    const { secret } = issue({ cidrs: ['192.0.2.0/24'] })
    expect(bearer(secret, '::ffff:192.0.2.7').user).toBe('ana')
    for (const address of ['198.51.100.1', '2001:db8::1', null]) {
      expect(bearer(secret, address)).toMatchObject({ role: 'anonymous' })
      expect(bearer(secret, address).problem).toContain('address')
    }
  })

  test('disabled: at once, and back when enabled', async () => {
    const { secret } = issue()
    expect(bearer(secret).user).toBe('ana')
    await server.parts.accountAdmin.setUser('ana', { state: 'disabled' })
    expect(bearer(secret).problem).toContain('disabled')
    await server.parts.accountAdmin.setUser('ana', { state: 'active' })
    expect(bearer(secret).user).toBe('ana')
  })

  test('another role counts at once', async () => {
    const { secret } = issue()
    expect(hasScope(bearer(secret), 'admin:read')).toBe(false)
    await server.parts.accountAdmin.setUser('ana', { role: 'admin' })
    expect(hasScope(bearer(secret), 'admin:read')).toBe(true)
    await server.parts.accountAdmin.setUser('ana', { role: 'member' })
    expect(hasScope(bearer(secret), 'admin:read')).toBe(false)
  })

  test('read-only and scopes are limits of the person', () => {
    const reading = bearer(issue({ user: 'root', readOnly: true }).secret)
    expect(SCOPES.filter(scope => hasScope(reading, scope))).toEqual([
      'public',
      'read',
      'account',
      'admin:read',
    ])
    const publishing = bearer(issue({ user: 'root', scopes: ['publish'] }).secret)
    expect(SCOPES.filter(scope => hasScope(publishing, scope))).toEqual([
      'public',
      'publish',
      'stage',
    ])
    const member = bearer(issue({ scopes: ['admin:write', 'read'] }).secret)
    expect(SCOPES.filter(scope => hasScope(member, scope))).toEqual(['public', 'read'])
  })

  test('a token without a person has what it was given', () => {
    const job = bearer(issue({ user: null, kind: 'oidc', scopes: ['publish'] }).secret)
    expect(job).toMatchObject({ user: null, role: 'member' })
    expect(job.actor).toBe(`token:${job.grant?.id}`)
    const ops = bearer(issue({ user: null, scopes: ['admin:read'] }).secret)
    expect(ops.role).toBe('admin')
    expect(hasScope(ops, 'admin:write')).toBe(false)
  })

  test('the admin token of the settings is an admin without a person', () => {
    expect(bearer(ADMIN_TOKEN)).toEqual({
      user: null,
      role: 'admin',
      grant: null,
      actor: 'admin-token',
      problem: null,
    })
    expect(identify(basic(`x:${ADMIN_TOKEN}`)).role).toBe('admin')
    expect(bearer(ADMIN_TOKEN.slice(1)).role).toBe('anonymous')
    expect(server.everything()).not.toContain(ADMIN_TOKEN)
  })

  test('a use is written down once a minute', () => {
    const { secret, row } = issue()
    const lastUsed = () => server.db.database.query('SELECT last_used AS at FROM token').get()
    expect(lastUsed()).toEqual({ at: null })
    bearer(secret)
    expect(lastUsed()).toEqual({ at: '2026-11-22T08:31:07Z' })
    server.pass(59)
    bearer(secret)
    expect(lastUsed()).toEqual({ at: '2026-11-22T08:31:07Z' })
    server.pass(1)
    bearer(secret)
    expect(lastUsed()).toEqual({ at: '2026-11-22T08:32:07Z' })
    server.pass(60)
    bearer(secret, null)
    expect(row.lastUsed).toBeNull()
  })

  test('a token for some organisations reaches no other', () => {
    const { accounts } = server.parts
    const some = bearer(issue({ orgs: ['acme'] }).secret)
    expect([accounts.reachesOrg(some, 'acme'), accounts.reachesOrg(some, 'b')]).toEqual([
      true,
      false,
    ])
    const all = bearer(issue().secret)
    expect(accounts.reachesOrg(all, 'b')).toBe(true)
    expect(accounts.reachesOrg(bearer(ADMIN_TOKEN), 'b')).toBe(true)
  })
})

describe('the operations', () => {
  test('the last admin stays one', async () => {
    const { accountAdmin } = server.parts
    for (const change of [{ role: 'member' }, { state: 'disabled' }] as const) {
      expect(accountAdmin.setUser('root', change)).rejects.toThrow('the only admin')
    }
    expect(await accountAdmin.user('root')).toMatchObject({ role: 'admin', state: 'active' })
    await accountAdmin.setUser('ana', { role: 'admin' })
    expect(await accountAdmin.setUser('root', { state: 'disabled' })).toMatchObject({
      state: 'disabled',
    })
  })

  test('another password ends logins and sessions, and no other tokens', async () => {
    const login = server.parts.accountAdmin.issueLogin('ana', 'x')
    const session = issue({ kind: 'session' })
    const job = issue()
    await server.parts.accountAdmin.setUser('ana', { password: 'another password' })
    expect([login, session, job].map(({ secret }) => bearer(secret).user)).toEqual([
      null,
      null,
      'ana',
    ])
    const [entry] = server.audit.page(1)
    expect(JSON.parse(entry?.after ?? '')).toMatchObject({ passwordChanged: true })
    expect(JSON.parse(entry?.after ?? '').revoked).toHaveLength(2)
  })

  test.each<[string, object]>([
    ['no scope', { scopes: [] }],
    ['no package', { packages: [] }],
    ['a pattern that is none', { packages: ['@acme/**'] }],
    ['a network that is none', { cidrs: ['here'] }],
    ['a past', { expires: '2026-11-22T08:31:07Z' }],
    ['a day that is none', { expires: '2027-02-31' }],
    ['a view that is none', { view: 'none' }],
    ['a name of two lines', { name: 'a\nb' }],
    ['somebody who is not there', { user: 'bob' }],
  ])('refuse a token with %s', async (_, wrong) => {
    const asked = { user: 'ana', name: 'x', ...wrong }
    expect(server.parts.accountAdmin.createToken(asked)).rejects.toThrow()
    expect(await server.parts.accountAdmin.tokens()).toEqual([])
  })

  test('a disabled person gets no token', async () => {
    await server.parts.accountAdmin.setUser('ana', { state: 'disabled' })
    expect(() => issue()).toThrow('disabled')
  })

  test('each change is told with before and after, and without a secret', async () => {
    const { accountAdmin } = server.parts
    const admin = accountAdmin.as('somebody')
    await admin.addUser({ name: 'bob', password: 'a secret password' })
    await admin.setUser('bob', { email: 'bob@example.org' })
    const { token, secret } = await admin.createToken({ user: 'bob', name: 'ci', view: 'eu' })
    await admin.revokeToken(token.id)
    const told = server.audit.page(4).toReversed()
    expect(told.map(({ actor, action, target }) => [actor, action, target])).toEqual([
      ['somebody', 'user.add', 'bob'],
      ['somebody', 'user.set', 'bob'],
      ['somebody', 'token.create', token.id],
      ['somebody', 'token.revoke', token.id],
    ])
    expect(JSON.parse(told[1]?.before ?? '')).toMatchObject({ email: null })
    expect(JSON.parse(told[1]?.after ?? '')).toMatchObject({ email: 'bob@example.org' })
    const text = JSON.stringify(told)
    for (const hidden of [secret.slice(5), 'a secret password', 'argon2', '"hash"']) {
      expect(text).not.toContain(hidden)
    }
    expect(admin.revokeToken(token.id)).rejects.toThrow('already')
    expect(admin.revokeToken('none')).rejects.toThrow('no token')
  })
})
