/**
 * Names and paths: each raw path has one reading or none, and nothing that comes out can leave the
 * place where it is put. H1 of the fault table.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { RegistryError } from '../../../src/registries/errors.ts'
import {
  checkName,
  escapeName,
  isFileName,
  isVersion,
  NAME_CHARS_MAX,
  parsePackagePath,
  SELECTOR_CHARS_MAX,
  tarballFile,
  tarballUrl,
} from '../../../src/registries/name.ts'

const reads: [string, ReturnType<typeof parsePackagePath>][] = [
  ['/lodash', { kind: 'packument', name: 'lodash' }],
  ['/lodash/', { kind: 'packument', name: 'lodash' }],
  ['/JSONStream', { kind: 'packument', name: 'JSONStream' }],
  ['/Base64/1.0.0', { kind: 'manifest', name: 'Base64', selector: '1.0.0' }],
  ['/@babel/core', { kind: 'packument', name: '@babel/core' }],
  ['/@babel/core/', { kind: 'packument', name: '@babel/core' }],
  ['/@babel%2fcore', { kind: 'packument', name: '@babel/core' }],
  ['/@babel%2Fcore', { kind: 'packument', name: '@babel/core' }],
  ['/%40babel%2fcore', { kind: 'packument', name: '@babel/core' }],
  ['/@babel%2fcore/7.26.0', { kind: 'manifest', name: '@babel/core', selector: '7.26.0' }],
  ['/@babel/core/latest', { kind: 'manifest', name: '@babel/core', selector: 'latest' }],
  ['/lodash/1.0.0%2Bbuild', { kind: 'manifest', name: 'lodash', selector: '1.0.0+build' }],
  ['/lodash/1.0.0+build', { kind: 'manifest', name: 'lodash', selector: '1.0.0+build' }],
  ['/lodash/-/a-1.tgz', { kind: 'tarball', name: 'lodash', file: 'a-1.tgz' }],
  ['/@s/n/-/n-1.0.0.tgz', { kind: 'tarball', name: '@s/n', file: 'n-1.0.0.tgz' }],
  ['/@s%2fn/-/n-1.0.0.tgz', { kind: 'tarball', name: '@s/n', file: 'n-1.0.0.tgz' }],
  ['/@s%2Fn/-/n-1.0.0.tgz', { kind: 'tarball', name: '@s/n', file: 'n-1.0.0.tgz' }],
  ['/@s/n/-/@s/n-1.0.0.tgz', { kind: 'tarball', name: '@s/n', file: 'n-1.0.0.tgz' }],
  ['/@s/n/-/@s%2fn-1.0.0.tgz', { kind: 'tarball', name: '@s/n', file: 'n-1.0.0.tgz' }],
  ['/constructor', { kind: 'packument', name: 'constructor' }],
  ['/hasOwnProperty', { kind: 'packument', name: 'hasOwnProperty' }],
  ['/toString', { kind: 'packument', name: 'toString' }],
  ['/http', { kind: 'packument', name: 'http' }],
  [`/${'a'.repeat(NAME_CHARS_MAX)}`, { kind: 'packument', name: 'a'.repeat(NAME_CHARS_MAX) }],
]

const refusals = [
  '',
  '/',
  '//',
  '/lodash//',
  '//lodash',
  'lodash',
  '/.',
  '/..',
  '/%2e',
  '/%2e%2e',
  '/..%2f',
  '/..%2fetc',
  '/%2e%2e%2fetc',
  '/%2f',
  '/%252f',
  '/@s%252fn',
  '/lodash/..',
  '/lodash/%2e%2e',
  '/lodash/..%2f..',
  '/lodash/1.0.0/..',
  '/lodash/-/..',
  '/lodash/-/%2e%2e',
  '/lodash/-/..%2fx.tgz',
  '/lodash/-/../x.tgz',
  '/lodash/-/',
  '/lodash/-',
  '/lodash/%2d/x.tgz',
  '/lodash/-/a/b.tgz',
  '/@s/n/-/@t/n-1.0.0.tgz',
  '/lodash/-/@s/n-1.0.0.tgz',
  '/lodash\\',
  '/%5c',
  '/lodash%5c..',
  '/lodash%00',
  '/lodash%0d%0aset-cookie:x',
  '/lodash\r\n',
  '/lodash/1.0.0%0a',
  '/lodash/1.0.0%e2%80%ae',
  '/lodash/%20',
  '/lodash%e2%80%8d',
  '/l%D0%BEdash',
  '/%e2%80%aelodash',
  '/caf%c3%a9',
  '/cafe%cc%81',
  '/__proto__',
  '/_x',
  '/.x',
  '/-x',
  '/-',
  '/-/ping',
  '/-/npm/v1/keys',
  '/@/x',
  '/@s',
  '/@s/',
  '/@s//n',
  '/@s%2f',
  '/@s%2f/n',
  '/@s%2fn%2fx',
  '/@a/b/c/d',
  '/@a/.b',
  '/@a/..',
  '/@a%2f..',
  '/@a/__proto__/-/../../x',
  '/node_modules',
  '/favicon.ico',
  '/Node_Modules',
  '/a b',
  '/a%20b',
  '/ lodash',
  '/lodash?x',
  '/lodash#x',
  '/%',
  '/%zz',
  '/%ff',
  '/%ed%a0%80',
  '/\ud800',
  `/${'a'.repeat(NAME_CHARS_MAX + 1)}`,
  `/${'a'.repeat(10_000)}`,
  `/lodash/${'1'.repeat(SELECTOR_CHARS_MAX + 1)}`,
]

describe('parsePackagePath()', () => {
  test.each(reads)('reads %s', (path, expected) => {
    expect(parsePackagePath(path)).toEqual(expected)
  })

  test.each(refusals)('refuses %j', path => {
    expect(() => parsePackagePath(path)).toThrow(RegistryError)
    expect(() => parsePackagePath(path)).toThrow(expect.objectContaining({ code: 'invalid-name' }))
  })

  test('says what is wrong in one short printable line', () => {
    for (const path of refusals) {
      const message = messageOf(() => parsePackagePath(path))
      expect(message).toMatch(/^[^\p{Cc}\p{Cs}]{10,300}$/u)
    }
  })

  const pieces = fc.oneof(
    fc.constantFrom('/', '@', '%', '%2f', '%2F', '%2e', '.', '..', '-', '%25', '\\', '%00', '_'),
    fc.constantFrom(
      '\u202e',
      'é',
      'e\u0301',
      '\ud800',
      '%ed%a0%80',
      '__proto__',
      'lodash',
      '1.0.0',
    ),
    fc.string({ maxLength: 4 }),
  )

  test('reads 10,000 made-up paths in one way that goes nowhere else, or refuses them', () => {
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 10 }), parts => {
        const path = `/${parts.join('')}`
        const read = parsedOrRefused(path)
        if (read === undefined) return
        expect(parsePackagePath(path)).toEqual(read)
        const segments = Object.values(read).flatMap(value => value.split('/'))
        for (const segment of segments) {
          expect(segment).not.toMatch(/^\.{0,2}$|[\p{C}\p{Z}\\%]/u)
        }
        // The canonical spelling reads the same.
        expect(parsePackagePath(canonicalPath(read))).toEqual(read)
        expect(new URL(canonicalPath(read), 'http://localhost/').pathname).toBe(canonicalPath(read))
      }),
      { numRuns: 10_000 },
    )
  })
})

describe('names', () => {
  test('escapeName() joins a scope so that it is one path segment', () => {
    expect(escapeName('@babel/core')).toBe('@babel%2fcore')
    expect(escapeName('lodash')).toBe('lodash')
    expect(() => escapeName('../x')).toThrow('no package name')
    expect(() => escapeName('@a/b/c')).toThrow('no package name')
  })

  test('checkName() takes names of all times and refuses others with the reason', () => {
    for (const name of ['JSONStream', 'a~b', "it's", '@S/N', '@a/-b', 'x.js']) {
      expect(() => checkName(name)).not.toThrow()
    }
    expect(() => checkName('.x')).toThrow('cannot start with a period')
    expect(() => checkName('')).toThrow('length must be greater than zero')
  })

  test('isVersion() and isFileName() keep out what cannot stand in a record or a path', () => {
    for (const version of ['1.0.0', '3001.0001.0000-dev-harmony-fb', '1.0.0-rc.1+b~2', '0']) {
      expect(isVersion(version)).toBe(true)
    }
    for (const version of ['', ' 1', '1 ', '1.0.0\n', 'a/b', '..', '.1', '-1', '@', 'é', '1@2']) {
      expect(isVersion(version)).toBe(false)
    }
    expect(isVersion('1'.repeat(SELECTOR_CHARS_MAX + 1))).toBe(false)
    expect(isFileName('esprima-fb-3001.0001.0000-dev-harmony-fb.tgz')).toBe(true)
    for (const file of [
      '',
      '.',
      '..',
      '.x.tgz',
      'a/b.tgz',
      'a%2f.tgz',
      'a b',
      'a\n',
      'a?b',
      'a\\b',
    ]) {
      expect(isFileName(file)).toBe(false)
    }
  })

  test('tarballUrl() and tarballFile() give the usual URL', () => {
    const file = tarballFile('@babel/core', '7.26.0')
    expect(tarballUrl('http://127.0.0.1:6769/npm/', '@babel/core', file)).toBe(
      'http://127.0.0.1:6769/npm/@babel/core/-/core-7.26.0.tgz',
    )
  })
})

function parsedOrRefused(path: string): ReturnType<typeof parsePackagePath> | undefined {
  try {
    return parsePackagePath(path)
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError)
    return undefined
  }
}

function canonicalPath(read: ReturnType<typeof parsePackagePath>): string {
  const head = `/${escapeName(read.name)}`
  if (read.kind === 'tarball') return `${head}/-/${read.file}`
  return read.kind === 'manifest' ? `${head}/${encodeURIComponent(read.selector)}` : head
}

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
  return ''
}
