/**
 * The Merkle tree of RFC 6962, section 2.1 (https://www.rfc-editor.org/rfc/rfc6962#section-2.1):
 * hashes, inclusion proofs ("record proofs") and consistency proofs ("tree proofs").
 *
 * Every proof is made in three steps: plan which hashes are needed (`…Subtrees`), let the caller
 * read them all at once from wherever they are, compute (`prove…`). Checking needs only the proof.
 * This file knows nothing of tiles, notes or storage.
 *
 * Sizes are safe integers, which do not fit 32 bits: no bitwise operator is used on them.
 *
 * @module
 */
import { HASH_BYTES, sha256 } from '#hash'
import { ProofError } from './errors.ts'
import { equalBytes } from './text.ts'

/**
 * A complete subtree: the 2^level leaves from index * 2^level on. Level 0 is one leaf.
 */
export type Subtree = { readonly level: number; readonly index: number }

/** Gives the hash of a complete subtree; throws when it has none. */
export type ReadHash = (subtree: Subtree) => Uint8Array

/** Leaves from `start` up to, not including, `end`. */
type Range = { readonly start: number; readonly end: number }

// RFC 6962, section 2.1: leaves and nodes are told apart by their first byte.
const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = Uint8Array.of(1)

/** The root of the tree without leaves: SHA-256 of nothing. */
export const EMPTY_ROOT: Uint8Array = sha256()

/** The hash of a leaf: SHA-256(0x00 || leaf). */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(LEAF_PREFIX, leaf)
}

/** The hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE_PREFIX, left, right)
}

/** The subtrees, largest first, that make up a whole tree: all that its root needs. */
export function rootSubtrees(size: number): Subtree[] {
  checkSize(size)
  return rangeSubtrees({ start: 0, end: size })
}

/** The root of the tree of this size. */
export function treeRoot(size: number, read: ReadHash): Uint8Array {
  checkSize(size)
  return size === 0 ? EMPTY_ROOT : rangeHash({ start: 0, end: size }, read)
}

/** The subtrees whose hashes `proveRecord` reads. */
export function recordProofSubtrees(size: number, index: number): Subtree[] {
  return recordProofRanges(size, index).flatMap(rangeSubtrees)
}

/** Proof that leaf `index` is in the tree of `size`; the leaf's sibling first (RFC 6962, 2.1.1). */
export function proveRecord(size: number, index: number, read: ReadHash): Uint8Array[] {
  return recordProofRanges(size, index).map(range => rangeHash(range, read))
}

/** The subtrees whose hashes `proveTree` reads. */
export function treeProofSubtrees(size: number, oldSize: number): Subtree[] {
  return treeProofRanges(size, oldSize).flatMap(rangeSubtrees)
}

/** Proof that the tree of `size` begins with the tree of `oldSize` (RFC 6962, 2.1.2). */
export function proveTree(size: number, oldSize: number, read: ReadHash): Uint8Array[] {
  return treeProofRanges(size, oldSize).map(range => rangeHash(range, read))
}

/**
 * Checks that the leaf with this hash is number `index` of the tree with this size and root.
 * The steps are those of RFC 9162, section 2.1.3.2. Throws ProofError.
 */
export function checkRecord(
  proof: readonly Uint8Array[],
  size: number,
  root: Uint8Array,
  index: number,
  hash: Uint8Array,
): void {
  checkIndex(size, index)
  checkHashes([...proof, root, hash])
  let position = index
  let last = size - 1
  let found = hash
  for (const sibling of proof) {
    if (last === 0) throw new ProofError('record proof is too long')
    if (isOdd(position) || position === last) {
      found = nodeHash(sibling, found)
      // A node without a right sibling rises unchanged.
      while (!isOdd(position) && position !== 0) {
        position = half(position)
        last = half(last)
      }
    } else {
      found = nodeHash(found, sibling)
    }
    position = half(position)
    last = half(last)
  }
  if (last !== 0) throw new ProofError('record proof is too short')
  if (!equalBytes(found, root)) throw new ProofError('record proof leads to another root')
}

/**
 * Checks that the tree with `size` and `root` begins with the tree with `oldSize` and `oldRoot`.
 * The steps are those of RFC 9162, section 2.1.4.2; a proof from the empty tree, or between equal
 * sizes, has no hashes. Throws ProofError.
 */
export function checkTree(
  proof: readonly Uint8Array[],
  size: number,
  root: Uint8Array,
  oldSize: number,
  oldRoot: Uint8Array,
): void {
  checkSizes(size, oldSize)
  checkHashes([...proof, root, oldRoot])
  if (oldSize === 0 || oldSize === size) {
    if (proof.length > 0) throw new ProofError('tree proof is too long')
    const same = oldSize === size ? root : EMPTY_ROOT
    if (!equalBytes(oldRoot, same)) throw new ProofError('tree proof leads to another old root')
    if (size === 0 && !equalBytes(root, EMPTY_ROOT)) throw new ProofError('wrong empty root')
    return
  }
  // A complete old tree is itself the first hash, so a proof does not repeat it.
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : [...proof]
  foldTreeProof(path, size, root, oldSize, oldRoot)
}

function foldTreeProof(
  path: readonly Uint8Array[],
  size: number,
  root: Uint8Array,
  oldSize: number,
  oldRoot: Uint8Array,
): void {
  let position = oldSize - 1
  let last = size - 1
  while (isOdd(position)) {
    position = half(position)
    last = half(last)
  }
  const [first, ...rest] = path
  if (first === undefined) throw new ProofError('tree proof is too short')
  let foundOld = first
  let found = first
  for (const hash of rest) {
    if (last === 0) throw new ProofError('tree proof is too long')
    if (isOdd(position) || position === last) {
      foundOld = nodeHash(hash, foundOld)
      found = nodeHash(hash, found)
      while (!isOdd(position) && position !== 0) {
        position = half(position)
        last = half(last)
      }
    } else {
      found = nodeHash(found, hash)
    }
    position = half(position)
    last = half(last)
  }
  if (last !== 0) throw new ProofError('tree proof is too short')
  if (!equalBytes(foundOld, oldRoot)) throw new ProofError('tree proof leads to another old root')
  if (!equalBytes(found, root)) throw new ProofError('tree proof leads to another root')
}

/** Throws unless `size` can be the size of a tree. */
export function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`${size} is not a tree size`)
}

/** Throws unless `index` is in the tree. */
function checkIndex(size: number, index: number): void {
  checkSize(size)
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new ProofError(`no leaf ${index} in a tree of size ${size}`)
  }
}

function checkSizes(size: number, oldSize: number): void {
  checkSize(size)
  checkSize(oldSize)
  if (oldSize > size) throw new ProofError(`a tree of ${size} does not hold one of ${oldSize}`)
}

function checkHashes(hashes: readonly Uint8Array[]): void {
  for (const hash of hashes) {
    if (hash.length !== HASH_BYTES) throw new ProofError(`a hash of ${hash.length} bytes`)
  }
}

// PATH(m, D[n]) of RFC 6962, 2.1.1, from the root down, then turned round.
function recordProofRanges(size: number, index: number): Range[] {
  checkIndex(size, index)
  const ranges: Range[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + split(end - start)
    if (index < middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  return ranges.toReversed()
}

// SUBPROOF(m, D[n], b) of RFC 6962, 2.1.2, from the root down, then turned round.
function treeProofRanges(size: number, oldSize: number): Range[] {
  checkSizes(size, oldSize)
  if (oldSize === 0) return []
  const ranges: Range[] = []
  let start = 0
  let end = size
  while (oldSize < end) {
    const middle = start + split(end - start)
    if (oldSize <= middle) {
      ranges.push({ start: middle, end })
      end = middle
    } else {
      ranges.push({ start, end: middle })
      start = middle
    }
  }
  // b of the RFC: the old tree as a whole is known to whoever checks.
  if (start > 0) ranges.push({ start, end })
  return ranges.toReversed()
}

// The complete subtrees of a range, left to right. Ranges of proofs begin where these fit.
function rangeSubtrees({ start, end }: Range): Subtree[] {
  const subtrees: Subtree[] = []
  let at = start
  while (at < end) {
    const level = log2(end - at)
    const leaves = 2 ** level
    if (at % leaves !== 0) throw new RangeError(`leaf ${at} begins no subtree of ${leaves}`)
    subtrees.push({ level, index: at / leaves })
    at += leaves
  }
  return subtrees
}

function rangeHash(range: Range, read: ReadHash): Uint8Array {
  const hashes = rangeSubtrees(range).map(subtree => read(subtree))
  return hashes.reduceRight((right, left) => nodeHash(left, right))
}

/** The largest power of two below n, for n > 1: where RFC 6962 splits a list. */
function split(n: number): number {
  return 2 ** log2(n - 1)
}

/** The exponent of the largest power of two that is at most n. Math.log2 rounds near 2^53. */
function log2(n: number): number {
  let exponent = 0
  for (let power = 2; power <= n; power *= 2) exponent++
  return exponent
}

function isPowerOfTwo(n: number): boolean {
  return 2 ** log2(n) === n
}

function isOdd(n: number): boolean {
  return n % 2 === 1
}

function half(n: number): number {
  return Math.floor(n / 2)
}
