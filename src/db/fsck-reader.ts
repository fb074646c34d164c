/**
 * What `log fsck` reads of a data dir: files as they are on disk, rows as they are in `registry.db`,
 * unchecked (tile-store.ts is the careful one). Works beside a running server.
 *
 * A full tile that is not durable yet, because the last commit came just before a crash, is no
 * fault: it is made from the leaf rows here, as it will be at the next start.
 * @module
 */
import { edgeTile, parseEdge } from '../log/edge.ts'
import type { FsckReader } from '../log/fsck.ts'
import type { LogState } from '../log/log.ts'
import {
  encodeEntries,
  entriesPath,
  levelWidth,
  parseEntries,
  parseTilePath,
  TILE_WIDTH,
  tilePath,
  tileRoot,
} from '../log/tile.ts'
import { leafHash } from '../log/tree.ts'
import type { SqliteLogStore } from './log-store.ts'

const HASH_BYTES = 32

export class DataDirReader implements FsckReader {
  readonly #store: SqliteLogStore

  constructor(store: SqliteLogStore) {
    this.#store = store
  }

  async readCheckpoint(): Promise<string> {
    return this.#state().note
  }

  async readTile(path: string): Promise<Uint8Array> {
    const wanted = parseTilePath(path)
    const state = this.#state()
    return 'entries' in wanted
      ? this.#entries(state, wanted.index, wanted.width)
      : this.#hashes(state, wanted.level, wanted.index).subarray(0, wanted.width * HASH_BYTES)
  }

  async findIndex(key: Uint8Array): Promise<number | null> {
    return this.#store.findIndex(key)
  }

  async readLeaves(start: number, end: number): Promise<Uint8Array[]> {
    return this.#store.readLeaves(start, end)
  }

  #state(): LogState {
    const state = this.#store.readState()
    if (state === null) throw new Error('registry.db: there is no log')
    return state
  }

  #entries(state: LogState, index: number, width: number): Uint8Array {
    const path = entriesPath(index, TILE_WIDTH)
    const start = index * TILE_WIDTH
    if (!this.#isFile(state, path, 0, index)) {
      return encodeEntries(this.#store.readLeaves(start, start + width))
    }
    const bytes = this.#store.readFile(path)
    return width === TILE_WIDTH ? bytes : encodeEntries(parseEntries(bytes).slice(0, width))
  }

  #hashes(state: LogState, level: number, index: number): Uint8Array {
    const full = levelWidth(state.size, level + 1)
    if (index > full) throw new Error(`no such tile in a tree of ${state.size} leaves`)
    if (index === full) {
      const width = levelWidth(state.size, level) % TILE_WIDTH
      return edgeTile(parseEdge(state.edge, state.size), level, width)
    }
    const path = tilePath({ level, index, width: TILE_WIDTH })
    if (this.#isFile(state, path, level, index)) return this.#store.readFile(path)
    return level === 0 ? this.#fromLeaves(index) : this.#fromBelow(state, level, index)
  }

  /** A file, or something that must be one: only the newest full tiles may still be missing. */
  #isFile(state: LogState, path: string, level: number, index: number): boolean {
    const mayBeMissing = index >= levelWidth(state.publishedSize, level + 1)
    return !mayBeMissing || this.#store.hasFile(path)
  }

  #fromLeaves(index: number): Uint8Array {
    const start = index * TILE_WIDTH
    const leaves = this.#store.readLeaves(start, start + TILE_WIDTH)
    return Buffer.concat(leaves.map(leaf => leafHash(leaf)))
  }

  #fromBelow(state: LogState, level: number, index: number): Uint8Array {
    const roots = Array.from({ length: TILE_WIDTH }, (_, child) =>
      tileRoot(this.#hashes(state, level - 1, index * TILE_WIDTH + child)),
    )
    return Buffer.concat(roots)
  }
}
