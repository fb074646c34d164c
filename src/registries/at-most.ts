/**
 * How a cache is told how many entries it may hold. Pure.
 * @module
 */

/**
 * Options for an `LRUCache` of at most so many entries. Its own `max` makes room for all of them at
 * once: some twenty bytes each, before there is one, and again for every view.
 */
export function atMost(entries: number): { maxSize: number; sizeCalculation: () => number } {
  return { maxSize: entries, sizeCalculation: one }
}

function one(): number {
  return 1
}
