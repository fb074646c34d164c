/**
 * Small documents: what is found in them and made of them is the same here as in a Worker.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { gunzipSync } from 'node:zlib'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { inspectHere, renderHere } from '../../../../src/registries/packument/here.ts'
import {
  type InspectedVersion,
  type InspectInput,
  inspectPackument,
} from '../../../../src/registries/packument/inspect.ts'
import { SMALL_BYTES_MAX } from '../../../../src/registries/packument/packument-scan.ts'
import { renderPackument } from '../../../../src/registries/packument/render-packument.ts'
import { dropping, full, own, refuse, short } from '../rendering.ts'
import { encode, makeInput, makeKey, makeKnown, makePackument, makePlan } from '../vectors.ts'

const VERSIONS = ['1.0.0', '1.0.1', '2.0.0']
const KEY = makeKey()

function sourceOf(manifest: object = {}) {
  const packument = makePackument('pkg', VERSIONS, [KEY])
  Object.assign(packument.versions['1.0.1'] ?? {}, manifest)
  return packument
}

async function inspected(raw: ArrayBuffer, input: InspectInput) {
  const versions: InspectedVersion[] = []
  const { inspection } = await inspectHere(raw, input, async batch => void versions.push(...batch))
  return { ...inspection, versions }
}

describe('a small document', () => {
  test.each([
    ['as it should be', {}],
    ['with a manifest of another name', { name: 'other' }],
    ['with scripts', { scripts: { postinstall: 'x' }, dependencies: { a: '1' } }],
  ])('%s is inspected as in a Worker, and its bytes stay', async (_, manifest) => {
    const known = [makeKnown('2.0.0', 'sha512-other')]
    const input = makeInput('pkg', { keys: [KEY], registrySigns: true, known })
    const bytes = encode(sourceOf(manifest))
    const raw = bytes.slice().buffer
    expect(await inspected(raw, input)).toEqual(inspectPackument(bytes, input))
    expect(new Uint8Array(raw)).toEqual(bytes)
    // By other keys it is judged anew, from the same outline.
    const others = makeInput('pkg')
    expect(await inspected(raw, others)).toEqual(inspectPackument(bytes, others))
  })

  test('is rendered as in a Worker, in every form, also after it was inspected', async () => {
    const source = sourceOf({ scripts: { install: 'x' }, readme: 'one', deprecated: 'old' })
    const bytes = encode(source)
    const raw = bytes.slice().buffer
    const plan = makePlan(['1.0.0', '1.0.1'], { refused: [refuse('2.0.0')] })
    await inspected(raw, makeInput('pkg'))
    for (const variant of [full, own, short, dropping, full]) {
      const there = await renderPackument(bytes, plan, variant)
      const { plain, etag } = renderHere(raw, plan, variant)
      expect(Buffer.from(plain).equals(gunzipSync(there.gzip))).toBe(true)
      expect(etag).toBe(there.etag)
    }
    expect(new Uint8Array(raw)).toEqual(bytes)
  })

  test('is refused as in a Worker', async () => {
    const input = makeInput('pkg')
    for (const text of ['{"name":"other"}', '{"name":"pkg","name":"pkg"}', '{', '[]']) {
      const here = await inspected(encode(text).buffer, input).catch((error: unknown) => error)
      expect(here).toBeInstanceOf(RegistryError)
      let there: unknown
      try {
        inspectPackument(encode(text), input)
      } catch (error) {
        there = error
      }
      expect(String(here)).toBe(String(there))
    }
  })

  test('is small enough that nobody is kept waiting', async () => {
    const versions = Array.from({ length: 130 }, (_, i) => `1.0.${i}`)
    const bytes = encode(makePackument('pkg', versions, [KEY]))
    expect(bytes.length).toBeLessThan(SMALL_BYTES_MAX)
    const blockedMs = async () => {
      const begun = performance.now()
      const raw = bytes.slice().buffer
      await inspected(raw, makeInput('pkg'))
      renderHere(raw, makePlan(versions), full)
      return performance.now() - begun
    }
    let least = Number.POSITIVE_INFINITY
    // What else runs on the machine only ever adds.
    for (let i = 0; i < 5; i += 1) least = Math.min(least, await blockedMs())
    expect(least).toBeLessThan(50)
  })
})
