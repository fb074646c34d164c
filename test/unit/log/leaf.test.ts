import { describe, expect, test } from 'bun:test'
import { createPublicKey, verify } from 'node:crypto'
import * as fc from 'fast-check'
import { LeafError } from '../../../src/log/errors.ts'
import {
  LEAF_BYTES_MAX,
  type Leaf,
  type VersionLeaf,
  checkNamespace,
  encodeLeaf,
  identityKey,
  parseLeaf,
  versionKey,
} from '../../../src/log/leaf.ts'
import { encodeText, equalBytes } from '../../../src/log/text.ts'
import { leafHash } from '../../../src/log/tree.ts'

// docs/leaf.md, "Test vectors": the document and the code are held equal by this file.
const VECTOR =
  /```record\n([^`]*)```\n\n- leaf hash: `([0-9a-f]{64})`\n- identity key: `([0-9a-f]{64})`\n/g
const document = await Bun.file(new URL('../../../docs/leaf.md', import.meta.url)).text()
const vectors = [...document.matchAll(VECTOR)].map(([, record = '', hash = '', key = '']) => ({
  record,
  hash,
  key,
}))
const refusals: unknown = JSON.parse(/```json\n([^`]*)```/.exec(document)?.[1] ?? 'null')

const HASH = `sha256-${'A'.repeat(43)}=`
const version: VersionLeaf = {
  kind: 'version',
  namespace: 'npm',
  name: '@babel/core',
  version: '7.26.0',
  integrity: `sha512-${'A'.repeat(86)}==`,
  manifest: HASH,
  seen: '2026-11-22T08:31:07Z',
}

function isRefused(run: () => unknown): boolean {
  try {
    run()
  } catch (error) {
    if (error instanceof LeafError) return true
    throw error
  }
  return false
}

describe('docs/leaf.md', () => {
  test('every vector is read, written again, hashed and identified as it says', () => {
    expect(vectors).toHaveLength(7)
    for (const { record, hash, key } of vectors) {
      const bytes = encodeText(record)
      const leaf = parseLeaf(bytes)
      expect(new TextDecoder().decode(encodeLeaf(leaf))).toBe(record)
      expect(leafHash(bytes).toHex()).toBe(hash)
      expect(identityKey(leaf).toHex()).toBe(key)
    }
    const kinds = new Set(vectors.map(({ record }) => parseLeaf(encodeText(record)).kind))
    expect(kinds).toEqual(new Set(['version', 'registry-key', 'tombstone', 'block', 'unblock']))
  })

  test('the record at its head is its first vector, and the signature in it is npm’s', () => {
    const [first, , , retired] = vectors.map(({ record }) => parseLeaf(encodeText(record)))
    expect(document.indexOf(String(vectors[0]?.record))).toBeLessThan(2000)
    if (first?.kind !== 'version' || retired?.kind !== 'registry-key') throw new Error('no vector')
    expect(first.signature?.keyid).toBe(retired.keyid)
    const key = Buffer.from(retired.spki, 'base64')
    const message = Buffer.from(`${first.name}@${first.version}:${first.integrity}`)
    const sig = Buffer.from(first.signature?.sig ?? '', 'base64')
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' })
    expect(verify('sha256', message, publicKey, sig)).toBe(true)
  })

  test('every text that it calls no record is refused', () => {
    if (!Array.isArray(refusals)) throw new Error('no refusals in docs/leaf.md')
    expect(refusals.length).toBeGreaterThan(40)
    for (const text of refusals) {
      const bytes = encodeText(String(text))
      expect(
        isRefused(() => parseLeaf(bytes)),
        JSON.stringify(text),
      ).toBe(true)
    }
  })

  test('its limits are the code’s', () => {
    expect(document).toContain('more than 4,096 bytes')
    expect(LEAF_BYTES_MAX).toBe(4096)
  })
})

describe('encodeLeaf()', () => {
  test('takes every name and version that npm ever had', () => {
    const names = ['JSONStream', '-', 'a', "a~b!c'd(e)f*g", '@Scope/.hidden', '_', 'x'.repeat(214)]
    for (const name of names) {
      const leaf = { ...version, name }
      expect(parseLeaf(encodeLeaf(leaf))).toEqual(leaf)
    }
    for (const text of ['0.0.0', '1.0.0-alpha.1+x.y-z', '1.0.0_1', '2.0.0~rc', '1'.repeat(256)]) {
      const leaf = { ...version, version: text }
      expect(parseLeaf(encodeLeaf(leaf))).toEqual(leaf)
    }
  })

  test('refuses fields that would make another record, or none', () => {
    const wrong: Partial<VersionLeaf>[] = [
      { name: '' },
      { name: '.' },
      { name: '@a/..' },
      { name: '@./a' },
      { name: 'a/b' },
      { name: '@a/b/c' },
      { name: 'a@1' },
      { name: 'a b' },
      { name: 'a\nseen x' },
      { name: 'a\u0000' },
      { name: 'a%2fb' },
      { name: 'é' },
      { name: '\ud800' },
      { name: 'x'.repeat(215) },
      { version: '' },
      { version: '1 sha512-x' },
      { version: '1/2' },
      { version: '1@2' },
      { version: '1\n' },
      { version: '-1' },
      { version: '1'.repeat(257) },
      { namespace: '' },
      { namespace: 'NPM' },
      { namespace: 'a/b' },
      { namespace: 'a:' },
      { namespace: 'a:0' },
      { namespace: 'a:123456' },
      { namespace: '-a' },
      { namespace: 'a.' },
      { namespace: 'a'.repeat(260) },
      { integrity: '' },
      { integrity: HASH },
      { integrity: `${version.integrity} ${version.integrity}` },
      { integrity: version.integrity.slice(0, -1) },
      { integrity: version.integrity.replace('A==', 'B==') },
      { integrity: `sha512-${'A'.repeat(43)}=` },
      { manifest: version.integrity },
      { manifest: '' },
      { seen: '2026-11-22' },
      { seen: '2026-11-22T08:31:07.000Z' },
      { seen: '2026-11-22T08:31:07+00:00' },
      { seen: '2026-11-22 08:31:07Z' },
      { seen: '2026-02-30T08:31:07Z' },
      { seen: '2026-13-01T08:31:07Z' },
      { seen: '2026-11-22T24:00:00Z' },
      { seen: '2026-11-22T08:31:60Z' },
      { seen: '2026-11-22T08:31:07Z\n' },
      { signature: { keyid: '', sig: 'MAYCAQECAQE=' } },
      { signature: { keyid: `SHA256:${'A'.repeat(42)}B`, sig: 'MAYCAQECAQE=' } },
      { signature: { keyid: `SHA256:${'A'.repeat(43)}`, sig: '' } },
      { signature: { keyid: `SHA256:${'A'.repeat(43)}`, sig: 'MAYCAQECAQE' } },
      { signature: { keyid: `SHA256:${'A'.repeat(43)}`, sig: 'AAYCAQECAQE=' } },
      { signature: { keyid: `SHA256:${'A'.repeat(43)}`, sig: 'MAYCAQECAQ==' } },
      { signature: { keyid: `SHA256:${'A'.repeat(43)}`, sig: `MAYC${'A'.repeat(108)}` } },
    ]
    for (const fields of wrong) {
      const leaf = { ...version, ...fields }
      expect(
        isRefused(() => encodeLeaf(leaf)),
        JSON.stringify(fields),
      ).toBe(true)
    }
  })

  test('refuses reasons that are not one plain line', () => {
    const mark = { kind: 'block', namespace: 'npm', name: 'a', version: '1.0.0' } as const
    const good = ['x', 'malware: see the report', '!~', 'x'.repeat(200)]
    const bad = ['', ' x', 'x ', 'a  b', 'a\nb', 'a\tb', 'é', '\u202e', '\ud800', 'x'.repeat(201)]
    for (const reason of good) {
      const leaf: Leaf = { ...mark, reason }
      expect(parseLeaf(encodeLeaf(leaf))).toEqual(leaf)
    }
    for (const reason of bad) {
      expect(
        isRefused(() => encodeLeaf({ ...mark, reason })),
        JSON.stringify(reason),
      ).toBe(true)
    }
  })

  test('the longest record fits its limit', () => {
    const keyid = `SHA256:${'A'.repeat(43)}`
    const longest = encodeLeaf({
      kind: 'registry-key',
      action: 'retire',
      namespace: 'a'.repeat(259),
      keyid,
      spki: Uint8Array.of(0x30, ...new Uint8Array(1023)).toBase64(),
      expires: '2025-01-29T00:00:00.000Z',
    })
    expect(longest.length).toBeLessThan(LEAF_BYTES_MAX)
    expect(isRefused(() => parseLeaf(new Uint8Array(LEAF_BYTES_MAX + 1)))).toBe(true)
  })
})

describe('identity', () => {
  test('of a version is namespace, name and version, and nothing else', () => {
    const key = identityKey(version)
    expect(key).toHaveLength(32)
    expect(key).toEqual(versionKey('npm', '@babel/core', '7.26.0'))
    const signature = { keyid: `SHA256:${'A'.repeat(43)}`, sig: 'MAYCAQECAQE=' }
    const other = `sha512-${'B'.repeat(85)}A==`
    expect(identityKey({ ...version, integrity: other, signature })).toEqual(key)
    expect(identityKey({ ...version, seen: '2027-01-01T00:00:00Z', manifest: HASH })).toEqual(key)
    for (const fields of [{ namespace: 'npm.example' }, { name: 'core' }, { version: '7.26.1' }]) {
      expect(identityKey({ ...version, ...fields })).not.toEqual(key)
    }
    expect(isRefused(() => versionKey('npm', 'a b', '1.0.0'))).toBe(true)
  })

  test('of other records is their whole text', () => {
    const mark = {
      kind: 'block',
      namespace: 'npm',
      name: 'a',
      version: '1.0.0',
      reason: 'x',
    } as const
    const keys = [
      identityKey(mark),
      identityKey({ ...mark, kind: 'unblock' }),
      identityKey({ ...mark, kind: 'tombstone' }),
      identityKey({ ...mark, reason: 'y' }),
      versionKey('npm', 'a', '1.0.0'),
    ].map(key => key.toHex())
    expect(new Set(keys).size).toBe(keys.length)
    expect(identityKey({ ...mark })).toEqual(identityKey(mark))
  })

  test('checkNamespace() takes npm and host names', () => {
    for (const name of ['npm', 'registry.example', '127.0.0.1:4873', 'a_b-c.example:65535']) {
      expect(isRefused(() => checkNamespace(name))).toBe(false)
    }
    expect(isRefused(() => checkNamespace('@scope'))).toBe(true)
  })
})

const base64Of = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(bytes => bytes.toBase64())
const derOf = (min: number, max: number) =>
  fc
    .uint8Array({ minLength: min - 1, maxLength: max - 1 })
    .map(bytes => Uint8Array.of(0x30, ...bytes).toBase64())
const keyid = base64Of(32).map(text => `SHA256:${text.slice(0, -1)}`)
const segment = fc.stringMatching(/^[A-Za-z0-9\-_.!~*'()]{1,20}$/).filter(s => !/^\.\.?$/.test(s))
const id = {
  namespace: fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?(:[1-9][0-9]{0,4})?$/),
  name: fc.oneof(
    segment,
    fc.tuple(segment, segment).map(([scope, name]) => `@${scope}/${name}`),
  ),
  version: fc.stringMatching(/^[0-9A-Za-z][0-9A-Za-z.+_~-]{0,20}$/),
}
const second = fc
  .date({ min: new Date(0), max: new Date('2999-01-01'), noInvalidDate: true })
  .map(date => date.toISOString().replace(/\.\d+Z$/, 'Z'))
const anyLeaf: fc.Arbitrary<Leaf> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('version' as const),
      ...id,
      integrity: base64Of(64).map(text => `sha512-${text}`),
      manifest: base64Of(32).map(text => `sha256-${text}`),
      seen: second,
      signature: fc.record({ keyid, sig: derOf(8, 80) }),
    },
    { requiredKeys: ['kind', 'namespace', 'name', 'version', 'integrity', 'manifest', 'seen'] },
  ),
  fc.record({
    kind: fc.constant('registry-key' as const),
    action: fc.constantFrom('add' as const, 'retire' as const),
    namespace: id.namespace,
    keyid,
    spki: derOf(32, 200),
    expires: fc.oneof(
      fc.constant(null),
      second,
      second.map(s => s.replace('Z', '.123Z')),
    ),
  }),
  fc.record({
    kind: fc.constantFrom('tombstone' as const, 'block' as const, 'unblock' as const),
    ...id,
    reason: fc.stringMatching(/^[!-~]{1,9}( [!-~]{1,9}){0,3}$/),
  }),
)

describe('properties', () => {
  test('parseLeaf() reads what encodeLeaf() writes', () => {
    fc.assert(
      fc.property(anyLeaf, leaf => {
        expect(parseLeaf(encodeLeaf(leaf))).toEqual(leaf)
      }),
      { numRuns: 500 },
    )
  })

  test('changed bytes are never read as the same record', () => {
    const change = fc.record({
      at: fc.nat(400),
      drop: fc.nat(2),
      put: fc.uint8Array({ maxLength: 2 }),
    })
    fc.assert(
      fc.property(anyLeaf, change, (leaf, { at, drop, put }) => {
        const bytes = encodeLeaf(leaf)
        const changed = new Uint8Array([
          ...bytes.subarray(0, at),
          ...put,
          ...bytes.subarray(at + drop),
        ])
        if (equalBytes(changed, bytes)) return
        if (!isRefused(() => parseLeaf(changed))) {
          const read = parseLeaf(changed)
          expect(read).not.toEqual(leaf)
          expect(encodeLeaf(read)).toEqual(changed)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('parseLeaf() answers anything else with LeafError', () => {
    const soup = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string().map(s => encodeText(s.toWellFormed())),
    )
    fc.assert(fc.property(soup, bytes => expect(isRefused(() => parseLeaf(bytes))).toBe(true)))
  })
})
