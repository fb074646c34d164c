/**
 * The package.json inside of a tarball.
 * Goal: only what the bytes really say counts, and what cannot be read proves nothing.
 */
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { hashProjection, projectManifest } from '../../../../src/registries/packument/manifest.ts'
import { projectionInTarball } from '../../../../src/registries/packument/tarball-manifest.ts'
import { packTarball } from '../../../fixtures/registry-tarball.ts'

const MANIFEST = { name: 'alpha', version: '1.0.0', dependencies: { beta: '^1.0.0' } }
const PROJECTION = hashProjection(projectManifest(MANIFEST, 'alpha'))

function tarball(manifest: unknown, more: Record<string, string> = {}): Uint8Array<ArrayBuffer> {
  return packTarball({ 'package.json': JSON.stringify(manifest), ...more })
}

test('is the projection of the manifest that is published with it', async () => {
  expect(await projectionInTarball(tarball(MANIFEST), 'alpha', '1.0.0')).toBe(PROJECTION)
  const deep = tarball(MANIFEST, { 'lib/package.json': '{"name":"other"}' })
  expect(await projectionInTarball(deep, 'alpha', '1.0.0')).toBe(PROJECTION)
})

test('differs with a script or a dependency more', async () => {
  for (const more of [{ scripts: { install: 'x' } }, { dependencies: { evil: '1' } }]) {
    const found = await projectionInTarball(tarball({ ...MANIFEST, ...more }), 'alpha', '1.0.0')
    expect(found).toBeString()
    expect(found).not.toBe(PROJECTION)
  }
})

test('is none for another name or version, or without a manifest', async () => {
  expect(await projectionInTarball(tarball(MANIFEST), 'beta', '1.0.0')).toBeUndefined()
  expect(await projectionInTarball(tarball(MANIFEST), 'alpha', '1.0.1')).toBeUndefined()
  expect(await projectionInTarball(tarball([]), 'alpha', '1.0.0')).toBeUndefined()
  const empty = packTarball({ 'index.js': '' })
  expect(await projectionInTarball(empty, 'alpha', '1.0.0')).toBeUndefined()
})

test('no damaged byte makes it throw or say something else than before', async () => {
  const good = tarball(MANIFEST)
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: good.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, by) => {
        const bad = new Uint8Array(good)
        bad[at] = (bad[at] ?? 0) ^ by
        expect([PROJECTION, undefined]).toContain(await projectionInTarball(bad, 'alpha', '1.0.0'))
      },
    ),
  )
})

test('bytes that are no archive say nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async bytes => {
      const found = await projectionInTarball(new Uint8Array(bytes), 'alpha', '1.0.0')
      expect(found).toBeUndefined()
    }),
  )
})
