/**
 * The files of a log: full tiles and bundles (https://c2sp.org/tlog-tiles), made from leaves and
 * from each other, each checked against the signed tree before it is written. They are derived: a
 * lost one is made again. When they are written is decided in `log.ts`.
 *
 * @module
 */
import { parseEdge } from './edge.ts'
import { TileError } from './errors.ts'
import { equalBytes } from './text.ts'
import {
  encodeEntries,
  entriesPath,
  levelWidth,
  newTiles,
  type Tile,
  TILE_BYTES,
  TILE_WIDTH,
  tilePath,
  tileRoot,
} from './tile.ts'
import { leafHash } from './tree.ts'

export type LogFile = { readonly path: string; readonly bytes: Uint8Array }

/** The part of a log's store that holds leaves and files. */
export interface TileFiles {
  /** Leaves `start` to `end`, without `end`; throws when one is missing. */
  readLeaves(start: number, end: number): Uint8Array[]
  hasFile(path: string): boolean
  /** Throws when there is no such file. */
  readFile(path: string): Uint8Array
  /** Durable when it returns. A file that exists must be equal, or `LogFatalError`. */
  writeFiles(files: readonly LogFile[]): void
}

/** The signed tree that the files belong to. */
export type SignedTree = { readonly size: number; readonly edge: Uint8Array }

/** Full tiles written with one round of folder fsyncs; 16 tiles and bundles are below 2 MB. */
const TILES_PER_WRITE = 16

const HASH_BYTES = 32

/** The full tiles that a tree of `size` has and one of `oldSize` has not, lowest level first. */
export function fullTiles(oldSize: number, size: number): Tile[] {
  return newTiles(oldSize, size).filter(tile => tile.width === TILE_WIDTH)
}

/** The paths of a full tile: on level 0 there is a bundle of entries beside it. */
export function filesOf(tile: Tile): string[] {
  const path = tilePath(tile)
  return tile.level === 0 ? [path, entriesPath(tile.index, TILE_WIDTH)] : [path]
}

/** Writes full tiles, given lowest level first. Throws TileError where the tree contradicts. */
export function writeFullTiles(store: TileFiles, tiles: readonly Tile[], tree: SignedTree): void {
  let files: LogFile[] = []
  const flush = () => {
    if (files.length > 0) store.writeFiles(files)
    files = []
  }
  for (const tile of tiles) {
    // Upper tiles are made from the files of the lower ones.
    if (tile.level > 0) flush()
    const made = tile.level === 0 ? leafFiles(store, tile) : [upperFile(store, tile)]
    for (const { path, bytes } of made) {
      if (path === tilePath(tile)) checkFullTile(store, tile, bytes, tree)
    }
    files.push(...made)
    if (files.length >= 2 * TILES_PER_WRITE) flush()
  }
  flush()
}

/**
 * Compares a tile with its hash in the tile above: in the edge, else in that tile's file. Where
 * that is still to be written, its own check covers this one. Throws TileError.
 */
export function checkFullTile(
  store: TileFiles,
  tile: Tile,
  bytes: Uint8Array,
  tree: SignedTree,
): void {
  const wanted = hashAbove(store, tile, tree)
  if (wanted === undefined) return
  if (bytes.length === TILE_BYTES && equalBytes(tileRoot(bytes), wanted)) return
  throw new TileError(`${tilePath(tile)} does not hash to the signed tree`)
}

function leafFiles(store: TileFiles, tile: Tile): LogFile[] {
  const start = tile.index * TILE_WIDTH
  const leaves = store.readLeaves(start, start + TILE_WIDTH)
  return [
    { path: entriesPath(tile.index, TILE_WIDTH), bytes: encodeEntries(leaves) },
    { path: tilePath(tile), bytes: joinHashes(leaves.map(leaf => leafHash(leaf))) },
  ]
}

function upperFile(store: TileFiles, tile: Tile): LogFile {
  const roots = Array.from({ length: TILE_WIDTH }, (_, child) => {
    const index = tile.index * TILE_WIDTH + child
    const lower = { level: tile.level - 1, index, width: TILE_WIDTH }
    return tileRoot(store.readFile(tilePath(lower)))
  })
  return { path: tilePath(tile), bytes: joinHashes(roots) }
}

function hashAbove(store: TileFiles, tile: Tile, tree: SignedTree): Uint8Array | undefined {
  const level = tile.level + 1
  const index = Math.floor(tile.index / TILE_WIDTH)
  const at = (tile.index % TILE_WIDTH) * HASH_BYTES
  if (index === levelWidth(tree.size, level + 1)) {
    return parseEdge(tree.edge, tree.size)[level]?.subarray(at, at + HASH_BYTES)
  }
  const path = tilePath({ level, index, width: TILE_WIDTH })
  return store.hasFile(path) ? store.readFile(path).subarray(at, at + HASH_BYTES) : undefined
}

function joinHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(hashes.length * HASH_BYTES)
  for (const [i, hash] of hashes.entries()) bytes.set(hash, i * HASH_BYTES)
  return bytes
}
