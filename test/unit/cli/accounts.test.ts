/**
 * The `user` and `token` commands, on a running server and on a data dir that nobody has open.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseExpiry, passwordFor } from '../../../src/cli/account-input.ts'
import { run } from '../../../src/cli/program.ts'
import { Audit } from '../../../src/db/audit.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { PASSWORD } from '../../fixtures/accounts.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { recordingIo } from './upstream-shell.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'npmx-registry-accounts-cli-'))
const CONFIG = join(FOLDER, 'npmx-registry.toml')
const PASSWORD_FILE = join(FOLDER, 'password')

let open: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  writeFileSync(CONFIG, 'log-level = "silent"\n')
  writeFileSync(PASSWORD_FILE, `${PASSWORD}\n`, { mode: 0o600 })
  open = startFixtureRegistry()
  instance = await Instance.start(open.url)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await open[Symbol.asyncDispose]()
  rmSync(FOLDER, { recursive: true })
})

async function shell(...args: string[]) {
  const written = { out: '', err: '' }
  const [group = '', command = '', ...rest] = args
  const where = ['--data-dir', instance.dataDir, '--config', CONFIG]
  const code = await run([group, command, ...where, ...rest], recordingIo(written))
  return { code, ...written }
}

function whoami(secret: string): Promise<Response> {
  return instance.get('-/whoami', { authorization: `Bearer ${secret}` })
}

describe('on a running server', () => {
  test('a person is added, logs in, is shut out at once and let in again', async () => {
    const added = await shell(
      'user',
      'add',
      'ana',
      '--password-file',
      PASSWORD_FILE,
      '--email',
      'a@b.c',
    )
    expect(added).toMatchObject({ code: 0, err: '' })
    expect(added.out).toStartWith('ana\tmember\tactive\t')
    expect(added.out).not.toContain(PASSWORD)
    const login = await fetch(`${instance.url}-/user/org.couchdb.user:ana`, {
      method: 'PUT',
      body: JSON.stringify({ name: 'ana', password: PASSWORD }),
    })
    expect(login.status).toBe(201)
    const { token } = JSON.parse(await login.text())
    expect(await (await whoami(token)).json()).toEqual({ username: 'ana' })
    expect((await shell('user', 'disable', 'ana')).out).toContain('disabled')
    expect((await whoami(token)).status).toBe(401)
    expect((await shell('user', 'enable', 'ana')).code).toBe(0)
    expect((await whoami(token)).status).toBe(401)
    expect((await shell('user', 'add', 'ana')).err).toContain('already')
    expect((await shell('user', 'add', 'No', '--json')).code).toBe(2)
  })

  test('a password that is made is printed once', async () => {
    const { code, out } = await shell('user', 'add', 'made', '--admin', '--json')
    expect(code).toBe(0)
    const { user, password } = JSON.parse(out)
    expect(user).toMatchObject({ name: 'made', role: 'admin', hasPassword: true })
    expect(password).toMatch(/^[\w-]{20}$/)
    const listed = await shell('user', 'list', '--json')
    expect(listed.out).not.toContain(password)
    expect(JSON.parse(listed.out).users).toHaveLength(2)
    const again = await shell('user', 'set', 'made', '--new-password')
    expect(again.out).toMatch(/^password [\w-]{20}$/m)
    expect((await shell('user', 'set', 'made')).code).toBe(2)
    expect((await shell('user', 'set', 'made', '--role', 'member')).err).toContain('only admin')
  })

  test('a token is made, listed and revoked', async () => {
    const made = await shell(
      ...'token create --user ana --name ci --scope read publish'.split(' '),
      ...'--packages @acme/* --expires 30d --cidr 127.0.0.0/8 ::1'.split(' '),
    )
    expect(made.code).toBe(0)
    const secret = made.out.trim()
    expect(secret).toMatch(/^npmx_[\w-]{43}$/)
    expect(made.err).not.toContain(secret)
    expect((await whoami(secret)).status).toBe(200)
    const listed = await shell('token', 'list', '--user', 'ana', '--json')
    expect(listed.out).not.toContain(secret.slice(5))
    const { tokens } = JSON.parse(listed.out)
    expect(tokens).toMatchObject([
      {
        name: 'ci',
        scopes: ['read', 'publish'],
        packages: ['@acme/*'],
        cidrs: ['127.0.0.0/8', '::1/128'],
      },
    ])
    expect((await shell('token', 'revoke', tokens[0].id)).out).toContain('is revoked')
    expect((await whoami(secret)).status).toBe(401)
    expect((await shell('token', 'revoke', tokens[0].id)).code).toBe(2)
  })

  test('a token of the operator has no person', async () => {
    const made = await shell('token', 'create', '--scope', 'admin:read', '--read-only', '--json')
    const { token, secret } = JSON.parse(made.out)
    expect(token).toMatchObject({ user: null, readOnly: true, packages: ['**'] })
    expect(await (await whoami(secret)).json()).toEqual({ username: `token:${token.id}` })
  })

  test.each([
    ['--scope', 'root'],
    ['--expires', 'soon'],
    ['--expires', '2001-01-01'],
    ['--packages', 'a b'],
    ['--cidr', 'here'],
    ['--user', 'nobody'],
    ['--view', 'none'],
  ])('token create %s %s is refused', async (flag, value) => {
    expect(await shell('token', 'create', flag, value)).toMatchObject({ code: 2, out: '' })
  })

  test('who did it is told', async () => {
    using db = openRegistry(instance.dataDir)
    const entries = new Audit(db).page(100)
    const actors = new Set(entries.map(({ actor }) => actor))
    expect([...actors].every(actor => /^(?:socket:\d+|user:ana)$/.test(actor))).toBe(true)
    expect(JSON.stringify(entries)).not.toContain(PASSWORD)
  })
})

test('without a server the data dir is opened itself', async () => {
  await instance.stop()
  expect((await shell('user', 'add', 'alone', '--password-file', PASSWORD_FILE)).code).toBe(0)
  expect((await shell('user', 'list')).out).toMatch(/^alone +member +active /m)
  using db = openRegistry(instance.dataDir)
  expect(new Audit(db).page(1)).toMatchObject([{ actor: 'cli', action: 'user.add' }])
  await instance.restart()
})

test('config dump says of the admin token only that it is set', async () => {
  const token = 'an-admin-token-of-at-least-32-characters'
  const config = join(FOLDER, 'with-token.toml')
  writeFileSync(config, `admin-token = "${token}"\n`)
  for (const shape of [[], ['--show-origin'], ['--json']]) {
    const written = { out: '', err: '' }
    const args = ['config', 'dump', '--config', config, ...shape]
    expect(await run(args, recordingIo(written))).toBe(0)
    expect(written.out).toContain('admin-token')
    expect(written.out + written.err).not.toContain(token)
  }
  const kept = { out: '', err: '' }
  await run(['config', 'dump', '--config', config], recordingIo(kept))
  expect(kept.out).toContain('# admin-token is set, and not shown\n')
})

describe('input', () => {
  test.each([
    ['12h', '2026-11-22T12:00:00.000Z'],
    ['30d', '2026-12-22T00:00:00.000Z'],
    ['2w', '2026-12-06T00:00:00.000Z'],
    ['2027-01-31', '2027-01-31T00:00:00.000Z'],
    ['2027-01-31T08:00:00Z', '2027-01-31T08:00:00.000Z'],
  ])('--expires %s', (text, expected) => {
    expect(parseExpiry(text, new Date('2026-11-22T00:00:00Z'))).toBe(expected)
  })

  test.each(['', 'd', '-1d', '1y', '2027-13-01', '2027', 'now'])('--expires %p is none', text => {
    expect(() => parseExpiry(text, new Date())).toThrow('--expires')
  })

  test('a person types a password twice, or has one made', async () => {
    const io = recordingIo({ out: '', err: '' }, true)
    const input = { isTty: true, readAll: async () => '', ask: async () => '' }
    const typed = (...answers: string[]) =>
      passwordFor(undefined, io, input, async () => answers.shift() ?? '')
    expect(await typed(PASSWORD, PASSWORD)).toEqual({ password: PASSWORD, isMade: false })
    expect(await typed('')).toMatchObject({ isMade: true })
    expect(typed(PASSWORD, 'other')).rejects.toThrow('differ')
    const piped = { ...input, readAll: async () => `${PASSWORD}\n` }
    const read = await passwordFor('-', io, piped, async () => '')
    expect(read).toEqual({ password: PASSWORD, isMade: false })
  })
})
