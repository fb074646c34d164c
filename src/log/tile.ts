/**
 * Tiles and entry bundles, https://c2sp.org/tlog-tiles@v0.1.0: their names and their bytes.
 *
 * A tile lists up to 256 hashes of one level, 32 bytes each; each hash of level L + 1 is the root of
 * a full tile of level L. A bundle lists the up to 256 leaves under a tile of level 0.
 *
 *     tile/0/x001/x234/067          tile 1234067 of level 0, full: 8192 bytes
 *     tile/1/000.p/17               the first 17 hashes of tile 0 of level 1: 544 bytes
 *     tile/entries/x001/x234/067    its 256 leaves, each with its length in two bytes before it
 *
 * Tiles of a tree are checked in `tile-hashes.ts`, the growing right edge is kept in `edge.ts`.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { TileError } from './errors.ts'
import { checkSize, nodeHash } from './tree.ts'

/** Tile number `index` of a level, and how many hashes of it (1 to 256) are meant. */
export type Tile = { readonly level: number; readonly index: number; readonly width: number }

/** The leaves under tile `index` of level 0. */
export type Bundle = { readonly entries: true; readonly index: number; readonly width: number }

/** Height of a tile in the tree: every tile level stands for so many levels of the tree. */
export const TILE_HEIGHT = 8
/** Hashes in a full tile, 2^8. */
export const TILE_WIDTH = 256
/** Bytes of a full tile. */
export const TILE_BYTES: number = TILE_WIDTH * HASH_BYTES
/** The longest entry that a two-byte length can announce. */
export const ENTRY_BYTES_MAX = 65_535

// tlog-tiles: levels are 0 to 63. Safe integers never get beyond level 6.
const LEVEL_MAX = 63
// Three digits per path element, so that no directory holds more than 1000 of a kind.
const PATH_BASE = 1000
const PATH = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/
const PATH_LENGTH_MAX = 64

/** The path of a tile: `tile/0/x001/067.p/5`. */
export function tilePath(tile: Tile): string {
  if (!Number.isSafeInteger(tile.level) || tile.level < 0 || tile.level > LEVEL_MAX) {
    throw new TileError(`${tile.level} is not a tile level`)
  }
  return `tile/${tile.level}/${numberPath(tile.index, tile.width)}`
}

/** The path of an entry bundle: `tile/entries/x001/067.p/5`. */
export function entriesPath(index: number, width: number): string {
  return `tile/entries/${numberPath(index, width)}`
}

/** Reads what `tilePath` and `entriesPath` write, and nothing else. */
export function parseTilePath(path: string): Tile | Bundle {
  const [, kind, digits, partial] = (path.length <= PATH_LENGTH_MAX && PATH.exec(path)) || []
  if (kind === undefined || digits === undefined) throw new TileError('not a tile path')
  const index = Number(digits.replaceAll(/[x/]/g, ''))
  const width = partial === undefined ? TILE_WIDTH : Number(partial)
  if (!Number.isSafeInteger(index)) throw new TileError('not a tile path')
  const level = Number(kind)
  const again = kind === 'entries' ? entriesPath(index, width) : tilePath({ level, index, width })
  // One tile has one path: no leading zeros, no full tile written as a partial one.
  if (again !== path) throw new TileError('not a tile path')
  return kind === 'entries' ? { entries: true, index, width } : { level, index, width }
}

/** How many hashes the tiles of a level hold together, for a tree of this size. */
export function levelWidth(size: number, level: number): number {
  return Math.floor(size / TILE_WIDTH ** level)
}

/** How many hashes of tile `index` of a level a tree of this size has: 0 to 256. */
export function widthAt(size: number, level: number, index: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, levelWidth(size, level) - index * TILE_WIDTH))
}

/**
 * The tiles that a tree of `size` has and one of `oldSize` has not: new full ones, and on each level
 * that grew the partial one at the right edge. Lowest level first.
 */
export function newTiles(oldSize: number, size: number): Tile[] {
  checkSize(oldSize)
  checkSize(size)
  const tiles: Tile[] = []
  for (let level = 0; levelWidth(size, level) > 0; level++) {
    const before = levelWidth(oldSize, level)
    const now = levelWidth(size, level)
    if (now <= before) continue
    const full = Math.floor(now / TILE_WIDTH)
    for (let index = Math.floor(before / TILE_WIDTH); index < full; index++) {
      tiles.push({ level, index, width: TILE_WIDTH })
    }
    const width = now % TILE_WIDTH
    if (width > 0) tiles.push({ level, index: full, width })
  }
  return tiles
}

/**
 * The root over the hashes in `bytes`, whose number must be a power of two: the hash of a full tile
 * as it stands in the tile above, or of a complete subtree within a tile.
 */
export function tileRoot(bytes: Uint8Array): Uint8Array {
  let hashes = splitHashes(bytes)
  while (hashes.length > 1) {
    const above: Uint8Array[] = []
    for (let i = 0; i < hashes.length; i += 2) {
      const left = hashes[i]
      const right = hashes[i + 1]
      if (left === undefined || right === undefined) throw new TileError('an odd row of hashes')
      above.push(nodeHash(left, right))
    }
    hashes = above
  }
  const [root] = hashes
  if (root === undefined) throw new TileError('an empty tile has no root')
  return root
}

/** The hashes in a tile's bytes, as views on them. */
export function splitHashes(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length % HASH_BYTES !== 0) throw new TileError(`${bytes.length} bytes are no hashes`)
  const hashes: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += HASH_BYTES) {
    hashes.push(bytes.subarray(at, at + HASH_BYTES))
  }
  return hashes
}

/** The bytes of a bundle: each entry after its length, two bytes, big-endian. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const entry of entries) {
    if (entry.length > ENTRY_BYTES_MAX) throw new TileError(`entry of ${entry.length} bytes`)
    length += 2 + entry.length
  }
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const entry of entries) {
    view.setUint16(at, entry.length)
    bytes.set(entry, at + 2)
    at += 2 + entry.length
  }
  return bytes
}

/** The entries of a bundle, as views on its bytes. The caller compares their number. */
export function parseEntries(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    if (at + 2 > bytes.length) throw new TileError('entry bundle ends within a length')
    const end = at + 2 + view.getUint16(at)
    if (end > bytes.length) throw new TileError('entry bundle ends within an entry')
    if (entries.length === TILE_WIDTH) throw new TileError('entry bundle with over 256 entries')
    entries.push(bytes.subarray(at + 2, end))
    at = end
  }
  return entries
}

function numberPath(index: number, width: number): string {
  if (!Number.isSafeInteger(index) || index < 0) throw new TileError(`${index} is no tile index`)
  if (!Number.isSafeInteger(width) || width < 1 || width > TILE_WIDTH) {
    throw new TileError(`${width} is no tile width`)
  }
  let path = digits3(index % PATH_BASE)
  for (let rest = Math.floor(index / PATH_BASE); rest > 0; rest = Math.floor(rest / PATH_BASE)) {
    path = `x${digits3(rest % PATH_BASE)}/${path}`
  }
  return width === TILE_WIDTH ? path : `${path}.p/${width}`
}

function digits3(n: number): string {
  return String(n).padStart(3, '0')
}
