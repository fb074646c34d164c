import { describe, expect, test } from 'bun:test'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TileStore } from '../../../src/db/tile-store.ts'
import { encodeLeaf } from '../../../src/log/leaf.ts'
import { parseEntries } from '../../../src/log/tile.ts'
import { leafHash } from '../../../src/log/tree.ts'
import { versionLeaf, versionLeaves } from '../log/leaves.ts'
import { openLog, temporaryDir } from './data-dir.ts'

const SIZE = 700

function opened() {
  const dir = temporaryDir()
  const { db, log, store } = openLog(dir.path)
  for (let at = 0; at < SIZE; at += 100) log.append(versionLeaves(at, at + 100))
  log.publish()
  const dispose = () => {
    db[Symbol.dispose]()
    dir[Symbol.dispose]()
  }
  const open = () => new TileStore(store, () => log.published)
  return { path: join(dir.path, 'tiles'), log, open, [Symbol.dispose]: dispose }
}

const leafBytes = (index: number) => encodeLeaf(versionLeaf(index))

describe('TileStore.read()', () => {
  test('gives every width of every tile that the tree ever had', () => {
    using t = opened()
    const tiles = t.open()
    for (const index of [0, 1, 2]) {
      const most = Math.min(256, SIZE - index * 256)
      const hashes = Array.from({ length: most }, (_, i) => leafHash(leafBytes(index * 256 + i)))
      for (let width = 1; width <= most; width++) {
        const number = `00${index}${width === 256 ? '' : `.p/${width}`}`
        const tile = tiles.read(`tile/0/${number}`)
        expect(Buffer.compare(tile, Buffer.concat(hashes.slice(0, width)))).toBe(0)
        const entries = parseEntries(tiles.read(`tile/entries/${number}`))
        expect(entries).toHaveLength(width)
        expect(entries.at(-1)).toEqual(leafBytes(index * 256 + width - 1))
      }
    }
    expect(tiles.read('tile/1/000.p/2')).toHaveLength(64)
  })

  test.each([
    'tile/0/002',
    'tile/0/002.p/189',
    'tile/0/003.p/1',
    'tile/1/000.p/3',
    'tile/2/000.p/1',
    'tile/entries/002.p/189',
    'tile/0/0',
    'tile/0/000.p/0',
    'tile/../keys/log.key',
    'checkpoint',
  ])('refuses %s', path => {
    using t = opened()
    expect(() => t.open().read(path)).toThrow(expect.objectContaining({ code: 'bad-tile' }))
  })

  test('shows nothing that is not published', () => {
    using t = opened()
    t.log.append(versionLeaves(SIZE, SIZE + 100))
    expect(() => t.open().read('tile/0/002.p/189')).toThrow('not in a tree of 700')
    expect(t.open().read('tile/0/002.p/188')).toHaveLength(188 * 32)
    t.log.publish()
    expect(t.open().read('tile/0/002')).toHaveLength(8192)
  })

  test.each(['tile/0/001', 'tile/entries/001'])('never serves a damaged %s', path => {
    using t = opened()
    const file = join(t.path, path)
    const sound = readFileSync(file)
    chmodSync(file, 0o600)
    for (let at = 0; at < sound.length; at += 97) {
      const damaged = Uint8Array.from(sound)
      damaged[at] = (damaged[at] ?? 0) ^ 1
      writeFileSync(file, damaged)
      expect(() => t.open().read(path)).toThrow(expect.objectContaining({ code: 'tile-damaged' }))
      expect(() => t.open().read(`${path}.p/5`)).toThrow('/001: ')
    }
    writeFileSync(file, sound.subarray(0, -1))
    expect(() => t.open().read(path)).toThrow('/001: ')
    rmSync(file)
    expect(() => t.open().read(path)).toThrow('cannot be read')
    writeFileSync(file, sound)
    expect(Buffer.compare(t.open().read(path), sound)).toBe(0)
  })
})
