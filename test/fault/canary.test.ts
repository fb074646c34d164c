/**
 * Canaries: a secret for each upstream, each user and each setting, then a run over every surface,
 * with errors, restarts and log lines at the lowest level. Afterwards each secret was heard at its
 * own origin and nowhere else: in no request to another, no answer, no log line, no metric, no
 * output of a command, no column of a database and no file, packed or not.
 *
 * @module
 */

import { Database } from 'bun:sqlite'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Recorder } from '../fixtures/recorder.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { newProject, runClient } from '../e2e/clients.ts'
import { clientsReady, serverReady } from '../e2e/ready.ts'
import { runCommand, type ServerProcess, startServer } from '../e2e/server.ts'

const TEST_TIMEOUT_MS = 90_000
const RUN_MS = 60_000

/** Secrets that no other text looks like. */
const canary = (what: string) => `canary${what}${crypto.randomUUID().replaceAll('-', '')}`
const SECRETS = {
  acme: canary('Acme'),
  mirror: canary('Mirror'),
  basic: canary('Basic'),
  password: canary('Password'),
  stranger: canary('Stranger'),
  cookie: canary('Cookie'),
  query: canary('Query'),
  otp: canary('Otp'),
  admin: canary('Admin'),
  webhook: canary('Webhook'),
}

/** What was said by the server: where, and the whole of it. */
const said: { where: string; text: string }[] = []
/** Its own login's token, once there is one. */
let session = ''

let stack: AsyncDisposableStack
let registry: FixtureRegistry
let mirror: FixtureRegistry
let acme: FixtureRegistry
let npm: Recorder
let near: Recorder
let own: Recorder
let basic: Recorder
let hooked: string[]
let server: ServerProcess
let files: string

const ready = await serverReady()
const hasClients = ready && (await clientsReady())

/** The forms in which a secret may stand somewhere. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const inBase64 = ['', 'a', 'ab', 'user:', 'canary:'].map(before =>
    // The part that does not depend on what stands before and after it.
    Buffer.concat([Buffer.from(before), bytes])
      .toString('base64')
      .slice(8, -6),
  )
  return [secret, bytes.toString('hex'), ...inBase64]
}

function secretsIn(text: string): string[] {
  return Object.entries({ ...SECRETS, session })
    .filter(([, secret]) => secret !== '' && formsOf(secret).some(form => text.includes(form)))
    .map(([name]) => name)
}

async function hear(where: string, answer: Response): Promise<string> {
  const body = Buffer.from(await answer.arrayBuffer()).toString('latin1')
  const headers = JSON.stringify(Object.fromEntries(answer.headers))
  said.push({ where, text: `${answer.status} ${headers} ${body}` })
  return body
}

async function ask(path: string, init: RequestInit = {}): Promise<string> {
  return await hear(path, await fetch(`${server.url}${path}`, { redirect: 'manual', ...init }))
}

async function command(...args: string[]): Promise<void> {
  const { exitCode, output } = await runCommand([...args, '--data-dir', server.dataDir], files)
  said.push({ where: args.join(' '), text: output })
  expect(exitCode, output).toBe(0)
}

async function secretFile(name: string, text: string): Promise<string> {
  const path = join(files, name)
  await Bun.write(path, text)
  return path
}

/** The server with everything that has a secret. */
async function start(): Promise<void> {
  stack = new AsyncDisposableStack()
  files = await mkdtemp(join(tmpdir(), 'npmx-canary-'))
  stack.defer(() => rm(files, { recursive: true, force: true }))
  registry = stack.use(startFixtureRegistry())
  mirror = stack.use(startFixtureRegistry())
  const packages = [{ name: '@acme/one', versions: [{ version: '1.0.0' }, { version: '1.1.0' }] }]
  acme = stack.use(startFixtureRegistry({ packages, seed: 'acme' }))
  const other = [{ name: '@basic/one', versions: [{ version: '1.0.0' }] }]
  const basicRegistry = stack.use(startFixtureRegistry({ packages: other, seed: 'basic' }))
  npm = stack.use(new Recorder(registry))
  near = stack.use(new Recorder(mirror))
  own = stack.use(new Recorder(acme))
  basic = stack.use(new Recorder(basicRegistry))
  hooked = []
  const hook = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const headers = JSON.stringify(Object.fromEntries(request.headers))
      hooked.push(`${request.url} ${headers} ${await request.text()}`)
      return new Response(null, { status: 204 })
    },
  })
  stack.defer(() => hook.stop(true))
  const env = {
    NPMX_REGISTRY_ADMIN_TOKEN: SECRETS.admin,
    NPMX_REGISTRY_REGISTRATION: 'open',
    NPMX_REGISTRY_WEBHOOK_URL: `http://127.0.0.1:${hook.port}/alerts`,
    NPMX_REGISTRY_WEBHOOK_SECRET: SECRETS.webhook,
  }
  const args = ['--log-level', 'debug']
  server = stack.use(await startServer({ upstream: npm.url, args, env }))
}

async function addUpstreams(): Promise<void> {
  const token = await secretFile('acme', SECRETS.acme)
  // Its documents name the registry behind the recorder.
  const names = ['--names', '@acme/*', '--tarball-origins', new URL(acme.url).origin]
  await command('upstream', 'add', 'acme', own.url, ...names, '--token-file', token, '--yes')
  const mirrorToken = await secretFile('mirror', SECRETS.mirror)
  const of = ['--kind', 'mirror', '--of', 'npm']
  await command('upstream', 'add', 'near', near.url, ...of, '--token-file', mirrorToken, '--yes')
  const pair = await secretFile('basic', `canary:${SECRETS.basic}`)
  const scope = ['--names', '@basic/*']
  await command('upstream', 'add', 'basic', basic.url, ...scope, '--basic-file', pair, '--yes')
  await command('upstream', 'list', '--json')
  await command('upstream', 'show', 'acme')
}

async function logIn(): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const person = { name: 'canary', password: SECRETS.password, email: 'canary@user.example' }
  const put = (body: object) =>
    fetch(`${server.url}-/user/org.couchdb.user:canary`, {
      method: 'PUT',
      headers,
      body: JSON.stringify(body),
    })
  const text = await (await put(person)).text()
  session = /"token":"([^"]+)"|$/.exec(text)?.[1] ?? ''
  await hear('login again', await put({ ...person, password: `${SECRETS.password}x` }))
}

/** Everything that a client may send along, in places where it does not belong. */
function carelessHeaders(): Record<string, string> {
  return {
    'authorization': `Bearer ${SECRETS.stranger}`,
    'cookie': `session=${SECRETS.cookie}`,
    'npm-otp': SECRETS.otp,
    'user-agent': 'npm/11.19.1 node/v22.0.0 linux x64',
  }
}

const READ = [
  '',
  'alpha',
  'victim',
  'alpha/latest',
  'alpha/-/alpha-1.0.0.tgz',
  '@acme/one',
  '@acme/one/-/one-1.0.0.tgz',
  '@acme/none',
  '@basic/one',
  '@basic/one/-/one-1.0.0.tgz',
  'nobody-has-this',
  '-/v1/search?text=alpha',
  '-/npm/v1/keys',
  '-/npm/v1/attestations/alpha@1.0.0',
  '-/sumdb/checkpoint',
  '-/sumdb/lookup/@acme/one@1.0.0',
  '-/sumdb/lookup/alpha@9.9.9',
  '-/sumdb/tile/entries/0.p/1',
  '-/registries',
  '-/whoami',
  '-/ping',
  '-/readyz',
  '-/metrics',
  '-/npm/v1/tokens',
  '-/npm/v1/user',
  '-/api/upstreams',
  '-/api/upstreams/acme',
  '-/api/incidents',
  '-/api/audit',
  '-/api/openapi.json',
  '-/docs',
  '.well-known/did.json',
  '-/why/0123456789abcdef0123456789abcdef',
  '-/blocked/victim@1.1.0/conflict',
  '%00',
  '-/nothing',
]

async function askEverything(): Promise<void> {
  const who = [
    carelessHeaders(),
    { authorization: `Bearer ${session}` },
    { authorization: `Bearer ${SECRETS.admin}` },
    { authorization: `Basic ${btoa(`canary:${SECRETS.password}`)}` },
  ]
  for (const headers of who) {
    for (const path of READ) {
      const query = path.includes('?') ? '&' : '?'
      await ask(`${path}${query}token=${SECRETS.query}`, { headers })
      await ask(path, { headers: { ...headers, 'cache-control': 'no-cache' } })
      await ask(path, { method: 'HEAD', headers })
    }
    const body = JSON.stringify({ 'alpha': ['1.0.0'], '@acme/one': ['1.0.0'] })
    const json = { ...headers, 'content-type': 'application/json' }
    const init = { method: 'POST', headers: json, body }
    await ask('-/npm/v1/security/advisories/bulk', init)
    await ask('-/npm/v1/security/audits/quick', { ...init, body: '{' })
    await ask('@acme/one', { method: 'PUT', headers: json, body: '{}' })
    const upstream = { name: 'x', url: 'http://127.0.0.1:9/', secret: { token: SECRETS.acme } }
    await ask('-/api/upstreams', { ...init, body: JSON.stringify(upstream) })
  }
}

/** What is wrong with upstreams: errors are where secrets come out. */
async function breakThings(): Promise<void> {
  mirror.act({ do: 'swap', name: 'victim', version: '1.1.0' })
  registry.act({ do: 'publish', name: 'victim', spec: { version: '2.1.0' } })
  mirror.act({ do: 'publish', name: 'victim', spec: { version: '2.1.0' } })
  for (const status of [401, 403, 500, 503]) {
    acme.act({ do: 'status', path: '/@acme/one', status })
    await ask('@acme/one', { headers: { 'cache-control': 'no-cache' } })
    await Bun.sleep(1_050)
  }
  acme.act({ do: 'heal' })
  acme.act({ do: 'nonsense', path: '/@acme/one', answer: 'html' })
  await ask('@acme/one', { headers: { 'cache-control': 'no-cache' } })
  acme.act({ do: 'heal' })
  acme.act({ do: 'alter-tarball', name: '@acme/one', version: '1.1.0' })
  await ask('@acme/one/-/one-1.1.0.tgz').catch(() => undefined)
  registry.act({ do: 'rotate-key' })
  const giveUpAt = performance.now() + 10_000
  while (hooked.length === 0 && performance.now() < giveUpAt) {
    await server.revalidate('victim')
    await Bun.sleep(200)
  }
}

/** Every file of a folder, and every value of every database in it. */
function* kept(dir: string): Generator<{ where: string; bytes: Uint8Array }> {
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
    const path = join(dir, name)
    if (!statSync(path).isFile()) continue
    yield { where: name, bytes: readFileSync(path) }
    if (/(?:registry|cache)\.db$/.test(name)) yield* values(path)
  }
}

function* values(path: string): Generator<{ where: string; bytes: Uint8Array }> {
  using db = new Database(path, { readonly: true })
  const tables = db.query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type='table'")
  for (const { name } of tables.all()) {
    for (const row of db.query(`SELECT * FROM "${name}"`).iterate()) {
      for (const [column, value] of Object.entries(row ?? {})) {
        const where = `${name}.${column}`
        if (typeof value === 'string') yield { where, bytes: Buffer.from(value) }
        if (value instanceof Uint8Array) yield { where, bytes: value }
      }
    }
  }
}

/** The bytes, and what they unpack to. */
function* unpacked(bytes: Uint8Array, depth = 0): Generator<string> {
  yield Buffer.from(bytes).toString('latin1')
  const inner = depth > 2 ? undefined : inflated(new Uint8Array(bytes))
  if (inner !== undefined) yield* unpacked(inner, depth + 1)
}

function inflated(bytes: Uint8Array<ArrayBuffer>): Uint8Array | undefined {
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return Bun.gunzipSync(bytes)
    if (bytes[0] === 0x28 && bytes[1] === 0xb5) return Bun.zstdDecompressSync(bytes)
  } catch (error) {
    // It only looked like it.
    if (!(error instanceof Error)) throw error
  }
  return undefined
}

describe.skipIf(!ready)('secrets', () => {
  let log = ''
  beforeAll(async () => {
    await start()
    await addUpstreams()
    await logIn()
    await askEverything()
    if (hasClients) {
      await using project = await newProject({ 'alpha': '^1.0.0', '@acme/one': '1.0.0' })
      const { dir } = project
      const options = { dir, registry: server.url, token: SECRETS.stranger, noRetries: true }
      const run = await runClient('npm11', options)
      expect(run.exitCode, run.output).toBe(0)
      said.push({ where: 'npm install', text: run.output })
    }
    await breakThings()
    log += await server.stop()
    await server.start()
    await askEverything()
    log += await server.stop()
  }, RUN_MS)
  afterAll(() => stack.disposeAsync())

  test('the run was one: logins, credentials, alerts and log lines happened', () => {
    expect(session).toMatch(/^npmx_/)
    expect(own.everything).toContain(`Bearer ${SECRETS.acme}`)
    expect(near.everything).toContain(`Bearer ${SECRETS.mirror}`)
    expect(basic.everything).toContain(btoa(`canary:${SECRETS.basic}`))
    expect(hooked.length).toBeGreaterThan(0)
    expect(log).toContain('"alert"')
    expect(said.filter(({ text }) => text.startsWith('200 ')).length).toBeGreaterThan(50)
    expect(said.some(({ text }) => text.includes('npmx_registry_log_size'))).toBe(true)
  })

  test('a search in all forms finds what it looks for', () => {
    expect(secretsIn(`Basic ${btoa(`canary:${SECRETS.basic}`)}`)).toEqual(['basic'])
    expect(secretsIn(Buffer.from(SECRETS.otp).toString('hex'))).toEqual(['otp'])
    const packed = Bun.gzipSync(Buffer.from(`{"token":"${SECRETS.acme}"}`))
    expect([...unpacked(packed)].flatMap(secretsIn)).toEqual(['acme'])
  })

  test('each registry hears its own and no other', () => {
    const allowed = new Map<Recorder, string[]>([
      [npm, []],
      [near, ['mirror']],
      [own, ['acme']],
      [basic, ['basic']],
    ])
    for (const [recorder, secrets] of allowed) {
      expect(secretsIn(recorder.everything)).toEqual(secrets)
      // Search is passed on with its words, and nothing else of the query.
      expect(recorder.everything).not.toContain(SECRETS.query)
    }
    expect(hooked.flatMap(secretsIn)).toEqual([])
  })

  test('none is in an answer, a metric, or the output of a command', () => {
    const found = said.flatMap(({ where, text }) =>
      secretsIn(text).map(name => `${where}: ${name}`),
    )
    expect(found).toEqual([])
  })

  test('none is in a line of the log', () => {
    expect(log.length).toBeGreaterThan(1000)
    expect(secretsIn(log)).toEqual([])
  })

  test(
    'none is in a file or a column of the data dir',
    () => {
      const found = new Set<string>()
      let count = 0
      for (const { where, bytes } of kept(server.dataDir)) {
        count += 1
        for (const text of unpacked(bytes)) {
          for (const name of secretsIn(text)) found.add(`${where}: ${name}`)
        }
      }
      expect(count).toBeGreaterThan(500)
      expect([...found]).toEqual([])
    },
    TEST_TIMEOUT_MS,
  )
})
