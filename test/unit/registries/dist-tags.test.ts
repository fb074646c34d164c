/**
 * Where dist-tags go when what they name is refused.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { moveDistTags, newestFirst } from '../../../src/registries/dist-tags.ts'

const none = () => false

function moved(
  tags: Record<string, string>,
  allowed: string[],
  tombstones: string[] = [],
  deprecated: string[] = [],
) {
  const isDeprecated = (version: string) => deprecated.includes(version)
  return Object.fromEntries(
    moveDistTags(Object.entries(tags), { allowed, tombstones, isDeprecated }),
  )
}

describe('moveDistTags()', () => {
  test('leaves tags on allowed versions alone', () => {
    expect(moved({ latest: '1.0.0', next: '2.0.0-b' }, ['1.0.0', '2.0.0-b', '3.0.0'])).toEqual({})
  })

  test('moves a tag to the newest allowed version below the refused one', () => {
    const allowed = ['1.0.0', '1.9.0', '1.10.0', '2.0.0-rc.1', '3.0.0']
    expect(moved({ latest: '2.0.0' }, allowed, ['2.0.0'])).toEqual({ latest: '1.10.0' })
    expect(moved({ next: '2.0.0-rc.2' }, allowed, [])).toEqual({ next: '2.0.0-rc.1' })
    expect(moved({ latest: '1.10.1' }, allowed, [])).toEqual({ latest: '1.10.0' })
  })

  test('moves up only when nothing is below', () => {
    expect(moved({ latest: '0.1.0' }, ['1.0.0', '2.0.0', '3.0.0-a'])).toEqual({ latest: '2.0.0' })
    expect(moved({ latest: 'garbage' }, ['1.0.0', '2.0.0-a'])).toEqual({ latest: '1.0.0' })
  })

  test('takes a prerelease for a stable version only when there is nothing else', () => {
    expect(moved({ latest: '2.0.0' }, ['1.0.0-a', '1.0.0-b'])).toEqual({ latest: '1.0.0-b' })
  })

  test('passes deprecated versions over where there is a choice', () => {
    expect(moved({ latest: '3.0.0' }, ['1.0.0', '2.0.0'], [], ['2.0.0'])).toEqual({
      latest: '1.0.0',
    })
    expect(moved({ latest: '3.0.0' }, ['2.0.0'], [], ['2.0.0'])).toEqual({ latest: '2.0.0' })
  })

  test('stays on a tombstone when nothing is allowed, and goes when nothing is left', () => {
    expect(moved({ latest: '1.0.0' }, [], ['1.0.0', '2.0.0'])).toEqual({})
    expect(moved({ latest: '3.0.0' }, [], ['1.0.0', '2.0.0'])).toEqual({ latest: '2.0.0' })
    expect(moved({ latest: '3.0.0' }, [])).toEqual({ latest: undefined })
  })

  test('never leaves a tag on a version that cannot be had, for any versions', () => {
    const version = fc.oneof(
      fc.constantFrom('1.0.0', '1.0.0-a', '2.0.0', 'x', '', '=v1.2.3'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(version), fc.array(version), (allowed, named) => {
        const tags = named.map((name, i): [string, string] => [String(i), name])
        const out = moveDistTags(tags, { allowed, tombstones: [], isDeprecated: none })
        for (const [tag, name] of tags) {
          const now = out.has(tag) ? out.get(tag) : name
          if (allowed.length === 0) expect(now).toBeUndefined()
          else expect(allowed).toContain(now ?? 'nothing')
        }
      }),
    )
  })
})

test('newestFirst() sorts by semver and puts what it cannot read last', () => {
  expect(newestFirst(['1.0.0', 'b', '10.0.0', '1.0.0-a', 'a', '2.0.0'])).toEqual([
    '10.0.0',
    '2.0.0',
    '1.0.0',
    '1.0.0-a',
    'b',
    'a',
  ])
})
