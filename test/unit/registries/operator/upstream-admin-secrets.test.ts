/**
 * Credentials of upstreams: each is seen by its own origin and by nobody else, and stands nowhere
 * in clear. Goal: a planted text is looked for in every file, answer, log line and request.
 */
import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Secrets, SecretError } from '../../../../src/db/secrets.ts'
import { openRegistry } from '../../../../src/db/open.ts'
import { Credential, ClientCertificate } from '../../../../src/registries/fetch/credential.ts'
import { openSecret } from '../../../../src/registries/sources/upstream-secret.ts'
import { Instance } from '../../../fixtures/instance.ts'
import { Recorder } from '../../../fixtures/recorder.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../../fixtures/registry.ts'
import { Shell } from '../../cli/upstream-shell.ts'
import { temporaryDir } from '../../db/data-dir.ts'
import { ELSEWHERE_CERTIFICATE, TEST_CERTIFICATE, TEST_KEY } from '../test-certificates.ts'

const CANARY = 'canary-8f2b6c1d0e'

let open: FixtureRegistry
let acme: FixtureRegistry
let atOpen: Recorder
let atAcme: Recorder
let instance: Instance
let shell: Shell

beforeEach(async () => {
  open = startFixtureRegistry()
  const packages = [{ name: '@acme/tool', versions: [{ version: '1.0.0' }] }]
  acme = startFixtureRegistry({ seed: 'acme', packages })
  atOpen = new Recorder(open)
  atAcme = new Recorder(acme)
  instance = await Instance.start(atOpen.url)
  shell = new Shell(instance.dataDir)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  for (const each of [atOpen, atAcme, open, acme]) await each[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
})

/** Every file of the data dir in which one of the texts stands, plain or in base64. */
function filesHolding(texts: readonly string[]): string[] {
  const names = readdirSync(instance.dataDir, { recursive: true, encoding: 'utf8' })
  return names.filter(name => {
    const path = join(instance.dataDir, name)
    if (!statSync(path).isFile()) return false
    const bytes = readFileSync(path)
    return texts.some(text => bytes.includes(text))
  })
}

function add(...args: string[]) {
  return shell.upstream('add', 'acme', atAcme.url, '--names', '@acme/*', '--yes', ...args)
}

describe('a credential', () => {
  const BASIC = Buffer.from(`robot:${CANARY}`).toString('base64')
  test.each([
    ['--token-file', CANARY, `Bearer ${CANARY}`, 'bearer'],
    ['--basic-file', `robot:${CANARY}`, `Basic ${BASIC}`, 'basic'],
  ])('given by %s reaches its own origin only', async (flag, text, header, kind) => {
    const file = shell.file('secret.txt', `${text}\n`)
    const added = await add(flag, file, '--json')
    expect(added).toMatchObject({ code: 0 })
    const shown = JSON.parse(added.out)
    expect(shown).toMatchObject({
      credential: { authorization: kind, ca: false, certificate: false },
      // A client that is sent on there would not be let in.
      tarballs: 'stream',
    })
    await instance.packument('@acme/tool')
    await instance.packument('alpha')
    await instance.restart()
    await instance.packument('@acme/tool', { 'cache-control': 'no-cache' })
    expect(new Set(atAcme.heard.map(({ authorization }) => authorization))).toEqual(
      new Set([header]),
    )
    expect(atOpen.heard.map(({ authorization }) => authorization)).not.toContain(header)
    expect(atOpen.everything).not.toContain(CANARY)
    await atAcme[Symbol.asyncDispose]()
    const answers = await Promise.all([
      ...['show acme', 'show acme --json', 'list', 'list --json', 'keys acme --json'].map(
        async line => JSON.stringify(await shell.upstream(...line.split(' '))),
      ),
      ...['@acme/other', '-/registries', '-/npm/v1/keys', '-/why/x', ''].map(async path =>
        (await instance.get(path)).text(),
      ),
      JSON.stringify(await shell.upstream('set', 'acme', '--yes', '--sample', 'x')),
    ])
    for (const answer of [...answers, JSON.stringify(added)]) {
      expect(answer).not.toContain(CANARY)
      expect(answer).not.toContain(BASIC)
    }
    expect(filesHolding([CANARY, BASIC, btoa(CANARY)])).toEqual([])
  })

  test('is for one origin: another URL needs another one, or none', async () => {
    expect((await add('--token-file', shell.file('t', CANARY))).code).toBe(0)
    await using elsewhere = new Recorder(acme)
    const moved = await shell.upstream('set', 'acme', '--url', elsewhere.url, '--yes')
    expect(moved).toMatchObject({ code: 2 })
    expect(moved.err).toContain('--no-credential')
    expect(elsewhere.heard).toEqual([])
    const args = ['set', 'acme', '--url', elsewhere.url, '--yes', '--json']
    const { code, out } = await shell.upstream(...args, '--no-credential')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ url: elsewhere.url, credential: null })
    await instance.packument('@acme/tool')
    expect(elsewhere.everything).not.toContain(CANARY)
  })

  test('changes at once and goes when it is taken away', async () => {
    expect((await add('--token-file', shell.file('t', CANARY))).code).toBe(0)
    const other = shell.file('other', 'another-token')
    expect((await shell.upstream('set', 'acme', '--token-file', other, '--yes')).code).toBe(0)
    await instance.packument('@acme/tool')
    expect(atAcme.heard.at(-1)?.authorization).toBe('Bearer another-token')
    expect((await shell.upstream('set', 'acme', '--no-credential', '--yes')).code).toBe(0)
    await instance.packument('@acme/tool')
    expect(atAcme.heard.at(-1)?.authorization).toBeNull()
  })

  test.each([
    ['--token-file', 'two\nlines'],
    ['--token-file', '\n'],
    ['--basic-file', 'no-colon'],
    ['--basic-file', 'user:'],
    ['--ca-file', 'no certificate'],
    ['--ca-file', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('that cannot be one is refused without being repeated: %s %j', async (flag, text) => {
    const { code, err } = await add(flag, shell.file('bad', text))
    expect(code).toBe(2)
    expect(err).not.toContain(text.trim() === '' ? 'never' : text.trim())
    expect(atAcme.heard).toEqual([])
  })

  test('on plain http to another machine is refused', async () => {
    const args = ['add', 'far', 'http://registry.example/', '--names', '@far/*', '--yes']
    const { code, err } = await shell.upstream(...args, '--token-file', shell.file('t', CANARY))
    expect(code).toBe(2)
    expect(err).toContain('a credential needs https')
  })

  test('sealed with a key that is gone: the server starts, asks without it and says so', async () => {
    expect((await add('--token-file', shell.file('t', CANARY))).code).toBe(0)
    await instance.stop()
    const path = join(instance.dataDir, 'keys', 'secrets.key')
    rmSync(path)
    writeFileSync(path, `${Buffer.alloc(32, 1).toString('base64')}\n`, { mode: 0o600 })
    await instance.restart()
    await instance.packument('@acme/tool')
    expect(atAcme.heard.at(-1)?.authorization).toBeNull()
    expect((await shell.upstream('show', 'acme')).out).toContain('credential  none\n')
  })
})

test('a client certificate and an own authority: shown to the upstream alone', async () => {
  using server = {
    server: Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      tls: {
        key: TEST_KEY,
        cert: TEST_CERTIFICATE,
        ca: TEST_CERTIFICATE,
        requestCert: true,
        rejectUnauthorized: true,
      },
      fetch: () => Response.json({ keys: [] }),
    }),
    [Symbol.dispose]() {
      void this.server.stop(true)
    },
  }
  const url = `https://localhost:${server.server.port}/`
  const args = ['add', 'secure', url, '--names', '@secure/*', '--yes', '--json']
  const ca = ['--ca-file', shell.file('ca.pem', TEST_CERTIFICATE)]
  const pair = ['--cert-file', shell.file('c.pem', TEST_CERTIFICATE)]
  expect((await shell.upstream(...args, ...ca)).code).toBe(3)
  const wrong = shell.file('wrong.pem', TEST_KEY.replace('MIGH', 'MIGI'))
  expect((await shell.upstream(...args, ...ca, ...pair, '--key-file', wrong)).code).toBe(2)
  const key = ['--key-file', shell.file('k.pem', TEST_KEY)]
  expect((await shell.upstream(...args, ...pair, ...key)).code).toBe(3)
  const { code, out } = await shell.upstream(...args, ...ca, ...pair, ...key)
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({
    credential: { authorization: null, ca: true, certificate: true },
  })
  const secret = TEST_KEY.split('\n')[1] ?? ''
  expect(out).not.toContain(secret)
  expect(filesHolding([secret])).toEqual([])
})

describe('Secrets', () => {
  function opened() {
    const dir = temporaryDir()
    const db = openRegistry(dir.path)
    const secrets = new Secrets(db, dir.path)
    const dispose = () => {
      db[Symbol.dispose]()
      dir[Symbol.dispose]()
    }
    return { db, dir, secrets, [Symbol.dispose]: dispose }
  }
  const ORIGIN = 'https://registry.example'

  test('put(), get(), has(), remove(); the key file is private', () => {
    using t = opened()
    expect(t.secrets.get('acme', ORIGIN)).toBeNull()
    t.secrets.put('acme', ORIGIN, CANARY)
    t.secrets.put('acme', ORIGIN, `${CANARY} ü`)
    expect(t.secrets.get('acme', ORIGIN)).toBe(`${CANARY} ü`)
    expect(new Secrets(t.db, t.dir.path).get('acme', ORIGIN)).toBe(`${CANARY} ü`)
    expect(t.secrets.get('acme', 'https://evil.example')).toBeNull()
    expect(t.secrets.has('acme')).toBe(true)
    expect(statSync(join(t.dir.path, 'keys', 'secrets.key')).mode & 0o777).toBe(0o600)
    t.secrets.remove('acme')
    expect(t.secrets.has('acme')).toBe(false)
  })

  test('a row that was moved, or any changed byte, opens nothing', () => {
    using t = opened()
    t.secrets.put('acme', ORIGIN, CANARY)
    const { database } = t.db
    const copy = 'INSERT INTO upstream_secret SELECT ?, ?, nonce, sealed FROM upstream_secret'
    database.query(`${copy} WHERE upstream = 'acme'`).run('thief', ORIGIN)
    expect(() => t.secrets.get('thief', ORIGIN)).toThrow(SecretError)
    database.run(
      "UPDATE upstream_secret SET origin = 'https://evil.example' WHERE upstream = 'acme'",
    )
    expect(() => t.secrets.get('acme', 'https://evil.example')).toThrow(SecretError)
    database.query('UPDATE upstream_secret SET origin = ?').run(ORIGIN)
    expect(t.secrets.get('acme', ORIGIN)).toBe(CANARY)
    const row = database
      .query<{ nonce: Uint8Array; sealed: Uint8Array }, []>(
        "SELECT nonce, sealed FROM upstream_secret WHERE upstream = 'acme'",
      )
      .get()
    if (row === null) throw new Error('no row')
    for (const column of ['nonce', 'sealed'] as const) {
      for (let at = 0; at < row[column].length; at++) {
        const bytes = new Uint8Array(row[column])
        bytes[at] = (bytes[at] ?? 0) ^ 1
        database.query(`UPDATE upstream_secret SET ${column} = ?`).run(bytes)
        expect(() => t.secrets.get('acme', ORIGIN)).toThrow(SecretError)
      }
      database.query(`UPDATE upstream_secret SET ${column} = ?`).run(row[column])
    }
    expect(t.secrets.get('acme', ORIGIN)).toBe(CANARY)
  })
})

test('a secret at hand prints as nothing', () => {
  const opened = openSecret({
    token: CANARY,
    certificate: { cert: TEST_CERTIFICATE, key: TEST_KEY },
  })
  expect(opened.credential).toBeInstanceOf(Credential)
  expect(opened.certificate).toBeInstanceOf(ClientCertificate)
  const printed = `${Bun.inspect(opened)} ${JSON.stringify(opened)} ${String(opened.certificate)}`
  expect(printed).not.toContain(CANARY)
  expect(printed).not.toContain('PRIVATE KEY')
  expect(() => openSecret({ certificate: { cert: ELSEWHERE_CERTIFICATE, key: 'no key' } })).toThrow(
    'is not its own',
  )
  expect(() => openSecret({ token: 'a', basic: { user: 'b', password: 'c' } })).toThrow('and a')
})

describe('the audit trail', () => {
  function rows() {
    using database = new Database(join(instance.dataDir, 'registry.db'), { readonly: true })
    return database
      .query<{ actor: string; action: string; target: string; before: string; after: string }, []>(
        'SELECT actor, action, target, "before", "after" FROM audit ORDER BY id',
      )
      .all()
  }

  test('holds each change with its actor, before and after, and no refused one', async () => {
    expect((await add('--token-file', shell.file('t', CANARY))).code).toBe(0)
    expect((await add()).code).toBe(2)
    expect((await shell.upstream('set', 'acme', '--names', '**')).code).toBe(2)
    expect((await shell.upstream('set', 'acme', '--names', '@acme/*', '@x/*')).code).toBe(0)
    await instance.stop()
    expect((await shell.upstream('remove', 'acme')).code).toBe(0)
    await instance.restart()
    const socket = `socket:${process.getuid?.()}`
    expect(rows()).toMatchObject([
      { actor: socket, action: 'upstream.add', target: 'acme', before: null },
      { actor: socket, action: 'upstream.set', target: 'acme' },
      { actor: 'cli', action: 'upstream.remove', target: 'acme', after: null },
    ])
    const [, set] = rows()
    expect(JSON.parse(set?.before ?? '')).toMatchObject({ names: ['@acme/*'] })
    expect(JSON.parse(set?.after ?? '')).toMatchObject({
      names: ['@acme/*', '@x/*'],
      credential: { authorization: 'bearer' },
    })
    expect(JSON.stringify(rows())).not.toContain(CANARY)
  })

  test('can be neither changed nor deleted', async () => {
    expect((await add()).code).toBe(0)
    await instance.stop()
    using db = openRegistry(instance.dataDir)
    for (const sql of [
      "UPDATE audit SET actor = 'nobody'",
      'DELETE FROM audit',
      "INSERT OR REPLACE INTO audit (id, time, actor, action, target) VALUES (1, '', '', '', '')",
    ]) {
      expect(() => db.database.run(sql)).toThrow('append-only')
    }
    expect(rows()).toHaveLength(1)
  })
})
