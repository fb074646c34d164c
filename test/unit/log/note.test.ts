import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { checkpointTextCases } from './checkpoint-cases.ts'
import { signCheckpoint, formatCheckpoint, openCheckpoint } from '../../../src/log/checkpoint.ts'
import { parseCheckpoint } from '../../../src/log/checkpoint.ts'
import { CheckpointError, NoteError } from '../../../src/log/errors.ts'
import {
  formatKeyId,
  formatSignature,
  generateLogKey,
  newSigner,
  newVerifier,
  openNote,
  parseNote,
  signNote,
} from '../../../src/log/note.ts'
import { EMPTY_ROOT } from '../../../src/log/tree.ts'
import { flip, testKey } from './memory-log.ts'

// golang.org/x/mod v0.42.0 sumdb/note/note_test.go.
const PETER_SKEY = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'
const PETER_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const ENOCH_VKEY = 'EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop'
const TEXT =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n"
const PETER_SIG =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n'
const ENOCH_SIG =
  '— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n'

const peter = newVerifier(PETER_VKEY)
const enoch = newVerifier(ENOCH_VKEY)

function code(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof NoteError || error instanceof CheckpointError) return error.code
    throw error
  }
  return 'accepted'
}

describe('keys (x/mod TestNewVerifier, TestNewSigner, TestGenerateKey)', () => {
  test('newVerifier() and newSigner() read Go’s keys', () => {
    const signer = newSigner(PETER_SKEY)
    expect(signer.name).toBe('PeterNeumann')
    expect(signer.keyHash).toBe(0xc74f20a3)
    expect(signer.vkey).toBe(PETER_VKEY)
    expect(formatKeyId(peter)).toBe('PeterNeumann+c74f20a3')
    expect(formatKeyId(enoch)).toBe('EnochRoot+af0cfe78')
  })

  test.each([
    ['vkey', PETER_VKEY, newVerifier],
    ['skey', PETER_SKEY, newSigner],
  ] as const)('no part of a %s, and no changed one, is a key', (_, key, read) => {
    for (let start = 0; start <= key.length; start++) {
      for (let end = start; end <= key.length; end++) {
        if (start === 0 && end === key.length) continue
        expect(code(() => read(key.slice(start, end)))).toBe('bad-key')
      }
    }
    for (let i = 0; i < key.length; i++) {
      const next = String.fromCharCode(key.charCodeAt(i) + 1)
      expect(code(() => read(key.slice(0, i) + next + key.slice(i + 1)))).toBe('bad-key')
    }
  })

  test('keys of another length or algorithm are refused, with their hashes adjusted', () => {
    const longer = 'PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=='
    const other = 'PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
    expect(code(() => newVerifier(longer))).toBe('bad-key')
    expect(code(() => newVerifier(other))).toBe('bad-key')
    expect(code(() => newVerifier(PETER_VKEY.replace('c74f20a3', 'C74F20A3')))).toBe('bad-key')
  })

  test('errors about a signer key do not repeat it', () => {
    const secret = PETER_SKEY.slice(-20)
    for (const wrong of [`${PETER_SKEY}x`, PETER_SKEY.replace('c74f', 'c74e')]) {
      try {
        newSigner(wrong)
        expect.unreachable()
      } catch (error) {
        expect(String(error)).not.toContain(secret)
      }
    }
  })

  test('generateLogKey() makes keys that belong together; names are checked', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), seed => {
        const { skey, vkey } = generateLogKey('registry.example/log', seed)
        expect(newSigner(skey).vkey).toBe(vkey)
        expect(newVerifier(vkey).vkey).toBe(vkey)
      }),
      { numRuns: 20 },
    )
    for (const name of ['', 'a b', 'a+b', 'a\u00a0b', 'a\u0085b', 'a\u2003b', 'a\nb', 'a\ud800']) {
      expect(code(() => generateLogKey(name, new Uint8Array(32)))).toBe('bad-key')
    }
  })
})

describe('notes (x/mod TestSign, TestOpen)', () => {
  test('signNote() writes Go’s note', () => {
    expect(signNote(TEXT, newSigner(PETER_SKEY))).toBe(`${TEXT}\n${PETER_SIG}`)
    for (const text of ['abc', '', 'a\r\n', 'a\u0000\n', '\ud800\n']) {
      expect(code(() => signNote(text, newSigner(PETER_SKEY)))).toBe('malformed-note')
    }
  })

  test('openNote() tells verified from unknown signatures', () => {
    const note = `${TEXT}\n${PETER_SIG}${ENOCH_SIG}`
    const one = openNote(note, [peter])
    expect(one.text).toBe(TEXT)
    expect(one.verified.map(formatKeyId)).toEqual(['PeterNeumann+c74f20a3'])
    expect(one.unverified.map(formatKeyId)).toEqual(['EnochRoot+af0cfe78'])
    expect(openNote(note, [peter, enoch]).verified).toHaveLength(2)
    expect(code(() => openNote(note, []))).toBe('unverified-note')
    expect(openNote(`${TEXT}\n${PETER_SIG}${PETER_SIG}`, [peter]).verified).toHaveLength(1)
  })

  test('openNote() refuses a known key’s wrong signature, whoever else signed', () => {
    const wrong = `${PETER_SIG.slice(0, 60)}ABCD${PETER_SIG.slice(60)}`
    expect(code(() => openNote(`${TEXT}\n${wrong}`, [peter]))).toBe('bad-signature')
    expect(code(() => openNote(`${TEXT}\n${ENOCH_SIG}${wrong}`, [peter, enoch]))).toBe(
      'bad-signature',
    )
    // Not known: not asked.
    expect(openNote(`${TEXT}\n${ENOCH_SIG}${wrong}`, [enoch]).verified).toHaveLength(1)
  })

  test('a key with the same name and hash is another key: its signatures fail', () => {
    const { signer } = testKey('PeterNeumann', 'mallory')
    const collided = { name: peter.name, keyHash: peter.keyHash }
    const forged = formatSignature(collided, signer.sign(new TextEncoder().encode(TEXT)))
    expect(code(() => openNote(`${TEXT}\n${forged}`, [peter]))).toBe('bad-signature')
    expect(code(() => openNote(`${TEXT}\n${PETER_SIG}`, [peter, peter]))).toBe('ambiguous-key')
    expect(openNote(`${TEXT}\n${PETER_SIG}`, [peter, enoch, enoch]).verified).toHaveLength(1)
  })

  test('openNote() takes 100 signatures, not 101', () => {
    const unknown = Array.from({ length: 99 }, (_, i) =>
      formatSignature({ name: `witness${i}.example`, keyHash: i }, new Uint8Array(72)),
    )
    expect(openNote(`${TEXT}\n${unknown.join('')}${PETER_SIG}`, [peter]).unverified).toHaveLength(
      99,
    )
    const many = `${TEXT}\n${PETER_SIG.repeat(101)}`
    expect(code(() => openNote(many, [peter]))).toBe('malformed-note')
  })

  test('openNote() refuses what is not a note', () => {
    const sig = PETER_SIG
    const line = (s: string) => sig.replace('— PeterNeumann ', s)
    const malformed = [
      '',
      '\n',
      '\n\n',
      TEXT,
      `${TEXT}\n`,
      `${TEXT}\n${sig.slice(0, -1)}`,
      `${TEXT}${sig}`,
      `\u0001${TEXT}\n${sig}`,
      `\ud800${TEXT}\n${sig}`,
      `${TEXT}\n${sig}Unexpected line.\n`,
      `${TEXT}\n${sig}\n`,
      `${TEXT}\n${sig}\n\n`,
      `${TEXT}\n${sig} `,
      `${TEXT}\n${sig.trimEnd()} \n`,
      `${TEXT}\n${sig.trimEnd()}\r\n`,
      `${TEXT}\n${sig}`.replaceAll('\n', '\r\n'),
      `${TEXT}\n ${sig}`,
      `${TEXT}\n${line('— Bad Name ')}`,
      `${TEXT}\n${line('—  PeterNeumann ')}`,
      `${TEXT}\n${line('— PeterNeumann  ')}`,
      `${TEXT}\n${line('– PeterNeumann ')}`,
      `${TEXT}\n${line('-- PeterNeumann ')}`,
      `${TEXT}\n${line('— Peter+Neumann ')}`,
      `${TEXT}\n${line('— Peter\u00a0Neumann ')}`,
      `${TEXT}\n${line('— ')}`,
      `${TEXT}\n— PeterNeumann \n`,
      `${TEXT}\n— PeterNeumann x08gow==\n`,
      `${TEXT}\n— PeterNeumann ${sig.slice(15, -2)}\n`,
      `${TEXT}\n${sig.replace('AM=', 'AN=')}`,
      `${TEXT}\n${sig.replaceAll('/', '_')}`,
      `${TEXT}\n${sig.replace('x08go', 'x0 8go')}`,
    ]
    for (const note of malformed) {
      expect(
        code(() => openNote(note, [peter])),
        JSON.stringify(note),
      ).toBe('malformed-note')
    }
    expect(code(() => openNote(`${'a'.repeat(1_000_000)}\n\n${sig}`, [peter]))).toBe(
      'malformed-note',
    )
  })

  test('openNote() refuses a note with any character of text or signature changed', () => {
    const note = `${TEXT}\n${PETER_SIG}`
    for (let i = 0; i < note.length; i++) {
      const changed =
        note.slice(0, i) + String.fromCharCode(note.charCodeAt(i) ^ 1) + note.slice(i + 1)
      expect(code(() => openNote(changed, [peter]))).not.toBe('accepted')
      const dropped = note.slice(0, i) + note.slice(i + 1)
      expect(code(() => openNote(dropped, [peter]))).not.toBe('accepted')
    }
  })

  test('text with blank lines and lines like signatures ends at the last blank line', () => {
    const { signer, verifier } = testKey()
    const line = fc.constantFrom('', 'a', '— x y', PETER_SIG.trimEnd(), 'é', '\u2028', '🌲')
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), lines => {
        const text = `${lines.join('\n')}\n`
        const note = signNote(text, signer)
        expect(openNote(note, [verifier]).text).toBe(text)
        expect(parseNote(note).signatures).toHaveLength(1)
      }),
    )
  })
})

describe('checkpoints', () => {
  test('parseCheckpoint() accepts exactly what C2SP does', () => {
    for (const { text, accepted } of checkpointTextCases) {
      expect(code(() => parseCheckpoint(text)) === 'accepted', JSON.stringify(text)).toBe(accepted)
    }
  })

  test('parseCheckpoint() reads what formatCheckpoint() writes, and nothing else as the same', () => {
    const checkpoint = fc.record({
      origin: fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
        .filter(s => code(() => formatCheckpoint(at(s))) === 'accepted'),
      size: fc.maxSafeNat().filter(n => n > 0),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    fc.assert(
      fc.property(checkpoint, fc.nat(150), fc.string({ maxLength: 1 }), (value, where, piece) => {
        const text = formatCheckpoint(value)
        expect(parseCheckpoint(text)).toEqual(value)
        const near = text.slice(0, where) + piece + text.slice(where + 1)
        if (near !== text && code(() => parseCheckpoint(near)) === 'accepted') {
          expect(near.startsWith(text) || formatCheckpoint(parseCheckpoint(near)) === near).toBe(
            true,
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  test('openCheckpoint() demands the key of the origin', () => {
    const { signer, verifier } = testKey()
    const checkpoint = { origin: signer.name, size: 1, root: flip(EMPTY_ROOT, 0) }
    const note = signCheckpoint(checkpoint, signer)
    expect(openCheckpoint(note, verifier)).toEqual(checkpoint)
    const other = testKey('other.example/log')
    expect(() => signCheckpoint(checkpoint, other.signer)).toThrow(CheckpointError)
    const foreign = signNote(formatCheckpoint(checkpoint), other.signer)
    expect(code(() => openCheckpoint(foreign, other.verifier))).toBe('wrong-origin')
    expect(code(() => openCheckpoint(note, other.verifier))).toBe('unverified-note')
    expect(code(() => openCheckpoint(note, testKey(signer.name, 'x').verifier))).toBe(
      'unverified-note',
    )
    expect(code(() => openCheckpoint(signNote('hello\n', signer), verifier))).toBe('bad-checkpoint')
  })
})

function at(origin: string) {
  return { origin, size: 1, root: new Uint8Array(32) }
}
