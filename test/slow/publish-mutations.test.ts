/**
 * 10,000 tarballs that are nearly right: bytes of the archive and of its compressed form changed,
 * cut, repeated and moved. Each is refused with a sentence, or holds what an honest one holds. The
 * seed is printed, so that a failure can be had again (NPMX_SEED).
 *
 * @module
 */
import { expect, test } from 'bun:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { RegistryError } from '../../src/registries/errors.ts'
import { parsePublish } from '../../src/registries/publish/publish-document.ts'
import { inspectTarball } from '../../src/registries/publish/publish-tarball.ts'
import { honestTarball, MANIFEST, PACKAGE, VERSION } from '../fixtures/honest-tarball.ts'
import { publishBody } from '../fixtures/publish-body.ts'
import { paxEntry, tarball, tarEntry } from '../fixtures/tar-builder.ts'

const MUTATIONS = 10_000
const BODIES = 10_000
const TIMEOUT_MS = 300_000
const CHANGES_MAX = 4
const SEED = Number(process.env['NPMX_SEED'] ?? Date.now() % 2 ** 31)

const EXPECTED = { name: PACKAGE, version: VERSION, manifest: MANIFEST }
const LONG = `package/${'long/'.repeat(30)}x.js`
const ORIGINALS = [
  honestTarball(),
  tarball(
    tarEntry({ name: 'package/package.json', body: JSON.stringify(MANIFEST) }),
    paxEntry([
      ['path', LONG],
      ['size', '4'],
    ]),
    tarEntry({ name: LONG.slice(0, 100), body: 'body' }),
    tarEntry({ name: '././@LongLink', type: 'L', body: `${LONG}y\u0000` }),
    tarEntry({ name: LONG.slice(0, 100) }),
    tarEntry({ name: 'package/lib/', type: '5' }),
  ),
]

/** Numbers from a seed: mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function mutate(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let changed = Buffer.from(bytes)
  for (let i = random(CHANGES_MAX) + 1; i > 0; i--) {
    const at = random(changed.length)
    const length = random(600) + 1
    const part = changed.subarray(at, at + length)
    switch (random(7)) {
      case 0:
        changed[at] = random(256)
        break
      case 1:
        changed[at] = (changed[at] ?? 0) ^ (1 << random(8))
        break
      case 2:
        changed = changed.subarray(0, Math.max(1, at))
        break
      case 3:
        changed = Buffer.concat([changed.subarray(0, at), part, changed.subarray(at)])
        break
      case 4:
        changed = Buffer.concat([changed.subarray(0, at + 1), changed.subarray(at + length)])
        break
      case 5:
        part.fill(random(2) === 0 ? 0 : random(256))
        break
      default:
        part.copy(changed, random(changed.length))
    }
  }
  return changed
}

/** Puts right what a header says of itself, so that the reader behind it is reached. */
function repair(archive: Uint8Array): Uint8Array {
  const blockBytes = 512
  const fixed = Buffer.from(archive)
  for (let at = 0; at + blockBytes <= fixed.length; at += blockBytes) {
    const block = fixed.subarray(at, at + blockBytes)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(' ', 148, 156)
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  }
  return fixed
}

async function judge(bytes: Uint8Array): Promise<'refused' | 'taken'> {
  try {
    const found = await inspectTarball(bytes, EXPECTED)
    expect(found.packageJson['dependencies']).toEqual(MANIFEST.dependencies)
    expect(found.unpackedSize).toBeLessThan(10_000)
    return 'taken'
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    expect(error.code).toBe('unprocessable')
    return 'refused'
  }
}

test(
  `tarballs (seed ${SEED})`,
  async () => {
    const random = randomFrom(SEED)
    const counts = { refused: 0, taken: 0 }
    for (let i = 0; i < MUTATIONS; i++) {
      const original = ORIGINALS[i % ORIGINALS.length] ?? honestTarball()
      const mode = random(3)
      const archive = gunzipSync(original)
      const mutant =
        mode === 0
          ? mutate(original, random)
          : gzipSync(mode === 1 ? mutate(archive, random) : repair(mutate(archive, random)))
      counts[await judge(mutant)]++
    }
    console.log(`seed ${SEED}: ${counts.refused} refused, ${counts.taken} taken`)
    expect(counts.refused).toBeGreaterThan(MUTATIONS / 2)
  },
  TIMEOUT_MS,
)

test(
  `bodies (seed ${SEED})`,
  () => {
    const random = randomFrom(SEED)
    const honest = new TextEncoder().encode(JSON.stringify(publishBody()))
    let refused = 0
    for (let i = 0; i < BODIES; i++) {
      try {
        parsePublish(PACKAGE, mutate(honest, random))
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        refused++
      }
    }
    expect(refused).toBeGreaterThan(BODIES / 2)
  },
  TIMEOUT_MS,
)
