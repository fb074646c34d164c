import { describe, expect, test } from 'bun:test'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { encodeLeaf, identityKey } from '../../../src/log/leaf.ts'
import { Log, LogFatalError } from '../../../src/log/log.ts'
import { EMPTY_ROOT, leafHash } from '../../../src/log/tree.ts'
import { SIGNER, VERIFIER } from '../db/data-dir.ts'
import { versionLeaf, versionLeaves } from './leaves.ts'
import { type Fault, MemoryLogStore } from './memory-store.ts'
import { checkFiles, rfc6962Root } from './reference.ts'

describe('a store that fails', () => {
  const operations = ['commit', 'writeFiles', 'insertLeaf', 'advance'] as const
  const faults = operations.flatMap(operation =>
    [false, true].flatMap(persisted => [1, 2, 3].map(when => ({ operation, persisted, when }))),
  )

  test.each(faults)('%j: refuses to go on, and the next start finds one history', fault => {
    runWithFault(fault)
  })

  function runWithFault(fault: Fault): void {
    const store = new MemoryLogStore()
    let log = Log.open(store, SIGNER)
    store.failOn(fault)
    const seen: string[] = [log.checkpoint]
    const acknowledged: { number: number; index: number }[] = []
    let failures = 0
    for (let round = 0; round < 6; round++) {
      const numbers = Array.from({ length: 200 }, (_, i) => round * 200 + i)
      try {
        const outcomes = log.append(numbers.map(number => versionLeaf(number)))
        log.publish()
        for (const [i, { index }] of outcomes.entries()) {
          acknowledged.push({ number: numbers[i] ?? -1, index })
        }
      } catch (error) {
        failures += 1
        expect(error).toBeInstanceOf(LogFatalError)
        expect(() => log.append([versionLeaf(9999)])).toThrow('on purpose')
        expect(() => log.publish()).toThrow('on purpose')
        log = Log.open(store, SIGNER)
      }
      seen.push(log.checkpoint)
    }
    expect(failures).toBe(1)
    for (const { number, index } of acknowledged) {
      expect(store.findIndex(identityKey(versionLeaf(number)))).toBe(index)
    }
    const hashes = store.readLeaves(0, log.size).map(leaf => leafHash(leaf))
    for (const note of seen) {
      const { size, root } = openCheckpoint(note, VERIFIER)
      expect(rfc6962Root(hashes.slice(0, size)).toHex()).toBe(root.toHex())
    }
  }
})

describe('Log', () => {
  function madeLog(size: number): { store: MemoryLogStore; log: Log } {
    const store = new MemoryLogStore()
    const log = Log.open(store, SIGNER)
    for (let at = 0; at < size; at += 500) {
      log.append(versionLeaves(at, Math.min(size, at + 500)))
      log.publish()
    }
    return { store, log }
  }

  function damageState(store: MemoryLogStore, change: object): void {
    const { state } = store.contents
    if (state === null) throw new Error('no state')
    store.contents.state = { ...state, ...change }
  }

  test('a lost compare-and-swap is fatal', () => {
    const { store, log } = madeLog(3)
    store.advance = () => false
    expect(() => log.append([versionLeaf(7)])).toThrow('another writer moved the log')
    expect(() => log.append([versionLeaf(8)])).toThrow('another writer moved the log')
    expect(store.leafEnd()).toBe(3)
  })

  const damages: [string, string, (store: MemoryLogStore) => void][] = [
    ['another size', 'column note', store => damageState(store, { size: 601 })],
    ['another root', 'column note', store => damageState(store, { root: new Uint8Array(32) })],
    [
      'another edge',
      'column edge',
      store => damageState(store, { edge: store.contents.state?.edge.map(byte => byte ^ 1) }),
    ],
    ['a short edge', 'edge', store => damageState(store, { edge: new Uint8Array(32) })],
    ['a leaf row too many', 'table leaf', store => store.contents.leaves.set(600, EMPTY_ROOT)],
    ['a leaf row too few', 'table leaf', store => store.contents.leaves.delete(599)],
    [
      'a changed leaf row',
      'row 599 of table leaf',
      store => store.contents.leaves.set(599, encodeLeaf(versionLeaf(1))),
    ],
    [
      'a tile of a larger tree',
      'tile/0/002',
      store => store.files.set('tile/0/002', new Uint8Array(8192)),
    ],
    [
      'a damaged last tile',
      'tile/0/001',
      store => store.files.set('tile/0/001', new Uint8Array(8192)),
    ],
    [
      'a missing tile over a changed leaf row',
      'tile/0/000',
      store => {
        store.files.delete('tile/0/000')
        store.contents.leaves.set(3, encodeLeaf(versionLeaf(1)))
      },
    ],
    [
      'a bundle that contradicts its rows',
      'tile/entries/001',
      store => {
        store.files.delete('tile/0/001')
        store.files.set('tile/entries/001', new Uint8Array(9))
      },
    ],
  ]

  test.each(damages)('opening refuses %s and names it (%s)', (_, named, damage) => {
    const { store } = madeLog(600)
    damage(store)
    expect(() => Log.open(store, SIGNER)).toThrow(named)
  })

  test('append() refuses to extend a state that changed under it', () => {
    const { store, log } = madeLog(10)
    damageState(store, { edge: store.contents.state?.edge.map(byte => byte ^ 1) })
    expect(() => log.append([versionLeaf(11)])).toThrow('column edge of table log_state')
    expect(store.leafEnd()).toBe(10)
  })

  test('append() does not take a damaged row for a claim', () => {
    const { store, log } = madeLog(10)
    store.contents.leaves.set(4, encodeLeaf(versionLeaf(5)))
    expect(() => log.append([versionLeaf(4)])).toThrow('row 4 of table leaf')
  })

  test('publish() can be tried again after a full disk', () => {
    const { store, log } = madeLog(200)
    const writeFiles = store.writeFiles.bind(store)
    let isFull = true
    store.writeFiles = files => {
      if (isFull) throw new Error('no space left on device')
      writeFiles(files)
    }
    log.append(versionLeaves(200, 300))
    expect(() => log.publish()).toThrow('no space left')
    expect(log.size).toBe(200)
    isFull = false
    log.publish()
    expect(log.size).toBe(300)
    checkFiles(store, 300)
  })
})
