/**
 * A log in memory for tests: every hash of every tile level kept, any tile of any past size served,
 * checkpoints of any size signed on demand. It is built on the pure functions of `src/log/` alone,
 * and lies where a test tells it to: `forgeTile`, `fork`.
 *
 * @module
 */
import { HASH_BYTES, sha256 } from '#hash'
import { signCheckpoint } from '../../../src/log/checkpoint.ts'
import type { LogOps } from '../../../src/log/client.ts'
import { encodeLeaf, parseLeaf } from '../../../src/log/leaf.ts'
import { formatLookup } from '../../../src/log/lookup.ts'
import { generateLogKey, newSigner, newVerifier } from '../../../src/log/note.ts'
import type { Signer, Verifier } from '../../../src/log/note.ts'
import { encodeText } from '../../../src/log/text.ts'
import {
  TILE_WIDTH,
  type Tile,
  encodeEntries,
  parseTilePath,
  tileRoot,
} from '../../../src/log/tile.ts'
import { type ReadHash, leafHash, treeRoot } from '../../../src/log/tree.ts'

export const ORIGIN = 'registry.example/log'

/** A key pair from a fixed seed, so that tests are the same every day. */
export function testKey(
  name: string = ORIGIN,
  seed = 'seed',
): { signer: Signer; verifier: Verifier } {
  const { skey, vkey } = generateLogKey(name, sha256(encodeText(seed)))
  return { signer: newSigner(skey), verifier: newVerifier(vkey) }
}

/** The record of version `1.0.<n>` of a test package. */
export function testLeaf(n: number, name = 'left-pad', namespace = 'npm'): Uint8Array {
  const digest = sha256(encodeText(`${namespace} ${name} ${n}`))
  return encodeLeaf({
    kind: 'version',
    namespace,
    name,
    version: `1.0.${n}`,
    integrity: `sha512-${new Uint8Array([...digest, ...digest]).toBase64()}`,
    manifest: `sha256-${digest.toBase64()}`,
    seen: '2026-11-22T08:31:07Z',
  })
}

export class MemoryLog {
  readonly leaves: Uint8Array[] = []
  readonly signer: Signer
  readonly verifier: Verifier
  // #rows[l] holds the hashes of tile level l.
  readonly #rows: Uint8Array[][] = []

  constructor(leaves: Iterable<Uint8Array> = [], key = testKey()) {
    this.signer = key.signer
    this.verifier = key.verifier
    for (const leaf of leaves) this.append(leaf)
  }

  get size(): number {
    return this.leaves.length
  }

  append(leaf: Uint8Array): void {
    this.leaves.push(leaf)
    this.#add(0, leafHash(leaf))
  }

  #add(level: number, hash: Uint8Array): void {
    const row = (this.#rows[level] ??= [])
    row.push(hash)
    if (row.length % TILE_WIDTH === 0) {
      this.#add(level + 1, tileRoot(join(row.slice(-TILE_WIDTH))))
    }
  }

  readonly readHash: ReadHash = ({ level, index }) => {
    const tileLevel = Math.floor(level / 8)
    const count = 2 ** (level % 8)
    const hashes = this.#rows[tileLevel]?.slice(index * count, (index + 1) * count) ?? []
    if (hashes.length !== count) throw new Error(`no subtree ${level}/${index}`)
    return tileRoot(join(hashes))
  }

  root(size: number = this.size): Uint8Array {
    return treeRoot(size, this.readHash)
  }

  note(size: number = this.size): string {
    return signCheckpoint({ origin: this.signer.name, size, root: this.root(size) }, this.signer)
  }

  tile(tile: Tile): Uint8Array {
    const start = tile.index * TILE_WIDTH
    const hashes = this.#rows[tile.level]?.slice(start, start + tile.width) ?? []
    if (hashes.length !== tile.width) throw new Error('no such tile')
    return join(hashes)
  }

  read(path: string): Uint8Array {
    const tile = parseTilePath(path)
    if (!('entries' in tile)) return this.tile(tile)
    const start = tile.index * TILE_WIDTH
    const entries = this.leaves.slice(start, start + tile.width)
    if (entries.length !== tile.width) throw new Error('no such bundle')
    return encodeEntries(entries)
  }

  find(name: string, version: string): number {
    return this.leaves.findIndex(bytes => {
      const leaf = parseLeaf(bytes)
      return leaf.kind === 'version' && leaf.name === name && leaf.version === version
    })
  }

  answer(index: number, note: string = this.note()): Uint8Array {
    const leaf = this.leaves[index]
    if (leaf === undefined) throw new Error('404')
    return encodeText(formatLookup(index, leaf, note))
  }
}

/** Operations on a log, and a list of what was asked. */
export function memoryOps(log: MemoryLog): LogOps & { asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    readCheckpoint: async () => {
      asked.push('checkpoint')
      return log.note()
    },
    readTile: async path => {
      asked.push(path)
      return log.read(path)
    },
    lookup: async (name, version) => {
      asked.push(`lookup ${name}@${version}`)
      return log.answer(log.find(name, version))
    },
  }
}

/** Joins hashes to the bytes of a tile. */
export function join(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(hashes.length * HASH_BYTES)
  hashes.forEach((hash, i) => bytes.set(hash, i * HASH_BYTES))
  return bytes
}

/** A copy with one bit of one byte changed. */
export function flip(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ mask
  return copy
}
