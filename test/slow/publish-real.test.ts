/**
 * Tarballs that were really published, as `npm pack` brings them, against the manifests that their
 * registry has for them: all are taken. Skipped, with a sentence, where no registry can be reached.
 *
 * @module
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { inspectTarball } from '../../src/registries/publish/publish-tarball.ts'
import { asRecord } from '../../src/registries/publish/publish-json.ts'
import { installClients, newProject, runClient } from '../e2e/clients.ts'

/** Of every kind: old and new, scoped, with bins, bundled, native, platform-bound, many files. */
const SPECS = [
  'lodash@4.17.21',
  'typescript@5.9.3',
  '@babel/core@7.28.4',
  'esbuild@0.25.10',
  '@esbuild/linux-x64@0.25.10',
  'react@19.1.1',
  'bcrypt@6.0.0',
  'bufferutil@4.0.9',
  'core-js@3.45.1',
  '@types/node@24.5.2',
  'express@5.1.0',
  'rollup@4.52.0',
  'npm@11.6.0',
  'date-fns@4.1.0',
]
const TIMEOUT_MS = 180_000

async function npm(dir: string, args: string[]): Promise<string | null> {
  const { exitCode, output } = await runClient('npm12', { dir, registry: null, args })
  return exitCode === 0 ? output : null
}

test(
  'published packages are taken',
  async () => {
    const reason = await installClients()
    if (reason !== null) {
      console.warn(reason)
      return
    }
    await using project = await newProject({})
    const { dir } = project
    let taken = 0
    for (const spec of SPECS) {
      const packed = await npm(dir, ['pack', '--silent', spec])
      const viewed = await npm(dir, ['view', '--json', spec])
      if (packed === null || viewed === null) {
        console.warn(`SKIPPED: ${spec} cannot be had here`)
        continue
      }
      const answer: unknown = JSON.parse(viewed)
      const manifest = asRecord(Array.isArray(answer) ? answer[0] : answer) ?? {}
      const { name, version } = manifest
      if (typeof name !== 'string' || typeof version !== 'string') throw new Error(spec)
      const file = packed.trim().split('\n').at(-1) ?? ''
      const bytes = await Bun.file(join(dir, file)).bytes()
      const found = await inspectTarball(bytes, { name, version, manifest })
      expect([spec, `${name}@${version}`]).toEqual([spec, spec])
      expect(found.fileCount).toBeGreaterThan(0)
      taken += 1
    }
    console.log(`${taken} of ${SPECS.length} published packages taken`)
  },
  TIMEOUT_MS,
)
