/**
 * Edits of JSON text, with the parsed value as the judge of what they mean.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { applyEdits, editObject, type ObjectChange } from '../../../src/registries/json-edit.ts'
import { JsonScan } from '../../../src/registries/json-scan.ts'
import { encode } from './vectors.ts'

const MEMBERS_MAX = 1000

function edited(text: string, change: ObjectChange): string {
  const json = new JsonScan(encode(text))
  const edits = editObject(json.object(0, MEMBERS_MAX), change)
  return Buffer.concat([...applyEdits(json.bytes, 0, json.bytes.length, edits)]).toString()
}

describe('editObject()', () => {
  test('leaves everything else byte for byte', () => {
    const text = '{ "a" : 1e400 ,\n"b":"\\u0041" , "c" : [ ] }'
    expect(edited(text, {})).toBe(text)
    expect(edited(text, { set: new Map([['b', '2']]) })).toBe(
      '{ "a" : 1e400 ,\n"b":2 , "c" : [ ] }',
    )
    expect(edited(text, { keep: key => key !== 'b' })).toBe('{ "a" : 1e400 , "c" : [ ] }')
    expect(edited(text, { keep: key => key !== 'a' })).toBe('{ "b":"\\u0041" , "c" : [ ] }')
    expect(edited(text, { keep: key => key !== 'c' })).toBe('{ "a" : 1e400 ,\n"b":"\\u0041" }')
    expect(edited('{}', { set: new Map([['x', '1']]) })).toBe('{"x":1}')
    expect(edited('{ }', { set: new Map([['x', '1']]) })).toBe('{ "x":1}')
  })

  test('means what the same change of the parsed value means', () => {
    const keys = fc.constantFrom('a', 'b', 'c', 'd', '__proto__', 'é"\\')
    const object = fc.dictionary(keys, fc.jsonValue())
    const inputs = [
      object,
      fc.dictionary(keys, fc.integer()),
      fc.array(keys),
      fc.nat({ max: 2 }),
    ] as const
    fc.assert(
      fc.property(...inputs, (value, set, dropped, indent) => {
        const source = new Map(Object.entries(value))
        for (const key of dropped) if (!Object.hasOwn(set, key)) source.delete(key)
        for (const [key, number] of Object.entries(set)) source.set(key, number)
        const out = edited(JSON.stringify(value, null, indent), {
          keep: key => !dropped.some(other => other === key),
          set: new Map(Object.entries(set).map(([key, number]) => [key, String(number)])),
        })
        const expected = JSON.stringify(Object.fromEntries(source))
        expect(JSON.stringify(JSON.parse(out))).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('applyEdits()', () => {
  test('refuses edits that overlap or leave the text', () => {
    const bytes = encode('0123456789')
    const first = { start: 2, end: 5, text: 'x' }
    for (const second of [
      { start: 4, end: 6, text: '' },
      { start: 1, end: 1, text: '' },
      { start: 9, end: 11, text: '' },
    ]) {
      expect(() => [...applyEdits(bytes, 0, 10, [first, second])]).toThrow('overlap')
    }
    expect(Buffer.concat([...applyEdits(bytes, 1, 9, [first])]).toString()).toBe('1x5678')
  })
})
