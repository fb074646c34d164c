/**
 * Logged projections in place of changed manifests.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { projectManifest } from '../../../../src/registries/packument/manifest.ts'
import { full, renderedValue, short } from '../rendering.ts'
import { integrityFor, makeDist, makePackument, makePlan } from '../vectors.ts'

describe('overrides', () => {
  const logged = {
    dependencies: { a: '1' },
    bin: { pkg: 'x.js' },
    directories: { bin: 'bin' },
    scripts: { install: 'good', prepare: 'p' },
  }
  const projection = projectManifest(logged, 'pkg')
  const signatures = [{ keyid: 'k', sig: 's' }]
  const override = { version: '1.0.0', projection, signatures, integrity: integrityFor('logged') }
  const plan = makePlan(['1.0.0'], { overrides: [override] })

  function overridden(manifest: object, variant = full) {
    const source = makePackument('pkg', ['1.0.0'], [])
    source.versions['1.0.0'] = { ...source.versions['1.0.0'], ...manifest }
    return renderedValue(source, plan, variant).versions['1.0.0']
  }

  test('put the logged projection, integrity and signatures in the place of what came', () => {
    const out = overridden({
      description: 'kept',
      dependencies: { evil: '1' },
      optionalDependencies: { evil: '1' },
      bundledDependencies: ['evil'],
      devDependencies: { kept: '1' },
      os: ['!linux'],
      scripts: { test: 'kept', preinstall: 'evil', install: 'evil' },
      directories: { lib: 'kept', bin: 'evil' },
      hasInstallScript: false,
    })
    const dist = makeDist('pkg', '1.0.0', [])
    expect(out).toEqual({
      name: 'pkg',
      version: '1.0.0',
      description: 'kept',
      devDependencies: { kept: '1' },
      dist: { ...dist, integrity: integrityFor('logged'), signatures },
      ...logged,
      directories: { lib: 'kept', bin: 'bin' },
      scripts: { test: 'kept', install: 'good', prepare: 'p' },
      hasInstallScript: true,
    })
    expect(projectManifest(out, 'pkg')).toBe(projection)
  })

  test('give the logged projection for anything that came', () => {
    const members = fc.constantFrom(
      'dependencies',
      'bin',
      'scripts',
      'directories',
      'os',
      'bundledDependencies',
      'bundleDependencies',
      'hasInstallScript',
      'engines',
      'peerDependencies',
    )
    const inner = fc.dictionary(
      fc.constantFrom('install', 'bin', 'test', 'preinstall'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.dictionary(members, fc.oneof(fc.jsonValue(), inner)), manifest => {
        expect(projectManifest(overridden(manifest), 'pkg')).toBe(projection)
        const abbreviated = overridden(manifest, short)
        const { scripts: _, ...rest } = logged
        expect(projectManifest(abbreviated, 'pkg')).toBe(projectManifest(rest, 'pkg'))
        expect(abbreviated.hasInstallScript).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('take away what was not there when the version was logged', () => {
    const bare = makePlan(['1.0.0'], {
      overrides: [{ version: '1.0.0', projection: '{}', signatures: null, integrity: null }],
    })
    const source = makePackument('pkg', ['1.0.0'], [])
    const plain = JSON.stringify(source.versions['1.0.0'])
    source.versions['1.0.0'] = {
      ...source.versions['1.0.0'],
      hasInstallScript: true,
      bin: 'evil',
      scripts: 'evil',
    }
    for (const variant of [full, short]) {
      expect(JSON.stringify(renderedValue(source, bare, variant).versions['1.0.0'])).toBe(plain)
    }
  })
})
