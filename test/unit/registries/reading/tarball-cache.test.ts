/**
 * Kept tarballs.
 * Goal: whole and right, or not there.
 */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { CacheFiles } from '../../../../src/db/cache-files.ts'
import { integrityOf, integrityToHex, verifyStream } from '../../../../src/registries/integrity.ts'
import { TarballCache } from '../../../../src/registries/reading/tarball-cache.ts'
import { type TemporaryDir, temporaryDir } from '../../db/data-dir.ts'

let dir: TemporaryDir
let cache: TarballCache

beforeEach(() => {
  dir = temporaryDir()
  cache = open()
})
afterEach(() => dir[Symbol.dispose]())

function open(bytesMax?: number): TarballCache {
  return new TarballCache({ files: new CacheFiles(dir.path, bytesMax), warn: () => undefined })
}

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) yield chunk
}

async function pass(chunks: readonly Uint8Array[], integrity: string): Promise<Buffer> {
  const passed: Uint8Array[] = []
  const verified = verifyStream(from(chunks), integrity)
  for await (const chunk of cache.keeping(verified, integrity)) passed.push(chunk)
  return Buffer.concat(passed)
}

test('what passed is there afterwards, also after a restart', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }), async chunks => {
      const whole = Buffer.concat(chunks)
      const integrity = integrityOf(whole)
      expect(await pass(chunks, integrity)).toEqual(whole)
      for (const each of [cache, open()]) {
        expect(Buffer.from((await (await each.get(integrity))?.bytes()) ?? 'none')).toEqual(whole)
      }
    }),
    { numRuns: 30 },
  )
})

test('nothing is left of wrong bytes, nor of a reader that went away', async () => {
  const chunks = [Buffer.from('one'), Buffer.from('two')]
  const wrong = integrityOf(Buffer.from('other'))
  await expect(pass(chunks, wrong)).rejects.toThrow('the log says')
  const right = integrityOf(Buffer.concat(chunks))
  const stream = cache.keeping(verifyStream(from(chunks), right), right)
  await stream.next()
  await stream.return()
  expect(await cache.get(wrong)).toBeUndefined()
  expect(await cache.get(right)).toBeUndefined()
  expect(readdirSync(dir.path)).toEqual([])
})

test('each damaged byte makes it unknown, and it can be kept again', async () => {
  const whole = Buffer.from('the bytes of a tarball')
  const integrity = integrityOf(whole)
  for (let at = 0; at < whole.length; at += 1) {
    await pass([whole], integrity)
    const bad = Buffer.from(whole)
    bad[at] = (bad[at] ?? 0) ^ 1
    writeFileSync(join(dir.path, integrityToHex(integrity)), bad)
    expect(await cache.get(integrity)).toBeUndefined()
  }
  await pass([whole], integrity)
  expect(await cache.get(integrity)).toBeDefined()
})

test('two that pass at once leave one whole file', async () => {
  const whole = Buffer.from('shared')
  const integrity = integrityOf(whole)
  await Promise.all([pass([whole], integrity), pass([whole], integrity)])
  expect(readdirSync(dir.path)).toEqual([integrityToHex(integrity)])
  expect(await (await cache.get(integrity))?.text()).toBe('shared')
})

test('a disk that takes nothing costs the copy and not the answer', async () => {
  const whole = Buffer.from('served')
  const integrity = integrityOf(whole)
  dir[Symbol.dispose]()
  expect(await pass([whole], integrity)).toEqual(whole)
  expect(await cache.get(integrity)).toBeUndefined()
})
