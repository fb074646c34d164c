import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { CheckpointError, LookupError, NoteError, ProofError } from '../../../src/log/errors.ts'
import { formatLookup, parseLookup } from '../../../src/log/lookup.ts'
import { type LogProof, checkProof, formatProof, parseProof } from '../../../src/log/proof.ts'
import { encodeText } from '../../../src/log/text.ts'
import { proveRecord } from '../../../src/log/tree.ts'
import { MemoryLog, flip, testKey, testLeaf } from './memory-log.ts'

// The example of https://c2sp.org/tlog-proof, with its shortened signatures left out.
const EXAMPLE = `c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJw==
`

const log = new MemoryLog(Array.from({ length: 300 }, (_, i) => testLeaf(i)))
const leafAt = (index: number) => log.leaves[index] ?? new Uint8Array(0)

function proofOf(index: number, size = log.size): LogProof {
  return { index, hashes: proveRecord(size, index, log.readHash), checkpoint: log.note(size) }
}

describe('proofs', () => {
  test('parseProof() reads the example of C2SP', () => {
    const proof = parseProof(EXAMPLE)
    expect(proof.index).toBe(73_894)
    expect(proof.hashes).toHaveLength(5)
    expect(new TextDecoder().decode(proof.extra)).toBe('age-v1.2.1-darwin-arm64.tar.gz')
    expect(proof.checkpoint.startsWith('example.com/fancylog\n109482\n')).toBe(true)
    expect(formatProof(proof)).toBe(EXAMPLE)
  })

  test('checkProof() accepts every leaf, and no other leaf, key or proof', () => {
    for (const index of [0, 1, 255, 256, 257, 299]) {
      const proof = parseProof(formatProof(proofOf(index)))
      expect(checkProof(proof, leafAt(index), log.verifier).size).toBe(300)
      expect(() => checkProof(proof, testLeaf(index + 1), log.verifier)).toThrow(ProofError)
      expect(() => checkProof(proof, flip(leafAt(index), 9), log.verifier)).toThrow(ProofError)
      const other = testKey('other.example/log').verifier
      expect(() => checkProof(proof, leafAt(index), other)).toThrow(NoteError)
    }
  })

  test('no file with one character changed proves anything', () => {
    const text = formatProof(proofOf(137))
    for (let i = 0; i < text.length; i++) {
      const changed =
        text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1)
      expect(refused(() => checkProof(parseProof(changed), leafAt(137), log.verifier))).toBe(true)
      const dropped = text.slice(0, i) + text.slice(i + 1)
      expect(refused(() => checkProof(parseProof(dropped), leafAt(137), log.verifier))).toBe(true)
    }
  })

  test('parseProof() refuses other spellings', () => {
    const edits = [
      ['c2sp.org/tlog-proof@v1', 'c2sp.org/tlog-proof@v2'],
      ['index 73894', 'index 073894'],
      ['index 73894', 'index +73894'],
      ['index 73894', 'index  73894'],
      ['index 73894', 'Index 73894'],
      ['index 73894', 'index 9007199254740992'],
      ['index 73894', 'index 73894\nindex 73894'],
      ['index 73894\n', ''],
      ['extra YWdl', 'extra YW dl'],
      ['extra YWdl', 'extra  YWdl'],
      ['Lmd6\n', 'Lmd6\nextra AA==\n'],
      ['dPlQ=', 'dPlR='],
      ['dPlQ=', 'dPlQ'],
      ['dPlQ=\n', 'dPlQ= \n'],
      ['dPlQ=\n', 'dPlQ=\r\n'],
      ['gSKy', ''],
    ] as const
    for (const [from, to] of edits) {
      expect(EXAMPLE).toContain(from)
      expect(() => parseProof(EXAMPLE.replace(from, to)), `${from} -> ${to}`).toThrow(ProofError)
    }
    expect(() => parseProof('')).toThrow(ProofError)
    expect(() => parseProof(EXAMPLE.replace('\n\n', '\n'))).toThrow()
    const many = `${'AAAA'.repeat(10)}AAA=\n`.repeat(64)
    expect(() => parseProof(EXAMPLE.replace('gSKy', `${many}gSKy`))).toThrow(ProofError)
  })

  test('parseProof() reads what formatProof() writes', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const proof = fc.record(
      {
        index: fc.maxSafeNat(),
        hashes: fc.array(hash, { maxLength: 63 }),
        checkpoint: fc.string({ minLength: 1 }),
        extra: fc.uint8Array({ maxLength: 100 }),
      },
      { requiredKeys: ['index', 'hashes', 'checkpoint'] },
    )
    fc.assert(fc.property(proof, value => expect(parseProof(formatProof(value))).toEqual(value)))
    const bad = { ...proofOf(1), index: -1 }
    expect(() => formatProof(bad)).toThrow(ProofError)
  })
})

describe('lookup answers', () => {
  // golang.org/x/mod v0.42.0 sumdb/tlog/note_test.go TestFormatRecord, TestParseRecord.
  test('match Go’s', () => {
    const text = encodeText('hello, world\n')
    expect(formatLookup(123_456_789_012, text, '')).toBe('123456789012\nhello, world\n\n')
    const answer = parseLookup(encodeText('123456789012\nhello, world\n\njunk on end'))
    expect(answer).toEqual({ index: 123_456_789_012, leaf: text, note: 'junk on end' })
    for (const bad of ['', 'hello\nworld', 'hello\n\nworld\n', '\n', '\nhello\n']) {
      expect(() => formatLookup(1, encodeText(bad), '')).toThrow(LookupError)
    }
    for (const bad of [
      '',
      'not-123456789012\nhello, world\n\n',
      '123\nhello world\n',
      '123\n\nhello\n\n',
      '123\n\n',
      '0x123\nhello world\n\n',
      '0123\nhello world\n\n',
      '-1\nhello world\n\n',
      '9007199254740992\nhello\n\n',
      '123 \nhello\n\n',
      '123\r\nhello\r\n\r\n',
    ]) {
      expect(() => parseLookup(encodeText(bad)), JSON.stringify(bad)).toThrow(LookupError)
    }
    const torn = new Uint8Array([...encodeText('1\nhello'), 0xff, 10, 10])
    expect(() => parseLookup(torn)).toThrow(LookupError)
    expect(() => parseLookup(new Uint8Array(2_000_000))).toThrow(LookupError)
  })

  test('parseLookup() reads what formatLookup() writes', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1000), fc.string(), (index, n, note) => {
        const leaf = testLeaf(n)
        const bytes = encodeText(formatLookup(index, leaf, note))
        expect(parseLookup(bytes)).toEqual({ index, leaf, note })
      }),
    )
  })
})

function refused(run: () => unknown): boolean {
  try {
    run()
  } catch (error) {
    if (error instanceof ProofError || error instanceof NoteError) return true
    if (error instanceof CheckpointError) return true
    throw error
  }
  return false
}
