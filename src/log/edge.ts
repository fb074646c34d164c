/**
 * The right edge of a growing tree: on each tile level the hashes of the one tile that is not full
 * yet (https://c2sp.org/tlog-tiles, "Partial Tiles"). It is all that a log has to remember to go on:
 * it gives the size, the root, every partial tile, and each full tile at the moment it closes.
 *
 * Pure: `appendToEdge` answers with a new edge. Storage and the commit are the caller's (`log.ts`).
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { TileError } from './errors.ts'
import { type Tile, TILE_WIDTH, splitHashes, tileRoot } from './tile.ts'
import { EMPTY_ROOT, checkSize, nodeHash } from './tree.ts'

/**
 * `edge[level]` holds the hashes of the partial tile of that level, joined: 0 to 255 of them. Their
 * numbers are the digits of the tree's size in base 256, the lowest first, and the last is not 0.
 */
export type Edge = readonly Uint8Array[]

/** A tile and its hashes. */
export type TileData = { readonly tile: Tile; readonly bytes: Uint8Array }

/** The edge of the tree without leaves. */
export const EMPTY_EDGE: Edge = []

/** The size of the tree with this edge. */
export function edgeSize(edge: Edge): number {
  let size = 0
  edge.forEach((bytes, level) => {
    size += (bytes.length / HASH_BYTES) * TILE_WIDTH ** level
  })
  return size
}

/** The root of the tree with this edge. */
export function edgeRoot(edge: Edge): Uint8Array {
  let root: Uint8Array | undefined
  for (const bytes of edge) {
    // From right to left, smallest complete subtree first: the binary digits of the tile's width.
    let end = bytes.length
    let leaves = 1
    for (let width = bytes.length / HASH_BYTES; width > 0; width = Math.floor(width / 2)) {
      if (width % 2 === 1) {
        const start = end - leaves * HASH_BYTES
        const left = tileRoot(bytes.subarray(start, end))
        root = root === undefined ? left : nodeHash(left, root)
        end = start
      }
      leaves *= 2
    }
  }
  return root ?? EMPTY_ROOT
}

/**
 * Adds leaves: the new edge, and the tiles that became full, each before the one that it is hashed
 * into. The edge given is left as it is.
 */
export function appendToEdge(
  edge: Edge,
  leafHashes: readonly Uint8Array[],
): { edge: Edge; full: TileData[] } {
  const rows = edge.map(bytes => splitHashes(bytes))
  // How many tiles of each level are full already: the number of the one being filled.
  const size = edgeSize(edge)
  checkSize(size + leafHashes.length)
  const indexes = rows.map((_, level) => Math.floor(size / TILE_WIDTH ** (level + 1)))
  const full: TileData[] = []
  for (const hash of leafHashes) {
    if (hash.length !== HASH_BYTES) throw new TileError(`a leaf hash of ${hash.length} bytes`)
    addHash(rows, indexes, full, 0, hash)
  }
  return { edge: rows.map(row => joinHashes(row)), full }
}

function addHash(
  rows: Uint8Array[][],
  indexes: number[],
  full: TileData[],
  level: number,
  hash: Uint8Array,
): void {
  const row = (rows[level] ??= [])
  const index = (indexes[level] ??= 0)
  row.push(hash)
  if (row.length < TILE_WIDTH) return
  const bytes = joinHashes(row)
  full.push({ tile: { level, index, width: TILE_WIDTH }, bytes })
  row.length = 0
  indexes[level] = index + 1
  addHash(rows, indexes, full, level + 1, tileRoot(bytes))
}

/** The first `width` hashes of the partial tile of a level; a tile never ends within a hash. */
export function edgeTile(edge: Edge, level: number, width: number): Uint8Array {
  const bytes = edge[level] ?? new Uint8Array(0)
  if (width < 1 || width * HASH_BYTES > bytes.length) {
    throw new TileError(`level ${level} has no partial tile of width ${width}`)
  }
  return bytes.subarray(0, width * HASH_BYTES)
}

/** The edge as one row of bytes, lowest level first, for storage beside the size. */
export function encodeEdge(edge: Edge): Uint8Array {
  return joinHashes(edge)
}

/** Reads `encodeEdge`'s bytes; the size says how many hashes each level has. */
export function parseEdge(bytes: Uint8Array, size: number): Edge {
  checkSize(size)
  const edge: Uint8Array[] = []
  let at = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / TILE_WIDTH)) {
    const end = at + (rest % TILE_WIDTH) * HASH_BYTES
    edge.push(bytes.slice(at, end))
    at = end
  }
  if (at !== bytes.length) {
    throw new TileError(`the edge of a tree of ${size} has ${at} bytes, not ${bytes.length}`)
  }
  return edge
}

function joinHashes(hashes: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const hash of hashes) length += hash.length
  const bytes = new Uint8Array(length)
  let at = 0
  for (const hash of hashes) {
    bytes.set(hash, at)
    at += hash.length
  }
  return bytes
}
