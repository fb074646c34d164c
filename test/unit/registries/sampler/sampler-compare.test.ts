/**
 * A package.json against the recorded manifest. Goal: what registries and publishing programs change
 * in good faith counts for nothing, and whatever a client would act on counts.
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { type JsonObject, projectManifest } from '../../../../src/registries/packument/manifest.ts'
import { compareInside } from '../../../../src/registries/sampler/sampler-compare.ts'

const NAME = '@fixture/package'

function compared(recorded: JsonObject, inside: JsonObject, paths: readonly string[] = []): string {
  const manifest = { name: NAME, version: '1.0.0', ...inside }
  const claim = { name: NAME, version: '1.0.0', projection: projectManifest(recorded, NAME) }
  return compareInside(claim, { manifest, paths: new Set(paths) }).manifest
}

describe('compareInside()', () => {
  /** Facts of the field: react#27109, storybook#23388, npm's own tidying of what it publishes. */
  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['bin with a dot', { bin: { a: 'cli.js' } }, { bin: { a: './cli.js' } }, []],
    ['bin as text', { bin: { package: 'cli.js' } }, { bin: './cli.js' }, []],
    ['bin with a folder in its name', { bin: { a: 'cli.js' } }, { bin: { 'x/a': 'cli.js' } }, []],
    ['a folder of bins', { bin: { a: 'bin/a' } }, { directories: { bin: './bin' } }, ['bin/a']],
    [
      'optional dependencies copied',
      { dependencies: { a: '1', b: '2' }, optionalDependencies: { b: '2' } },
      { dependencies: { a: '1' }, optionalDependencies: { b: '2' } },
      [],
    ],
    [
      'the other spelling of bundled',
      { dependencies: { a: '1' }, bundleDependencies: ['a'] },
      { dependencies: { a: '1' }, bundledDependencies: ['a'] },
      [],
    ],
    [
      'all of them bundled',
      { dependencies: { b: '1', a: '1' }, bundleDependencies: ['b', 'a'] },
      { dependencies: { b: '1', a: '1' }, bundleDependencies: true },
      [],
    ],
    [
      'a shorthand of a repository',
      { dependencies: { a: 'github:owner/a' } },
      { dependencies: { a: 'owner/a' } },
      [],
    ],
    ['an implied build', { scripts: { install: 'node-gyp rebuild' } }, {}, ['binding.gyp']],
    ['prepare', {}, { scripts: { prepare: 'tsc' } }, []],
    ['one system', { os: ['linux'] }, { os: 'linux' }, []],
    ['a v before the version', {}, { version: 'v1.0.0' }, []],
  ])('%s is honest', (_, recorded, inside, paths) => {
    expect(compared(recorded, inside, paths)).not.toBe('different')
    expect(compared(inside, { ...recorded, version: '1.0.0' }, paths)).not.toBe('different')
  })

  test('what nobody acts on is no difference at all', () => {
    const inside = { license: 'MIT', devDependencies: { a: '1' }, scripts: { start: 'evil' } }
    expect(compared({}, inside)).toBe('same')
  })

  test.each<[string, JsonObject, JsonObject, string[]]>([
    ['another dependency', { dependencies: { evil: '1' } }, {}, []],
    ['another range', { dependencies: { a: '1' } }, { dependencies: { a: '2' } }, []],
    ['a script that runs', { scripts: { postinstall: 'evil' } }, {}, []],
    ['a hidden script', {}, { scripts: { preinstall: 'evil' } }, []],
    ['a build that nothing implies', { scripts: { install: 'node-gyp rebuild' } }, {}, []],
    ['another build', { scripts: { install: 'evil' } }, {}, ['binding.gyp']],
    ['another bin', { bin: { a: 'evil.js' } }, { bin: { a: 'cli.js' } }, []],
    ['a bin more', { bin: { a: 'a', npm: 'a' } }, { bin: { a: 'a' } }, []],
    ['a bundle', { bundleDependencies: ['a'] }, {}, []],
    ['another engine', { engines: { node: '>=1' } }, { engines: { node: '>=2' } }, []],
    ['a peer', { peerDependencies: { a: '1' } }, {}, []],
    ['another name', {}, { name: 'express' }, []],
    ['another version', {}, { version: '3.0.0' }, []],
  ])('%s is a difference', (_, recorded, inside, paths) => {
    expect(compared(recorded, inside, paths)).toBe('different')
  })

  test('whatever is inside: an answer, and the same manifest is never different', () => {
    const field = fc.constantFrom('dependencies', 'bin', 'os', 'scripts', 'directories', 'engines')
    const value = fc.jsonValue()
    fc.assert(
      fc.property(fc.dictionary(field, value), fields => {
        expect(compared(fields, fields)).not.toBe('different')
      }),
    )
  })
})
