import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { EMPTY_EDGE, appendToEdge, edgeRoot, edgeSize } from '../../../src/log/edge.ts'
import { edgeTile, encodeEdge, parseEdge } from '../../../src/log/edge.ts'
import { TileError } from '../../../src/log/errors.ts'
import {
  encodeEntries,
  entriesPath,
  newTiles,
  parseEntries,
  parseTilePath,
  splitHashes,
  tilePath,
  tileRoot,
  widthAt,
} from '../../../src/log/tile.ts'
import { leafHash, nodeHash, treeRoot } from '../../../src/log/tree.ts'
import { MemoryLog } from './memory-log.ts'

// https://c2sp.org/tlog-tiles "Merkle Tree", and golang.org/x/mod sumdb/tlog/tile_test.go tilePaths,
// written for height 8 and without Go's height element.
const PATHS = [
  ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
  ['tile/0/001', { level: 0, index: 1, width: 256 }],
  ['tile/0/001.p/5', { level: 0, index: 1, width: 5 }],
  ['tile/5/x123/x456/078', { level: 5, index: 123_456_078, width: 256 }],
  ['tile/5/x123/x456/078.p/2', { level: 5, index: 123_456_078, width: 2 }],
  ['tile/63/x003/x057/500.p/255', { level: 63, index: 3_057_500, width: 255 }],
  ['tile/entries/x003/x057/500', { entries: true, index: 3_057_500, width: 256 }],
  ['tile/entries/000.p/1', { entries: true, index: 0, width: 1 }],
] as const

const BAD_PATHS = [
  '',
  'tile',
  'tile/0',
  'tile/0/',
  '/tile/0/000',
  'tile/0/000/',
  'tile/00/000',
  'tile/-1/000',
  'tile/64/000',
  'tile/100/000',
  'tile/data/000',
  'tile/8/0/000',
  'tile/0/00',
  'tile/0/0000',
  'tile/0/x000/001',
  'tile/0/x001',
  'tile/0/001/002',
  'tile/3/5/123/456/078',
  'tile/0/X001/002',
  'tile/0/000.p/0',
  'tile/0/000.p/256',
  'tile/0/000.p/1000',
  'tile/0/000.p/01',
  'tile/0/000.p/',
  'tile/0/000.p',
  'tile/0/000.p/-1',
  'tile/0/000.p/1/2',
  'tile/0/000.P/1',
  'tile/0/ 00',
  'tile/0/０00',
  'tile/0/000\n',
  'tile/entries/x009/x007/x199/x254/x740/992',
  'tile/0/../0/000',
  'tile/0/%30%30%30',
]

describe('paths', () => {
  test('match the examples of C2SP and of Go', () => {
    for (const [path, tile] of PATHS) {
      expect(parseTilePath(path)).toEqual(tile)
      const again = 'entries' in tile ? entriesPath(tile.index, tile.width) : tilePath(tile)
      expect(again).toBe(path)
    }
  })

  test('parseTilePath() refuses every other spelling', () => {
    for (const path of BAD_PATHS) expect(() => parseTilePath(path)).toThrow(TileError)
  })

  test('parseTilePath() reads what tilePath() writes, and nothing near it as something else', () => {
    const tile = fc.record({
      level: fc.nat(63),
      index: fc.maxSafeNat(),
      width: fc.integer({ min: 1, max: 256 }),
    })
    fc.assert(
      fc.property(tile, fc.nat(40), fc.string({ maxLength: 1 }), (value, at, piece) => {
        const path = tilePath(value)
        expect(parseTilePath(path)).toEqual(value)
        const near = path.slice(0, at) + piece + path.slice(at + 1)
        const read = attempt(() => parseTilePath(near))
        if (read !== undefined) {
          const again = 'entries' in read ? entriesPath(read.index, read.width) : tilePath(read)
          expect(again).toBe(near)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('tiles that cannot be are refused', () => {
    for (const width of [0, 257, 1.5, Number.NaN]) {
      expect(() => tilePath({ level: 0, index: 0, width })).toThrow(TileError)
    }
    for (const index of [-1, 0.5, 2 ** 53]) expect(() => entriesPath(index, 1)).toThrow(TileError)
    for (const level of [-1, 64, 0.5]) {
      expect(() => tilePath({ level, index: 0, width: 1 })).toThrow(TileError)
    }
  })
})

describe('newTiles()', () => {
  // https://c2sp.org/tlog-tiles "Partial Tiles": the trees of 70,000 and of 256 leaves.
  test('matches the examples of C2SP', () => {
    const tiles = newTiles(0, 70_000)
    const count = (level: number) => tiles.filter(t => t.level === level && t.width === 256).length
    expect([count(0), count(1), count(2)]).toEqual([273, 1, 0])
    expect(tiles.filter(tile => tile.width < 256)).toEqual([
      { level: 0, index: 273, width: 112 },
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
    ])
    expect(newTiles(0, 256)).toEqual([
      { level: 0, index: 0, width: 256 },
      { level: 1, index: 0, width: 1 },
    ])
  })

  test('gives nothing for no growth, and only what grew', () => {
    expect(newTiles(0, 0)).toEqual([])
    expect(newTiles(300, 300)).toEqual([])
    expect(newTiles(300, 301)).toEqual([{ level: 0, index: 1, width: 45 }])
    expect(newTiles(511, 513)).toEqual([
      { level: 0, index: 1, width: 256 },
      { level: 0, index: 2, width: 1 },
      { level: 1, index: 0, width: 2 },
    ])
    expect(newTiles(49_516_517, 49_516_586)).toEqual([
      { level: 0, index: 193_423, width: 256 },
      { level: 0, index: 193_424, width: 42 },
      { level: 1, index: 755, width: 144 },
    ])
  })
})

describe('widthAt()', () => {
  test('is full, partial or nothing', () => {
    expect(widthAt(70_000, 0, 272)).toBe(256)
    expect(widthAt(70_000, 0, 273)).toBe(112)
    expect(widthAt(70_000, 0, 274)).toBe(0)
    expect(widthAt(70_000, 2, 0)).toBe(1)
    expect(widthAt(70_000, 3, 0)).toBe(0)
    expect(widthAt(2 ** 53 - 1, 6, 0)).toBe(31)
  })
})

describe('tileRoot()', () => {
  test('hashes a power of two of hashes, and refuses other rows', () => {
    const [a, b, c] = [leafHash(Uint8Array.of(1)), leafHash(Uint8Array.of(2)), new Uint8Array(32)]
    expect(tileRoot(a)).toEqual(a)
    expect(tileRoot(Uint8Array.of(...a, ...b))).toEqual(nodeHash(a, b))
    expect(() => tileRoot(Uint8Array.of(...a, ...b, ...c))).toThrow(TileError)
    expect(() => tileRoot(new Uint8Array(0))).toThrow(TileError)
    expect(() => splitHashes(new Uint8Array(33))).toThrow(TileError)
  })
})

describe('entries', () => {
  test('encodeEntries() writes big-endian lengths', () => {
    const bytes = encodeEntries([Uint8Array.of(1, 2), new Uint8Array(0), new Uint8Array(258)])
    expect([...bytes.subarray(0, 8)]).toEqual([0, 2, 1, 2, 0, 0, 1, 2])
    expect(bytes.length).toBe(4 + 2 + 260)
  })

  test('parseEntries() reads what encodeEntries() writes, from any part of a buffer', () => {
    const entry = fc.uint8Array({ maxLength: 600 })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 30 }), fc.nat(9), (entries, offset) => {
        const bytes = encodeEntries(entries)
        const within = new Uint8Array(bytes.length + 20)
        within.set(bytes, offset)
        const read = parseEntries(within.subarray(offset, offset + bytes.length))
        expect(read.map(e => e.toHex())).toEqual(entries.map(e => e.toHex()))
        if (bytes.length > 0) {
          const short = attempt(() => parseEntries(bytes.subarray(0, -1)))
          expect(short === undefined || short.length < entries.length).toBe(true)
        }
      }),
    )
  })

  test('parseEntries() refuses torn and overlong bundles, encodeEntries() long entries', () => {
    expect(() => parseEntries(Uint8Array.of(0))).toThrow(TileError)
    expect(() => parseEntries(Uint8Array.of(0, 2, 1))).toThrow(TileError)
    expect(() => parseEntries(new Uint8Array(2 * 257))).toThrow(TileError)
    expect(parseEntries(new Uint8Array(2 * 256))).toHaveLength(256)
    expect(() => encodeEntries([new Uint8Array(65_536)])).toThrow(TileError)
  })
})

describe('edge', () => {
  test('gives size, root and every tile at every size to 700, one leaf at a time', () => {
    const log = new MemoryLog()
    let edge = EMPTY_EDGE
    expect(edgeRoot(edge)).toEqual(treeRoot(0, log.readHash))
    for (let size = 1; size <= 700; size++) {
      const leaf = Uint8Array.of(size % 251, size % 7)
      log.append(leaf)
      const grown = appendToEdge(edge, [leafHash(leaf)])
      edge = grown.edge
      expect(edgeSize(edge)).toBe(size)
      expect(edgeRoot(edge)).toEqual(log.root())
      const tiles = newTiles(size - 1, size)
      expect(grown.full.map(({ tile }) => tile)).toEqual(tiles.filter(t => t.width === 256))
      for (const { tile, bytes } of grown.full) expect(bytes).toEqual(log.tile(tile))
      for (const tile of tiles.filter(t => t.width < 256)) {
        expect(edgeTile(edge, tile.level, tile.width)).toEqual(log.tile(tile))
      }
      expect(parseEdge(encodeEdge(edge), size)).toEqual([...edge])
    }
  })

  test('grows the same in batches of any size, up to 66,000 leaves', () => {
    const hashes = Array.from({ length: 66_000 }, (_, i) => leafHash(encode(i)))
    const once = appendToEdge(EMPTY_EDGE, hashes)
    const paths = once.full.map(({ tile }) => tilePath(tile))
    expect(paths).toHaveLength(257 + 1)
    expect(new Set(paths).size).toBe(258)
    let edge = EMPTY_EDGE
    const full = []
    for (let at = 0, step = 1; at < hashes.length; at += step, step = (step * 7) % 1009) {
      const grown = appendToEdge(edge, hashes.slice(at, at + step))
      edge = grown.edge
      full.push(...grown.full)
    }
    expect(edge).toEqual(once.edge)
    expect(full).toEqual(once.full)
  })

  test('parseEdge() refuses bytes of another size, appendToEdge() what is no hash', () => {
    expect(() => parseEdge(new Uint8Array(32), 2)).toThrow(TileError)
    expect(() => parseEdge(new Uint8Array(96), 2)).toThrow(TileError)
    expect(() => parseEdge(new Uint8Array(64), -2)).toThrow(RangeError)
    expect(() => appendToEdge(EMPTY_EDGE, [new Uint8Array(31)])).toThrow(TileError)
    expect(() => edgeTile(EMPTY_EDGE, 0, 1)).toThrow(TileError)
  })
})

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof TileError) return undefined
    throw error
  }
}

function encode(n: number): Uint8Array {
  return new TextEncoder().encode(String(n))
}
