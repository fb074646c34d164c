/**
 * The tiles of one log that a client has checked, and the way to those it has not: bounded, one
 * request for a tile however many ask, https://c2sp.org/tlog-tiles for what may be asked.
 *
 * A tile is kept only by `keep`, which the client calls once the tile is checked. What `read` gives
 * is not checked: it may come from the server.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { LogFileMissing, TileError } from './errors.ts'
import { TILE_BYTES, TILE_WIDTH, type Tile, tilePath, tileRoot } from './tile.ts'

/** Tiles that are kept: 16 MiB of full ones, the leaves of a lockfile of thousands of packages. */
export const TILES_MAX = 2048

/** Tiles and their bytes, as read together. */
export type TileBatch = ReadonlyMap<Tile, Uint8Array>

export class TileCache {
  readonly #fetch: (path: string) => Promise<Uint8Array>
  readonly #max: number
  // In order of use, the oldest first.
  readonly #kept = new Map<string, Uint8Array>()
  readonly #pending = new Map<string, Promise<Uint8Array>>()
  readonly #roots = new WeakMap<Uint8Array, Uint8Array>()

  constructor(fetch: (path: string) => Promise<Uint8Array>, max: number = TILES_MAX) {
    this.#fetch = fetch
    this.#max = max
  }

  /** Whether a tile, or a wider form of it, is kept. */
  has(tile: Tile): boolean {
    return this.#kept.has(tilePath(tile)) || this.#kept.has(fullPath(tile))
  }

  /** The tiles' bytes, all read at once. @param fresh ask the server even for what is kept */
  async read(tiles: readonly Tile[], fresh: boolean): Promise<TileBatch> {
    const read = tiles.map(async tile => {
      const kept = fresh ? undefined : this.#find(tile)
      return [tile, kept ?? (await this.#request(tile))] as const
    })
    return new Map(await Promise.all(read))
  }

  /** Keeps tiles that have been checked. */
  keep(batch: TileBatch): void {
    for (const [tile, bytes] of batch) this.#touch(tilePath(tile), bytes)
    for (const path of this.#kept.keys()) {
      if (this.#kept.size <= this.#max) return
      this.#kept.delete(path)
    }
  }

  /** The root of a full tile, computed once for each array that `read` gave out. */
  rootOf(bytes: Uint8Array): Uint8Array {
    const known = this.#roots.get(bytes)
    if (known !== undefined) return known
    const root = tileRoot(bytes)
    this.#roots.set(bytes, root)
    return root
  }

  #find(tile: Tile): Uint8Array | undefined {
    const path = tilePath(tile)
    const bytes = this.#kept.get(path)
    if (bytes !== undefined) return this.#touch(path, bytes)
    return this.#kept.get(fullPath(tile))?.subarray(0, tile.width * HASH_BYTES)
  }

  #touch(path: string, bytes: Uint8Array): Uint8Array {
    this.#kept.delete(path)
    this.#kept.set(path, bytes)
    return bytes
  }

  #request(tile: Tile): Promise<Uint8Array> {
    const path = tilePath(tile)
    const pending = this.#pending.get(path)
    if (pending !== undefined) return pending
    const request = this.#readServer(tile, path).finally(() => this.#pending.delete(path))
    this.#pending.set(path, request)
    return request
  }

  async #readServer(tile: Tile, path: string): Promise<Uint8Array> {
    if (tile.width === TILE_WIDTH) return this.#copy(path, TILE_BYTES)
    const length = tile.width * HASH_BYTES
    // A log may drop a partial tile once the full one exists, so that one is asked for instead; the
    // error that counts is the first.
    const partial = await settle(this.#copy(path, length))
    if (partial.ok) return partial.bytes
    if (partial.error instanceof TileError) throw partial.error
    const full = await settle(this.#copy(fullPath(tile), TILE_BYTES))
    if (full.ok) return full.bytes.slice(0, length)
    if (full.error instanceof TileError) throw full.error
    // The log lacks the tile only when it says so of both.
    const isUnknown = partial.error instanceof LogFileMissing
    throw isUnknown && !(full.error instanceof LogFileMissing) ? full.error : partial.error
  }

  // A copy, because whoever holds the original could still write to it after the check.
  async #copy(path: string, length: number): Promise<Uint8Array> {
    const bytes = await this.#fetch(path)
    if (bytes.length !== length) {
      throw new TileError(`${path} has ${bytes.length} bytes, not ${length}`)
    }
    return new Uint8Array(bytes)
  }
}

type Settled = { ok: true; bytes: Uint8Array } | { ok: false; error: unknown }

async function settle(promise: Promise<Uint8Array>): Promise<Settled> {
  return promise.then(
    bytes => ({ ok: true, bytes }),
    (error: unknown) => ({ ok: false, error }),
  )
}

function fullPath(tile: Tile): string {
  return tilePath({ ...tile, width: TILE_WIDTH })
}
