/**
 * Byte ranges. Examples of RFC 9110 section 14.1.2 first, for its body of 10,000 bytes.
 * Goal: a range never leaves the body, and nonsense means the whole of it.
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { parseRange } from '../../../src/routes/range.ts'

describe('parseRange', () => {
  test.each([
    ['bytes=0-499', 0, 499],
    ['bytes=500-999', 500, 999],
    ['bytes=-500', 9500, 9999],
    ['bytes=9500-', 9500, 9999],
    ['bytes=0-0', 0, 0],
    ['bytes=0-999999', 0, 9999],
    ['bytes=-999999', 0, 9999],
  ])('%s', (header, start, end) => {
    expect(parseRange(header, 10_000)).toEqual({ start, end })
  })

  test.each(['bytes=10000-', 'bytes=-0', 'bytes=99999-100000'])('%s is unsatisfiable', header => {
    expect(parseRange(header, 10_000)).toBe('unsatisfiable')
  })

  test.each([
    null,
    '',
    'bytes=',
    'bytes=-',
    'bytes=5-4',
    'bytes=0-1,3-4',
    'items=0-1',
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=1.5-2',
    'bytes=+1-2',
  ])('%p is answered with everything', header => {
    expect(parseRange(header, 10_000)).toBeUndefined()
  })

  test('stays inside of the body', () => {
    const header = fc.tuple(fc.nat(), fc.option(fc.nat()), fc.boolean())
    fc.assert(
      fc.property(header, fc.nat(), ([first, last, isSuffix], length) => {
        const text = isSuffix ? `bytes=-${first}` : `bytes=${first}-${last ?? ''}`
        const range = parseRange(text, length)
        if (range === undefined || range === 'unsatisfiable') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.start).toBeLessThanOrEqual(range.end)
        expect(range.end).toBeLessThan(length)
      }),
    )
  })
})
