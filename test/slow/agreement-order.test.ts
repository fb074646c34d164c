/**
 * One answer whatever the order (U16 of the fault table): the same registry, mirrors and log, asked
 * in 1,000 ways: the mirrors' names and order, who is slow, who is down, what is cached and what was
 * forgotten.
 * Goal: one sequence of bytes for each package, disputed versions included.
 */
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { CacheFiles } from '../../src/db/cache-files.ts'
import { Disputes } from '../../src/db/disputes.ts'
import { Documents } from '../../src/db/documents.ts'
import { Incidents } from '../../src/db/incidents.ts'
import { openCache } from '../../src/db/open.ts'
import { Packages } from '../../src/db/packages.ts'
import { Revisions } from '../../src/db/revisions.ts'
import { Samples } from '../../src/db/samples.ts'
import { PolicyRules, Provenances } from '../../src/db/policy-rules.ts'
import { Secrets } from '../../src/db/secrets.ts'
import { Upstreams } from '../../src/db/upstreams.ts'
import { Agreement } from '../../src/registries/reading/agreement.ts'
import { Cosigner } from '../../src/registries/reading/cosign.ts'
import { Failover } from '../../src/registries/reading/failover.ts'
import { Fetcher } from '../../src/registries/fetch/fetcher.ts'
import { KeptDocuments } from '../../src/registries/reading/kept-documents.ts'
import { Ledger } from '../../src/registries/reading/ledger.ts'
import { generateSigningKey, OwnKeys } from '../../src/registries/keys/own-key.ts'
import { PackumentPool } from '../../src/registries/packument/packument-pool.ts'
import { Policy } from '../../src/registries/policy/policy.ts'
import { Proxy } from '../../src/registries/reading/proxy.ts'
import { Refresher } from '../../src/registries/reading/refresher.ts'
import { Renderings } from '../../src/registries/reading/renderings.ts'
import { SourceFactory } from '../../src/registries/sources/source-factory.ts'
import { Places } from '../../src/registries/sources/tarball-location.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { openLog, temporaryDir } from '../unit/db/data-dir.ts'

const RUNS = 1_000
const BASE = 'http://127.0.0.1:6769/'
const CREATED = '2026-11-22T08:31:07Z'
/** Time between two runs: everything that is cached is due for a check. */
const STEP_MS = 10 * 60 * 1000
const WANTED = { form: 'full', own: true, noTombstones: false, addressed: false } as const
/** Mirrors by what they do to `disputed`; `plain` is the same everywhere. */
const MIRRORS = ['honest', 'conflicting', 'forging', 'lagging'] as const
/** Those whose silence hides nothing. */
const MUTE_ABLE = [0, 2, 3]

const versions = ['1.0.0', '1.1.0', '2.0.0'].map(version => ({ version }))
const NAMES = ['plain', 'disputed'] as const
const PACKAGES = NAMES.map(name => ({ name, versions }))

/** One way to ask. @property names of the mirrors, by which they are chosen */
const way = fc.record({
  name: fc.constantFrom(...NAMES),
  names: fc.shuffledSubarray(['a', 'b', 'c', 'd'], { minLength: 4 }),
  delaysMs: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }),
  mute: fc.subarray(MUTE_ABLE),
  isRegistryMute: fc.boolean(),
  memory: fc.constantFrom('all', 'records', 'log'),
})
type Way = typeof way extends fc.Arbitrary<infer T> ? T : never

function startSources(stack: AsyncDisposableStack): FixtureRegistry[] {
  const sources = ['registry', ...MIRRORS].map(() =>
    stack.use(startFixtureRegistry({ packages: PACKAGES })),
  )
  const [, , conflicting, forging, lagging] = sources
  conflicting?.act({ do: 'swap', name: 'disputed', version: '2.0.0' })
  forging?.act({ do: 'swap', name: 'disputed', version: '1.1.0' })
  forging?.act({ do: 'forge-signature', how: 'other-key', name: 'disputed', version: '1.1.0' })
  lagging?.act({ do: 'unpublish', name: 'disputed', version: '1.0.0' })
  return sources
}

test('the answer is the same bytes whatever the order, the timing and the memory', async () => {
  await using stack = new AsyncDisposableStack()
  const sources = startSources(stack)
  const parts = openParts(stack, sources)
  const first = new Map<string, string>()
  const usual = { delaysMs: [], mute: [], isRegistryMute: false, memory: 'all' } as const
  for (const name of NAMES) {
    const asked = { ...usual, name, names: ['a', 'b', 'c', 'd'], delaysMs: [], mute: [] }
    first.set(name, await answerIn(parts, sources, asked))
  }
  expect(first.get('disputed')).toContain('/-/blocked/disputed@2.0.0/conflict')
  expect(first.get('disputed')).not.toContain('/-/blocked/disputed@1.1.0')
  expect(first.get('plain')).not.toContain('/-/blocked/')
  const check = fc.asyncProperty(way, async asked => {
    const text = await answerIn(parts, sources, asked)
    expect(text).toBe(first.get(asked.name) ?? '')
  })
  await fc.assert(check, { numRuns: RUNS })
}, 120_000)

test('a mirror that lagged is compared again when it has caught up', async () => {
  await using stack = new AsyncDisposableStack()
  const registry = stack.use(startFixtureRegistry({ packages: PACKAGES }))
  const mirror = stack.use(startFixtureRegistry({ packages: PACKAGES }))
  const sources = [registry, mirror]
  const parts = openParts(stack, sources)
  const usual = { name: 'plain', delaysMs: [], mute: [], memory: 'all' } as const
  const asked = { ...usual, names: ['a'], delaysMs: [], mute: [], isRegistryMute: false }
  for (const source of sources) {
    source.act({ do: 'publish', name: 'plain', spec: { version: '3.0.0' } })
  }
  const late = mirror.state.packages.get('plain')?.versions.get('3.0.0')
  mirror.act({ do: 'unpublish', name: 'plain', version: '3.0.0' })
  arrange(parts, sources, asked, false)
  const proxy = makeProxy(parts)
  expect(await textOf(proxy, 'plain')).not.toContain('/-/blocked/')
  if (late !== undefined) mirror.state.packages.get('plain')?.versions.set('3.0.0', late)
  mirror.act({ do: 'swap', name: 'plain', version: '3.0.0' })
  parts.clock.ms += STEP_MS / 2
  expect(await textOf(proxy, 'plain')).not.toContain('/-/blocked/')
  parts.clock.ms += STEP_MS
  expect(await textOf(proxy, 'plain')).toContain('/-/blocked/plain@3.0.0/conflict')
})

/** What stays over all runs: the log, the rows, the cache. */
function openParts(stack: AsyncDisposableStack, sources: readonly FixtureRegistry[]) {
  const dir = stack.use(temporaryDir())
  const { db, log, store } = stack.use(openLog(dir.path))
  const upstreams = new Upstreams(db)
  upstreams.add({
    name: 'npm',
    url: sources[0]?.url ?? '',
    kind: 'registry',
    mirrorOf: null,
    namespace: 'npm',
    names: ['**'],
    signatures: 'auto',
    tarballs: 'redirect',
    created: CREATED,
  })
  return {
    db,
    log,
    store,
    upstreams,
    secrets: new Secrets(db, dir.path),
    packages: new Packages(db),
    incidents: new Incidents(db),
    disputes: new Disputes(db),
    revisions: new Revisions(db),
    documents: new Documents(stack.use(openCache(dir.path))),
    files: new CacheFiles(join(dir.path, 'cache', 'files')),
    ownKeys: new OwnKeys(generateSigningKey(), upstreams, CREATED),
    pool: stack.use(new PackumentPool()),
    cached: new Set<string>(),
    clock: { ms: Date.parse(CREATED) },
  }
}

type Parts = ReturnType<typeof openParts>

/** Asks in one way, with everything but `parts` made anew. */
async function answerIn(
  parts: Parts,
  sources: readonly FixtureRegistry[],
  asked: Way,
): Promise<string> {
  const { name, memory } = asked
  const isKnown = parts.packages.firstSeen('npm', name) !== null
  // A mirror that lacks a version cannot show the whole package in place of its registry.
  const isAtHand = memory === 'all' && parts.cached.has(name)
  const isRegistryMute = asked.isRegistryMute && isKnown && (name === 'plain' || isAtHand)
  parts.clock.ms += STEP_MS
  // One transaction: each of its own would wait for the disk.
  parts.db.transaction(() => {
    forget(parts, name, isRegistryMute && memory === 'log' ? 'records' : memory)
    arrange(parts, sources, asked, isRegistryMute)
  })
  const proxy = makeProxy(parts)
  const text = await textOf(proxy, name)
  parts.cached.add(name)
  return text
}

async function textOf(proxy: Proxy, name: string): Promise<string> {
  const { body } = await proxy.packument(name, WANTED, false)
  const found = await body.read()
  return 'plain' in found
    ? new TextDecoder().decode(found.plain)
    : gunzipSync(await found.gzip.bytes()).toString()
}

/** @param memory `records`: the cache is gone; `log`: also the rows, which the log brings back */
function forget({ db, documents, cached }: Parts, name: string, memory: Way['memory']): void {
  if (memory === 'all') return
  documents.clear()
  cached.clear()
  if (memory === 'records') return
  for (const table of ['version', 'package', 'dispute', 'incident']) {
    db.database.run(`DELETE FROM ${table} WHERE name = ?`, [name])
  }
}

function arrange(
  { upstreams }: Parts,
  sources: readonly FixtureRegistry[],
  { names, delaysMs, mute }: Way,
  isRegistryMute: boolean,
): void {
  for (const { name } of upstreams.list()) if (name !== 'npm') upstreams.remove(name)
  for (const [i, source] of sources.entries()) {
    source.act({ do: 'heal' })
    source.act({ do: 'delay', path: '/*', ms: delaysMs[i] ?? 0 })
    const isMute = i === 0 ? isRegistryMute : mute.includes(i - 1)
    // Somebody has to be there to stand in.
    if (isMute && !(isRegistryMute && i === 1)) {
      source.act({ do: 'status', path: '/*', status: 500 })
    }
    if (i === 0) continue
    upstreams.add({
      name: `mirror-${names[i - 1] ?? ''}`,
      url: source.url,
      kind: 'mirror',
      mirrorOf: 'npm',
      namespace: 'npm',
      names: [],
      signatures: 'auto',
      tarballs: 'redirect',
      created: CREATED,
    })
  }
}

function makeProxy(parts: Parts): Proxy {
  const now = () => new Date(parts.clock.ms)
  const warn = () => undefined
  const options = { userAgent: 'test', limits: { retriesMax: 0 } }
  const network = { fetcher: new Fetcher(options), probes: new Fetcher(options) }
  const house = () => {
    throw new Error('nothing lives here')
  }
  const { sources } = new SourceFactory({ ...parts, ...network, house, now, warn })
  const ledger = new Ledger({ ...parts, base: BASE, now })
  const places = new Places(new Samples(parts.db), now)
  const agreement = new Agreement({ ...parts, ledger, places, now, warn })
  const failover = new Failover({ ...parts, ledger, now, warn })
  const kept = new KeptDocuments(parts)
  const refresher = new Refresher({ ...parts, kept, ledger, agreement, failover, now })
  const renderings = new Renderings({ ...parts, kept, keptFor: '', hasViews: () => false, now })
  const { db } = parts
  const rules = { policyRules: new PolicyRules(db), provenances: new Provenances(db), now }
  const cosigner = new Cosigner(parts)
  const settings = { base: BASE, canonicalOrigin: null, cosigner, policy: new Policy(rules) }
  const nothing = () => undefined
  const strict = { gateOf: () => ({ refusalOf: nothing, end: nothing }), refusalOf: nothing }
  const made = { kept, sources, refresher, renderings }
  return new Proxy({ ...parts, ...made, settings, strict, warn, now })
}
