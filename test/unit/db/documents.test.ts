import { describe, expect, test } from 'bun:test'
import { truncateSync } from 'node:fs'
import { Documents, type DocumentRow, type RenderedRow } from '../../../src/db/documents.ts'
import { cachePath, openCache } from '../../../src/db/open.ts'
import { temporaryDir } from './data-dir.ts'

function documentRow(name: string, change: Partial<DocumentRow> = {}): DocumentRow {
  return {
    upstream: 'npm',
    name,
    status: 200,
    packed: new Uint8Array([1, 2, 3]),
    sha256: 'aa',
    length: 3,
    etag: '"e"',
    lastModified: null,
    checkedAtMs: 1000,
    freshUntilMs: 2000,
    modified: '2026-01-01T00:00:00.000Z',
    ...change,
  }
}

function renderedRow(name: string): RenderedRow {
  return {
    upstream: 'npm',
    name,
    variant: 'full',
    documentSha: 'aa',
    planHash: 'bb',
    etag: '"r"',
    gzip: new Uint8Array([9]),
    length: 1,
    modified: null,
  }
}

function opened() {
  const dir = temporaryDir()
  const cache = openCache(dir.path)
  const dispose = () => {
    cache[Symbol.dispose]()
    dir[Symbol.dispose]()
  }
  return { path: dir.path, cache, documents: new Documents(cache), [Symbol.dispose]: dispose }
}

describe('Documents', () => {
  test('put() and get() bring back every field; head() leaves the bytes', () => {
    using t = opened()
    const absent = documentRow('gone', { status: 404, packed: null, sha256: '', length: 0 })
    t.documents.put(documentRow('a'))
    t.documents.put(absent)
    expect(t.documents.get('npm', 'a')).toEqual(documentRow('a'))
    expect(t.documents.get('npm', 'gone')).toEqual(absent)
    expect(t.documents.head('npm', 'a')).not.toHaveProperty('packed')
    expect(t.documents.get('other', 'a')).toBe(null)
  })

  test('renew() moves the times and keeps the bytes', () => {
    using t = opened()
    t.documents.put(documentRow('a'))
    const renewal = { checkedAtMs: 5000, freshUntilMs: 6000, etag: null, lastModified: 'then' }
    expect(t.documents.renew('npm', 'a', renewal)).toBe(true)
    expect(t.documents.get('npm', 'a')).toEqual(
      documentRow('a', { checkedAtMs: 5000, freshUntilMs: 6000, lastModified: 'then' }),
    )
    expect(t.documents.renew('npm', 'b', renewal)).toBe(false)
  })

  test('remove() takes the rendered bodies along', () => {
    using t = opened()
    t.documents.put(documentRow('a'))
    t.documents.putRendered(renderedRow('a'))
    expect(t.documents.rendered('npm', 'a', 'full')).toEqual(renderedRow('a'))
    t.documents.remove('npm', 'a')
    expect(t.documents.get('npm', 'a')).toBe(null)
    expect(t.documents.rendered('npm', 'a', 'full')).toBe(null)
  })

  test('trim() forgets what was checked longest ago', () => {
    using t = opened()
    for (let i = 0; i < 100; i++) {
      const packed = new Uint8Array(20_000)
      t.documents.put(documentRow(`a${i}`, { packed, checkedAtMs: i }))
    }
    expect(t.documents.bytes()).toBeGreaterThan(2_000_000)
    let steps = 0
    while (t.documents.trim(1_000_000) && steps < 100) steps += 1
    expect(t.documents.bytes()).toBeLessThan(1_000_000)
    expect(t.documents.head('npm', 'a0')).toBe(null)
    expect(t.documents.head('npm', 'a99')).not.toBe(null)
  })

  test('a file that turns out to be damaged is an empty cache, not an error', () => {
    using t = opened()
    for (let i = 0; i < 50; i++) {
      t.documents.put(documentRow(`a${i}`, { packed: new Uint8Array(9000) }))
    }
    t.cache.database.run('PRAGMA wal_checkpoint(TRUNCATE)')
    truncateSync(cachePath(t.path), 4096 * 20)
    t.cache.database.run('PRAGMA shrink_memory')
    expect(t.documents.get('npm', 'a49')).toBe(null)
    t.documents.put(documentRow('a'))
    expect(t.documents.get('npm', 'a')).toEqual(documentRow('a'))
  })

  test('clear() forgets everything', () => {
    using t = opened()
    t.documents.put(documentRow('a'))
    t.documents.clear()
    expect(t.documents.get('npm', 'a')).toBe(null)
  })
})
