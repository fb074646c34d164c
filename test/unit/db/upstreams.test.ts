import { describe, expect, test } from 'bun:test'
import { Incidents, type NewIncident } from '../../../src/db/incidents.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { type UpstreamKeyRow, Upstreams } from '../../../src/db/upstreams.ts'
import { temporaryDir } from './data-dir.ts'

const CREATED = '2026-11-22T08:31:07Z'
const LATER = '2026-11-23T00:00:00Z'

const NPM = {
  name: 'npm',
  url: 'https://registry.example/',
  kind: 'registry',
  mirrorOf: null,
  namespace: 'npm',
  names: ['**'],
  signatures: 'auto',
  tarballs: 'canonical',
  created: CREATED,
} as const

const KEY: UpstreamKeyRow = {
  upstream: 'npm',
  keyid: 'SHA256:a',
  keytype: 'ecdsa-sha2-nistp256',
  scheme: 'ecdsa-sha2-nistp256',
  spki: 'AAAA',
  expires: null,
  json: '{"keyid": "SHA256:a"}',
  state: 'approved',
  firstSeen: CREATED,
  leafIdx: null,
}

function opened() {
  const dir = temporaryDir()
  const db = openRegistry(dir.path)
  const dispose = () => {
    db[Symbol.dispose]()
    dir[Symbol.dispose]()
  }
  const upstreams = new Upstreams(db)
  return { upstreams, incidents: new Incidents(db), [Symbol.dispose]: dispose }
}

describe('Upstreams', () => {
  test('add(), get(), list(), change(), remove()', () => {
    using t = opened()
    t.upstreams.add({ ...NPM, names: ['**'] })
    expect(t.upstreams.get('npm')).toMatchObject({ ...NPM, names: ['**'], signsSince: null })
    expect(() => t.upstreams.add({ ...NPM, names: ['**'] })).toThrow()
    expect(t.upstreams.change('npm', { url: 'https://mirror.example/' })).toBe(true)
    expect(t.upstreams.change('npm', {})).toBe(true)
    expect(t.upstreams.change('other', { url: 'https://mirror.example/' })).toBe(false)
    expect(t.upstreams.list().map(({ url }) => url)).toEqual(['https://mirror.example/'])
    t.upstreams.addKey(KEY)
    expect(t.upstreams.remove('npm')).toBe(true)
    expect(t.upstreams.remove('npm')).toBe(false)
    expect(t.upstreams.allKeys()).toEqual([])
  })

  test('markSigns() is a ratchet: the first time stays', () => {
    using t = opened()
    t.upstreams.add({ ...NPM, names: ['**'] })
    expect(t.upstreams.markSigns('npm', CREATED)).toBe(true)
    expect(t.upstreams.markSigns('npm', LATER)).toBe(false)
    expect(t.upstreams.get('npm')?.signsSince).toBe(CREATED)
  })

  test('keys belong to their upstream and keep the bytes they came in', () => {
    using t = opened()
    t.upstreams.addKey(KEY)
    t.upstreams.addKey({ ...KEY, upstream: 'other' })
    expect(() => t.upstreams.addKey(KEY)).toThrow()
    expect(t.upstreams.keys('npm')).toEqual([KEY])
    expect(t.upstreams.setKeyState('npm', 'SHA256:a', 'missing')).toBe(true)
    expect(t.upstreams.setKeyLeaf('npm', 'SHA256:a', 3)).toBe(true)
    expect(t.upstreams.setKeyLeaf('npm', 'SHA256:b', 3)).toBe(false)
    expect(t.upstreams.keys('npm')).toEqual([{ ...KEY, state: 'missing', leafIdx: 3 }])
    expect(t.upstreams.keys('other')).toEqual([{ ...KEY, upstream: 'other' }])
    expect(t.upstreams.allKeys()).toHaveLength(2)
  })
})

describe('Incidents', () => {
  const found: NewIncident = {
    code: 'conflict',
    namespace: 'npm',
    name: 'a',
    version: '1.0.0',
    claim: 'sha512-other',
    sentence: 'a@1.0.0: two integrities',
    evidence: '{"logged":"x"}',
  }

  test('record() counts the same incident up and keeps its first evidence', () => {
    using t = opened()
    const first = t.incidents.record(found, CREATED)
    expect(first.count).toBe(1)
    const again = t.incidents.record({ ...found, evidence: '{}' }, LATER)
    expect(again).toEqual({ id: first.id, count: 2 })
    expect(t.incidents.get(first.id)).toMatchObject({
      created: CREATED,
      lastSeen: LATER,
      count: 2,
      evidence: '{"logged":"x"}',
    })
    expect(t.incidents.get('none')).toBe(null)
  })

  test('record() tells incidents apart by every field of their identity', () => {
    using t = opened()
    const others: Partial<NewIncident>[] = [
      {},
      { code: 'unsigned' },
      { namespace: 'other.example' },
      { name: 'b' },
      { version: '1.0.1' },
      { claim: 'sha512-third' },
    ]
    const ids = others.map(change => t.incidents.record({ ...found, ...change }, CREATED).id)
    expect(new Set(ids).size).toBe(others.length)
    expect(t.incidents.latest(3)).toHaveLength(3)
    expect(t.incidents.ofVersion('npm', 'a', '1.0.0')).toHaveLength(3)
  })
})
