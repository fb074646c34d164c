import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { SqliteLogStore } from '../../../src/db/log-store.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { encodeLeaf, identityKey, type Leaf } from '../../../src/log/leaf.ts'
import { APPEND_LEAVES_MAX, Log, LogFatalError, type LogStore } from '../../../src/log/log.ts'
import { parseEntries, tilePath } from '../../../src/log/tile.ts'
import { EMPTY_ROOT, leafHash, nodeHash } from '../../../src/log/tree.ts'
import { OTHER_SIGNER, SIGNER, temporaryDir, VERIFIER } from '../db/data-dir.ts'
import { versionLeaf, versionLeaves } from './leaves.ts'
import { type Fault, MemoryLogStore } from './memory-store.ts'

type OpenStore = Disposable & { store: LogStore }

/** RFC 6962, section 2.1, word for word: slow, and sharing no code with src/log/edge.ts. */
function rfc6962Root(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes
  if (only === undefined) return EMPTY_ROOT
  if (hashes.length === 1) return only
  let split = 1
  while (split * 2 < hashes.length) split *= 2
  return nodeHash(rfc6962Root(hashes.slice(0, split)), rfc6962Root(hashes.slice(split)))
}

function rootOf(leaves: readonly Leaf[]): string {
  return rfc6962Root(leaves.map(leaf => leafHash(encodeLeaf(leaf)))).toHex()
}

/** The size and root of the published checkpoint, after its signature was checked. */
function head(log: Log): { size: number; root: string } {
  const { size, root } = openCheckpoint(log.checkpoint, VERIFIER)
  return { size, root: root.toHex() }
}

function logStoreSuite(name: string, open: () => OpenStore): void {
  describe(name, () => {
    test('Log.open() signs the empty tree of a new log, once', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      expect(head(log)).toEqual({ size: 0, root: EMPTY_ROOT.toHex() })
      expect(Log.open(opened.store, SIGNER).checkpoint).toBe(log.checkpoint)
    })

    test('append() assigns indexes in order; publish() makes them visible', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      const outcomes = log.append(versionLeaves(0, 3))
      expect(outcomes.map(({ outcome, index }) => [outcome, index])).toEqual([
        ['added', 0],
        ['added', 1],
        ['added', 2],
      ])
      expect(log.size).toBe(0)
      log.publish()
      expect(head(log)).toEqual({ size: 3, root: rootOf(versionLeaves(0, 3)) })
      expect(opened.store.readLeaves(1, 2)).toEqual([encodeLeaf(versionLeaf(1))])
    })

    test('append() answers the same claim with the first index and bytes', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      log.append(versionLeaves(0, 5))
      log.publish()
      const { checkpoint } = log
      const later: Leaf = { ...versionLeaf(3), seen: '2027-01-01T00:00:00Z' }
      const state = opened.store.readState()
      expect(log.append([later, versionLeaf(4)])).toEqual([
        { outcome: 'known', index: 3, leaf: encodeLeaf(versionLeaf(3)) },
        { outcome: 'known', index: 4, leaf: encodeLeaf(versionLeaf(4)) },
      ])
      expect(opened.store.readState()).toEqual(state)
      log.publish()
      expect(log.checkpoint).toBe(checkpoint)
    })

    test('append() logs nothing for another integrity, also within one batch', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      const first = versionLeaf(0, 1)
      const outcomes = log.append([first, versionLeaf(0, 2), first, versionLeaf(1)])
      expect(outcomes).toEqual([
        { outcome: 'added', index: 0, leaf: encodeLeaf(first) },
        { outcome: 'conflict', index: 0, leaf: encodeLeaf(first) },
        { outcome: 'known', index: 0, leaf: encodeLeaf(first) },
        { outcome: 'added', index: 1, leaf: encodeLeaf(versionLeaf(1)) },
      ])
      expect(log.append([versionLeaf(0, 3)])).toEqual([
        { outcome: 'conflict', index: 0, leaf: encodeLeaf(first) },
      ])
      log.publish()
      expect(log.size).toBe(2)
    })

    test('append() logs every kind of event once', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      const mark = { namespace: 'npm', name: 'a', version: '1.0.0', reason: 'malware' }
      const leaves: Leaf[] = [
        { kind: 'block', ...mark },
        { kind: 'unblock', ...mark },
        { kind: 'tombstone', ...mark },
        { kind: 'block', ...mark, reason: 'something else' },
      ]
      expect(log.append(leaves).map(({ index }) => index)).toEqual([0, 1, 2, 3])
      expect(log.append(leaves).every(({ outcome }) => outcome === 'known')).toBe(true)
    })

    test('append() of one leaf 1,000 times makes one leaf', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      const outcomes = Array.from({ length: 10 }, () => {
        const batch = Array.from({ length: 100 }, () => versionLeaf(0))
        return log.append(batch)
      }).flat()
      expect(outcomes.filter(({ outcome }) => outcome === 'added')).toHaveLength(1)
      expect(new Set(outcomes.map(({ index }) => index))).toEqual(new Set([0]))
      log.publish()
      expect(log.size).toBe(1)
    })

    test('append() settles 1,000 races of two claims: one logged, the other told', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      for (let round = 0; round < 10; round++) {
        const batch = Array.from({ length: 200 }, (_, i) => {
          return versionLeaf(round * 100 + (i % 100), i < 100 ? 1 : 2)
        })
        const outcomes = log.append(round % 2 === 0 ? batch : batch.toReversed())
        expect(outcomes.filter(({ outcome }) => outcome === 'added')).toHaveLength(100)
        expect(outcomes.filter(({ outcome }) => outcome === 'conflict')).toHaveLength(100)
      }
      log.publish()
      expect(log.size).toBe(1000)
    })

    test('append() joins a transaction, and is gone when that is rolled back', () => {
      using opened = open()
      const { store } = opened
      const log = Log.open(store, SIGNER)
      log.append(versionLeaves(0, 2))
      log.publish()
      const { checkpoint } = log
      expect(() =>
        store.transaction(() => {
          log.append(versionLeaves(2, 300))
          throw new Error('the caller changed its mind')
        }),
      ).toThrow('changed its mind')
      log.publish()
      expect(log.checkpoint).toBe(checkpoint)
      expect(log.append([versionLeaf(9)])).toMatchObject([{ outcome: 'added', index: 2 }])
      log.publish()
      const leaves = [versionLeaf(0), versionLeaf(1), versionLeaf(9)]
      expect(head(log)).toEqual({ size: 3, root: rootOf(leaves) })
    })

    test('publish() refuses to show what is not committed', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      expect(() =>
        opened.store.transaction(() => {
          log.append([versionLeaf(0)])
          log.publish()
        }),
      ).toThrow('publish() inside a transaction')
      expect(log.size).toBe(0)
    })

    test('append() refuses bad leaves and large batches before anything is written', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      const bad = { ...versionLeaf(1), integrity: 'sha1-AAAA' }
      expect(() => log.append([versionLeaf(0), bad])).toThrow('integrity')
      expect(() => log.append(versionLeaves(0, APPEND_LEAVES_MAX + 1))).toThrow('the most is 512')
      expect(opened.store.leafEnd()).toBe(0)
    })

    test('any batches, published or not, opened again or not, make the same tree', () => {
      const step = fc.record({
        count: fc.integer({ min: 0, max: 300 }),
        publish: fc.boolean(),
        reopen: fc.boolean(),
      })
      fc.assert(
        fc.property(fc.array(step, { maxLength: 6 }), steps => {
          using opened = open()
          let log = Log.open(opened.store, SIGNER)
          let size = 0
          for (const { count, publish, reopen } of steps) {
            // One known leaf in each batch must not shift the others.
            log.append([
              ...versionLeaves(0, Math.min(1, size)),
              ...versionLeaves(size, size + count),
            ])
            size += count
            if (publish) log.publish()
            if (reopen) log = Log.open(opened.store, SIGNER)
          }
          log.publish()
          expect(head(log)).toEqual({ size, root: rootOf(versionLeaves(0, size)) })
          checkFiles(opened.store, size)
        }),
        { numRuns: 12 },
      )
    })

    test('opening writes missing tiles again', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      for (let at = 0; at < 1000; at += 500) log.append(versionLeaves(at, at + 500))
      // No publish: the crash came right after the commit.
      const again = Log.open(opened.store, SIGNER)
      expect(head(again)).toEqual({ size: 1000, root: rootOf(versionLeaves(0, 1000)) })
      checkFiles(opened.store, 1000)
    })

    test('opening refuses a log of another key', () => {
      using opened = open()
      Log.open(opened.store, SIGNER)
      expect(() => Log.open(opened.store, OTHER_SIGNER)).toThrow('column note of table log_state')
    })
  })
}

function checkFiles(store: LogStore, size: number): void {
  for (let index = 0; (index + 1) * 256 <= size; index++) {
    const leaves = versionLeaves(index * 256, (index + 1) * 256).map(leaf => encodeLeaf(leaf))
    const tile = tilePath({ level: 0, index, width: 256 })
    const entries = tile.replace('tile/0/', 'tile/entries/')
    expect(parseEntries(store.readFile(entries))).toEqual(leaves)
    const hashes = Buffer.concat(leaves.map(leaf => leafHash(leaf)))
    expect(Buffer.compare(store.readFile(tile), hashes)).toBe(0)
  }
}

logStoreSuite('a store in memory', () => ({
  store: new MemoryLogStore(),
  [Symbol.dispose]: () => {},
}))

logStoreSuite('the SQLite store', () => {
  const dir = temporaryDir()
  const db = openRegistry(dir.path)
  return {
    store: new SqliteLogStore(db, dir.path),
    [Symbol.dispose]: () => {
      db[Symbol.dispose]()
      dir[Symbol.dispose]()
    },
  }
})

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
