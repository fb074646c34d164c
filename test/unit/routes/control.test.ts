/**
 * The control socket as a file and as a protocol, and the life of it in a real process: killed,
 * left behind, made again.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { Shell } from '../cli/upstream-shell.ts'

const ROOT = join(import.meta.dir, '../../..')
const CANARY = 'canary-51aa0c7be2'
/** A cold start of the whole program on a busy machine. */
const START_MS_MAX = 20_000

let open: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  open = startFixtureRegistry()
  instance = await Instance.start(open.url)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await open[Symbol.asyncDispose]()
})

type Told = { status: number; text: string }

function ask(path: string, body: string, method = 'POST'): Promise<Told> {
  const { promise, resolve, reject } = Promise.withResolvers<Told>()
  const socketPath = join(instance.dataDir, 'control.sock')
  const sent = request({ socketPath, path, method, agent: false }, response => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => (text += chunk))
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
  })
  sent.on('error', reject)
  sent.end(body)
  return promise
}

describe('the socket', () => {
  test('is private to this user', () => {
    const stat = lstatSync(join(instance.dataDir, 'control.sock'))
    expect(stat.isSocket()).toBe(true)
    expect(stat.mode & 0o777).toBe(0o600)
    expect(lstatSync(instance.dataDir).mode & 0o777).toBe(0o700)
  })

  test('answers the operations', async () => {
    const { status, text } = await ask('/upstream/list', '{}')
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject([
      { name: 'hosted' },
      { name: 'npm', url: open.url, credential: null },
    ])
  })

  test.each([
    ['/upstream/list', '{}', 'GET', 404],
    ['/upstream/none', '{}', 'POST', 404],
    ['/', '{}', 'POST', 404],
    ['/upstream/show', '{', 'POST', 400],
    ['/upstream/show', '', 'POST', 400],
    ['/upstream/show', '[]', 'POST', 400],
    ['/upstream/show', '{"name":1}', 'POST', 400],
    ['/upstream/show', '{"name":"none"}', 'POST', 404],
    ['/upstream/add', '{"asked":{"name":"a","url":"u","extra":1},"confirm":[]}', 'POST', 400],
    ['/upstream/add', `{"asked":{"name":"a","secret":{"token":["${CANARY}"]}}}`, 'POST', 400],
    ['/upstream/set', `{"name":"npm","settings":{"secret":"${CANARY}"},"confirm":[]}`, 'POST', 400],
  ])('refuses what it does not know: %s %s %s', async (path, body, method, expected) => {
    const { status, text } = await ask(path, body, method)
    expect(status).toBe(expected)
    expect(JSON.parse(text)).toMatchObject({ error: expect.any(String), code: expect.any(String) })
    expect(text).not.toContain(CANARY)
  })

  test('is not to be had over the network', async () => {
    for (const path of ['upstream/list', '-/upstream/list', 'control.sock']) {
      const answer = await fetch(`${instance.url}${path}`, { method: 'POST', body: '{}' })
      expect(answer.status).toBe(404)
    }
  })

  test('other fingerprints than were confirmed: nothing is saved', async () => {
    await using acme = startFixtureRegistry({ seed: 'acme', packages: [] })
    const asked = { name: 'acme', url: acme.url, names: ['@acme/*'] }
    for (const confirm of [[], ['SHA256:other'], [acme.state.signer.published.keyid, 'x']]) {
      const { status, text } = await ask('/upstream/add', JSON.stringify({ asked, confirm }))
      expect(status).toBe(409)
      expect(text).toContain(acme.state.signer.published.keyid)
    }
    expect((await ask('/upstream/show', '{"name":"acme"}')).status).toBe(404)
  })
})

/** `serve` as a process of its own; resolves when it listens. */
async function serve(dataDir: string, log: { text: string }) {
  const where = ['--data-dir', dataDir, '--listen', '127.0.0.1:0', '--upstream', open.url]
  const server = Bun.spawn(
    [process.execPath, join(ROOT, 'src/main.ts'), 'serve', ...where, '--log-level', 'debug'],
    { stdout: 'pipe', stderr: 'pipe', cwd: dataDir },
  )
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) log.text += new TextDecoder().decode(chunk)
  }
  void collect(server.stdout)
  void collect(server.stderr)
  for (const end = performance.now() + START_MS_MAX; performance.now() < end;) {
    if (log.text.includes('Point npm at it')) return server
    await Bun.sleep(20)
  }
  throw new Error(`did not start: ${log.text}`)
}

test('a server that was killed leaves its socket: commands work, the next server replaces it', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'npmx-registry-control-'))
  using shell = new Shell(dataDir)
  await using acme = startFixtureRegistry({
    seed: 'acme',
    packages: [{ name: '@acme/tool', versions: [{ version: '1.0.0' }] }],
  })
  const log = { text: '' }
  const first = await serve(dataDir, log)
  const token = shell.file('token', CANARY)
  const args = ['--names', '@acme/*', '--token-file', token, '--yes']
  expect((await shell.upstream('add', 'acme', acme.url, ...args)).code).toBe(0)
  await acme.goAway('refuse')
  const url = /npm config set registry (\S+)/.exec(log.text)?.[1] ?? ''
  expect((await fetch(`${url}@acme/tool`)).status).toBe(503)
  first.kill('SIGKILL')
  await first.exited
  const socket = join(dataDir, 'control.sock')
  expect(existsSync(socket)).toBe(true)
  const alone = await shell.upstream('list', '--json')
  expect(alone.code).toBe(0)
  const upstreams = [{ name: 'acme' }, { name: 'hosted' }, { url: open.url }]
  expect(JSON.parse(alone.out)).toMatchObject({ upstreams })
  const second = await serve(dataDir, { text: '' })
  expect((await shell.upstream('remove', 'acme')).code).toBe(0)
  second.kill('SIGTERM')
  expect(await second.exited).toBe(0)
  expect(existsSync(socket)).toBe(false)
  expect(log.text).toContain('"level"')
  expect(log.text).not.toContain(CANARY)
  rmSync(dataDir, { recursive: true })
})
