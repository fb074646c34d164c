import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { AuthorityError, buildAuthority } from '../../../../src/registries/sources/authority.ts'
import type {
  AuthorityEntry,
  AuthorityErrorCode,
} from '../../../../src/registries/sources/authority.ts'

function codeOf(entries: AuthorityEntry[]): AuthorityErrorCode | undefined {
  try {
    buildAuthority(entries)
    return undefined
  } catch (error) {
    if (error instanceof AuthorityError) return error.code
    throw error
  }
}

describe('ownerOf()', () => {
  const authority = buildAuthority([
    { registry: 'npm', patterns: ['**', '@acme/open'] },
    { registry: 'corp', patterns: ['@acme/*', 'acme-cli'] },
    { registry: 'scoped', patterns: ['@*/*'] },
  ])
  const owners: [string, string][] = [
    ['lodash', 'npm'],
    ['JSONStream', 'npm'],
    ['__proto__', 'npm'],
    ['acme-cli', 'corp'],
    ['acme-cli2', 'npm'],
    ['@acme/app', 'corp'],
    ['@acme/open', 'npm'],
    ['@acme/open-too', 'corp'],
    ['@acme2/app', 'scoped'],
    ['@types/node', 'scoped'],
  ]
  test.each(owners)('gives %s to %s', (name, registry) => {
    expect(authority.ownerOf(name)).toBe(registry)
  })

  test('knows no owner for what no pattern covers', () => {
    const closed = buildAuthority([{ registry: 'corp', patterns: ['@acme/*', 'x'] }])
    expect(['lodash', '@other/x', 'X', '@acme', ''].map(closed.ownerOf)).toEqual(
      Array.from({ length: 5 }, () => undefined),
    )
    expect(buildAuthority([]).ownerOf('lodash')).toBeUndefined()
  })

  test('answers no pattern as if it were a name', () => {
    expect(['**', '@*/*', '@acme/*'].map(authority.ownerOf)).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('buildAuthority() refuses', () => {
  const cases: [string, AuthorityErrorCode, AuthorityEntry[]][] = [
    [
      'one pattern in two registries',
      'ambiguous',
      [
        { registry: 'a', patterns: ['@acme/*'] },
        { registry: 'b', patterns: ['@acme/*'] },
      ],
    ],
    [
      'two registries for everything',
      'ambiguous',
      [
        { registry: 'a', patterns: ['**'] },
        { registry: 'b', patterns: ['**'] },
      ],
    ],
    [
      'names that differ in capitals, in two registries',
      'ambiguous',
      [
        { registry: 'a', patterns: ['JSONStream'] },
        { registry: 'b', patterns: ['jsonstream'] },
      ],
    ],
    ['a pattern twice', 'duplicate', [{ registry: 'a', patterns: ['x', 'x'] }]],
    [
      'a registry twice',
      'duplicate',
      [
        { registry: 'a', patterns: ['x'] },
        { registry: 'a', patterns: ['y'] },
      ],
    ],
    ['a registry without patterns', 'shadowed', [{ registry: 'a', patterns: [] }]],
    ['a scope under its own **', 'shadowed', [{ registry: 'a', patterns: ['**', '@acme/*'] }]],
    ['a name under its own scope', 'shadowed', [{ registry: 'a', patterns: ['@s/x', '@s/*'] }]],
    ['a scope under its own @*/*', 'shadowed', [{ registry: 'a', patterns: ['@*/*', '@s/*'] }]],
  ]
  test.each(cases)('%s (%s)', (_, code, entries) => {
    expect(codeOf(entries)).toBe(code)
  })

  const patterns = ['', '*', '***', 'foo-*', '@acme/foo-*', '@acme', '@acme/', '@/x', '@a/b/c']
  patterns.push('@a*/*', '../x', 'a b', '/x', '@*/x', '*/*', 'a/b', '@acme/**', '.x', 'x\n', 'x\0')
  patterns.push('x'.repeat(215), '@%2e/*')
  test.each(patterns)('the pattern %j (bad-pattern)', pattern => {
    expect(codeOf([{ registry: 'a', patterns: [pattern] }])).toBe('bad-pattern')
  })

  test('with the names of both registries in the reason', () => {
    expect(() =>
      buildAuthority([
        { registry: 'npm', patterns: ['@acme/*'] },
        { registry: 'corp', patterns: ['@acme/*'] },
      ]),
    ).toThrow('@acme/* is claimed by npm and by corp')
  })
})

describe('properties', () => {
  const names = ['a', 'b', '@s/a', '@s/b', '@t/a', '@t/b', 'A', '@s/x', 'c']
  const pattern = fc.constantFrom('a', 'b', '@s/a', '@s/*', '@t/*', '@*/*', '**', 'c')
  const table = fc
    .uniqueArray(fc.tuple(pattern, fc.constantFrom('r1', 'r2', 'r3')), {
      selector: ([text]) => text,
      maxLength: 8,
    })
    .map(rows => {
      const registries = [...new Set(rows.map(([, registry]) => registry))]
      return registries.map(registry => ({
        registry,
        patterns: rows.filter(row => row[1] === registry).map(([text]) => text),
      }))
    })
    .filter(entries => codeOf(entries) === undefined)

  /** The rule of the table again, by trying every pattern and taking the longest kind. */
  function ownerByTrying(entries: AuthorityEntry[], name: string): string | undefined {
    const kinds = [
      (text: string) => text === name,
      (text: string) =>
        text.endsWith('/*') && text !== '@*/*' && name.startsWith(text.slice(0, -1)),
      (text: string) => text === '@*/*' && name.startsWith('@'),
      (text: string) => text === '**',
    ]
    for (const matches of kinds) {
      const owner = entries.find(({ patterns }) => patterns.some(matches))
      if (owner !== undefined) return owner.registry
    }
    return undefined
  }

  test('ownerOf() is the narrowest match', () => {
    fc.assert(
      fc.property(table, entries => {
        const authority = buildAuthority(entries)
        for (const name of names) {
          expect(authority.ownerOf(name)).toBe(ownerByTrying(entries, name))
        }
      }),
    )
  })

  test('the order of the table says nothing', () => {
    fc.assert(
      fc.property(table, fc.infiniteStream(fc.nat()), (entries, numbers) => {
        const shuffled = entries
          .map(entry => ({ ...entry, patterns: entry.patterns.toReversed() }))
          .map(entry => ({ entry, key: numbers.next().value }))
          .toSorted((a, b) => Number(a.key) - Number(b.key))
          .map(({ entry }) => entry)
        const before = buildAuthority(entries)
        const after = buildAuthority(shuffled)
        for (const name of names) expect(after.ownerOf(name)).toBe(before.ownerOf(name))
      }),
    )
  })

  test('every pattern of a table that is taken decides something', () => {
    fc.assert(
      fc.property(table, entries => {
        for (const { registry, patterns } of entries) {
          for (const dropped of patterns) {
            const without = entries.map(entry => ({
              ...entry,
              patterns: entry.patterns.filter(text => text !== dropped),
            }))
            const rest = without.filter(entry => entry.patterns.length > 0)
            const sample = dropped.replace('@*/*', '@new/new').replace('**', 'new')
            const name = sample.replace('/*', '/new')
            expect(ownerByTrying(rest, name)).not.toBe(registry)
          }
        }
      }),
    )
  })
})
