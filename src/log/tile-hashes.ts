/**
 * Hashes of a tree read from tiles that nobody has to trust: every tile is checked, from the root
 * of a signed checkpoint down, before one hash of it is used.
 *
 * The tiles at the right edge, which are partial, make up the root together. Every other tile is
 * full, and its root stands in the tile above. So: plan which tiles are needed (`planTiles`, edge
 * first, each tile after the one above it), read them all at once, check (`checkTiles`).
 *
 *     tree of 259 leaves, leaf 5                     1/000.p/1   0/001.p/3      edge: make the root
 *                                                        |
 *                                                      0/000                    full: below 1/000
 *
 * Go's golang.org/x/mod before v0.40.0 began to check full tiles too late and took forged ones
 * (CVE-2026-56865): it skipped one for each subtree of the root, and here two lie in 0/001. Edge and
 * full tiles are two lists here, so that there is no number to get wrong.
 *
 * Pure: reading is the caller's (`client.ts`).
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { edgeRoot } from './edge.ts'
import { TileError } from './errors.ts'
import {
  TILE_HEIGHT,
  TILE_WIDTH,
  type Tile,
  levelWidth,
  tilePath,
  tileRoot,
  widthAt,
} from './tile.ts'
import { equalBytes } from './text.ts'
import { type ReadHash, type Subtree, checkSize } from './tree.ts'

/** The tiles that have to be read. */
export type TilePlan = {
  readonly size: number
  /** The partial tiles, which make up the root: lowest level first. */
  readonly edge: readonly Tile[]
  /** The full tiles, each after the tile that holds its root. */
  readonly full: readonly Tile[]
}

/** The tiles of a tree of this size that prove and hold the hashes of these subtrees. */
export function planTiles(size: number, subtrees: readonly Subtree[]): TilePlan {
  checkSize(size)
  const edge: Tile[] = []
  for (let level = 0; levelWidth(size, level) > 0; level++) {
    const width = levelWidth(size, level) % TILE_WIDTH
    const index = Math.floor(levelWidth(size, level) / TILE_WIDTH)
    if (width > 0) edge.push({ level, index, width })
  }
  const full = new Map<string, Tile>()
  for (const subtree of subtrees) {
    const above: Tile[] = []
    let tile = locate(size, subtree).tile
    while (tile.width === TILE_WIDTH && !full.has(key(tile))) {
      above.push(tile)
      tile = parentOf(size, tile)
    }
    for (const found of above.toReversed()) full.set(key(found), found)
  }
  return { size, edge, full: [...full.values()] }
}

/**
 * Checks every tile of a plan against the root, and answers with a reader of the hashes in them.
 * Throws TileError when one byte of one tile is not what the root commits to.
 *
 * @param read gives the bytes of a tile of the plan
 * @param rootOf computes a full tile's root; a caller that keeps tiles may keep their roots too
 */
export function checkTiles(
  plan: TilePlan,
  root: Uint8Array,
  read: (tile: Tile) => Uint8Array,
  rootOf: (bytes: Uint8Array) => Uint8Array = tileRoot,
): ReadHash {
  const checked = new Map<string, Uint8Array>()
  const edge: Uint8Array[] = []
  for (const tile of plan.edge) {
    while (edge.length < tile.level) edge.push(new Uint8Array(0))
    const bytes = readExactly(tile, read)
    edge.push(bytes)
    checked.set(key(tile), bytes)
  }
  if (!equalBytes(edgeRoot(edge), root)) {
    throw new TileError(`${plan.edge.map(tilePath).join(', ')} do not lead to the root`)
  }
  for (const tile of plan.full) {
    const above = checked.get(key(parentOf(plan.size, tile)))
    if (above === undefined) throw new RangeError(`${tilePath(tile)} planned before its parent`)
    const bytes = readExactly(tile, read)
    const start = (tile.index % TILE_WIDTH) * HASH_BYTES
    if (!equalBytes(rootOf(bytes), above.subarray(start, start + HASH_BYTES))) {
      throw new TileError(`${tilePath(tile)} does not lead to the root`)
    }
    checked.set(key(tile), bytes)
  }
  return subtree => {
    const { tile, start, end } = locate(plan.size, subtree)
    const bytes = checked.get(key(tile))
    if (bytes === undefined) throw new RangeError(`${tilePath(tile)} was not planned`)
    return tileRoot(bytes.subarray(start, end))
  }
}

function readExactly(tile: Tile, read: (tile: Tile) => Uint8Array): Uint8Array {
  const bytes = read(tile)
  if (bytes.length !== tile.width * HASH_BYTES) {
    throw new TileError(`${tilePath(tile)} has ${bytes.length} bytes`)
  }
  return bytes
}

// Which tile holds a subtree, as its own hash or as a run of hashes below it.
function locate(size: number, subtree: Subtree): { tile: Tile; start: number; end: number } {
  const level = Math.floor(subtree.level / TILE_HEIGHT)
  const hashes = 2 ** (subtree.level % TILE_HEIGHT)
  const perTile = TILE_WIDTH / hashes
  const index = Math.floor(subtree.index / perTile)
  const start = (subtree.index % perTile) * hashes
  const width = widthAt(size, level, index)
  if (start + hashes > width) {
    throw new TileError(`no subtree ${subtree.level}/${subtree.index} in a tree of ${size}`)
  }
  const tile = { level, index, width }
  return { tile, start: start * HASH_BYTES, end: (start + hashes) * HASH_BYTES }
}

// A full tile always has a parent: its root is a hash of the level above.
function parentOf(size: number, tile: Tile): Tile {
  const level = tile.level + 1
  const index = Math.floor(tile.index / TILE_WIDTH)
  return { level, index, width: widthAt(size, level, index) }
}

function key(tile: Tile): string {
  return `${tile.level}/${tile.index}`
}
