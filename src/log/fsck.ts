/**
 * Checks a whole log from its leaves up: the root is computed anew from the bytes of every entry,
 * and every tile, full and partial (https://c2sp.org/tlog-tiles), the checkpoint's signature, the
 * index and the rows are compared with that. SQLite's own integrity_check finds one bit flip in
 * ten; the tree finds all of them.
 *
 * Where the bytes come from is the caller's: a server over HTTP or a data dir. Memory is bounded by
 * the right edge, one bundle, and eight bytes per leaf for the search of duplicates.
 *
 * @module
 */
import { openCheckpoint } from './checkpoint.ts'
import { appendToEdge, type Edge, edgeRoot, EMPTY_EDGE, type TileData } from './edge.ts'
import { identityKey, parseLeaf } from './leaf.ts'
import type { Verifier } from './note.ts'
import { equalBytes } from './text.ts'
import { entriesPath, levelWidth, parseEntries, TILE_WIDTH, tilePath } from './tile.ts'
import { leafHash } from './tree.ts'

/** Where `fsck` reads. A method that cannot answer rejects; that is then a finding. */
export interface FsckReader {
  readCheckpoint(): Promise<string>
  /** A tile or bundle at its tlog-tiles path, as it is stored or served. */
  readTile(path: string): Promise<Uint8Array>
  /** The index under which an identity key is filed; only a data dir has it. */
  findIndex?(key: Uint8Array): Promise<number | null>
  /** The leaf rows `start` to `end`, without `end`; only a data dir has them. */
  readLeaves?(start: number, end: number): Promise<Uint8Array[]>
}

export type Finding = {
  /** The tile, bundle, row or note that is wrong. */
  path: string
  /** What differs, one line. */
  what: string
}

export type FsckProgress = { done: number; size: number }

export type FsckSummary = {
  size: number
  findings: number
  /** Whether it was possible to look for two leaves of one identity. */
  uniqueness: 'checked' | 'not-checked'
}

export type FsckOptions = {
  onProgress?: (progress: FsckProgress) => void
  /** Leaves up to which duplicates are searched in memory, where there is no index to ask. */
  uniqueLeavesMax?: number
}

/** 2^24 leaves: 128 MiB of key prefixes. Larger logs are checked for duplicates by their index. */
export const UNIQUE_LEAVES_MAX = 16_777_216

/** Where an identity was first seen, when there is no index: by the first 8 bytes of its key. */
type Prefixes = { values: BigUint64Array; count: number }

/** Yields each finding as it is made; returns the summary. No finding: the log is sound. */
export async function* fsck(
  reader: FsckReader,
  verifier: Verifier,
  options: FsckOptions = {},
): AsyncGenerator<Finding, FsckSummary> {
  const note = await attempt('checkpoint', () => reader.readCheckpoint())
  const checkpoint =
    'path' in note
      ? note
      : await attempt('checkpoint', async () => openCheckpoint(note.value, verifier))
  if ('path' in checkpoint) {
    yield checkpoint
    return { size: 0, findings: 1, uniqueness: 'not-checked' }
  }
  const { size, root } = checkpoint.value
  const walk = new Walk(reader, size, options.uniqueLeavesMax ?? UNIQUE_LEAVES_MAX)
  let findings = 0
  for (let index = 0; index * TILE_WIDTH < size; index++) {
    for (const finding of await walk.bundle(index)) {
      findings += 1
      yield finding
    }
    options.onProgress?.({ done: Math.min(size, (index + 1) * TILE_WIDTH), size })
  }
  for (const finding of await walk.finish(root)) {
    findings += 1
    yield finding
  }
  return { size, findings, uniqueness: walk.uniqueness }
}

/** One pass over all leaves, left to right. */
class Walk {
  readonly #reader: FsckReader
  readonly #size: number
  readonly #prefixes: Prefixes | undefined
  #edge: Edge = EMPTY_EDGE
  /** False once a bundle was unreadable. */
  #sawAllLeaves = true
  /** False once its tile was unreadable too: the computed root then says nothing new. */
  #sawAllHashes = true

  constructor(reader: FsckReader, size: number, uniqueLeavesMax: number) {
    this.#reader = reader
    this.#size = size
    this.#prefixes =
      reader.findIndex === undefined && size <= uniqueLeavesMax
        ? { values: new BigUint64Array(size), count: 0 }
        : undefined
  }

  get uniqueness(): 'checked' | 'not-checked' {
    const possible = this.#prefixes !== undefined || this.#reader.findIndex !== undefined
    return possible && this.#sawAllLeaves ? 'checked' : 'not-checked'
  }

  /** The leaves under one tile of level 0, and the tiles that they complete. */
  async bundle(index: number): Promise<Finding[]> {
    const width = Math.min(TILE_WIDTH, this.#size - index * TILE_WIDTH)
    const path = entriesPath(index, width)
    const tile = { level: 0, index, width }
    const read = await attempt(path, async () => {
      const entries = parseEntries(await this.#reader.readTile(path))
      if (entries.length === width) return entries
      throw new Error(`holds ${entries.length} entries, not ${width}`)
    })
    if ('path' in read) return [read, ...(await this.#skip(tile))]
    const hashes = read.value.map(entry => leafHash(entry))
    const start = index * TILE_WIDTH
    const { edge, full } = appendToEdge(this.#edge, hashes)
    this.#edge = edge
    const findings = await this.#leaves(start, read.value)
    findings.push(...(await this.#rows(start, read.value)))
    for (const data of full) findings.push(...(await this.#compareTile(data)))
    return findings
  }

  /** The partial tiles at the right edge, the root, and the duplicates. */
  async finish(root: Uint8Array): Promise<Finding[]> {
    const findings: Finding[] = []
    for (const [level, bytes] of this.#edge.entries()) {
      const width = bytes.length / 32
      const index = levelWidth(this.#size, level + 1)
      if (width === 0) continue
      findings.push(...(await this.#compareTile({ tile: { level, index, width }, bytes })))
    }
    if (this.#sawAllHashes && !equalBytes(edgeRoot(this.#edge), root)) {
      const computed = edgeRoot(this.#edge).toBase64()
      const what = `signs root ${root.toBase64()}, the leaves hash to ${computed}`
      findings.push({ path: 'checkpoint', what })
    }
    return [...findings, ...(await this.#duplicates())]
  }

  /** Goes on behind an unreadable bundle with the hashes that its tile has, when it has them. */
  async #skip(tile: TileData['tile']): Promise<Finding[]> {
    this.#sawAllLeaves = false
    const path = tilePath(tile)
    const read = await attempt(path, async () => {
      const bytes = await this.#reader.readTile(path)
      if (bytes.length === tile.width * 32) return bytes
      throw new Error(`has ${bytes.length} bytes, not ${tile.width * 32}`)
    })
    if ('path' in read) this.#sawAllHashes = false
    const bytes = 'path' in read ? new Uint8Array(tile.width * 32) : read.value
    const hashes = Array.from({ length: tile.width }, (_, i) => bytes.slice(i * 32, i * 32 + 32))
    const { edge, full } = appendToEdge(this.#edge, hashes)
    this.#edge = edge
    const findings = 'path' in read ? [read] : []
    for (const data of full.slice(1)) findings.push(...(await this.#compareTile(data)))
    return findings
  }

  async #compareTile({ tile, bytes }: TileData): Promise<Finding[]> {
    // Above a gap nothing can be computed; the gap itself is a finding.
    if (tile.level > 0 && !this.#sawAllHashes) return []
    const path = tilePath(tile)
    const read = await attempt(path, () => this.#reader.readTile(path))
    if ('path' in read) return [read]
    const found = read.value
    if (equalBytes(found, bytes)) return []
    if (found.length !== bytes.length) {
      return [{ path, what: `has ${found.length} bytes, not ${bytes.length}` }]
    }
    const at = Math.floor(found.findIndex((byte, i) => byte !== bytes[i]) / 32)
    return [{ path, what: `hash ${at} differs from the one computed from the leaves` }]
  }

  /** Each leaf is a record, and its identity is filed under its own index. */
  async #leaves(start: number, entries: readonly Uint8Array[]): Promise<Finding[]> {
    const findings: Finding[] = []
    for (const [offset, entry] of entries.entries()) {
      const index = start + offset
      const key = await attempt(`leaf ${index}`, async () => identityKey(parseLeaf(entry)))
      if ('path' in key) findings.push(key)
      else findings.push(...(await this.#filed(index, key.value)))
    }
    return findings
  }

  async #filed(index: number, key: Uint8Array): Promise<Finding[]> {
    if (this.#prefixes !== undefined) remember(this.#prefixes, key)
    if (this.#reader.findIndex === undefined) return []
    const found = await attempt(`index of leaf ${index}`, async () => {
      return (await this.#reader.findIndex?.(key)) ?? null
    })
    if ('path' in found) return [found]
    if (found.value === index) return []
    const what =
      found.value === null
        ? 'its identity is not in the index'
        : `its identity is filed as leaf ${found.value}`
    return [{ path: `leaf ${index}`, what }]
  }

  /** The leaf rows of a data dir are the source of bundles to come: they must be equal too. */
  async #rows(start: number, entries: readonly Uint8Array[]): Promise<Finding[]> {
    if (this.#reader.readLeaves === undefined) return []
    const path = `leaf rows ${start} to ${start + entries.length - 1}`
    const rows = await attempt(path, async () => {
      return (await this.#reader.readLeaves?.(start, start + entries.length)) ?? []
    })
    if ('path' in rows) return [rows]
    return entries.flatMap((entry, offset) => {
      const row = rows.value[offset]
      if (row !== undefined && equalBytes(row, entry)) return []
      return [{ path: `leaf row ${start + offset}`, what: 'differs from the entry in the bundle' }]
    })
  }

  async #duplicates(): Promise<Finding[]> {
    if (this.#prefixes === undefined) return []
    const twice = repeated(this.#prefixes)
    if (twice.size === 0) return []
    return this.#confirm(twice)
  }

  /** Equal prefixes may be chance: a second pass compares the full keys of the few suspects. */
  async #confirm(suspects: ReadonlySet<bigint>): Promise<Finding[]> {
    const first = new Map<string, number>()
    const findings: Finding[] = []
    for (let bundle = 0; bundle * TILE_WIDTH < this.#size; bundle++) {
      const width = Math.min(TILE_WIDTH, this.#size - bundle * TILE_WIDTH)
      const path = entriesPath(bundle, width)
      const read = await attempt(path, async () => parseEntries(await this.#reader.readTile(path)))
      if ('path' in read) continue // Reported by the first pass.
      for (const [offset, entry] of read.value.entries()) {
        const key = await attempt(path, async () => identityKey(parseLeaf(entry)))
        if ('path' in key || !suspects.has(prefix(key.value))) continue
        const index = bundle * TILE_WIDTH + offset
        const earlier = first.get(key.value.toHex())
        if (earlier === undefined) first.set(key.value.toHex(), index)
        else findings.push({ path: `leaf ${index}`, what: `has the identity of leaf ${earlier}` })
      }
    }
    return findings
  }
}

function prefix(key: Uint8Array): bigint {
  return new DataView(key.buffer, key.byteOffset).getBigUint64(0)
}

function remember(prefixes: Prefixes, key: Uint8Array): void {
  prefixes.values[prefixes.count] = prefix(key)
  prefixes.count += 1
}

function repeated(prefixes: Prefixes): Set<bigint> {
  const sorted = prefixes.values.subarray(0, prefixes.count).toSorted()
  const twice = new Set<bigint>()
  for (let i = 1; i < sorted.length; i++) {
    const value = sorted[i]
    if (value !== undefined && value === sorted[i - 1]) twice.add(value)
  }
  return twice
}

/** The value, or the finding that there is none. */
async function attempt<T>(path: string, action: () => Promise<T>): Promise<{ value: T } | Finding> {
  try {
    return { value: await action() }
  } catch (error) {
    return { path, what: error instanceof Error ? error.message : String(error) }
  }
}
