import { describe, expect, test } from 'bun:test'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { DataDirReader } from '../../../src/db/fsck-reader.ts'
import { openCheckpoint, signCheckpoint } from '../../../src/log/checkpoint.ts'
import { type Finding, fsck, type FsckReader, type FsckSummary } from '../../../src/log/fsck.ts'
import { encodeLeaf } from '../../../src/log/leaf.ts'
import { encodeEntries, tilePath } from '../../../src/log/tile.ts'
import { leafHash, nodeHash, type ReadHash, treeRoot } from '../../../src/log/tree.ts'
import { openLog, SIGNER, temporaryDir, type TemporaryDir, VERIFIER } from '../db/data-dir.ts'
import { versionLeaf, versionLeaves } from './leaves.ts'

type Report = { findings: Finding[]; summary: FsckSummary }

async function check(reader: FsckReader, uniqueLeavesMax?: number): Promise<Report> {
  const options = uniqueLeavesMax === undefined ? {} : { uniqueLeavesMax }
  const run = fsck(reader, VERIFIER, options)
  const findings: Finding[] = []
  for (;;) {
    const step = await run.next()
    if (step.done === true) return { findings, summary: step.value }
    findings.push(step.value)
  }
}

function makeDataDir(size: number): TemporaryDir {
  const dir = temporaryDir()
  using opened = openLog(dir.path)
  for (let at = 0; at < size; at += 512) {
    opened.log.append(versionLeaves(at, Math.min(size, at + 512)))
    opened.log.publish()
  }
  return dir
}

async function checkDataDir(path: string): Promise<Report> {
  using opened = openLog(path)
  return check(new DataDirReader(opened.store))
}

/** Complete subtrees by halves: RFC 6962 without tiles, to compare the root with. */
function referenceRoot(size: number): Uint8Array {
  const known = new Map<string, Uint8Array>()
  const read: ReadHash = ({ level, index }) => {
    const name = `${level}/${index}`
    const found = known.get(name)
    if (found !== undefined) return found
    const hash =
      level === 0
        ? leafHash(encodeLeaf(versionLeaf(index)))
        : nodeHash(
            read({ level: level - 1, index: index * 2 }),
            read({ level: level - 1, index: index * 2 + 1 }),
          )
    known.set(name, hash)
    return hash
  }
  return treeRoot(size, read)
}

/** A reader over a map, as a server on the network would be. */
function mapReader(files: Map<string, Uint8Array>, checkpoint: string): FsckReader {
  return {
    readCheckpoint: async () => checkpoint,
    readTile: async path => {
      const bytes = files.get(path)
      if (bytes === undefined) throw new Error('404')
      return bytes
    },
  }
}

describe('fsck()', () => {
  test.each([0, 1, 2, 255, 256, 257, 1000])('finds nothing wrong with %d leaves', async size => {
    using dir = makeDataDir(size)
    expect(await checkDataDir(dir.path)).toEqual({
      findings: [],
      summary: { size, findings: 0, uniqueness: 'checked' },
    })
  })

  test('70,000 leaves: the root is RFC 6962 word for word, and a flip on level 1 is found', async () => {
    const size = 70_000
    using dir = makeDataDir(size)
    using opened = openLog(dir.path)
    const { root } = openCheckpoint(opened.log.checkpoint, VERIFIER)
    expect(Buffer.compare(root, referenceRoot(size))).toBe(0)
    const reader = new DataDirReader(opened.store)
    const progress: number[] = []
    const run = fsck(reader, VERIFIER, { onProgress: ({ done }) => progress.push(done) })
    expect(await run.next()).toEqual({
      done: true,
      value: { size, findings: 0, uniqueness: 'checked' },
    })
    expect(progress.at(-1)).toBe(size)
    flipBit(join(dir.path, 'tiles', tilePath({ level: 1, index: 0, width: 256 })), 12_345)
    const { findings } = await check(reader)
    expect(findings).toEqual([
      { path: 'tile/1/000', what: 'hash 48 differs from the one computed from the leaves' },
    ])
  }, 60_000)

  test('finds every flipped bit of every tile file, and names the file', async () => {
    using dir = makeDataDir(600)
    using opened = openLog(dir.path)
    const reader = new DataDirReader(opened.store)
    const paths = ['tile/0/000', 'tile/0/001', 'tile/entries/000', 'tile/entries/001']
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.nat(), async (path, at) => {
        const file = join(dir.path, 'tiles', path)
        const sound = readFileSync(file)
        flipBit(file, at)
        const { findings } = await check(reader)
        overwrite(file, sound)
        const named = new Set([path, path.replace('entries', '0')])
        expect(findings.some(finding => named.has(finding.path))).toBe(true)
      }),
      { numRuns: 60 },
    )
    expect((await check(reader)).findings).toEqual([])
  })

  test('finds every flipped bit of every leaf row', async () => {
    using dir = makeDataDir(600)
    using opened = openLog(dir.path)
    const reader = new DataDirReader(opened.store)
    const { database } = opened.db
    const read = database.prepare<{ text: Uint8Array }, [number]>(
      'SELECT text FROM leaf WHERE idx = ?',
    )
    const write = database.prepare<unknown, [Uint8Array, number]>(
      'UPDATE leaf SET text = ? WHERE idx = ?',
    )
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 599 }), fc.nat(), async (index, at) => {
        const sound = read.get(index)?.text ?? new Uint8Array(0)
        write.run(flipped(sound, at), index)
        const { findings } = await check(reader)
        write.run(sound, index)
        // Behind the last full tile the row is the entry itself: then the partial tile differs.
        const isPlausible = ({ path }: Finding) =>
          path.includes(`row ${index}`) || path.startsWith('tile/0/002') || path === 'checkpoint'
        expect(findings.some(isPlausible)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('finds rows that are filed under another key', async () => {
    using dir = makeDataDir(10)
    using opened = openLog(dir.path)
    opened.db.database.run('UPDATE leaf SET key = zeroblob(32) WHERE idx = 4')
    const { findings } = await check(new DataDirReader(opened.store))
    expect(findings).toEqual([{ path: 'leaf 4', what: 'its identity is not in the index' }])
  })

  test('names every file that is missing, and goes on behind it', async () => {
    using dir = makeDataDir(1000)
    using opened = openLog(dir.path)
    const missing = new Set(['tile/entries/000', 'tile/0/001'])
    const whole = new DataDirReader(opened.store)
    const reader: FsckReader = {
      readCheckpoint: () => whole.readCheckpoint(),
      readTile: async path => {
        if (missing.has(path)) throw new Error('404')
        return whole.readTile(path)
      },
    }
    const { findings } = await check(reader)
    expect(findings).toEqual([
      { path: 'tile/entries/000', what: '404' },
      { path: 'tile/0/001', what: '404' },
    ])
    missing.add('tile/0/000')
    const gap = await check(reader)
    expect(gap.findings.map(({ path }) => path)).toEqual([
      'tile/entries/000',
      'tile/0/000',
      'tile/0/001',
    ])
    expect(gap.summary.uniqueness).toBe('not-checked')
  })

  test('accepts what a crash left between commit and tiles', async () => {
    using dir = temporaryDir()
    using opened = openLog(dir.path)
    opened.log.append(versionLeaves(0, 300))
    const { findings, summary } = await check(new DataDirReader(opened.store))
    expect(findings).toEqual([])
    expect(summary.size).toBe(300)
  })

  test('refuses a checkpoint that another key signed, or that was changed', async () => {
    const reader = mapReader(new Map(), 'registry.example/log\n0\n')
    expect((await check(reader)).findings).toHaveLength(1)
    using dir = makeDataDir(3)
    using opened = openLog(dir.path)
    const changed = opened.log.checkpoint.replace('\n3\n', '\n2\n')
    expect((await check(mapReader(new Map(), changed))).findings).toHaveLength(1)
  })

  test('finds the root that does not follow from the leaves', async () => {
    const bundle = encodeEntries([encodeLeaf(versionLeaf(0))])
    const files = new Map([
      ['tile/entries/000.p/1', bundle],
      ['tile/0/000.p/1', leafHash(encodeLeaf(versionLeaf(0)))],
    ])
    const root = new Uint8Array(32)
    const note = signCheckpoint({ origin: SIGNER.name, size: 1, root }, SIGNER)
    const { findings } = await check(mapReader(files, note))
    expect(findings.map(({ path }) => path)).toEqual(['checkpoint'])
  })

  test('finds two leaves of one identity without an index', async () => {
    const leaves = [versionLeaf(0, 1), versionLeaf(1), versionLeaf(0, 2)].map(encodeLeaf)
    const hashes = leaves.map(leaf => leafHash(leaf))
    const files = new Map([
      ['tile/entries/000.p/3', encodeEntries(leaves)],
      ['tile/0/000.p/3', Buffer.concat(hashes)],
    ])
    const read: ReadHash = ({ level, index }) => {
      const [a, b, c] = hashes
      if (a === undefined || b === undefined || c === undefined) throw new Error('three hashes')
      return level === 1 ? nodeHash(a, b) : ([a, b, c][index] ?? a)
    }
    const root = treeRoot(3, read)
    const note = signCheckpoint({ origin: SIGNER.name, size: 3, root }, SIGNER)
    const reader = mapReader(files, note)
    expect((await check(reader)).findings).toEqual([
      { path: 'leaf 2', what: 'has the identity of leaf 0' },
    ])
    const limited = await check(reader, 2)
    expect(limited.findings).toEqual([])
    expect(limited.summary.uniqueness).toBe('not-checked')
  })

  test('finds the leaves of an older copy of the tiles', async () => {
    using dir = makeDataDir(600)
    using older = makeDataDir(300)
    using opened = openLog(dir.path)
    const foreign = readFileSync(join(older.path, 'tiles/tile/entries/000'))
    overwrite(join(dir.path, 'tiles/tile/entries/001'), foreign)
    const { findings } = await check(new DataDirReader(opened.store))
    expect(findings.length).toBeGreaterThan(0)
  })
})

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const byte = Math.floor(at / 8) % copy.length
  copy[byte] = (copy[byte] ?? 0) ^ (1 << (at % 8))
  return copy
}

function flipBit(file: string, at: number): void {
  overwrite(file, flipped(readFileSync(file), at))
}

/** Tiles are written read-only. */
function overwrite(file: string, bytes: Uint8Array): void {
  chmodSync(file, 0o600)
  writeFileSync(file, bytes)
}
