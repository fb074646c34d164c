/**
 * The lockfiles of real clients, changed at random: whatever comes in, nothing but a
 * `LockfileError` comes out, and no change of a hash goes unseen.
 * @module
 */
import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LockfileError } from '../../../../src/registries/lockfile/lockfile-entry.ts'
import { parseLockfile } from '../../../../src/registries/lockfile/lockfile.ts'

const FIXTURES = join(import.meta.dir, '../../../fixtures/lockfiles')

const files = [
  'npm-1/package-lock.json',
  'npm-2/package-lock.json',
  'npm-3/package-lock.json',
  'pnpm-5.4/pnpm-lock.yaml',
  'pnpm-6/pnpm-lock.yaml',
  'pnpm-9/pnpm-lock.yaml',
  'yarn-1/yarn.lock',
  'yarn-4/yarn.lock',
  'bun-2/bun.lock',
]
test.each(files)('%s, changed anywhere, throws nothing but LockfileError', path => {
  const bytes = readFileSync(join(FIXTURES, path))
  const name = path.split('/')[1] ?? ''
  const change = fc.record({
    at: fc.nat(bytes.length - 1),
    drop: fc.nat(40),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc
        .constantFrom('"', '{', '}', '[', ']', ':', ',', '\n', '  ', '@', '&a ', '*a', '\\', '- ')
        .map(text => new Uint8Array(Buffer.from(text))),
    ),
  })
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), changes => {
      let mutated = bytes
      for (const { at, drop, insert } of changes) {
        mutated = Buffer.concat([mutated.subarray(0, at), insert, mutated.subarray(at + drop)])
      }
      expect(() => parseOrRefuse(name, mutated)).not.toThrow()
    }),
    { numRuns: 150 },
  )
})

test.each(files)('%s, with one character of a hash changed, pins another hash', path => {
  const name = path.split('/')[1] ?? ''
  const text = readFileSync(join(FIXTURES, path), 'utf8')
  const before = parseLockfile(name, Buffer.from(text)).entries.filter(
    entry => entry.integrity !== null,
  )
  for (const { integrity, line } of before) {
    if (integrity === null) continue
    const at = text.indexOf(integrity) + 20
    const other = text[at] === 'A' ? 'B' : 'A'
    const changed = text.slice(0, at) + other + text.slice(at + 1)
    const { entries } = parseLockfile(name, Buffer.from(changed))
    const now = entries.find(entry => entry.line === line && entry.kind === 'registry')
    expect(now?.integrity).not.toBe(integrity)
  }
  expect(before.length > 0 || path === 'yarn-4/yarn.lock').toBeTrue()
})

function parseOrRefuse(name: string, bytes: Uint8Array): void {
  try {
    parseLockfile(name, bytes)
  } catch (error) {
    if (!(error instanceof LockfileError)) throw error
    expect(error.line).toBeGreaterThan(0)
  }
}
