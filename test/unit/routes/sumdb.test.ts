/**
 * The log as others read it, through the front door of a whole instance.
 * Goal: lookups are logged before they are answered, in every spelling; proofs, tiles and
 * checkpoints are believed by clients that check everything; and only 404 means "there is none".
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { httpReader } from '../../../src/cli/log-http.ts'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { LogClient } from '../../../src/log/client.ts'
import { parseLeaf } from '../../../src/log/leaf.ts'
import { parseLookup } from '../../../src/log/lookup.ts'
import { newVerifier, type Verifier } from '../../../src/log/note.ts'
import { checkProof, parseProof } from '../../../src/log/proof.ts'
import { parseEntries, TILE_WIDTH } from '../../../src/log/tile.ts'
import { checkRecord, leafHash } from '../../../src/log/tree.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { APP_PACKAGES } from '../../fixtures/registry-app.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import type { PackageSpec } from '../../fixtures/registry-packages.ts'

const LOOKUPS = 300
const VERSIONS = 5

/** More records than one tile holds. */
const MANY: PackageSpec[] = Array.from({ length: LOOKUPS / VERSIONS }, (_, i) => ({
  name: i % 2 === 0 ? `many-${i}` : `@many/package-${i}`,
  versions: Array.from({ length: VERSIONS }, (__, v) => ({ version: `1.${v}.${i}` })),
}))

let upstream: FixtureRegistry
let instance: Instance
let verifier: Verifier

beforeAll(async () => {
  upstream = startFixtureRegistry({ packages: [...APP_PACKAGES, ...MANY] })
  instance = await Instance.start(upstream.url)
  verifier = newVerifier(instance.vkey)
})
afterEach(() => {
  upstream.comeBack()
  upstream.act({ do: 'heal' })
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

const sumdb = (path: string) => instance.get(`-/sumdb/${path}`)

async function answerOf(path: string) {
  const response = await sumdb(path)
  expect({ path, status: response.status }).toEqual({ path, status: 200 })
  const { index, leaf, note } = parseLookup(await response.bytes())
  return { index, leaf, checkpoint: openCheckpoint(note, verifier) }
}

async function sizeNow(): Promise<number> {
  return openCheckpoint(await (await sumdb('checkpoint')).text(), verifier).size
}

describe('lookup', () => {
  test('logs an unknown version before it answers, in the tree of its checkpoint', async () => {
    const before = await sizeNow()
    const { index, leaf, checkpoint } = await answerOf('lookup/alpha@1.0.0')
    expect(index).toBeGreaterThanOrEqual(before)
    expect(checkpoint.size).toBeGreaterThan(index)
    expect(parseLeaf(leaf)).toMatchObject({
      kind: 'version',
      namespace: 'npm',
      name: 'alpha',
      version: '1.0.0',
      integrity: upstream.integrityOf('alpha', '1.0.0'),
    })
  })

  test('answers a known version with the same index and bytes, without asking', async () => {
    const first = await answerOf('lookup/beta@1.0.0')
    const asked = upstream.requests.length
    const again = await answerOf('lookup/beta@1.0.0')
    expect(again).toEqual(first)
    expect(upstream.requests.length).toBe(asked)
  })

  test('takes all spellings of a scoped name, and the namespace', async () => {
    const paths = ['@fixture/core', '@fixture%2fcore', '@fixture%2Fcore', '%40fixture%2Fcore']
    const answers = await Promise.all(
      ['', '?ns=npm'].flatMap(query => paths.map(path => answerOf(`lookup/${path}@1.2.0${query}`))),
    )
    expect(new Set(answers.map(({ index }) => index)).size).toBe(1)
    const other = await sumdb('lookup/@fixture/core@1.2.0?ns=registry.example')
    expect(other.status).toBe(404)
    expect((await errorOf(other)).error).toContain('belongs to npm')
  })

  test('answers a version with a plus and a prerelease', async () => {
    const name = '@fixture/core'
    const { leaf } = await answerOf('lookup/@fixture/core@2.0.0-rc.1')
    expect(parseLeaf(leaf)).toMatchObject({ name, version: '2.0.0-rc.1' })
    const spec = { version: '1.0.0+build.7' }
    upstream.act({ do: 'add-package', package: { name: 'plus', versions: [spec] } })
    for (const path of ['plus@1.0.0+build.7', 'plus@1.0.0%2Bbuild.7']) {
      expect(parseLeaf((await answerOf(`lookup/${path}`)).leaf)).toMatchObject(spec)
    }
  })

  test('answers 404 only where the registry has none', async () => {
    for (const path of ['alpha@9.9.9', 'absent@1.0.0', '@fixture/absent@1.0.0']) {
      const response = await sumdb(`lookup/${path}`)
      expect(response.status).toBe(404)
      expect((await errorOf(response)).code).toBe('not-found')
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    }
  })

  test('answers 400 to what is no name and version', async () => {
    for (const path of ['alpha', 'alpha@', '@1.0.0', 'alpha@../x', '..%2fx@1.0.0', 'a%00b@1.0.0']) {
      expect((await sumdb(`lookup/${path}`)).status).toBe(400)
    }
  })

  test('refuses what is refused with 403 and logs nothing of it', async () => {
    upstream.act({
      do: 'forge-signature',
      how: 'bit-flip',
      name: 'victim',
      version: '2.0.0',
    })
    const response = await sumdb('lookup/victim@2.0.0')
    expect(response.status).toBe(403)
    expect((await errorOf(response)).reason).toBe('bad-signature')
    expect((await sumdb('proof/victim@2.0.0')).status).toBe(403)
    const entries = await allEntries()
    expect(entries.some(text => text.startsWith('npm/victim@1.0.0 '))).toBe(true)
    expect(entries.some(text => text.startsWith('npm/victim@2.0.0 '))).toBe(false)
  })

  test('while the registry is down: 503 for what is new, the record for what is logged', async () => {
    const { index } = await answerOf('lookup/gamma@0.4.2')
    await upstream.goAway('refuse')
    const unknown = await sumdb('lookup/with-script@1.0.0')
    expect(unknown.status).toBe(503)
    expect(unknown.headers.get('retry-after')).toBeString()
    expect((await answerOf('lookup/gamma@0.4.2')).index).toBe(index)
    expect((await sumdb('proof/gamma@0.4.2')).status).toBe(200)
  })
})

describe('proof', () => {
  test('is accepted by checkProof for its leaf and refused for anything else', async () => {
    const { leaf } = await answerOf('lookup/deep@3.0.0')
    const proof = parseProof(await (await sumdb('proof/deep@3.0.0')).text())
    expect(checkProof(proof, leaf, verifier).size).toBe(await sizeNow())
    const { size, root } = openCheckpoint(proof.checkpoint, verifier)
    for (const [i, hash] of proof.hashes.entries()) {
      for (let byte = 0; byte < hash.length; byte++) {
        const broken = proof.hashes.with(i, hash.with(byte, (hash[byte] ?? 0) ^ 1))
        expect(() => checkRecord(broken, size, root, proof.index, leafHash(leaf))).toThrow()
      }
    }
    const { leaf: other } = await answerOf('lookup/deep@2.0.0')
    expect(() => checkProof(proof, other, verifier)).toThrow()
  })

  test('exists in every spelling, and not for what does not exist', async () => {
    for (const path of ['@fixture/base@1.0.0', '@fixture%2fbase@1.0.0?ns=npm']) {
      expect((await sumdb(`proof/${path}`)).status).toBe(200)
    }
    expect((await sumdb('proof/@fixture/base@7.0.0')).status).toBe(404)
    expect((await sumdb('proof/nonsense')).status).toBe(400)
  })
})

/** Every record there is, read from full and partial bundles. */
async function allEntries(): Promise<string[]> {
  const size = await sizeNow()
  const entries: string[] = []
  for (let bundle = 0; bundle * TILE_WIDTH < size; bundle++) {
    const width = Math.min(TILE_WIDTH, size - bundle * TILE_WIDTH)
    const suffix = width === TILE_WIDTH ? '' : `.p/${width}`
    const response = await sumdb(`tile/entries/${String(bundle).padStart(3, '0')}${suffix}`)
    expect(response.status).toBe(200)
    const texts = parseEntries(await response.bytes()).map(leaf => new TextDecoder().decode(leaf))
    expect(texts).toHaveLength(width)
    entries.push(...texts)
  }
  return entries
}

describe('as a whole', () => {
  test(`a client that checks everything verifies ${LOOKUPS} lookups`, async () => {
    const { ops, readVkey } = httpReader(instance.url)
    expect(await readVkey()).toBe(instance.vkey)
    const client = new LogClient(ops, verifier)
    const found: number[] = []
    // One version of every package at a time: the runtime has 256 requests at once for client,
    // server and registry together, which are one process here.
    for (let v = 0; v < VERSIONS; v++) {
      const lookups = MANY.map(async ({ name, versions }) => {
        const version = versions[v]?.version ?? ''
        const { index, leaf } = await client.lookup(name, version, 'npm')
        const integrity = upstream.integrityOf(name, version)
        expect(parseLeaf(leaf)).toMatchObject({ name, version, integrity })
        return index
      })
      found.push(...(await Promise.all(lookups)))
    }
    expect(new Set(found).size).toBe(LOOKUPS)
    const { size } = await client.update()
    expect(size).toBe(await sizeNow())
    expect(size).toBeGreaterThan(TILE_WIDTH)
  })

  test('tiles: every width that exists, and 404 for those that do not', async () => {
    const size = await sizeNow()
    const full = await (await sumdb('tile/0/000')).bytes()
    expect(full).toHaveLength(TILE_WIDTH * 32)
    const entries = await allEntries()
    for (const width of [1, 2, 255]) {
      const response = await sumdb(`tile/0/000.p/${width}`)
      expect(await response.bytes()).toEqual(full.subarray(0, width * 32))
      const bundle = await (await sumdb(`tile/entries/000.p/${width}`)).bytes()
      expect(parseEntries(bundle)).toHaveLength(width)
    }
    const hashes = entries.map(text => leafHash(new TextEncoder().encode(text)))
    expect(full).toEqual(new Uint8Array(Buffer.concat(hashes.slice(0, TILE_WIDTH))))
    const last = Math.floor(size / TILE_WIDTH)
    const absent = ['tile/0/001', 'tile/0/009', 'tile/1/000', 'tile/2/000.p/1', 'tile/63/000']
    const malformed = ['tile/0/0', 'tile/0/000.p/0', 'tile/0/000.p/256', 'tile/0/000.p/01']
    const strange = ['tile/64/000', 'tile/0/x001', 'tile/entries/..%2f', 'tile/8/000', 'tile/']
    const beyond = [`tile/0/00${last}.p/${(size % TILE_WIDTH) + 1}`, 'tile/entries/00%30']
    for (const path of [...absent, ...malformed, ...strange, ...beyond]) {
      const { status, headers } = await sumdb(path)
      expect({ path, status }).toEqual({ path, status: 404 })
      expect(headers.get('access-control-allow-origin')).toBe('*')
    }
  })

  test('what never changes may be kept for ever, what changes may not; all is open', async () => {
    const bundle = 'tile/entries/000'
    const lookup = 'lookup/alpha@1.0.0'
    for (const path of ['checkpoint', 'vkey', 'tile/0/000', bundle, lookup, 'proof/alpha@1.0.0']) {
      const { headers } = await sumdb(path)
      const isTile = path.startsWith('tile/')
      expect(headers.get('access-control-allow-origin')).toBe('*')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('cache-control')).toContain(isTile ? 'immutable' : 'max-age=1')
      const type = isTile ? 'application/octet-stream' : 'text/plain; charset=utf-8'
      expect(headers.get('content-type')).toBe(type)
    }
  })

  test('after a restart the history is the same one', async () => {
    const { ops } = httpReader(instance.url)
    const before = new LogClient(ops, verifier)
    await before.update()
    const { index } = await answerOf('lookup/alpha@1.0.0')
    await instance.restart({ wipeCache: true })
    upstream.act({
      do: 'add-package',
      package: { name: 'later', versions: [{ version: '1.0.0' }] },
    })
    const after = new LogClient(ops, verifier, before.latest)
    const later = await after.lookup('later', '1.0.0', 'npm')
    expect(later.index).toBeGreaterThanOrEqual(before.checkpoint?.size ?? Number.NaN)
    expect((await after.lookup('alpha', '1.0.0', 'npm')).index).toBe(index)
  })
})
