/**
 * Serves tiles and entry bundles of a log, any width that the published tree has
 * (https://c2sp.org/tlog-tiles, "Partial Tiles"). Only full ones are files; partial ones are cut on
 * request from a full file, from the edge, or from the leaf rows, so that the partial tile of any
 * earlier size is there too.
 *
 * Nothing is served on the disk's word: a full tile must hash to the tree above it, a bundle to its
 * tile. A file that does not is an error that names it (`log fsck` finds all of them).
 * @module
 */
import { LRUCache } from 'lru-cache'
import { edgeTile, parseEdge } from '../log/edge.ts'
import { TileError } from '../log/errors.ts'
import type { LogState, LogStore } from '../log/log.ts'
import { equalBytes } from '../log/text.ts'
import {
  encodeEntries,
  entriesPath,
  levelWidth,
  parseEntries,
  parseTilePath,
  TILE_BYTES,
  TILE_WIDTH,
  tilePath,
  tileRoot,
  widthAt,
} from '../log/tile.ts'
import { leafHash } from '../log/tree.ts'

/** A tile file is damaged or gone. It is never served; a restart writes a missing one again. */
export class TileDamagedError extends Error {
  override readonly name = 'TileDamagedError'
  readonly code = 'tile-damaged'
  readonly path: string

  constructor(path: string, reason: string, cause?: unknown) {
    super(`${path}: ${reason}`, { cause })
    this.path = path
  }
}

/** Checked files kept in memory: upper tiles are asked for by every proof. */
const CACHE_BYTES = 8 * 1024 * 1024

const HASH_BYTES = 32

export class TileStore {
  readonly #store: LogStore
  readonly #published: () => LogState
  readonly #cache = new LRUCache<string, Uint8Array>({
    maxSize: CACHE_BYTES,
    sizeCalculation: bytes => bytes.length + 1,
  })

  /** `published` says what readers may see: `() => log.published`. */
  constructor(store: LogStore, published: () => LogState) {
    this.#store = store
    this.#published = published
  }

  /**
   * The bytes at a path such as `tile/0/x001/067.p/5`. Throws `TileError` when the published tree
   * has no such tile, `TileDamagedError` when the disk does not have it as it was signed.
   */
  read(path: string): Uint8Array {
    const wanted = parseTilePath(path)
    const state = this.#published()
    const level = 'entries' in wanted ? 0 : wanted.level
    const width = widthAt(state.size, level, wanted.index)
    if (wanted.width > width) throw new TileError(`${path}: not in a tree of ${state.size} leaves`)
    return 'entries' in wanted
      ? this.#entries(wanted.index, wanted.width, width)
      : this.#hashes(state, level, wanted.index, width).subarray(0, wanted.width * HASH_BYTES)
  }

  #hashes(state: LogState, level: number, index: number, width: number): Uint8Array {
    return width === TILE_WIDTH
      ? this.#fullTile(state, level, index)
      : edgeTile(parseEdge(state.edge, state.size), level, width)
  }

  #entries(index: number, wanted: number, width: number): Uint8Array {
    const start = index * TILE_WIDTH
    // Rows of the edge were checked at start, and are what the next full bundle is made of.
    if (width < TILE_WIDTH) return encodeEntries(this.#store.readLeaves(start, start + wanted))
    const bytes = this.#bundle(index)
    return wanted === TILE_WIDTH ? bytes : encodeEntries(parseEntries(bytes).slice(0, wanted))
  }

  #fullTile(state: LogState, level: number, index: number): Uint8Array {
    const path = tilePath({ level, index, width: TILE_WIDTH })
    return this.#checked(path, bytes => {
      const aboveIndex = Math.floor(index / TILE_WIDTH)
      const width = Math.min(
        TILE_WIDTH,
        levelWidth(state.size, level + 1) - aboveIndex * TILE_WIDTH,
      )
      const above = this.#hashes(state, level + 1, aboveIndex, width)
      const at = (index % TILE_WIDTH) * HASH_BYTES
      return (
        bytes.length === TILE_BYTES &&
        equalBytes(tileRoot(bytes), above.subarray(at, at + HASH_BYTES))
      )
    })
  }

  #bundle(index: number): Uint8Array {
    const path = entriesPath(index, TILE_WIDTH)
    return this.#checked(path, bytes => {
      const hashes = parseEntries(bytes).map(entry => leafHash(entry))
      return equalBytes(Buffer.concat(hashes), this.#fullTile(this.#published(), 0, index))
    })
  }

  #checked(path: string, isSound: (bytes: Uint8Array) => boolean): Uint8Array {
    const known = this.#cache.get(path)
    if (known !== undefined) return known
    const bytes = attempt(path, () => this.#store.readFile(path))
    if (!attempt(path, () => isSound(bytes))) {
      throw new TileDamagedError(path, 'does not hash to the signed tree')
    }
    this.#cache.set(path, bytes)
    return bytes
  }
}

/** What goes wrong with a file that the tree has is damage, never "no such tile". */
function attempt<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof TileDamagedError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new TileDamagedError(path, `cannot be read: ${reason}`, error)
  }
}
