import { describe, expect, spyOn, test } from 'bun:test'
import * as fc from 'fast-check'
import { SqliteLogStore } from '../../../src/db/log-store.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { openCheckpoint } from '../../../src/log/checkpoint.ts'
import { encodeLeaf, type Leaf } from '../../../src/log/leaf.ts'
import { APPEND_LEAVES_MAX, Log, type LogStore } from '../../../src/log/log.ts'
import { EMPTY_ROOT, leafHash } from '../../../src/log/tree.ts'
import { OTHER_SIGNER, SIGNER, temporaryDir, VERIFIER } from '../db/data-dir.ts'
import { versionLeaf, versionLeaves } from './leaves.ts'
import { MemoryLogStore } from './memory-store.ts'
import { checkFiles, rfc6962Root } from './reference.ts'

type OpenStore = Disposable & { store: LogStore }

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

    test('batch() makes one tree of many appends, hashed and signed once', () => {
      using opened = open()
      const { store } = opened
      const log = Log.open(store, SIGNER)
      log.append(versionLeaves(0, 3))
      const advance = spyOn(store, 'advance')
      const indexes = log.batch(() => [
        ...log.append([versionLeaf(3)]),
        ...log.append([versionLeaf(1), versionLeaf(4)]),
        ...log.append([versionLeaf(3), versionLeaf(4, 2)]),
        ...log.append(versionLeaves(5, 300)),
      ])
      expect(advance).toHaveBeenCalledTimes(1)
      expect(indexes.slice(0, 5).map(({ outcome, index }) => [outcome, index])).toEqual([
        ['added', 3],
        ['known', 1],
        ['added', 4],
        ['known', 3],
        ['conflict', 4],
      ])
      log.publish()
      expect(head(log)).toEqual({ size: 300, root: rootOf(versionLeaves(0, 300)) })
      checkFiles(store, 300)
      log.batch(() => log.append([versionLeaf(7)]))
      expect(advance).toHaveBeenCalledTimes(1)
    })

    test('batch() is gone as a whole when its action throws, and the next one is as if it never was', () => {
      using opened = open()
      const log = Log.open(opened.store, SIGNER)
      log.append(versionLeaves(0, 2))
      expect(() =>
        log.batch(() => {
          log.append([versionLeaf(2)])
          throw new Error('the caller changed its mind')
        }),
      ).toThrow('changed its mind')
      expect(log.append([versionLeaf(3), versionLeaf(2)])).toMatchObject([
        { outcome: 'added', index: 2 },
        { outcome: 'added', index: 3 },
      ])
      log.publish()
      const leaves = [versionLeaf(0), versionLeaf(1), versionLeaf(3), versionLeaf(2)]
      expect(head(log)).toEqual({ size: 4, root: rootOf(leaves) })
      expect(Log.open(opened.store, SIGNER).size).toBe(4)
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
