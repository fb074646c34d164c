/**
 * Lockfiles that the real clients wrote for one project (test/fixtures/lockfiles/README.md):
 * whatever the format, the same versions with the same hashes come out.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lockfile, LockfileEntry } from '../../../../src/registries/lockfile/lockfile-entry.ts'
import { LOCKFILE_NAMES, parseLockfile } from '../../../../src/registries/lockfile/lockfile.ts'

const FIXTURES = join(import.meta.dir, '../../../fixtures/lockfiles')

function read(path: string): { text: string; lockfile: Lockfile } {
  const bytes = readFileSync(join(FIXTURES, path))
  return { text: bytes.toString(), lockfile: parseLockfile(path.split('/')[1] ?? '', bytes) }
}

function of(kind: LockfileEntry['kind'], { entries }: Lockfile): LockfileEntry[] {
  return entries.filter(entry => entry.kind === kind)
}

/** What the project and its dependencies come to: npm's own answer, version 3. */
const EXPECTED = new Map(
  of('registry', read('npm-3/package-lock.json').lockfile).map(entry => [
    `${entry.name}@${entry.version}`,
    entry.integrity,
  ]),
)

const FILES: [path: string, format: string, version: string][] = [
  ['npm-1/package-lock.json', 'npm', '1'],
  ['npm-2/package-lock.json', 'npm', '2'],
  ['npm-3/package-lock.json', 'npm', '3'],
  ['pnpm-5.4/pnpm-lock.yaml', 'pnpm', '5.4'],
  ['pnpm-6/pnpm-lock.yaml', 'pnpm', '6.0'],
  ['pnpm-9/pnpm-lock.yaml', 'pnpm', '9.0'],
  ['yarn-1/yarn.lock', 'yarn-1', '1'],
  ['bun-1/bun.lock', 'bun', '1'],
  ['bun-2/bun.lock', 'bun', '2'],
]
const BERRY: [path: string, version: string][] = [
  ['yarn-3/yarn.lock', '6'],
  ['yarn-4/yarn.lock', '10'],
]

test('the project has 15 versions of registries, an alias and two of one name among them', () => {
  const names = [...EXPECTED.keys()]
  expect(names).toHaveLength(15)
  expect(names).toContain('@types/json-schema@7.0.15')
  expect(names).toContain('is-number@7.0.0')
  expect(names).toContain('is-number@6.0.0')
  expect(names).toContain('ms@2.1.2')
  expect(names).toContain('fsevents@2.3.3')
})

describe.each(FILES)('%s', (path, format, version) => {
  const { text, lockfile } = read(path)
  const lines = text.split('\n')

  test('is recognised', () => {
    expect(lockfile).toMatchObject({ format, version })
  })

  test('pins the same versions with the same hashes', () => {
    const found = new Map(
      of('registry', lockfile).map(entry => [`${entry.name}@${entry.version}`, entry.integrity]),
    )
    // Yarn 1 does not know bundling: it lists what the local tarball bundles.
    if (format === 'yarn-1') found.delete('inherits@2.0.4')
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(EXPECTED))
  })

  test('every hash stands on the line that is told', () => {
    for (const entry of of('registry', lockfile)) {
      expect(lines[entry.line - 1]).toContain(entry.integrity ?? 'no hash')
    }
  })

  test('tells what comes from no registry, and why', () => {
    const told = new Map(
      of('not-registry', lockfile).map(entry => [entry.name, entry.reason ?? '']),
    )
    expect(told.get('git-dep')).toBe('comes from git')
    expect(told.get('url-dep')).toBe('comes from a URL, not from a registry')
    expect(told.get('bundler')).toBe('is a local tarball')
    expect(told.get('local-dir')).toMatch(/^is a (?:local folder|link)$/)
    if (format === 'npm' || format === 'bun') {
      expect(told.get('inherits')).toStartWith('is bundled inside its parent')
      expect(told.get('@fixture/ws-a')).toMatch(/^is a /)
    }
    expect(of('no-integrity', lockfile)).toBeEmpty()
  })

  test('is recognised by its content too', () => {
    const guessed = parseLockfile('some.lock', Buffer.from(text))
    expect(guessed).toEqual(lockfile)
  })

  test('reads the same with the line ends of Windows', () => {
    const crlf = Buffer.from(text.replaceAll('\n', '\r\n'))
    expect(parseLockfile(path.split('/')[1] ?? '', crlf)).toEqual(lockfile)
  })
})

describe.each(BERRY)('%s', (path, version) => {
  const { text, lockfile } = read(path)
  const lines = text.split('\n')

  test('names the same versions, with no hash to compare', () => {
    expect(lockfile).toMatchObject({ format: 'yarn-berry', version })
    const unhashed = of('no-integrity', lockfile)
    const names = unhashed.map(entry => `${entry.name}@${entry.version}`)
    for (const name of EXPECTED.keys()) expect(names).toContain(name)
    for (const entry of unhashed) {
      expect(entry.integrity).toBeNull()
      expect(entry.reason).toBe("yarn's lockfile holds no comparable hash")
      expect(lines[entry.line - 1]).toContain(entry.key.split(',')[0] ?? '')
    }
    expect(of('registry', lockfile)).toBeEmpty()
  })

  test('tells what comes from no registry, and why', () => {
    const told = of('not-registry', lockfile).map(entry => `${entry.name} ${entry.reason}`)
    expect(told.toSorted()).toEqual([
      '@fixture/ws-a is a workspace of this project',
      'bundler is a local tarball',
      'fixture-app is a workspace of this project',
      'fsevents is a patch; what it patches has its own entry',
      'git-dep comes from git',
      'local-dir is a local folder',
      'url-dep comes from a URL, not from a registry',
    ])
  })

  test('is recognised by its content too', () => {
    expect(parseLockfile('some.lock', Buffer.from(text))).toEqual(lockfile)
  })
})

test('an npm-shrinkwrap.json is a package-lock.json by another name', () => {
  const bytes = readFileSync(join(FIXTURES, 'npm-3/package-lock.json'))
  expect(parseLockfile('npm-shrinkwrap.json', bytes)).toEqual(
    read('npm-3/package-lock.json').lockfile,
  )
  expect(LOCKFILE_NAMES).toContain('npm-shrinkwrap.json')
})
