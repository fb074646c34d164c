/**
 * The install-relevant projection: what it commits to, what it leaves out, and that its text is RFC
 * 8785 (its own examples, section 3.2).
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import {
  hashProjection,
  hasInstallScript,
  type JsonObject,
  projectManifest,
  ProjectionError,
} from '../../../../src/registries/packument/manifest.ts'

const whole = {
  name: '@s/pkg',
  version: '1.0.0',
  description: 'not relevant',
  devDependencies: { d: '1' },
  dependencies: { b: '2', a: '1' },
  optionalDependencies: { o: '1' },
  peerDependencies: { p: '1' },
  peerDependenciesMeta: { p: { optional: true } },
  bundleDependencies: ['a'],
  bin: { x: 'x.js' },
  directories: { bin: './bin', lib: './lib' },
  engines: { node: '>=18' },
  os: ['linux'],
  cpu: ['x64'],
  libc: ['glibc'],
  scripts: {
    test: 'no',
    prepublish: 'no',
    preinstall: 'a',
    install: 'b',
    postinstall: 'c',
    prepare: 'd',
  },
}

const text =
  '{"bin":{"x":"x.js"},"bundleDependencies":["a"],"cpu":["x64"],"dependencies":{"a":"1","b":"2"},' +
  '"directories":{"bin":"./bin"},"engines":{"node":">=18"},"libc":["glibc"],' +
  '"optionalDependencies":{"o":"1"},"os":["linux"],"peerDependencies":{"p":"1"},' +
  '"peerDependenciesMeta":{"p":{"optional":true}},' +
  '"scripts":{"install":"b","postinstall":"c","preinstall":"a","prepare":"d"}}'

function project(manifest: JsonObject): string {
  return projectManifest(manifest, '@s/pkg')
}

describe('projectManifest()', () => {
  test('takes exactly the relevant members, in canonical form', () => {
    expect(project(whole)).toBe(text)
    expect(projectManifest({}, 'x')).toBe('{}')
  })

  test.each(
    'dependencies optionalDependencies peerDependencies peerDependenciesMeta'
      .split(' ')
      .concat('bundleDependencies bin directories engines os cpu libc scripts'.split(' '))
      .map(field => [field]),
  )('changes with %s', field => {
    const { [field]: _, ...rest } = whole as JsonObject
    expect(project(rest)).not.toBe(text)
    for (const empty of [null, false, '', [], {}]) {
      expect(project({ ...rest, [field]: empty })).toBe(project(rest))
    }
  })

  test('does not change with anything else', () => {
    const others = { readme: 'x', deprecated: 'x', dist: {}, devDependencies: {}, _id: 'x' }
    expect(project({ ...whole, ...others })).toBe(text)
    expect(project({ ...whole, scripts: { ...whole.scripts, test: 'other' } })).toBe(text)
  })

  test('reads bin as text as the package’s own name without its scope', () => {
    expect(project({ bin: 'cli.js' })).toBe('{"bin":{"pkg":"cli.js"}}')
    expect(project({ bin: { pkg: 'cli.js' } })).toBe('{"bin":{"pkg":"cli.js"}}')
    expect(projectManifest({ bin: 'x' }, '__proto__')).toBe('{"bin":{"__proto__":"x"}}')
  })

  test('reads bundledDependencies as bundleDependencies, and both where they differ', () => {
    const folded = '{"bundleDependencies":["a"]}'
    expect(project({ bundledDependencies: ['a'] })).toBe(folded)
    expect(project({ bundledDependencies: ['a'], bundleDependencies: ['a'] })).toBe(folded)
    expect(project({ bundledDependencies: ['a'], bundleDependencies: [] })).toBe(folded)
    expect(project({ bundledDependencies: ['b'], bundleDependencies: ['a'] })).toBe(
      '{"bundleDependencies":["a"],"bundledDependencies":["b"]}',
    )
    expect(project({ bundleDependencies: true })).toBe('{"bundleDependencies":true}')
  })

  test('keeps old shapes as they came', () => {
    expect(project({ engines: ['node >= 0.4'], os: 'linux', bin: ['x'] })).toBe(
      '{"bin":["x"],"engines":["node >= 0.4"],"os":"linux"}',
    )
    expect(project({ scripts: 'x', directories: 'y' })).toBe('{}')
    expect(project({ scripts: { install: { a: 1 } } })).toBe('{"scripts":{"install":{"a":1}}}')
  })

  test('takes own members only, whatever they are called', () => {
    const dependencies: unknown = JSON.parse('{"__proto__":"1","constructor":"2"}')
    expect(project({ dependencies })).toBe('{"dependencies":{"__proto__":"1","constructor":"2"}}')
    expect(project({ scripts: Object.create({ install: 'x' }) })).toBe('{}')
  })

  test.each([
    ['a lone surrogate', { dependencies: { a: '\ud800' } }],
    ['a lone surrogate in a key', { bin: { '\udc00': 'x' } }],
    ['a number beyond double', { engines: { node: Number.POSITIVE_INFINITY } }],
  ])('refuses %s', (_, manifest) => {
    expect(() => project(manifest)).toThrow(ProjectionError)
  })

  test('writes numbers and strings as RFC 8785 does', () => {
    const engines: unknown = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/"}',
    )
    expect(project({ engines })).toBe(
      '{"engines":{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}}',
    )
  })

  test('does not depend on the order of members', () => {
    const dictionary = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.json())
    fc.assert(
      fc.property(dictionary, dependencies => {
        const turned = Object.fromEntries(Object.entries(dependencies).toReversed())
        expect(project({ dependencies })).toBe(project({ dependencies: turned }))
      }),
    )
  })
})

test('hashProjection() is SHA-256 over the UTF-8 of the text', () => {
  const hash = createHash('sha256').update('{"bin":{"é":"x"}}').digest('base64')
  expect(hashProjection('{"bin":{"é":"x"}}')).toBe(`sha256-${hash}`)
})

test('hasInstallScript() looks at the three scripts that every installation runs', () => {
  for (const script of ['preinstall', 'install', 'postinstall']) {
    expect(hasInstallScript({ scripts: { [script]: 'x' } })).toBe(true)
    expect(hasInstallScript({ scripts: { [script]: '' } })).toBe(false)
  }
  expect(hasInstallScript({ scripts: { prepare: 'x', test: 'y' } })).toBe(false)
  expect(hasInstallScript({})).toBe(false)
})
