/**
 * What the tests of the log compare with: slow, obvious, and sharing no code with it.
 * @module
 */
import { expect } from 'bun:test'
import { encodeLeaf } from '../../../src/log/leaf.ts'
import type { LogStore } from '../../../src/log/log.ts'
import { parseEntries, tilePath } from '../../../src/log/tile.ts'
import { EMPTY_ROOT, leafHash, nodeHash } from '../../../src/log/tree.ts'
import { versionLeaves } from './leaves.ts'

/** RFC 6962, section 2.1, word for word: slow, and sharing no code with src/log/edge.ts. */
export function rfc6962Root(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes
  if (only === undefined) return EMPTY_ROOT
  if (hashes.length === 1) return only
  let split = 1
  while (split * 2 < hashes.length) split *= 2
  return nodeHash(rfc6962Root(hashes.slice(0, split)), rfc6962Root(hashes.slice(split)))
}

/** Every full tile and bundle of level 0 of a log of `versionLeaves(0, size)`. */
export function checkFiles(store: LogStore, size: number): void {
  for (let index = 0; (index + 1) * 256 <= size; index++) {
    const leaves = versionLeaves(index * 256, (index + 1) * 256).map(leaf => encodeLeaf(leaf))
    const tile = tilePath({ level: 0, index, width: 256 })
    const entries = tile.replace('tile/0/', 'tile/entries/')
    expect(parseEntries(store.readFile(entries))).toEqual(leaves)
    const hashes = Buffer.concat(leaves.map(leaf => leafHash(leaf)))
    expect(Buffer.compare(store.readFile(tile), hashes)).toBe(0)
  }
}
