/**
 * Every tile that a client needs, forged, at every tree size to 600 and around the powers of two and
 * of 256: none may be believed. Hand-picked cases are how Go's reader came to accept forged tiles
 * for years (CVE-2026-56865); the size and leaf of that report, 259 and 5, are among these.
 *
 * The first test goes through the function that the client checks tiles with, the second through the
 * client itself, also once it has kept tiles that were good.
 *
 * @module
 */
import { expect, test } from 'bun:test'
import { LogClient, LogMisbehaviour, type LogOps } from '../../src/log/client.ts'
import { TileError } from '../../src/log/errors.ts'
import { type TilePlan, checkTiles, planTiles } from '../../src/log/tile-hashes.ts'
import { type Tile, tilePath, tileRoot } from '../../src/log/tile.ts'
import { MemoryLog, flip, memoryOps, testLeaf } from '../unit/log/memory-log.ts'

const SIZE_MAX = 70_000
const EVERY_SIZE_TO = 600
const MUTATIONS_MIN = 50_000

// 43 sizes beyond 600, around powers of two and of 256, and the report's own 65,795 and 70,000.
const AROUND = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 65_536 + 256, 512 * 3]
const SIZES = [
  ...Array.from({ length: EVERY_SIZE_TO }, (_, i) => i + 1),
  ...AROUND.flatMap(size => [size - 1, size, size + 1, size + 3]),
  767,
  768,
  769,
  66_047,
  66_048,
  65_795,
  SIZE_MAX,
]

const log = new MemoryLog(Array.from({ length: SIZE_MAX }, (_, i) => testLeaf(i)))

/** Leaves in every kind of place: both ends of the tree, of tiles, and 5. */
function leavesOf(size: number): number[] {
  const places = [0, 5, 255, 256, Math.floor(size / 2), size - 258, size - 2, size - 1]
  return [...new Set(places.filter(index => index >= 0 && index < size))]
}

/** Forged forms of a tile: replaced whole, two ways, and one byte changed in five places. */
function* forgeries(bytes: Uint8Array, seed: number): Generator<Uint8Array> {
  yield new Uint8Array(bytes.length).fill(0x41)
  yield bytes.toReversed()
  const places = [0, 5 * 32, bytes.length - 1, (seed * 7919) % bytes.length, seed % bytes.length]
  for (const at of new Set(places)) if (at < bytes.length) yield flip(bytes, at, 1 << (seed % 8))
}

/** Reads one size's tiles from memory, computing each root once. */
function tilesOf(): {
  read: (tile: Tile) => Uint8Array
  rootOf: (bytes: Uint8Array) => Uint8Array
} {
  const known = new Map<string, Uint8Array>()
  const roots = new WeakMap<Uint8Array, Uint8Array>()
  const read = (tile: Tile): Uint8Array => {
    const bytes = known.get(tilePath(tile)) ?? log.tile(tile)
    known.set(tilePath(tile), bytes)
    return bytes
  }
  const rootOf = (bytes: Uint8Array): Uint8Array => {
    const root = roots.get(bytes) ?? tileRoot(bytes)
    roots.set(bytes, root)
    return root
  }
  return { read, rootOf }
}

function isRefused(plan: TilePlan, root: Uint8Array, run: () => unknown): boolean {
  try {
    run()
  } catch (error) {
    if (error instanceof TileError) return true
    throw error
  }
  throw new Error(`accepted a forged tile: size ${plan.size}, root ${root.toHex()}`)
}

test('no forged tile is believed at any size', () => {
  let mutations = 0
  let reported = 0
  for (const size of SIZES) {
    const root = log.root(size)
    const { read, rootOf } = tilesOf()
    for (const index of leavesOf(size)) {
      const plan = planTiles(size, [{ level: 0, index }])
      // Unforged, they are accepted: a check that refused everything would pass this test too.
      checkTiles(plan, root, read, rootOf)
      for (const forged of [...plan.edge, ...plan.full]) {
        for (const bytes of forgeries(read(forged), size + index)) {
          const lie = (tile: Tile) => (tile === forged ? bytes : read(tile))
          isRefused(plan, root, () => checkTiles(plan, root, lie, rootOf))
          mutations++
          if (size === 259 && index === 5 && tilePath(forged) === 'tile/0/000') reported++
        }
      }
    }
  }
  console.log(`${mutations} forged tiles at ${SIZES.length} sizes, 0 accepted`)
  expect(mutations).toBeGreaterThanOrEqual(MUTATIONS_MIN)
  expect(reported).toBeGreaterThan(0)
}, 60_000)

async function lookupThroughLie(size: number, index: number, lie: string, warm: boolean) {
  const note = log.note(size)
  let lying = !warm
  const honest = memoryOps(log)
  const ops: LogOps = {
    ...honest,
    readTile: async path => {
      const bytes = log.read(path)
      return lying && path === lie ? new Uint8Array(bytes.length).fill(0x41) : bytes
    },
    lookup: async (_, version) => log.answer(Number(version.slice(4)), note),
  }
  const client = new LogClient(ops, log.verifier, note)
  // Warm: the right edge is kept, the tile that is forged next is not.
  if (warm) await client.lookup('left-pad', `1.0.${size - 1}`)
  lying = true
  return client.lookup('left-pad', `1.0.${index}`).then(
    () => 'accepted',
    (error: unknown) => (error instanceof LogMisbehaviour ? error.code : String(error)),
  )
}

test('the client refuses forged tiles, cold and warm', async () => {
  let lookups = 0
  for (const size of SIZES.filter((_, i) => i < 20 || i % 9 === 0 || SIZES[i] === 259)) {
    for (const index of leavesOf(size)) {
      const plan = planTiles(size, [{ level: 0, index }])
      const last = planTiles(size, [{ level: 0, index: size - 1 }])
      const kept = new Set([...last.edge, ...last.full].map(tilePath))
      for (const path of [...plan.edge, ...plan.full].map(tilePath)) {
        expect(await lookupThroughLie(size, index, path, false)).toBe('bad-tile')
        lookups++
        if (kept.has(path)) continue
        expect(await lookupThroughLie(size, index, path, true)).toBe('bad-tile')
        lookups++
      }
    }
  }
  expect(lookups).toBeGreaterThan(1000)
}, 60_000)
