import { describe, expect, test } from 'bun:test'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import {
  KeyFileError,
  keyPath,
  openLogKey,
  readLogKey,
  readOrMakeKey,
} from '../../../src/db/keys.ts'
import { openNote, signNote } from '../../../src/log/note.ts'
import { temporaryDir } from './data-dir.ts'

const seed = () => new Uint8Array(32).fill(5)
const ORIGIN = 'registry.example/log'

describe('openLogKey()', () => {
  test('makes the key once, private; its name stays whatever is asked later', () => {
    using dir = temporaryDir()
    const made = openLogKey(dir.path, ORIGIN, false, seed)
    expect(statSync(keyPath(dir.path, 'log.key')).mode & 0o777).toBe(0o600)
    const again = openLogKey(dir.path, 'elsewhere.example/log', true, () => {
      throw new Error('no second key')
    })
    expect(again.vkey).toBe(made.vkey)
    expect(again.signer.name).toBe(ORIGIN)
    expect(readLogKey(dir.path).vkey).toBe(made.vkey)
    expect(openNote(signNote('text\n', again.signer), [made.verifier]).text).toBe('text\n')
  })

  test('makes no other key for a log that has lost its own', () => {
    using dir = temporaryDir()
    expect(() => openLogKey(dir.path, ORIGIN, true, seed)).toThrow('is missing')
    expect(() => readLogKey(dir.path)).toThrow(KeyFileError)
  })

  test('refuses a file that others may read', () => {
    using dir = temporaryDir()
    openLogKey(dir.path, ORIGIN, false, seed)
    chmodSync(keyPath(dir.path, 'log.key'), 0o640)
    expect(() => openLogKey(dir.path, ORIGIN, true, seed)).toThrow('chmod 600')
  })

  test('refuses a damaged file, each character of it, without showing it', () => {
    using dir = temporaryDir()
    openLogKey(dir.path, ORIGIN, false, seed)
    const path = keyPath(dir.path, 'log.key')
    const text = readFileSync(path, 'utf8')
    const secret = text.slice(text.lastIndexOf('+', text.indexOf('\n')) + 1, text.indexOf('\n'))
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === 'A' ? 'B' : 'A'
      writeFileSync(path, text.slice(0, at) + other + text.slice(at + 1))
      let found: unknown
      try {
        readLogKey(dir.path)
      } catch (error) {
        found = error
      }
      expect(found).toMatchObject({ name: 'KeyFileError', code: 'damaged' })
      expect(String(found)).not.toContain(secret)
    }
    writeFileSync(path, '')
    expect(() => readLogKey(dir.path)).toThrow('two lines')
  })
})

describe('readOrMakeKey()', () => {
  test('makes a file once', () => {
    using dir = temporaryDir()
    expect(readOrMakeKey(dir.path, 'registry.key', () => 'first\n')).toBe('first\n')
    expect(readOrMakeKey(dir.path, 'registry.key', () => 'second\n')).toBe('first\n')
  })
})
