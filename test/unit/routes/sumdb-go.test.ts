/**
 * The log in Go's dialect, through the front door of a whole instance that has a path in its public
 * URL. Goal: the same tree as C2SP's paths tell, byte for byte, under a note of its own; every width
 * that the tree ever had; and 404 for everything that it has not.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { parseLeaf } from '../../../src/log/leaf.ts'
import { parseLookup } from '../../../src/log/lookup.ts'
import { newVerifier, openNote, type Verifier } from '../../../src/log/note.ts'
import { parseEntries, TILE_WIDTH } from '../../../src/log/tile.ts'
import { leafHash } from '../../../src/log/tree.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import type { PackageSpec } from '../../fixtures/registry-packages.ts'

/** More records than one tile holds. */
const RECORDS = 300
const VERSIONS = 30
const BULK: PackageSpec[] = Array.from({ length: RECORDS / VERSIONS }, (_, i) => ({
  name: `bulk-${i}`,
  versions: Array.from({ length: VERSIONS }, (__, v) => ({ version: `1.${v}.0` })),
}))
const PACKAGES: PackageSpec[] = [
  ...BULK,
  { name: 'example.com', versions: [{ version: '1.0.0' }, { version: '2.0.0-RC.1' }] },
  { name: 'JSONStream', versions: [{ version: '1.0.0' }] },
  { name: '@scoped/core', versions: [{ version: '1.0.0+build.7' }] },
]
/** Go's paths stand in both places. */
const PLACES = ['', 'go/'] as const

let upstream: FixtureRegistry
let instance: Instance
let verifier: Verifier

beforeAll(async () => {
  upstream = startFixtureRegistry({ packages: PACKAGES })
  instance = await Instance.start(upstream.url, '/registry')
  verifier = newVerifier(instance.vkey)
  for (const { name } of BULK) expect((await sumdb(`lookup/${name}@1.0.0`)).status).toBe(200)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

const sumdb = (path: string) => instance.get(`-/sumdb/${path}`)

async function bytesOf(path: string): Promise<Uint8Array> {
  const response = await sumdb(path)
  expect({ path, status: response.status }).toEqual({ path, status: 200 })
  return response.bytes()
}

async function textOf(path: string): Promise<string> {
  return new TextDecoder().decode(await bytesOf(path))
}

async function head() {
  return openCheckpoint(await textOf('checkpoint'), verifier)
}

describe.each(PLACES)('below /-/sumdb/%s', place => {
  test('says that it is supported', async () => {
    const response = await sumdb(`${place}supported`)
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('')
  })

  test('signs the tree of the checkpoint as a Go tree, with the same key', async () => {
    const { size, root } = await head()
    expect(size).toBeGreaterThan(TILE_WIDTH)
    const note = await textOf(`${place}latest`)
    const { text, verified } = openNote(note, [verifier])
    expect(text).toBe(`go.sum database tree\n${size}\n${root.toBase64()}\n`)
    expect(verified).toHaveLength(1)
    expect(() => openCheckpoint(note, verifier)).toThrow('not of')
    expect(await textOf(`${place}latest`)).toBe(note)
  })

  test('serves the tiles of C2SP, byte for byte, in every width', async () => {
    const { size } = await head()
    const edge = size % TILE_WIDTH
    const paths = [
      '0/000',
      '1/000.p/1',
      ...[1, 2, 17, 255].map(width => `0/000.p/${width}`),
      ...Array.from({ length: edge }, (_, i) => `0/001.p/${i + 1}`),
    ]
    for (const path of paths) {
      expect(await bytesOf(`${place}tile/8/${path}`)).toEqual(await bytesOf(`tile/${path}`))
    }
  })

  test('serves the records of C2SP, in every width, which hash to the tiles', async () => {
    const { size } = await head()
    const edge = size % TILE_WIDTH
    const widths = Array.from({ length: edge }, (_, i) => `001.p/${i + 1}`)
    for (const path of ['000', '000.p/1', '000.p/255', ...widths]) {
      const entries = parseEntries(await bytesOf(`tile/entries/${path}`))
      const text = await textOf(`${place}tile/8/data/${path}`)
      const wanted = entries.map(entry => `${new TextDecoder().decode(entry)}\n`)
      expect(text).toBe(wanted.join(''))
      const hashes = text
        .split('\n\n')
        .slice(0, -1)
        .map(record => leafHash(new TextEncoder().encode(`${record}\n`)))
      const tile = await bytesOf(`${place}tile/8/0/${path}`)
      expect(tile).toEqual(new Uint8Array(Buffer.concat(hashes)))
    }
  })

  test('answers 404 for tiles that are not, or not yet, and for no paths', async () => {
    const { size } = await head()
    const wider = `001.p/${(size % TILE_WIDTH) + 1}`
    const absent = [`0/${wider}`, `data/${wider}`, '0/001', 'data/001', '1/000', '1/000.p/2']
    const beyond = ['2/000.p/1', '63/000', '64/000', 'data/x001/000', '0/009.p/1']
    const malformed = ['0/0', '0/000.p/0', '0/000.p/256', '0/000.p/01', '0/x000/001', 'data/0']
    const strange = ['', '0', '0/', 'data', 'data/', 'entries/000', '00/000', '000', '-1/000']
    const escaped = ['0/00%30', 'dat%61/000', '0/..%2f000', '0/000?x', '0/000/']
    for (const path of [...absent, ...beyond, ...malformed, ...strange, ...escaped]) {
      const response = await sumdb(`${place}tile/8/${path}`)
      const status = path === '0/000?x' ? 200 : 404
      expect({ path, status: response.status }).toEqual({ path, status })
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    }
    for (const path of ['tile/4/0/000', 'tile/9/data/000', 'tile/08/0/000', 'tile/8']) {
      expect({ path, status: (await sumdb(`${place}${path}`)).status }).toEqual({
        path,
        status: 404,
      })
    }
  })

  test('is open, and what never changes may be kept for ever', async () => {
    for (const path of ['supported', 'latest', 'tile/8/0/000', 'tile/8/data/000']) {
      const { headers } = await sumdb(`${place}${path}`)
      expect(headers.get('access-control-allow-origin')).toBe('*')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      const isTile = path.startsWith('tile/')
      expect(headers.get('cache-control')).toContain(isTile ? 'immutable' : 'max-age=1')
      const isBytes = path === 'tile/8/0/000'
      expect(headers.get('content-type')).toBe(
        isBytes ? 'application/octet-stream' : 'text/plain; charset=utf-8',
      )
    }
  })
})

test('C2SP paths stay what they were', async () => {
  for (const path of ['go/checkpoint', 'go/tile/0/000', 'go/tile/entries/000', 'go/vkey']) {
    expect({ path, status: (await sumdb(path)).status }).toEqual({ path, status: 404 })
  }
  expect(await bytesOf('tile/0/000')).toHaveLength(TILE_WIDTH * 32)
})

describe('lookup', () => {
  test('is the record of the other lookup, under the tree note', async () => {
    const ours = parseLookup(await bytesOf('lookup/bulk-3@1.7.0'))
    const go = parseLookup(await bytesOf('go/lookup/bulk-3@1.7.0'))
    expect({ ...go, note: '' }).toEqual({ ...ours, note: '' })
    expect(go.note).toBe(await textOf('go/latest'))
    expect(parseLeaf(go.leaf)).toMatchObject({
      name: 'bulk-3',
      version: '1.7.0',
      integrity: upstream.integrityOf('bulk-3', '1.7.0'),
    })
  })

  test('logs an unknown version before it answers, in the tree of its note', async () => {
    const { size } = await head()
    const { index, leaf, note } = parseLookup(await bytesOf('go/lookup/example.com@1.0.0'))
    expect(index).toBeGreaterThanOrEqual(size)
    expect(parseLeaf(leaf)).toMatchObject({ name: 'example.com', version: '1.0.0' })
    const [title, count] = openNote(note, [verifier]).text.split('\n')
    expect(title).toBe('go.sum database tree')
    expect(Number(count)).toBeGreaterThan(index)
    expect(Number(count)).toBe((await head()).size)
  })

  test.each([
    ['example.com@2.0.0-!r!c.1', 'example.com', '2.0.0-RC.1'],
    ['example.com@2.0.0-%21r%21c.1', 'example.com', '2.0.0-RC.1'],
    ['!j!s!o!n!stream@1.0.0', 'JSONStream', '1.0.0'],
    ['@scoped/core@1.0.0+build.7', '@scoped/core', '1.0.0+build.7'],
    ['@scoped%2Fcore@1.0.0%2Bbuild.7?ns=npm', '@scoped/core', '1.0.0+build.7'],
  ])('%s is %s %s', async (path, name, version) => {
    const { leaf } = parseLookup(await bytesOf(`go/lookup/${path}`))
    expect(parseLeaf(leaf)).toMatchObject({ name, version })
  })

  test.each([
    [400, 'JSONStream@1.0.0'],
    [400, '!j!s!o!n!Stream@1.0.0'],
    [400, 'example.com@1.0.0!'],
    [400, 'example.com@1.0.0!1'],
    [400, '!!jsonstream@1.0.0'],
    [400, 'example.com'],
    [400, 'example.com@'],
    [400, 'a%00b@1.0.0'],
    [400, '%@1.0.0'],
    [404, 'example.com@7.0.0'],
    // Versions of npm have no v before them, and one version has one name.
    [404, 'example.com@v1.0.0'],
    [404, 'absent.example@1.0.0'],
    [404, 'example.com@1.0.0?ns=registry.example'],
  ])('answers %d to %s', async (status, path) => {
    const response = await sumdb(`go/lookup/${path}`)
    expect(response.status).toBe(status)
    expect((await errorOf(response)).code).toBeString()
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('refuses what is refused with 403', async () => {
    upstream.act({
      do: 'add-package',
      package: { name: 'forged.example', versions: [{ version: '1.0.0' }] },
    })
    upstream.act({
      do: 'forge-signature',
      how: 'bit-flip',
      name: 'forged.example',
      version: '1.0.0',
    })
    const response = await sumdb('go/lookup/forged.example@1.0.0')
    expect(response.status).toBe(403)
    expect((await errorOf(response)).reason).toBe('bad-signature')
  })
})

test('after growth and a restart: old widths are still there, and the note is the same', async () => {
  const { size } = await head()
  const old = await bytesOf(`go/tile/8/0/001.p/${size % TILE_WIDTH}`)
  upstream.act({
    do: 'add-package',
    package: { name: 'later.example', versions: [{ version: '1.0.0' }] },
  })
  await bytesOf('go/lookup/later.example@1.0.0')
  const note = await textOf('go/latest')
  await instance.restart({ wipeCache: true })
  expect(await textOf('go/latest')).toBe(note)
  expect((await head()).size).toBeGreaterThan(size)
  expect(await bytesOf(`go/tile/8/0/001.p/${size % TILE_WIDTH}`)).toEqual(old)
})
