/**
 * How many entries a cache may hold: the same as by the cache's own `max`, without its room.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { LRUCache } from 'lru-cache'
import { atMost } from '../../../src/registries/at-most.ts'

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

describe('at most so many entries', () => {
  test('keeps and forgets what a cache with `max` keeps and forgets', () => {
    const key = fc.constantFrom(...KEYS)
    const step = fc.oneof(
      fc.record({ act: fc.constant('set' as const), key, value: fc.nat() }),
      fc.record({ act: fc.constantFrom('get', 'delete', 'clear'), key, value: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step), (entries, steps) => {
        const ours = new LRUCache<string, number>(atMost(entries))
        const theirs = new LRUCache<string, number>({ max: entries })
        for (const { act, key: named, value } of steps) {
          for (const cache of [ours, theirs]) {
            if (act === 'set') cache.set(named, value)
            else if (act === 'get') cache.get(named)
            else if (act === 'delete') cache.delete(named)
            else cache.clear()
          }
          expect([...ours.entries()]).toEqual([...theirs.entries()])
          expect(ours.size).toBeLessThanOrEqual(entries)
        }
      }),
    )
  })

  test('does not make room for entries that are not there', () => {
    // A thousand caches for a hundred thousand each: with `max` that would be 2 GB.
    const before = process.memoryUsage().rss
    const caches = Array.from({ length: 1000 }, () => new LRUCache<string, 1>(atMost(100_000)))
    expect(caches.map(cache => cache.size).every(size => size === 0)).toBe(true)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
  })
})
