/**
 * `log fsck` and `key show` on a real data dir, and `log fsck` on the same log over HTTP.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../../src/cli/program.ts'
import { openLogKey, readOrMakeKey } from '../../../src/db/keys.ts'
import { SqliteLogStore } from '../../../src/db/log-store.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { TileStore } from '../../../src/db/tile-store.ts'
import type { Leaf } from '../../../src/log/leaf.ts'
import { Log } from '../../../src/log/log.ts'
import { generateLogKey } from '../../../src/log/note.ts'
import { generateSigningKey } from '../../../src/registries/keys/own-key.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'npmx-registry-log-'))
afterAll(() => rmSync(FOLDER, { recursive: true }))

const ORIGIN = 'registry.example/log'
const SIZE = 600
const SEED = () => new Uint8Array(32).fill(7)

function makeLeaf(index: number): Leaf {
  const digest = Buffer.alloc(64, index).toString('base64')
  return {
    kind: 'version',
    namespace: 'npm',
    name: `package-${index}`,
    version: '1.0.0',
    integrity: `sha512-${digest}`,
    manifest: `sha256-${Buffer.alloc(32, 1).toString('base64')}`,
    seen: '2026-11-22T08:31:07Z',
  }
}

/** A data dir with a log of 600 leaves, as a server that was stopped leaves it. */
function makeDataDir(): string {
  const dataDir = mkdtempSync(join(FOLDER, 'data-'))
  const db = openRegistry(dataDir)
  const store = new SqliteLogStore(db, dataDir)
  readOrMakeKey(dataDir, 'registry.key', generateSigningKey)
  const log = Log.open(store, openLogKey(dataDir, ORIGIN, false, SEED).signer)
  const leaves = Array.from({ length: SIZE }, (_, index) => makeLeaf(index))
  for (let start = 0; start < SIZE; start += 300) log.append(leaves.slice(start, start + 300))
  log.publish()
  db[Symbol.dispose]()
  return dataDir
}

const SOUND = makeDataDir()
const { vkey: VKEY } = generateLogKey(ORIGIN, SEED())
const { vkey: OTHER } = generateLogKey(ORIGIN, new Uint8Array(32).fill(8))

async function shell(...args: string[]) {
  const written = { out: '', err: '' }
  const code = await run(args, {
    out: text => void (written.out += text),
    err: text => void (written.err += text),
    errIsTty: false,
    onStop() {},
    exit() {},
  })
  return { code, ...written }
}

describe('log fsck --data-dir', () => {
  test('a sound log: 0', async () => {
    const { code, out } = await shell('log', 'fsck', '--data-dir', SOUND)
    expect(out).toBe(`${ORIGIN}: ${SIZE} leaves, each identity once: sound\n`)
    expect(code).toBe(0)
  })

  test('--json', async () => {
    const { out } = await shell('log', 'fsck', '--data-dir', SOUND, '--json')
    const told: unknown = JSON.parse(out)
    expect(told).toMatchObject({ origin: ORIGIN, size: SIZE, uniqueness: 'checked', findings: [] })
  })

  test('one changed byte of a tile: 1, and the tile is named', async () => {
    const dataDir = mkdtempSync(join(FOLDER, 'changed-'))
    cpSync(SOUND, dataDir, { recursive: true })
    const path = join(dataDir, 'tiles/tile/0/001')
    const bytes = readFileSync(path)
    bytes[40] = (bytes[40] ?? 0) ^ 1
    chmodSync(path, 0o600)
    writeFileSync(path, bytes)
    const { code, out } = await shell('log', 'fsck', '--data-dir', dataDir)
    expect(out).toStartWith('tile/0/001: hash 1 differs from the one computed from the leaves\n')
    expect(out).toEndWith(': 1 findings\n')
    expect(code).toBe(1)
  })

  test('another key: 4', async () => {
    const { code, err } = await shell('log', 'fsck', '--data-dir', SOUND, '--key', OTHER)
    expect(err).toStartWith('npmx-registry: checkpoint: ')
    expect(code).toBe(4)
  })

  test.each([
    [['--data-dir', FOLDER], 'holds no log'],
    [['--data-dir', SOUND, '--key', 'nonsense'], '--key: '],
    [['--url', 'registry.example'], 'expected a URL'],
  ])('%j: 2', async (args, sentence) => {
    const { code, err } = await shell('log', 'fsck', ...args)
    expect(err).toContain(sentence)
    expect(code).toBe(2)
  })
})

describe('log fsck --url', () => {
  function serveSound(change: (path: string) => Response | null = () => null) {
    const db = openRegistry(SOUND)
    const store = new SqliteLogStore(db, SOUND)
    const state = store.readState()
    if (state === null) throw new Error('no log')
    const tiles = new TileStore(store, () => state)
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch(request) {
        const path = new URL(request.url).pathname.slice('/-/sumdb/'.length)
        const changed = change(path)
        if (changed !== null) return changed
        if (path === 'vkey') return new Response(`${VKEY}\n`)
        return path === 'checkpoint'
          ? new Response(state.note)
          : new Response(Buffer.from(tiles.read(path)))
      },
    })
    const stop = async () => {
      await server.stop(true)
      db[Symbol.dispose]()
    }
    return { url: server.url.href, [Symbol.asyncDispose]: stop }
  }

  test('a sound log: 0, and it is said that the key came from the server', async () => {
    await using server = serveSound()
    const { code, out, err } = await shell('log', 'fsck', '--url', server.url)
    expect(out).toBe(`${ORIGIN}: ${SIZE} leaves, each identity once: sound\n`)
    expect(err).toContain(VKEY)
    expect(code).toBe(0)
    const known = await shell('log', 'fsck', '--url', server.url, '--key', VKEY)
    expect([known.code, known.err]).toEqual([0, ''])
    expect((await shell('log', 'fsck', '--url', server.url, '--key', OTHER)).code).toBe(4)
  })

  test('a tile that is missing: 1', async () => {
    const missing = (path: string) =>
      path === 'tile/0/000' ? new Response('', { status: 404 }) : null
    await using server = serveSound(missing)
    const { code, out } = await shell('log', 'fsck', '--url', server.url, '--key', VKEY)
    expect(out).toContain('tile/0/000: ')
    expect(code).toBe(1)
  })

  test('a tile that cannot be asked for: 3, and no finding about the log', async () => {
    const refused = (path: string) =>
      path === 'tile/0/000' ? new Response('', { status: 400 }) : null
    await using server = serveSound(refused)
    const { code, out, err } = await shell('log', 'fsck', '--url', server.url, '--key', VKEY)
    expect(err).toContain('answered 400')
    expect(out).toBe('')
    expect(code).toBe(3)
  })
})

describe('key show', () => {
  test('prints the public halves and nothing else', async () => {
    const { code, out } = await shell('key', 'show', '--data-dir', SOUND)
    expect(code).toBe(0)
    expect(out).toMatch(/^log {7}\S+\nregistry {2}SHA256:\S{43} \S+\n$/)
    expect(out).toContain(VKEY)
    const json = await shell('key', 'show', '--data-dir', SOUND, '--json')
    const told: unknown = JSON.parse(json.out)
    expect(told).toMatchObject({
      log: { vkey: VKEY },
      registry: { keytype: 'ecdsa-sha2-nistp256' },
    })
    for (const printed of [out, json.out]) expect(printed).not.toContain('PRIVATE')
  })

  test('no key, or one that others may read: 2', async () => {
    const none = await shell('key', 'show', '--data-dir', FOLDER)
    expect(none.err).toContain('is missing')
    expect(none.code).toBe(2)
    const dataDir = mkdtempSync(join(FOLDER, 'open-'))
    cpSync(join(SOUND, 'keys'), join(dataDir, 'keys'), { recursive: true })
    chmodSync(join(dataDir, 'keys/log.key'), 0o644)
    expect((await shell('key', 'show', '--data-dir', dataDir)).err).toContain('chmod 600')
    chmodSync(join(dataDir, 'keys/log.key'), 0o600)
    appendFileSync(join(dataDir, 'keys/log.key'), 'more')
    expect((await shell('key', 'show', '--data-dir', dataDir)).err).toContain(
      'two lines are expected',
    )
  })
})
