import { describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DurableError, writeImmutable, writeReplacing } from '../../../src/db/durable.ts'
import { temporaryDir } from './data-dir.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('writeImmutable()', () => {
  test('writes read-only files into private folders and leaves nothing else', () => {
    using dir = temporaryDir()
    const path = join(dir.path, 'a/b/file')
    writeImmutable([{ path, bytes: bytes('hello') }])
    expect(readFileSync(path, 'utf8')).toBe('hello')
    expect(statSync(path).mode & 0o777).toBe(0o444)
    expect(statSync(join(dir.path, 'a')).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(dir.path, 'a/b'))).toEqual(['file'])
  })

  test('accepts the same bytes again and refuses others', () => {
    using dir = temporaryDir()
    const path = join(dir.path, 'file')
    writeImmutable([{ path, bytes: bytes('hello') }])
    writeImmutable([{ path, bytes: bytes('hello') }])
    for (const other of ['hellO', 'hell', 'hello!', '']) {
      expect(() => writeImmutable([{ path, bytes: bytes(other) }])).toThrow('exists with other')
    }
    expect(readFileSync(path, 'utf8')).toBe('hello')
  })

  test('replaces what a crash left of an earlier try', () => {
    using dir = temporaryDir()
    const path = join(dir.path, 'file')
    writeFileSync(`${path}.tmp`, 'hel')
    chmodSync(`${path}.tmp`, 0o444)
    writeImmutable([{ path, bytes: bytes('hello') }])
    expect(readFileSync(path, 'utf8')).toBe('hello')
    expect(existsSync(`${path}.tmp`)).toBe(false)
  })

  test('says which file could not be written', () => {
    using dir = temporaryDir()
    const path = join(dir.path, 'folder')
    mkdirSync(path)
    const write = () => writeImmutable([{ path, bytes: bytes('hello') }])
    expect(write).toThrow(DurableError)
    expect(write).toThrow(path)
  })
})

describe('writeReplacing()', () => {
  test('replaces the whole file', () => {
    using dir = temporaryDir()
    const path = join(dir.path, 'file')
    writeReplacing({ path, bytes: bytes('a long first text') })
    writeReplacing({ path, bytes: bytes('short') })
    expect(readFileSync(path, 'utf8')).toBe('short')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })
})
