import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  freshSeconds,
  parseContentLength,
  parseEtag,
  parseLastModified,
  parseRetryAfter,
} from '../../../src/registries/http-headers.ts'

describe('freshSeconds()', () => {
  const cases: [Record<string, string>, number | null][] = [
    [{}, null],
    [{ 'cache-control': '' }, null],
    [{ 'cache-control': 'public, max-age=300' }, 300],
    [{ 'cache-control': 'Public,Max-Age=300' }, 300],
    [{ 'cache-control': 'max-age="300"' }, 300],
    [{ 'cache-control': 'max-age=300, s-maxage=60' }, 60],
    [{ 'cache-control': 's-maxage=600, max-age=300' }, 600],
    [{ 'cache-control': 'max-age=300, max-age=1' }, 300],
    [{ 'cache-control': 'max-age=300', 'age': '250' }, 50],
    [{ 'cache-control': 'max-age=300', 'age': '900' }, 0],
    [{ 'cache-control': 'max-age=300', 'age': 'old' }, 300],
    [{ 'cache-control': 'max-age=0' }, 0],
    [{ 'cache-control': 'no-cache' }, 0],
    [{ 'cache-control': 'no-store, max-age=300' }, 0],
    [{ 'cache-control': 'max-age=300, no-cache="set-cookie"' }, 0],
    [{ 'cache-control': 'private, max-age=300' }, 0],
    [{ 'cache-control': 'max-age=-1' }, null],
    [{ 'cache-control': 'max-age=1.5' }, null],
    [{ 'cache-control': 'max-age=1e3' }, null],
    [{ 'cache-control': 'max-age=0x10' }, null],
    [{ 'cache-control': 'max-age=' }, null],
    [{ 'cache-control': 'max-age = 300' }, null],
    [{ 'cache-control': 'x-max-age=300' }, null],
    [{ 'cache-control': 'ext="max-age=300"' }, null],
    [{ 'cache-control': 'ext="a, max-age=300", immutable' }, null],
    [{ 'cache-control': `max-age=${'9'.repeat(30)}` }, 2 ** 31],
    [{ 'cache-control': `${' '.repeat(2000)}a, max-age=300, ${'x'.repeat(2000)}` }, null],
  ]
  test.each(cases)('%j is %j', (headers, seconds) => {
    expect(freshSeconds(new Headers(headers))).toBe(seconds)
  })

  test('is a number of seconds or null for any text, at once', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'max-age=,"\\ 3'.split('')),
      maxLength: 1000,
    })
    fc.assert(
      fc.property(text, value => {
        const seconds = freshSeconds(new Headers({ 'cache-control': value }))
        expect(seconds === null || (Number.isInteger(seconds) && seconds >= 0)).toBe(true)
      }),
    )
  })
})

test('parseEtag() takes what can be sent back', () => {
  const etags = ['"abc"', 'W/"abc"', '""', '"a\\b"']
  for (const etag of etags) expect(parseEtag(new Headers({ etag }))).toBe(etag)
  for (const etag of ['abc', '"a"b"', 'w/"a"', '"a b"', '"é"', `"${'x'.repeat(1024)}"`]) {
    expect(parseEtag(new Headers({ etag }))).toBeNull()
  }
  expect(parseEtag(new Headers())).toBeNull()
})

test('parseLastModified() takes the date form of HTTP only', () => {
  const date = 'Sun, 22 Nov 2026 10:00:00 GMT'
  expect(parseLastModified(new Headers({ 'last-modified': date }))).toBe(date)
  for (const text of ['yesterday', '2026-11-22', 'Sunday, 22-Nov-26 10:00:00 GMT', '']) {
    expect(parseLastModified(new Headers({ 'last-modified': text }))).toBeNull()
  }
})

test('parseRetryAfter() reads seconds and dates', () => {
  const now = Date.parse('2026-11-22T10:00:00Z')
  const cases: [string, number | null][] = [
    ['0', 0],
    ['120', 120],
    ['Sun, 22 Nov 2026 10:00:03 GMT', 3],
    ['Sun, 22 Nov 2026 09:00:00 GMT', 0],
    ['-1', null],
    ['soon', null],
    ['1.5', null],
  ]
  for (const [text, seconds] of cases) {
    expect(parseRetryAfter(new Headers({ 'retry-after': text }), now)).toBe(seconds)
  }
  expect(parseRetryAfter(new Headers(), now)).toBeNull()
})

test('parseContentLength() takes digits only', () => {
  const cases: [string, number | null][] = [
    ['0', 0],
    ['123', 123],
    ['+3', null],
    ['3, 3', null],
    ['1e3', null],
    ['9'.repeat(16), null],
  ]
  for (const [text, length] of cases) {
    expect(parseContentLength(new Headers({ 'content-length': text }))).toBe(length)
  }
})
