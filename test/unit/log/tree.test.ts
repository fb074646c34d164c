import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { ProofError } from '../../../src/log/errors.ts'
import {
  EMPTY_ROOT,
  checkRecord,
  checkTree,
  leafHash,
  nodeHash,
  proveRecord,
  proveTree,
  recordProofSubtrees,
  rootSubtrees,
  treeProofSubtrees,
  treeRoot,
} from '../../../src/log/tree.ts'
import consistency from '../../vectors/log/argon2020/consistency.json'
import entries from '../../vectors/log/argon2020/entries.json'
import recordProof from '../../vectors/log/argon2020/proof.json'
import head from '../../vectors/log/argon2020/sth.json'
import { MemoryLog, flip } from './memory-log.ts'

const bytes = (hex: string) => Uint8Array.fromHex(hex)
const base64 = (value: string) => Uint8Array.fromBase64(value)

// The reference tree of certificate-transparency's merkle tests (merkletree/merkle_tree_test.cc,
// today github.com/transparency-dev/merkle/testonly/constants.go): leaves, and the root of the first n.
const CT_LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
]
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

// Ways of breaking a proof: one hash more at either end, each hash flipped or left out, and one of
// them (another one for each proof length and `turn`) cut short, doubled or swapped with the next.
function* broken(proof: readonly Uint8Array[], turn = 0): Generator<Uint8Array[]> {
  const extra = new Uint8Array(32)
  yield [...proof, extra]
  yield [extra, ...proof]
  for (const [i, hash] of proof.entries()) {
    yield proof.with(i, flip(hash, i % 32))
    yield proof.toSpliced(i, 1)
  }
  const i = turn % proof.length
  const hash = proof[i]
  if (hash === undefined) return
  yield proof.with(i, hash.subarray(1))
  yield proof.toSpliced(i, 0, hash)
  const next = proof[i + 1]
  if (next !== undefined) yield proof.with(i, next).with(i + 1, hash)
}

describe('vectors', () => {
  test('roots match those of certificate-transparency', () => {
    const log = new MemoryLog(CT_LEAVES.map(bytes))
    CT_ROOTS.forEach((root, size) => expect(log.root(size).toHex()).toBe(root))
    expect(EMPTY_ROOT.toHex()).toBe(String(CT_ROOTS[0]))
  })

  // golang.org/x/mod v0.42.0 sumdb/tlog/ct_test.go: answers of the Google Argon 2020 log.
  test('proofs of a real CT log of 961,984,013 leaves are accepted, and changed ones refused', () => {
    const root = base64(head.sha256_root_hash)
    const hash = leafHash(base64(String(entries.entries[0]?.leaf_input)))
    const path = recordProof.audit_path.map(base64)
    checkRecord(path, head.tree_size, root, 10_000, hash)
    for (const wrong of broken(path)) {
      expect(() => checkRecord(wrong, head.tree_size, root, 10_000, hash)).toThrow(ProofError)
    }
    for (const index of [0, 9999, 10_001, head.tree_size - 1]) {
      expect(() => checkRecord(path, head.tree_size, root, index, hash)).toThrow(ProofError)
    }
    const oldRoot = base64('AuIZ5V6sDUj1vn3Y1K85oOaQ7y+FJJKtyRTl1edIKBQ=')
    const proof = consistency.consistency.map(base64)
    checkTree(proof, head.tree_size, root, 3_654_490, oldRoot)
    for (const wrong of broken(proof)) {
      expect(() => checkTree(wrong, head.tree_size, root, 3_654_490, oldRoot)).toThrow(ProofError)
    }
  })

  // golang.org/x/mod v0.42.0 sumdb/tlog/note_test.go: RecordHash("hello world").
  test('leafHash() matches Go', () => {
    const hash = leafHash(new TextEncoder().encode('hello world'))
    expect(hash.toBase64()).toBe('TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=')
  })
})

// A hundred thousand refusals: `expect` on each of them would take longer than the proofs.
let refusals = 0
function refuse(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof ProofError)) throw error
    refusals++
    return
  }
  throw new Error('a broken proof was accepted')
}

describe('trees 1 to 100 (as x/mod TestTree)', () => {
  const log = new MemoryLog(Array.from({ length: 100 }, (_, i) => Uint8Array.of(i)))
  const roots = Array.from({ length: 101 }, (_, size) => log.root(size))
  const root = (size: number) => roots[size] ?? EMPTY_ROOT
  const leaves = log.leaves.map(leaf => leafHash(leaf))

  test('every record proof holds, and every broken one is refused', () => {
    refusals = 0
    for (let size = 1; size <= 100; size++) {
      for (let index = 0; index < size; index++) {
        const hash = leaves[index] ?? EMPTY_ROOT
        const proof = proveRecord(size, index, log.readHash)
        checkRecord(proof, size, root(size), index, hash)
        for (const wrong of broken(proof, size + index)) {
          refuse(() => checkRecord(wrong, size, root(size), index, hash))
        }
        refuse(() => checkRecord(proof, size, flip(root(size), 0), index, hash))
        refuse(() => checkRecord(proof, size, root(size), index, flip(hash, 0)))
        const other = (index + 1) % size
        if (other !== index) {
          refuse(() => checkRecord(proof, size, root(size), other, hash))
        }
      }
    }
    expect(refusals).toBeGreaterThan(60_000)
  }, 30_000)

  test('every tree proof holds, and every broken one is refused', () => {
    refusals = 0
    for (let size = 0; size <= 100; size++) {
      for (let old = 0; old <= size; old++) {
        const proof = proveTree(size, old, log.readHash)
        checkTree(proof, size, root(size), old, root(old))
        for (const wrong of broken(proof, size + old)) {
          refuse(() => checkTree(wrong, size, root(size), old, root(old)))
        }
        const [wrongRoot, wrongOld] = [flip(root(size), 31), flip(root(old), 31)]
        refuse(() => checkTree(proof, size, root(size), old, wrongOld))
        // Every tree extends the empty one: there is nothing for another root to contradict.
        if (old > 0) {
          refuse(() => checkTree(proof, size, wrongRoot, old, root(old)))
        }
      }
    }
    expect(refusals).toBeGreaterThan(60_000)
  }, 30_000)
})

describe('limits', () => {
  test('proofs from a larger tree, of no leaf and of no size are refused', () => {
    const hash = new Uint8Array(32)
    expect(() => checkTree([], 1, hash, 2, hash)).toThrow(ProofError)
    expect(() => checkTree([], 0, hash, 0, hash)).toThrow(ProofError)
    expect(() => checkRecord([], 0, EMPTY_ROOT, 0, hash)).toThrow(ProofError)
    for (const index of [-1, 1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => checkRecord([], 1, hash, index, hash)).toThrow(ProofError)
      expect(() => proveRecord(1, index, () => hash)).toThrow(ProofError)
    }
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => treeRoot(size, () => hash)).toThrow(RangeError)
      expect(() => checkTree([], size, hash, 0, hash)).toThrow(RangeError)
    }
  })

  // Sizes beyond 32 bits against an independent reference in BigInt, after RFC 6962's definitions.
  test('plans agree with a BigInt reference for every size up to 2^53', () => {
    const size = fc.maxSafeNat().filter(n => n > 0)
    fc.assert(
      fc.property(size, fc.double({ min: 0, max: 0.999_999, noNaN: true }), (n, part) => {
        const m = Math.floor(part * n)
        expect(rootSubtrees(n)).toEqual(reference(0n, BigInt(n)))
        expect(recordProofSubtrees(n, m)).toEqual(referencePath(BigInt(m), 0n, BigInt(n)))
        const subproof = m === 0 ? [] : referenceSubproof(BigInt(m), 0n, BigInt(n), true)
        expect(treeProofSubtrees(n, m)).toEqual(subproof)
      }),
    )
  })

  test('proofs hold in trees far beyond 32 bits, in which all leaves are the same', () => {
    const levels = [leafHash(new Uint8Array(0))]
    for (let i = 1; i <= 53; i++) {
      const below = levels[i - 1] ?? EMPTY_ROOT
      levels.push(nodeHash(below, below))
    }
    const read = ({ level }: { level: number }) => levels[level] ?? EMPTY_ROOT
    const size = fc.integer({ min: 2 ** 31, max: Number.MAX_SAFE_INTEGER })
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [old, n] = a < b ? [a, b] : [b, a]
        const root = treeRoot(n, read)
        const index = old - 1
        checkRecord(proveRecord(n, index, read), n, root, index, levels[0] ?? EMPTY_ROOT)
        checkTree(proveTree(n, old, read), n, root, old, treeRoot(old, read))
      }),
    )
  })
})

type Plan = { level: number; index: number }[]

function reference(start: bigint, end: bigint): Plan {
  const n = end - start
  if (n === 0n) return []
  const level = n.toString(2).length - 1
  if (n === 1n << BigInt(level)) return [{ level, index: Number(start >> BigInt(level)) }]
  const middle = start + splitAt(n)
  return [...reference(start, middle), ...reference(middle, end)]
}

function referencePath(m: bigint, start: bigint, end: bigint): Plan {
  if (end - start === 1n) return []
  const middle = start + splitAt(end - start)
  return m < middle
    ? [...referencePath(m, start, middle), ...reference(middle, end)]
    : [...referencePath(m, middle, end), ...reference(start, middle)]
}

function referenceSubproof(m: bigint, start: bigint, end: bigint, whole: boolean): Plan {
  if (m === end) return whole ? [] : reference(start, end)
  const middle = start + splitAt(end - start)
  return m <= middle
    ? [...referenceSubproof(m, start, middle, whole), ...reference(middle, end)]
    : [...referenceSubproof(m, middle, end, false), ...reference(start, middle)]
}

function splitAt(n: bigint): bigint {
  return 1n << BigInt((n - 1n).toString(2).length - 1)
}
