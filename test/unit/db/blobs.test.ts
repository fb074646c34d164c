/**
 * Stored tarballs: each content once, checked on every reading, and nothing half written left.
 * @module
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlobError, DiskBlobs } from '../../../src/db/blobs.ts'
import { holdBlobs, Removals } from '../../../src/db/removals.ts'

let dataDir: string
let dir: string
let removals: Removals
let warnings: string[]
let blobs: DiskBlobs

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'npmx-registry-blobs-'))
  dir = join(dataDir, 'blobs')
  warnings = []
  removals = new Removals(dataDir, message => warnings.push(message))
  blobs = new DiskBlobs(dir, removals)
})

afterEach(() => {
  removals[Symbol.dispose]()
  rmSync(dataDir, { recursive: true })
})

const digestOf = (bytes: Uint8Array) => createHash('sha512').update(bytes).digest('hex')
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())

describe('blobs', () => {
  // The middle one is written in more than one piece, the last is not read at once.
  test.each([0, 1, 3 * 1024 * 1024 + 1, 9 * 1024 * 1024])('%i bytes and back', async length => {
    const bytes = new Uint8Array(length).map((_, i) => i % 251)
    const digest = digestOf(bytes)
    await blobs.put(digest, bytes)
    expect(blobs.has(digest)).toBe(true)
    const found = await blobs.get(digest)
    expect(digestOf(new Uint8Array((await found?.arrayBuffer()) ?? []))).toBe(digest)
    expect([...blobs.list()]).toEqual([digest])
  })

  test('the same bytes at once are one file', async () => {
    const bytes = new TextEncoder().encode('the same')
    await Promise.all(Array.from({ length: 20 }, () => blobs.put(digestOf(bytes), bytes)))
    expect(filesIn(dir)).toHaveLength(1)
  })

  test('other bytes than they were are an error, and none is nothing', async () => {
    const bytes = new Uint8Array(1000).fill(7)
    const digest = digestOf(bytes)
    expect(await blobs.get(digest)).toBeUndefined()
    await blobs.put(digest, bytes)
    const path = join(dir, digest.slice(0, 2), digest)
    for (const at of [0, 500, 999]) {
      chmodSync(path, 0o600)
      writeFileSync(path, new Uint8Array(bytes).fill(8, at, at + 1))
      const error = await blobs.get(digest).catch((failure: unknown) => failure)
      expect(error).toBeInstanceOf(BlobError)
    }
    blobs.remove(digest)
    expect(blobs.has(digest)).toBe(false)
    blobs.remove(digest)
  })

  test('while somebody holds them, what is removed stays, and goes with the next removal', async () => {
    const [one, two] = [new Uint8Array([1]), new Uint8Array([2])]
    for (const bytes of [one, two]) await blobs.put(digestOf(bytes), bytes)
    {
      using _first = holdBlobs(dataDir)
      {
        using _second = holdBlobs(dataDir)
        blobs.remove(digestOf(one))
      }
      blobs.remove(digestOf(one))
      expect(blobs.has(digestOf(one))).toBe(true)
    }
    blobs.remove(digestOf(two))
    expect([...blobs.list()]).toEqual([])
  })

  test('what was never referred to goes at once, also while somebody holds the others', async () => {
    const [one, two] = [new Uint8Array([1]), new Uint8Array([2])]
    expect(await blobs.put(digestOf(one), one)).toBe(true)
    expect(await blobs.put(digestOf(one), one)).toBe(false)
    expect(await blobs.put(digestOf(two), two)).toBe(true)
    using _hold = holdBlobs(dataDir)
    blobs.remove(digestOf(one))
    blobs.discard(digestOf(two))
    expect([...blobs.list()]).toEqual([digestOf(one)])
  })

  test('one that cannot be removed keeps no other, and is told of', async () => {
    const bytes = new Uint8Array([1])
    await blobs.put(digestOf(bytes), bytes)
    const stuck = 'ab'.repeat(64)
    mkdirSync(join(dir, 'ab', stuck), { recursive: true })
    {
      using _hold = holdBlobs(dataDir)
      blobs.remove(stuck)
      blobs.remove(digestOf(bytes))
    }
    blobs.discard(digestOf(new Uint8Array([2])))
    blobs.remove(digestOf(bytes))
    expect(blobs.has(digestOf(bytes))).toBe(false)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(stuck)
  })

  test('what is put again before it is gone stays', async () => {
    const [one, two] = [new Uint8Array([1]), new Uint8Array([2])]
    for (const bytes of [one, two]) await blobs.put(digestOf(bytes), bytes)
    {
      using _hold = holdBlobs(dataDir)
      blobs.remove(digestOf(one))
      blobs.remove(digestOf(two))
      await blobs.put(digestOf(one), one)
    }
    blobs.remove(digestOf(two))
    expect([...blobs.list()]).toEqual([digestOf(one)])
  })

  test('what is put off goes by itself', async () => {
    const bytes = new Uint8Array([1])
    await blobs.put(digestOf(bytes), bytes)
    const hold = holdBlobs(dataDir)
    blobs.remove(digestOf(bytes))
    hold[Symbol.dispose]()
    for (let tries = 0; tries < 500 && blobs.has(digestOf(bytes)); tries += 1) await Bun.sleep(10)
    expect(blobs.has(digestOf(bytes))).toBe(false)
  })

  test('holding writes nothing, and a data dir where no server was needs none', () => {
    const [before] = filesIn(dataDir).map(({ name }) => name)
    expect(before).toBe('hold.db')
    using _hold = holdBlobs(dataDir)
    expect(filesIn(dataDir).map(({ name }) => name)).toEqual(['hold.db'])
    expect(statSync(join(dataDir, 'hold.db')).mode & 0o777).toBe(0o600)
    rmSync(join(dataDir, 'hold.db'))
    using _none = holdBlobs(dataDir)
    expect(filesIn(dataDir)).toEqual([])
  })

  test('what a crash left half written goes, what is whole stays', async () => {
    const bytes = new TextEncoder().encode('whole')
    const digest = digestOf(bytes)
    await blobs.put(digest, bytes)
    writeFileSync(join(dir, digest.slice(0, 2), `${digest}.1.partial`), 'half')
    const again = new DiskBlobs(dir, removals)
    expect(filesIn(dir)).toHaveLength(1)
    expect(again.has(digest)).toBe(true)
  })

  test('a name that is no digest reaches no disk', () => {
    for (const name of ['', '..', 'a'.repeat(127), `${'a'.repeat(126)}/x`, 'A'.repeat(128)]) {
      expect(() => blobs.has(name)).toThrow(TypeError)
    }
  })
})
