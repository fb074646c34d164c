/**
 * The scanner against JSON.parse as its judge, and documents that are no packuments (fault table H4,
 * U5).
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { DEPTH_MAX, JsonScan, memberOf, repeatedKey } from '../../../../src/registries/json-scan.ts'
import {
  readDistTags,
  readTimes,
  scanPackument,
} from '../../../../src/registries/packument/packument-scan.ts'
import { encode } from '../vectors.ts'

const MEMBERS_MAX = 1000

// The end of the first value, or undefined when the scanner refuses the text.
function scanned(text: string): boolean {
  const json = new JsonScan(encode(text))
  try {
    return json.skipSpace(json.value(json.skipSpace(0))) === json.bytes.length
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError)
    return false
  }
}

function parsed(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Where the value ends; undefined when it is refused. */
function endOf(bytes: Uint8Array): number | undefined {
  try {
    return new JsonScan(bytes).value(0)
  } catch {
    return undefined
  }
}

describe('JsonScan', () => {
  const literals = [
    '',
    ' ',
    '-',
    '-0',
    '01',
    '1.',
    '.5',
    '1.5e',
    '1e+',
    '1e400',
    '1E-7',
    '+1',
    '0x1',
    'NaN',
    'Infinity',
    'nul',
    'nulll',
    'true ',
    'True',
    '"',
    '"\\',
    '"\\x"',
    '"\\u12"',
    '"\\u12G4"',
    '"\\ud800"',
    '"\t"',
    '"\u007f"',
    "'a'",
    '[',
    '[]',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{}',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,}',
    '{"a":1 "b":2}',
    '{a:1}',
    '{"a":[{}]}',
    '{"a":1}}',
    '[1]]',
    '[}',
    '{]',
    '\ufeff{}',
    '{}\0',
    '\u00a0{}',
    '\v1',
    '/**/1',
    '1 1',
  ]

  test.each(literals)('agrees with JSON.parse on %j', text => {
    expect(scanned(text)).toBe(parsed(text))
  })

  test('takes any JSON, however it is spaced', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat({ max: 3 }), (value, indent) => {
        expect(scanned(JSON.stringify(value, null, indent))).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('agrees with JSON.parse on JSON with one character changed, lost or added', () => {
    const noise = fc.constantFrom(...'{}[]",:\\0-9.eEu tfn\t\n\u0001/é'.split(''))
    fc.assert(
      fc.property(fc.json(), fc.nat(), noise, fc.nat({ max: 2 }), (text, at, char, kind) => {
        const i = at % (text.length + 1)
        const broken =
          text.slice(0, i) + (kind === 1 ? '' : char) + text.slice(i + (kind === 2 ? 0 : 1))
        if (broken.isWellFormed()) expect(scanned(broken)).toBe(parsed(broken))
      }),
      { numRuns: 2_000 },
    )
  })

  test('finds the members that JSON.parse finds, with their values and names', () => {
    const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue())
    fc.assert(
      fc.property(object, fc.nat({ max: 2 }), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        const json = new JsonScan(encode(text))
        const range = json.object(0, MEMBERS_MAX)
        expect(range.end).toBe(json.bytes.length)
        expect(repeatedKey(range)).toBeUndefined()
        const found = range.members.map(member => [member.key, json.parse(member)])
        expect(found).toEqual(Object.entries(JSON.parse(text)))
      }),
      { numRuns: 1_000 },
    )
  })

  test('ends long text where JSON.parse does, wherever in it and in memory a byte stands', () => {
    const long = 'é' + 'x'.repeat(60)
    for (let shift = 0; shift < 4; shift += 1) {
      for (let at = 0; at < 8; at += 1) {
        for (let byte = 0; byte < 128; byte += 1) {
          const char = String.fromCharCode(byte)
          const text = `["${long}${'y'.repeat(at)}${char}${'z'.repeat(3)}",""]`
          const bytes = encode(' '.repeat(shift) + text).subarray(shift)
          const isWhole = endOf(bytes) === bytes.length
          expect([byte, at, shift, isWhole]).toEqual([byte, at, shift, parsed(text)])
        }
      }
    }
  })

  test('counts names as they stand, repetitions included', () => {
    const json = new JsonScan(encode('{"a":{"x":1,"x":2,"y":[{"z":0}]},"b":3}'))
    expect(json.object(0, MEMBERS_MAX).members.map(({ names }) => names)).toEqual([4, 0])
  })

  test('compares keys after their escapes', () => {
    const json = new JsonScan(encode('{"\\u0061":1,"a":2}'))
    expect(repeatedKey(json.object(0, MEMBERS_MAX))).toBe('a')
  })

  test('refuses what nests too deep at once, and an object of too many members', () => {
    const deep = '['.repeat(DEPTH_MAX) + ']'.repeat(DEPTH_MAX)
    expect(scanned(deep)).toBe(true)
    expect(scanned(`[${deep}]`)).toBe(false)
    const started = performance.now()
    expect(scanned('['.repeat(5_000_000))).toBe(false)
    expect(scanned('{"a":'.repeat(1_000_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(4_000)
    const json = new JsonScan(
      encode(
        Object.fromEntries([
          ['a', 1],
          ['b', 2],
        ]),
      ),
    )
    expect(() => json.object(0, 1)).toThrow('more than 1 members')
  })
})

describe('scanPackument()', () => {
  test('finds versions, tags and times in place', () => {
    const text =
      '{ "name" : "pkg" , "versions" : { "1.0.0" : {"a":1} , "2.0.0":{} },' +
      ' "dist-tags":{"latest":"2.0.0"}, "time":{"modified":"m","1.0.0":"t","x":1} }\n'
    const scan = scanPackument(encode(text))
    expect(scan.name).toBe('pkg')
    const versions = scan.versions?.members ?? []
    expect(versions.map(member => [member.key, scan.json.parse(member)])).toEqual([
      ['1.0.0', { a: 1 }],
      ['2.0.0', {}],
    ])
    expect(readDistTags(scan)).toEqual([['latest', '2.0.0']])
    expect([...readTimes(scan)]).toEqual([
      ['modified', 'm'],
      ['1.0.0', 't'],
    ])
  })

  test('reads an unpublished package, which has no versions', () => {
    const scan = scanPackument(encode('{"name":"pkg","time":{"unpublished":{"name":"x"}}}'))
    expect(scan.versions).toBeUndefined()
    expect(readDistTags(scan)).toEqual([])
    expect(readTimes(scan).size).toBe(0)
  })

  test('keeps prototype names apart from prototypes', () => {
    const text =
      '{"name":"p","versions":{"__proto__":{},"constructor":{}},"time":{"__proto__":"x"}}'
    const scan = scanPackument(encode(text))
    expect(scan.versions?.members.map(({ key }) => key)).toEqual(['__proto__', 'constructor'])
    expect(memberOf(scan.document, 'toString')).toBeUndefined()
  })

  const nonsense = [
    '',
    ' ',
    'null',
    '[]',
    '[{"name":"pkg"}]',
    '1',
    '"pkg"',
    '{}',
    '{"error":"not found"}',
    '<!doctype html><html></html>',
    'Not Found',
    '\ufeff{"name":"pkg"}',
    '\0',
    '{"name":"pkg"}\0',
    '{"name":"pkg"} {}',
    '{"name":"pkg"',
    '{"name":"pkg","versions":{"1.0.0":{"a":1}',
    '{"name":1}',
    '{"name":null}',
    '{"name":"\\ud800"}',
    '{"name":"pkg","name":"pkg"}',
    '{"name":"pkg","n\\u0061me":"other"}',
    '{"name":"pkg","versions":[]}',
    '{"name":"pkg","versions":null}',
    '{"name":"pkg","versions":{},"versions":{}}',
    '{"name":"pkg","versions":{"1.0.0":{},"1.0.0":{}}}',
    '{"name":"pkg","versions":{"1.0.0":{},"1.0\\u002e0":{}}}',
    '{"name":"pkg","versions":{"\\ud800":{}}}',
    '{"name":"pkg","dist-tags":[]}',
    '{"name":"pkg","dist-tags":{"a":"1","a":"2"}}',
    '{"name":"pkg","dist-tags":{"\\udfff":"1"}}',
    '{"name":"pkg","time":1}',
    '{"name":"pkg","time":{"a":"1","a":"2"}}',
    `{"name":"pkg","x":${'['.repeat(1_000_000)}`,
    JSON.stringify({
      name: 'pkg',
      ...Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [i, i])),
    }),
  ]

  test.each(nonsense)('throws upstream-bad-answer for %.60j', text => {
    expect(() => scanPackument(encode(text))).toThrow(
      expect.objectContaining({ code: 'upstream-bad-answer' }),
    )
  })

  test.each([
    ['UTF-16', Buffer.from('{"name":"pkg"}', 'utf16le')],
    ['an overlong slash', Buffer.from('{"name":"pkg","x":"\xc0\xaf"}', 'latin1')],
    ['a surrogate in UTF-8', Buffer.from('{"name":"pkg","x":"\xed\xa0\x80"}', 'latin1')],
    ['Latin-1', Buffer.from('{"name":"pkg","x":"\xe9"}', 'latin1')],
    ['a cut sequence', Buffer.from('{"name":"pkg","x":"\xe2\x82"}', 'latin1')],
  ])('throws upstream-bad-answer for %s', (_, bytes) => {
    expect(() => scanPackument(bytes)).toThrow(
      expect.objectContaining({ code: 'upstream-bad-answer' }),
    )
  })

  test('throws upstream-bad-answer for a document cut anywhere', () => {
    const text = '{"name":"pkg","versions":{"1.0.0":{"a":[1,{"b":"\\u00e9é"}]}},"time":{"a":"b"}}'
    const bytes = encode(text)
    expect(scanPackument(bytes).name).toBe('pkg')
    for (let end = 0; end < bytes.length; end++) {
      expect(() => scanPackument(bytes.subarray(0, end))).toThrow(RegistryError)
    }
  })

  test('says in one line what is wrong and where', () => {
    expect(() => scanPackument(encode('<html>'))).toThrow(
      'the answer is not JSON: it has "<" at byte 0, where an object belongs',
    )
    expect(() => scanPackument(encode('{"name":"p"'))).toThrow('it ends at byte 11')
  })

  test('passes over a million keys and 10 MB of text in a moment', () => {
    const keys = Array.from({ length: 1_000_000 }, (_, i) => `"${i}":0`).join(',')
    const text = `{"name":"pkg","users":{${keys}},"readme":"${'x\\n'.repeat(1_000_000)}"}`
    const started = performance.now()
    expect(scanPackument(encode(text)).name).toBe('pkg')
    expect(performance.now() - started).toBeLessThan(4_000)
  })
})
