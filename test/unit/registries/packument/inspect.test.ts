/**
 * Verdicts: real signatures (test/vectors/npm) through whole packuments, then each rule.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { inspectPackument } from '../../../../src/registries/packument/inspect.ts'
import {
  encode,
  integrityFor,
  makeDist,
  makeInput,
  makeKey,
  makeKnown,
  makePackument,
  realKeys,
  realSignatures,
  type TestKey,
  wrongSignatures,
} from '../vectors.ts'

const key = makeKey()
const trusted = makeInput('pkg', { keys: [key], registrySigns: true })

function document(name: string, version: string, dist: object, more: object = {}) {
  return { name, versions: { [version]: { name, version, dist, ...more } } }
}

function only(value: unknown, input = trusted) {
  const [version] = inspectPackument(encode(value), input).versions
  if (version === undefined) throw new Error('no version was found')
  return version
}

function real(vector: (typeof realSignatures)[number]) {
  const { name, version, integrity, keyid, sig } = vector
  const tarball = 'https://registry.example/x/-/x-1.tgz'
  const value = document(name, version, { integrity, tarball, signatures: [{ keyid, sig }] })
  return only(value, makeInput(name, { keys: realKeys, registrySigns: true }))
}

describe('real signatures', () => {
  test('all 130 are valid', () => {
    for (const vector of realSignatures) {
      const { keyid, sig, integrity } = vector
      const found = real(vector)
      expect(found).toMatchObject({ verdict: 'valid', detail: '', integrity })
      expect(found.signature).toEqual({ keyid, sig })
    }
  })

  test('the 4 of another name are bad', () => {
    for (const vector of wrongSignatures) expect(real(vector).verdict).toBe('bad-signature')
  })

  test('none is good with a character of name, version, integrity, sig or keyid changed', () => {
    for (const [i, vector] of realSignatures.entries()) {
      for (const field of ['name', 'version', 'integrity', 'sig', 'keyid'] as const) {
        const text = vector[field]
        const at = (i * 7) % text.length
        const char = text.charAt(at) === 'a' ? 'b' : 'a'
        const found = real({ ...vector, [field]: text.slice(0, at) + char + text.slice(at + 1) })
        expect(found.signature).toBeNull()
        expect(found.verdict).toMatch(/^(?:bad-signature|no-integrity|unknown-key|invalid)$/)
      }
    }
  })
})

describe('signatures', () => {
  test('one valid signature by a trusted key is enough, wherever it stands', () => {
    const other = makeKey()
    for (const keys of [
      [key, other],
      [other, key],
    ]) {
      const dist = makeDist('pkg', '1.0.0', keys)
      dist.signatures.push({ keyid: key.keyid, sig: 'AAAA' })
      expect(only(document('pkg', '1.0.0', dist))).toMatchObject({ verdict: 'valid' })
    }
  })

  test.each([
    ['none', []],
    ['no list', 'x'],
    ['no entries', [null, 1, 'x', {}, { keyid: 1, sig: 2 }]],
    ['entries too long to be any', [{ keyid: key.keyid, sig: 'A'.repeat(2000) }]],
  ])('unsigned: %s', (_, signatures) => {
    const dist = { ...makeDist('pkg', '1.0.0', []), signatures }
    expect(only(document('pkg', '1.0.0', dist))).toMatchObject({
      verdict: 'unsigned',
      signature: null,
    })
  })

  test('tells a bad signature, an expired key and an unknown key apart, the worst first', () => {
    const expired = makeKey('2020-01-01T00:00:00.000Z')
    const stranger = makeKey()
    const input = { ...trusted, keys: [key, expired], packageKnown: true }
    const bad = { keyid: key.keyid, sig: stranger.sign('x') }
    const [late] = makeDist('pkg', '1.0.0', [expired]).signatures
    const [unknown] = makeDist('pkg', '1.0.0', [stranger]).signatures
    const verdictOf = (...signatures: unknown[]) => {
      const dist = { ...makeDist('pkg', '1.0.0', []), signatures }
      return only(document('pkg', '1.0.0', dist), input).verdict
    }
    expect(verdictOf(unknown)).toBe('unknown-key')
    expect(verdictOf(unknown, late)).toBe('expired-key')
    expect(verdictOf(unknown, late, bad)).toBe('bad-signature')
  })

  test('verifies no more than 16', () => {
    const dist = makeDist('pkg', '1.0.0', [key])
    dist.signatures.unshift(...Array.from({ length: 16 }, () => ({ keyid: 'x', sig: 'AAAA' })))
    expect(only(document('pkg', '1.0.0', dist)).verdict).toBe('unknown-key')
  })

  test('a registry that publishes no keys is taken unsigned, whatever it sends', () => {
    const dist = makeDist('pkg', '1.0.0', [key])
    const found = only(document('pkg', '1.0.0', dist), makeInput('pkg'))
    expect(found).toMatchObject({ verdict: 'unsigned-registry', signature: null, detail: '' })
    expect(found.signatures).toHaveLength(1)
  })

  test('a registry that once published keys is not taken unsigned when none is left', () => {
    const dist = makeDist('pkg', '1.0.0', [key])
    const input = makeInput('pkg', { registrySigns: true })
    expect(only(document('pkg', '1.0.0', dist), input).verdict).toBe('unknown-key')
  })
})

describe('expiry', () => {
  const expired = makeKey('2025-01-29T00:00:00.000Z')
  const input = makeInput('pkg', { keys: [expired], registrySigns: true })

  function judged(time: unknown, packageKnown: boolean, now = input.now): string {
    const value = { ...document('pkg', '1.0.0', makeDist('pkg', '1.0.0', [expired])), time }
    return only(value, { ...input, packageKnown, now }).verdict
  }

  test('goes by the registry’s time for what was there when the package was first seen', () => {
    expect(judged({ '1.0.0': '2025-01-28T23:59:59.999Z' }, false)).toBe('valid')
    expect(judged({ '1.0.0': '2025-01-29T00:00:00.000Z' }, false)).toBe('expired-key')
    expect(judged({ '1.0.0': '2026-01-01T00:00:00.000Z' }, false)).toBe('expired-key')
    expect(judged({}, false)).toBe('valid')
    expect(judged({ '1.0.0': 'long ago' }, false)).toBe('expired-key')
  })

  test('goes by our own clock for what appeared since: a forged time does not help', () => {
    expect(judged({ '1.0.0': '2011-01-01T00:00:00.000Z' }, true)).toBe('expired-key')
    expect(judged({}, true)).toBe('expired-key')
    expect(judged({}, true, '2025-01-28T00:00:00Z')).toBe('valid')
  })
})

describe('what the log knows', () => {
  const { integrity } = makeDist('pkg', '1.0.0', [])
  const signature = { keyid: 'k', sig: 's' }
  const known = { ...makeKnown('1.0.0', integrity), signature }
  const input = { ...trusted, known: [known], packageKnown: true }

  test('needs no signature when its integrity is unchanged, and keeps the logged one', () => {
    for (const keys of [[], [key], [makeKey()]] satisfies TestKey[][]) {
      const found = only(document('pkg', '1.0.0', makeDist('pkg', '1.0.0', keys)), input)
      expect(found).toMatchObject({ verdict: 'logged', detail: '', signature })
    }
  })

  test('is a conflict when its integrity changed, however well signed', () => {
    const dist = makeDist('pkg', '1.0.0', [])
    dist.integrity = integrityFor('swapped')
    dist.signatures = [{ keyid: key.keyid, sig: key.sign(`pkg@1.0.0:${dist.integrity}`) }]
    const found = only(document('pkg', '1.0.0', dist), input)
    expect(found).toMatchObject({ verdict: 'conflict', signature: null })
    expect(found.detail).toContain(integrity)
    expect(found.detail).toContain(dist.integrity)
  })

  test('stays logged when the registry stops sending an integrity, and says so', () => {
    const { integrity: _, ...dist } = makeDist('pkg', '1.0.0', [key])
    const found = only(document('pkg', '1.0.0', dist), input)
    expect(found).toMatchObject({ verdict: 'logged', integrity: null, signature })
    expect(found.detail).toContain('no longer')
  })

  test('shows a changed manifest by its hash, and saves the text of an unchanged one', () => {
    const changed = document('pkg', '1.0.0', makeDist('pkg', '1.0.0', []), { bin: 'x' })
    const first = only(changed, input)
    expect(first.projection).toBe('{"bin":{"pkg":"x"}}')
    const again = { ...known, manifestHash: first.manifestHash }
    const second = only(changed, { ...input, known: [again] })
    expect(second).toMatchObject({ projection: '', manifestHash: first.manifestHash })
  })
})

describe('invalid versions', () => {
  const dist = makeDist('pkg', '1.0.0', [key])
  const good = { name: 'pkg', version: '1.0.0', dist }

  const entries: [string, unknown, string][] = [
    ['no object', 1, 'not an object'],
    ['a list', [good], 'not an object'],
    ['null', null, 'not an object'],
    ['another name', { ...good, name: 'other' }, 'another name'],
    ['no name', { ...good, name: undefined }, 'another name'],
    ['another version', { ...good, version: '1.0.1' }, 'another version'],
    ['no dist', { ...good, dist: undefined }, 'no tarball'],
    ['no tarball', { ...good, dist: { ...dist, tarball: undefined } }, 'no tarball'],
    ['a lone surrogate', { ...good, bin: { a: '\ud800' } }, 'no canonical form'],
  ]

  test.each(entries)('%s', (_, entry, why) => {
    const found = only({ name: 'pkg', versions: { '1.0.0': entry } })
    expect(found).toMatchObject({ verdict: 'invalid', signature: null })
    expect(found.detail).toContain(why)
  })

  const inside = JSON.stringify(good).slice(1, -1)
  test.each([
    ['in the manifest', `{${inside},"version":"1.0.0"}`],
    ['in dist', `{${inside.replace('"dist":{', '"dist":{"integrity":"x",')}}`],
    ['in dependencies', `{${inside},"dependencies":{"a":"1","a":"2"}}`],
    ['in dependencies, escaped', `{${inside},"dependencies":{"a":"1","\\u0061":"2"}}`],
    ['deep in scripts', `{${inside},"scripts":{"x":{"y":1,"y":1}}}`],
  ])('a key twice %s', (_, text) => {
    const found = only(`{"name":"pkg","versions":{"1.0.0":${text}}}`)
    expect(found).toMatchObject({ verdict: 'invalid', detail: 'its manifest repeats a key' })
  })

  test('a key twice where nobody looks is passed on', () => {
    const text = `{"name":"pkg","versions":{"1.0.0":{${inside},"config":{"a":1,"a":2}}}}`
    expect(only(text).verdict).toBe('valid')
  })

  test('a number that no double holds counts in the projection alone', () => {
    const huge = `{"name":"pkg","versions":{"1.0.0":{${inside},"engines":{"a":1e400}}}}`
    expect(only(huge).verdict).toBe('invalid')
    const passed = `{"name":"pkg","versions":{"1.0.0":{${inside},"x":1e400}}}`
    expect(only(passed).verdict).toBe('valid')
  })

  test.each(['__proto__', 'constructor', '', ' ', '1.0.0\n', 'a/b', '@', '..', '1'.repeat(257)])(
    'or not, by its version %j',
    version => {
      const text = JSON.stringify({ ...good, version, dist: makeDist('pkg', version, [key]) })
      const found = only(`{"name":"pkg","versions":{${JSON.stringify(version)}:${text}}}`)
      expect(found.verdict).toBe(version === 'constructor' ? 'valid' : 'invalid')
    },
  )

  test.each([
    'ftp://registry.example/x.tgz',
    'file:///etc/passwd',
    '/x.tgz',
    'https://user:pass@registry.example/x.tgz',
    'https://registry.example/x y.tgz',
    'https://registry.example/x\\y.tgz',
    'https://registry.example/\u00e9.tgz',
    `https://registry.example/${'x'.repeat(2048)}`,
  ])('or with the tarball %j', tarball => {
    expect(only(document('pkg', '1.0.0', { ...dist, tarball })).verdict).toBe('invalid')
  })

  test('leave the others alone', () => {
    const value = makePackument('pkg', ['1.0.0', '1.0.1', '1.0.2'], [key])
    value.versions['1.0.1'] = { name: 'x' }
    const verdicts = inspectPackument(encode(value), trusted).versions.map(v => v.verdict)
    expect(verdicts).toEqual(['valid', 'invalid', 'valid'])
  })
})

describe('integrity', () => {
  test.each([undefined, '', 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=', 'md5-x', 1])(
    'none in %j',
    integrity => {
      const dist = { ...makeDist('pkg', '1.0.0', [key]), integrity }
      expect(only(document('pkg', '1.0.0', dist))).toMatchObject({
        verdict: 'no-integrity',
        integrity: null,
      })
    },
  )

  test('no-integrity holds where nothing is signed, too', () => {
    const { integrity: _, ...dist } = makeDist('pkg', '1.0.0', [])
    expect(only(document('pkg', '1.0.0', dist), makeInput('pkg')).verdict).toBe('no-integrity')
  })
})

describe('files', () => {
  function filesOf(tarballs: Record<string, string>): Record<string, string> {
    const value = makePackument('@s/pkg', Object.keys(tarballs), [])
    for (const [version, tarball] of Object.entries(tarballs)) {
      value.versions[version] = {
        name: '@s/pkg',
        version,
        dist: { ...makeDist('@s/pkg', version, []), tarball },
      }
    }
    const { versions } = inspectPackument(encode(value), makeInput('@s/pkg'))
    return Object.fromEntries(versions.map(({ version, file }) => [version, file]))
  }

  test('are the upstream’s where they are the package’s own, else the usual ones', () => {
    expect(
      filesOf({
        '1.0.0': 'https://registry.example/@s/pkg/-/pkg-1.0.0.tgz',
        '3.1.0-dev': 'https://registry.example/@s/pkg/-/pkg-3001.0001.0000-dev.tgz',
        '1.1.0': 'https://registry.example/download/0a1b2c',
        '1.2.0': 'https://registry.example/@s/pkg/-/pkg-1.2.0.tgz?x=y#z',
        '1.3.0': 'https://registry.example/other/-/other-1.3.0.tgz',
      }),
    ).toEqual({
      '1.0.0': 'pkg-1.0.0.tgz',
      '3.1.0-dev': 'pkg-3001.0001.0000-dev.tgz',
      '1.1.0': 'pkg-1.1.0.tgz',
      '1.2.0': 'pkg-1.2.0.tgz',
      '1.3.0': 'pkg-1.3.0.tgz',
    })
  })

  test('are unique: nobody takes the name of another version', () => {
    const version = fc.constantFrom('1.0.0', '1.0.1', '1.0.2', 'x')
    const map = fc.dictionary(version, version, { minKeys: 1 })
    fc.assert(
      fc.property(map, claims => {
        const tarballs = Object.entries(claims).map(([own, claimed]): [string, string] => [
          own,
          `https://registry.example/@s/pkg/-/pkg-${claimed}.tgz`,
        ])
        const files = Object.values(filesOf(Object.fromEntries(tarballs)))
        expect(new Set(files).size).toBe(files.length)
      }),
    )
  })
})

describe('inspectPackument()', () => {
  test('reports tags, times and the hash of what came', () => {
    const bytes = encode(makePackument('pkg', ['1.0.0', '2.0.0'], [key]))
    const inspection = inspectPackument(bytes, trusted)
    expect(inspection).toMatchObject({
      name: 'pkg',
      distTags: [['latest', '2.0.0']],
      modified: '2026-01-02T00:00:00.000Z',
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })
    expect(inspection.versions.map(v => [v.version, v.published, v.file])).toEqual([
      ['1.0.0', '2026-01-01T00:00:00.000Z', 'pkg-1.0.0.tgz'],
      ['2.0.0', '2026-01-01T00:00:00.000Z', 'pkg-2.0.0.tgz'],
    ])
  })

  test('reads an abbreviated document, which has `modified` and no `time`', () => {
    const { time: _, ...rest } = makePackument('pkg', ['1.0.0'], [key])
    const inspection = inspectPackument(encode({ ...rest, modified: 'm' }), trusted)
    expect(inspection).toMatchObject({ modified: 'm', versions: [{ published: null }] })
  })

  test('throws upstream-bad-answer for the document of another package', () => {
    const bytes = encode(makePackument('other\u001b[31m', [], []))
    expect(() => inspectPackument(bytes, trusted)).toThrow('the document of "other\\u001b[31m"')
    expect(() => inspectPackument(encode('{"name":"PKG"}'), trusted)).toThrow(RegistryError)
  })

  test('gives verdicts or throws a RegistryError for any document', () => {
    const entry = fc.oneof(
      fc.jsonValue(),
      fc.record({ name: fc.constant('pkg'), dist: fc.jsonValue() }),
    )
    const value = fc.record({
      'name': fc.constant('pkg'),
      'versions': fc.dictionary(fc.string(), entry),
      'time': fc.oneof(fc.jsonValue(), fc.constant({})),
      'dist-tags': fc.constant({}),
    })
    fc.assert(
      fc.property(value, packument => {
        try {
          for (const version of inspectPackument(encode(packument), trusted).versions) {
            expect(version.verdict).toBe('invalid')
          }
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError)
        }
      }),
      { numRuns: 500 },
    )
  })
})
