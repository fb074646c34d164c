import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { TileError } from '../../../src/log/errors.ts'
import { checkTiles, planTiles } from '../../../src/log/tile-hashes.ts'
import { type Tile, tilePath } from '../../../src/log/tile.ts'
import {
  EMPTY_ROOT,
  leafHash,
  proveRecord,
  proveTree,
  recordProofSubtrees,
  rootSubtrees,
  treeProofSubtrees,
  treeRoot,
} from '../../../src/log/tree.ts'
import { MemoryLog, flip } from './memory-log.ts'

const BIG = 70_000
const log = new MemoryLog(
  Array.from({ length: BIG }, (_, i) => new TextEncoder().encode(`leaf ${i}`)),
)
const leaf = (index: number) => ({ level: 0, index })
const leafHashOf = (index: number) => leafHash(log.leaves[index] ?? EMPTY_ROOT)
const paths = (tiles: readonly Tile[]) => tiles.map(tilePath)

describe('planTiles()', () => {
  test('takes the right edge and the way down to each leaf', () => {
    const plan = planTiles(259, [leaf(5)])
    expect(paths(plan.edge)).toEqual(['tile/0/001.p/3', 'tile/1/000.p/1'])
    expect(paths(plan.full)).toEqual(['tile/0/000'])
    const big = planTiles(BIG, [leaf(5), leaf(69_999), leaf(256), leaf(7)])
    expect(paths(big.edge)).toEqual(['tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1'])
    expect(paths(big.full)).toEqual(['tile/1/000', 'tile/0/000', 'tile/0/001'])
    expect(planTiles(0, [])).toEqual({ size: 0, edge: [], full: [] })
  })

  test('refuses leaves that are not in the tree', () => {
    for (const [size, index] of [
      [0, 0],
      [1, 1],
      [256, 256],
      [259, 300],
    ] as const) {
      expect(() => planTiles(size, [leaf(index)])).toThrow(TileError)
    }
    expect(() => planTiles(3, [{ level: 1, index: 1 }])).toThrow(TileError)
    expect(() => planTiles(-1, [])).toThrow(RangeError)
  })

  // Why a client that has found a fork need not ask again to prove it.
  test('the proof between two trees needs no tile that the old root does not need', () => {
    const size = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [old, now] = a < b ? [a, b] : [b, a]
        const roots = planTiles(now, rootSubtrees(old))
        const both = planTiles(now, [...rootSubtrees(old), ...treeProofSubtrees(now, old)])
        expect(both).toEqual(roots)
      }),
    )
  })
})

describe('checkTiles()', () => {
  test('gives every hash of trees around the powers of 256', () => {
    for (const size of [
      1,
      2,
      3,
      255,
      256,
      257,
      258,
      259,
      511,
      512,
      513,
      65_535,
      65_536,
      65_795,
      BIG,
    ]) {
      const root = log.root(size)
      const step = Math.max(1, Math.floor(size / 12))
      for (let index = 0; index < size; index += step) {
        const subtrees = [leaf(index), ...recordProofSubtrees(size, index)]
        const read = checkTiles(planTiles(size, subtrees), root, tile => log.tile(tile))
        expect(read(leaf(index))).toEqual(leafHashOf(index))
        const proof = proveRecord(size, index, read)
        expect(proof).toEqual(proveRecord(size, index, log.readHash))
      }
      for (let old = 1; old <= size; old += step) {
        const subtrees = [...rootSubtrees(old), ...treeProofSubtrees(size, old)]
        const read = checkTiles(planTiles(size, subtrees), root, tile => log.tile(tile))
        expect(treeRoot(old, read)).toEqual(log.root(old))
        expect(proveTree(size, old, read)).toEqual(proveTree(size, old, log.readHash))
      }
    }
  }, 30_000)

  test('refuses hashes that were not planned', () => {
    const read = checkTiles(planTiles(600, [leaf(5)]), log.root(600), tile => log.tile(tile))
    expect(read(leaf(6))).toEqual(leafHashOf(6))
    expect(() => read(leaf(300))).toThrow(RangeError)
    expect(() => read(leaf(600))).toThrow(TileError)
  })

  test('refuses tiles that are short, long or empty, whichever it is', () => {
    for (const size of [1, 3, 256, 259, 70_000]) {
      const plan = planTiles(size, [leaf(0)])
      for (const bad of [...plan.edge, ...plan.full]) {
        for (const change of [
          (bytes: Uint8Array) => bytes.subarray(0, -32),
          (bytes: Uint8Array) => bytes.subarray(0, -1),
          (bytes: Uint8Array) => new Uint8Array([...bytes, ...bytes.subarray(0, 32)]),
          () => new Uint8Array(0),
        ]) {
          const forge = (tile: Tile) =>
            tilePath(tile) === tilePath(bad) ? change(log.tile(tile)) : log.tile(tile)
          expect(() => checkTiles(plan, log.root(size), forge)).toThrow(TileError)
        }
      }
    }
  })

  // facts of CVE-2026-56865: what Go's reader before x/mod v0.40.0 accepted.
  test('refuses the forged tiles that Go’s reader took', () => {
    for (const [size, path] of [
      [259, 'tile/0/000'],
      [BIG, 'tile/0/000'],
      [BIG, 'tile/1/000'],
    ] as const) {
      const plan = planTiles(size, [leaf(5)])
      expect(paths(plan.full)).toContain(path)
      const forge = (tile: Tile) =>
        tilePath(tile) === path ? new Uint8Array(8192).fill(0x41) : log.tile(tile)
      expect(() => checkTiles(plan, log.root(size), forge)).toThrow(TileError)
    }
  })

  test('refuses another root, and an empty tree with any root but its own', () => {
    const plan = planTiles(300, [leaf(1)])
    const read = (tile: Tile) => log.tile(tile)
    expect(() => checkTiles(plan, flip(log.root(300), 31), read)).toThrow(TileError)
    expect(() => checkTiles(plan, log.root(299), read)).toThrow(TileError)
    expect(() => checkTiles(planTiles(0, []), log.root(1), read)).toThrow(TileError)
    expect(checkTiles(planTiles(0, []), EMPTY_ROOT, read)).toBeFunction()
  })
})
