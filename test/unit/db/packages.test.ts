import { describe, expect, test } from 'bun:test'
import { openRegistry } from '../../../src/db/open.ts'
import { Packages, type VersionRow } from '../../../src/db/packages.ts'
import { temporaryDir } from './data-dir.ts'

const SEEN = '2026-11-22T08:31:07Z'

function versionRow(version: string, change: Partial<VersionRow> = {}): VersionRow {
  return {
    namespace: 'npm',
    name: '@scope/a',
    version,
    integrity: 'sha512-first',
    manifestHash: 'sha256-first',
    projection: '{"dependencies":{}}',
    signature: { keyid: 'SHA256:k', sig: 'first' },
    leafIndex: null,
    firstSeen: SEEN,
    sinceFirstSight: false,
    state: 'logged',
    detail: '',
    incident: null,
    tarball: 'https://registry.example/@scope/a/-/a.tgz',
    file: `a-${version}.tgz`,
    shasum: null,
    published: '2020-01-01T00:00:00.000Z',
    ...change,
  }
}

function opened() {
  const dir = temporaryDir()
  const db = openRegistry(dir.path)
  const dispose = () => {
    db[Symbol.dispose]()
    dir[Symbol.dispose]()
  }
  return { db, packages: new Packages(db), [Symbol.dispose]: dispose }
}

describe('Packages', () => {
  test('markSeen() keeps the first time', () => {
    using t = opened()
    expect(t.packages.firstSeen('npm', 'a')).toBe(null)
    expect(t.packages.markSeen('npm', 'a', SEEN)).toBe(true)
    expect(t.packages.markSeen('npm', 'a', '2027-01-01T00:00:00Z')).toBe(false)
    expect(t.packages.firstSeen('npm', 'a')).toBe(SEEN)
    expect(t.packages.firstSeen('other.example', 'a')).toBe(null)
  })

  test('upsert() and get() bring back every field', () => {
    using t = opened()
    const refused = versionRow('2.0.0', {
      integrity: null,
      signature: null,
      state: 'no-integrity',
      detail: 'has no sha512',
      incident: 'abc',
      sinceFirstSight: true,
      shasum: 'a'.repeat(40),
      published: null,
    })
    t.packages.upsert([versionRow('1.0.0', { leafIndex: 7 }), refused])
    expect(t.packages.get('npm', '@scope/a', '2.0.0')).toEqual(refused)
    expect(t.packages.get('npm', '@scope/a', '3.0.0')).toBe(null)
    expect(t.packages.byFile('npm', '@scope/a', 'a-1.0.0.tgz')?.leafIndex).toBe(7)
    expect(t.packages.byFile('npm', '@scope/b', 'a-1.0.0.tgz')).toBe(null)
    const versions = t.packages.summaryPage('npm', '@scope/a', '', 10).map(({ version }) => version)
    expect(versions.toSorted()).toEqual(['1.0.0', '2.0.0'])
    expect(t.packages.logged('npm', '@scope/a')).toEqual([
      {
        version: '1.0.0',
        integrity: 'sha512-first',
        manifestHash: 'sha256-first',
        signature: { keyid: 'SHA256:k', sig: 'first' },
        sinceFirstSight: false,
      },
    ])
    expect(t.packages.countByState()).toEqual([
      { state: 'logged', count: 1 },
      { state: 'no-integrity', count: 1 },
    ])
  })

  const other: Partial<VersionRow> = {
    integrity: 'sha512-second',
    manifestHash: 'sha256-second',
    projection: '{}',
    signature: { keyid: 'SHA256:l', sig: 'second' },
    leafIndex: 9,
    firstSeen: '2027-01-01T00:00:00Z',
    sinceFirstSight: true,
    state: 'conflict',
    detail: 'changed',
    incident: 'abc',
    shasum: 'b',
    published: '2027-01-01T00:00:00.000Z',
  }

  test('upsert() never changes what a leaf claims', () => {
    using t = opened()
    const first = versionRow('1.0.0', { leafIndex: 7 })
    t.packages.upsert([first])
    t.packages.upsert([versionRow('1.0.0', other)])
    expect(t.packages.get('npm', '@scope/a', '1.0.0')).toEqual({
      ...first,
      state: 'conflict',
      detail: 'changed',
      incident: 'abc',
    })
  })

  test('upsert() does change a version that has no leaf, but not its first sight', () => {
    using t = opened()
    t.packages.upsert([versionRow('1.0.0')])
    t.packages.upsert([versionRow('1.0.0', other)])
    expect(t.packages.get('npm', '@scope/a', '1.0.0')).toEqual({
      ...versionRow('1.0.0', other),
      firstSeen: SEEN,
      sinceFirstSight: false,
    })
  })

  test('upsert() never takes back that a version was unpublished', () => {
    using t = opened()
    const gone = { state: 'unpublished', detail: 'unpublished' }
    t.packages.upsert([versionRow('1.0.0', { leafIndex: 7 })])
    t.packages.upsert([versionRow('1.0.0', { leafIndex: 7, ...gone })])
    // Of a document that was read before.
    t.packages.upsert([versionRow('1.0.0', { leafIndex: 7, detail: 'late' })])
    expect(t.packages.get('npm', '@scope/a', '1.0.0')).toMatchObject(gone)
  })

  test('upsert() belongs to the transaction around it', () => {
    using t = opened()
    const fail = () =>
      t.db.transaction(() => {
        t.packages.upsert([versionRow('1.0.0')])
        throw new Error('no')
      })
    expect(fail).toThrow('no')
    expect(t.packages.summaryPage('npm', '@scope/a', '', 10)).toEqual([])
  })

  test('names from outside are only names', () => {
    using t = opened()
    for (const name of ['__proto__', 'constructor', "'; DROP TABLE version; --"]) {
      t.packages.upsert([versionRow('1.0.0', { name })])
      expect(t.packages.get('npm', name, '1.0.0')?.name).toBe(name)
    }
  })
})
