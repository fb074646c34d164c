/**
 * The names of revisions, and the recording of whatever a registry that re-issues bytes shows, in
 * any order. Goal: each content that is served has its own record, no record has two contents, and
 * whoever holds an integrity finds its record by it alone.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import semver from 'semver'
import { Disputes } from '../../../../src/db/disputes.ts'
import { Incidents } from '../../../../src/db/incidents.ts'
import { Packages } from '../../../../src/db/packages.ts'
import { Revisions } from '../../../../src/db/revisions.ts'
import { Secrets } from '../../../../src/db/secrets.ts'
import { Upstreams } from '../../../../src/db/upstreams.ts'
import { encodeLeaf, parseLeaf, versionKey } from '../../../../src/log/leaf.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { inspectPackument } from '../../../../src/registries/packument/inspect.ts'
import { integrityOf, integrityToHex } from '../../../../src/registries/integrity.ts'
import { knownVersions } from '../../../../src/registries/packument/known-versions.ts'
import { Ledger } from '../../../../src/registries/reading/ledger.ts'
import { allSummaries } from '../../../../src/registries/reading/plan.ts'
import {
  isReserved,
  revisionAsked,
  revisionFile,
  revisionOf,
} from '../../../../src/registries/packument/revisions.ts'
import type { Source } from '../../../../src/registries/sources/source.ts'
import { SourceFactory } from '../../../../src/registries/sources/source-factory.ts'
import { openLog, temporaryDir } from '../../db/data-dir.ts'

const NAMESPACE = 'registry.example'
const MANIFEST = `sha256-${Buffer.alloc(32).toString('base64')}`
const SEEN = '2026-11-22T08:31:07Z'

const bytes = fc.uint8Array({ minLength: 64, maxLength: 64 })
const integrity = bytes.map(each => `sha512-${Buffer.from(each).toString('base64')}`)
const word = fc.stringMatching(/^[0-9a-z]{1,8}$/)
const version = fc
  .tuple(fc.nat(9), fc.nat(9), fc.nat(9), fc.option(word), fc.option(fc.array(word)))
  .map(([a, b, c, pre, build]) => {
    const more = build === null || build.length === 0 ? '' : `+${build.join('.')}`
    return `${a}.${b}.${c}${pre === null ? '' : `-x${pre}`}${more}`
  })
  .filter(each => !isReserved(each))

describe('the version of a revision', () => {
  test('is one that a record, npm and semver take', () => {
    fc.assert(
      fc.property(version, integrity, (each, hash) => {
        const text = revisionOf(each, hash)
        const about = { kind: 'version', namespace: NAMESPACE, name: 'x' } as const
        const leaf = { ...about, version: text, integrity: hash, manifest: MANIFEST, seen: SEEN }
        expect(parseLeaf(encodeLeaf(leaf))).toEqual(leaf)
        expect(semver.valid(text)).not.toBeNull()
        expect(semver.compare(text, each)).toBe(0)
        expect(text).toEndWith(`revision.${integrityToHex(hash).slice(0, 32)}`)
      }),
    )
  })

  test('is that of one version and content alone, and of no version that may be listed', () => {
    fc.assert(
      fc.property(version, version, integrity, integrity, (a, b, hash, other) => {
        const text = revisionOf(a, hash)
        expect(isReserved(text)).toBe(true)
        expect(revisionAsked(text, hash)).toBeUndefined()
        expect(revisionOf(b, hash) === text).toBe(a === b)
        expect(revisionOf(a, other) === text).toBe(hash === other)
      }),
    )
  })

  test.each(['1.0.0+revision', '1.0.0+revision.x', '1.0.0+a.revision.x', '1.0.0-a+revision.0'])(
    '%s is reserved',
    each => expect(isReserved(each)).toBe(true),
  )

  test.each(['1.0.0', '1.0.0-revision.1', '1.0.0+revisions.1', '1.0.0+a-revision'])(
    '%s is not',
    each => expect(isReserved(each)).toBe(false),
  )

  test('is not asked for where none can be recorded', () => {
    expect(revisionAsked('1'.repeat(256), integrityOf(new Uint8Array()))).toBeUndefined()
  })
})

describe('recording', () => {
  let stack: AsyncDisposableStack
  let parts: ReturnType<typeof openParts>
  beforeAll(() => {
    stack = new AsyncDisposableStack()
    parts = openParts(stack)
  })
  afterAll(() => stack.disposeAsync())

  /** What a registry shows: of each version a content, a manifest and a place. */
  const shown = fc.dictionary(
    fc.constantFrom('1.0.0', '1.1.0-a', '2.0.0+b'),
    fc.record({
      content: fc.nat(3),
      dependency: fc.nat(1),
      path: fc.nat(1),
      isBroken: fc.constantFrom(false, false, false, true),
    }),
    { minKeys: 1, noNullPrototype: true },
  )

  test('every content that is shown has its own record, in any order', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(shown, { minLength: 1, maxLength: 6 }), async steps => {
        const name = `again-${(run += 1)}`
        for (const step of steps) {
          const rows = await show(parts, parts.revised, name, step)
          for (const [listed, { content, isBroken }] of Object.entries(step)) {
            const row = rows.find(each => each.version === listed)
            if (isBroken) {
              expect(row?.state).toBe('invalid')
              continue
            }
            const hash = contentOf(name, listed, content)
            expect(row).toMatchObject({ integrity: hash, detail: '' })
            expect(['logged', 'restored']).toContain(row?.state ?? '')
            const texts = recordsOf(parts, name, listed, hash)
            expect(texts).toHaveLength(1)
            // The row, its file and the manifest that is served are those of this record.
            const [record] = texts
            expect(row?.leafIndex).toBe(record?.index ?? -1)
            expect(row?.manifestHash).toBe(record?.manifest ?? '')
            if (record?.version !== listed) expect(row?.file).toBe(revisionFile(name, listed, hash))
          }
        }
        const contents = steps.flatMap(step => Object.entries(step))
        const whole = contents.filter(([, { isBroken }]) => !isBroken)
        const seen = new Set(whole.map(([listed, { content }]) => `${listed} ${content}`))
        const records = parts.leaves().filter(leaf => leaf.name === name)
        expect(records).toHaveLength(seen.size)
        expect(new Set(records.map(leaf => leaf.version)).size).toBe(seen.size)
        const notes = parts.incidents.latest(10_000).filter(each => each.name === name)
        const revisions = records.filter(leaf => isReserved(leaf.version)).length
        expect(notes.filter(({ code }) => code === 'revised')).toHaveLength(revisions)
        expect(notes.some(({ code }) => code === 'conflict')).toBe(false)
      }),
      { numRuns: 60 },
    )
  }, 60_000)

  test('where bytes are issued once, all that follows the first content is a conflict', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(2), { minLength: 1, maxLength: 4 }), async contents => {
        const name = `once-${(run += 1)}`
        for (const content of contents) {
          const step = { '1.0.0': { content, dependency: 0, path: 0 } }
          const [row] = await show(parts, parts.plain, name, step)
          expect(row?.state).toBe(content === contents[0] ? 'logged' : 'conflict')
          expect(row?.integrity).toBe(contentOf(name, '1.0.0', contents[0] ?? -1))
        }
        const records = parts.leaves().filter(leaf => leaf.name === name)
        expect(records.map(leaf => leaf.version)).toEqual(['1.0.0'])
      }),
      { numRuns: 30 },
    )
  }, 60_000)

  test('two contents whose hashes begin alike: the second is refused', async () => {
    const first = Buffer.alloc(64, 1)
    const hash = (last: number) =>
      `sha512-${Buffer.concat([first.subarray(0, 63), Buffer.from([last])]).toString('base64')}`
    const name = 'alike'
    await show(parts, parts.revised, name, { '1.0.0': { content: 0, dependency: 0, path: 0 } })
    for (const last of [2, 3, 2]) {
      const document = packumentOf(name, '1.0.0', hash(last))
      await refresh(parts, parts.revised, name, document)
      const [row] = await allSummaries(parts.packages, NAMESPACE, name)
      expect(row?.state).toBe(last === 2 ? 'logged' : 'conflict')
      expect(row?.integrity).toBe(hash(2))
    }
  })
})

function openParts(stack: AsyncDisposableStack) {
  const dir = stack.use(temporaryDir())
  const { db, log, store } = stack.use(openLog(dir.path))
  const upstreams = new Upstreams(db)
  const about = { kind: 'registry', mirrorOf: null, signatures: 'off', created: SEEN } as const
  for (const [name, namespace, revisions] of [
    ['revised', NAMESPACE, true],
    ['plain', 'plain.example', false],
  ] as const) {
    const names = [`@${name}/*`]
    const url = `https://${namespace}/`
    upstreams.add({ ...about, name, namespace, url, names, tarballs: 'redirect', revisions })
  }
  const incidents = new Incidents(db)
  const packages = new Packages(db)
  const now = () => new Date(SEEN)
  const needs = { db, log, store, upstreams, incidents, packages, now, warn: () => undefined }
  const fetcher = new Fetcher({ userAgent: 'test' })
  const secrets = new Secrets(db, dir.path)
  const house = () => {
    throw new Error('nothing lives here')
  }
  const { sources } = new SourceFactory({ ...needs, secrets, fetcher, probes: fetcher, house })
  const disputes = new Disputes(db)
  const ledger = new Ledger({ ...needs, disputes, revisions: new Revisions(db), base: 'http://a/' })
  const sourceOf = (name: string): Source => {
    const source = sources.get(name)
    if (source === undefined) throw new Error(name)
    return source
  }
  const leaves = () =>
    store
      .readLeaves(0, log.size)
      .map(parseLeaf)
      .filter(leaf => leaf.kind === 'version')
  const found = { revised: sourceOf('revised'), plain: sourceOf('plain') }
  return { ...found, packages, incidents, ledger, store, leaves }
}

type Parts = ReturnType<typeof openParts>
type Shown = { content: number; dependency: number; path: number; isBroken?: boolean }
type Step = Record<string, Shown>

function contentOf(name: string, listed: string, content: number): string {
  return integrityOf(Buffer.from(`${name} ${listed} ${content}`))
}

async function show(parts: Parts, source: Source, name: string, step: Step) {
  const versions = Object.entries(step).map(([listed, shown]) => {
    const { content, dependency, path, isBroken } = shown
    const hash = contentOf(name, listed, content)
    const tarball = `${source.upstream.url}~/${path}/${name}/${listed}.tgz`
    const dependencies = dependency === 0 ? {} : { other: '1.0.0' }
    const dist = { tarball, integrity: hash }
    return [listed, { name: isBroken === true ? 'x' : name, version: listed, dependencies, dist }]
  })
  const document = { name, 'dist-tags': {}, 'versions': Object.fromEntries(versions) }
  return await showText(parts, source, name, document)
}

function packumentOf(name: string, listed: string, hash: string) {
  const dist = { tarball: `https://${NAMESPACE}/x.tgz`, integrity: hash }
  return { name, 'dist-tags': {}, 'versions': { [listed]: { name, version: listed, dist } } }
}

/** As a refresh does it. */
async function showText(parts: Parts, source: Source, name: string, document: object) {
  const { packages } = parts
  await refresh(parts, source, name, document)
  // The same again says nothing new.
  expect(await refresh(parts, source, name, document)).toBe(false)
  return await allSummaries(packages, source.namespace, name)
}

/** @returns whether anything changed */
async function refresh(parts: Parts, source: Source, name: string, document: object) {
  const { packages, ledger } = parts
  const rows = await allSummaries(packages, source.namespace, name)
  const input = {
    name,
    keys: [],
    registrySigns: false,
    known: knownVersions(rows),
    packageKnown: rows.length > 0,
    revises: source.revises === true,
    now: SEEN,
  }
  const { versions } = inspectPackument(Buffer.from(JSON.stringify(document)), input)
  return (await ledger.record(source, name, take => take(versions))).changed
}

/** The records of a content, as whoever holds its integrity looks for them. */
function recordsOf({ store }: Parts, name: string, listed: string, hash: string) {
  return [listed, revisionOf(listed, hash)].flatMap(text => {
    const index = store.findIndex(versionKey(NAMESPACE, name, text))
    const [leaf] = index === null ? [] : store.readLeaves(index, index + 1).map(parseLeaf)
    const isIt = leaf?.kind === 'version' && leaf.integrity === hash
    return isIt && index !== null ? [{ ...leaf, index }] : []
  })
}
