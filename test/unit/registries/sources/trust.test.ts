/**
 * Trust in one registry over its life: what it publishes, what an operator decides, and that each
 * step is a leaf of the log and survives a restart. Against hostile and broken keys endpoints too.
 *
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { Incidents } from '../../../../src/db/incidents.ts'
import { Upstreams } from '../../../../src/db/upstreams.ts'
import { parseLeaf } from '../../../../src/log/leaf.ts'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { Fetcher } from '../../../../src/registries/fetch/fetcher.ts'
import { Trust, type TrustNeeds } from '../../../../src/registries/sources/trust.ts'
import { Upstream } from '../../../../src/registries/sources/upstream.ts'
import { startFixtureRegistry } from '../../../fixtures/registry.ts'
import { openLog, temporaryDir } from '../../db/data-dir.ts'
import { encode, makeKey, type TestKey } from '../vectors.ts'

const TYPE = 'ecdsa-sha2-nistp256'
const START_MS = Date.UTC(2026, 10, 22)
const HOUR_MS = 3_600_000
const FIRST = '2026-11-22T00:00:00Z'

type Answer = TestKey[] | 'none' | 'down'

/** A registry with its keys, trust in it, and the log that trust writes to. */
function setup(first: Answer, mode: TrustNeeds['mode'] = 'auto') {
  const dir = temporaryDir()
  const open = openLog(dir.path)
  const { db, store: logStore, log } = open
  const store = new Upstreams(db)
  store.add({
    name: 'fixture',
    url: 'https://registry.example/',
    kind: 'registry',
    mirrorOf: null,
    namespace: 'registry.example',
    names: ['**'],
    signatures: mode,
    tarballs: 'redirect',
    created: FIRST,
  })
  const state = { answer: first, nowMs: START_MS }
  const warnings: string[] = []
  const make = (upstream: TrustNeeds['upstream'] = { fetchKeys: () => answerOf(state.answer) }) =>
    new Trust({
      name: 'fixture',
      namespace: 'registry.example',
      mode,
      upstream,
      store,
      incidents: new Incidents(db),
      db,
      log,
      now: () => new Date(state.nowMs),
      warn: message => void warnings.push(message),
    })
  const leaves = () =>
    logStore.readLeaves(0, log.size).map(bytes => {
      const leaf = parseLeaf(bytes)
      if (leaf.kind !== 'registry-key') throw new TypeError(leaf.kind)
      return `${leaf.action} ${leaf.keyid} ${leaf.expires ?? '-'}`
    })
  return {
    trust: make(),
    make,
    state,
    store,
    db,
    log,
    leaves,
    warnings,
    [Symbol.dispose]: () => {
      open[Symbol.dispose]()
      dir[Symbol.dispose]()
    },
  }
}

function answerOf(answer: Answer): Promise<Uint8Array<ArrayBuffer> | 'none'> {
  if (answer === 'down') {
    return Promise.reject(new RegistryError('upstream-unreachable', 'nobody answers'))
  }
  if (answer === 'none') return Promise.resolve(answer)
  const keys = answer.map(({ keyid, spki, expires }) => {
    return { keyid, keytype: TYPE, scheme: TYPE, key: spki, expires }
  })
  return Promise.resolve(new Uint8Array(encode({ keys })))
}

type Setup = ReturnType<typeof setup>

/** What is in force after the registry was asked again. */
async function later(t: Setup, answer: Answer) {
  t.state.answer = answer
  t.state.nowMs += HOUR_MS
  return await t.trust.judgement()
}

const keyids = (keys: readonly { keyid: string }[]) => keys.map(({ keyid }) => keyid)
const states = (t: Setup) => Object.fromEntries(t.trust.keys().map(k => [k.keyid, k.state]))

function errorOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  return undefined
}

describe('a registry that publishes keys', () => {
  test('is taken at its word at first, and each of its keys is a leaf', async () => {
    using t = setup([makeKey(), makeKey('2030-01-01T00:00:00.000Z')])
    const { keys, signs } = await t.trust.judgement()
    expect(signs).toBe(true)
    const logged = keys.map(key => `add ${key.keyid} ${key.expires ?? '-'}`)
    expect(t.leaves().toSorted()).toEqual(logged.toSorted())
    expect(t.store.get('fixture')?.signsSince).toBe(FIRST)
    expect(t.log.published.size).toBe(2)
  })

  test('must sign from then on, also when it says that it has no keys', async () => {
    const key = makeKey()
    using t = setup([key])
    await t.trust.judgement()
    const answers: Answer[] = ['none', [], 'down']
    for (const answer of answers) {
      expect(await later(t, answer)).toMatchObject({ signs: true })
    }
    expect(keyids(t.make().stored().keys)).toEqual([key.keyid])
    expect(t.warnings.join('\n')).toContain('stay required')
    expect(t.warnings.join('\n')).toContain('cannot be asked for')
  })

  test('keeps a key that it publishes no longer: what it signed is still served', async () => {
    const [old, other] = [makeKey(), makeKey()]
    using t = setup([old, other])
    await t.trust.judgement()
    expect(keyids((await later(t, [other])).keys).toSorted()).toEqual(
      keyids([old, other]).toSorted(),
    )
  })
})

describe('a registry without keys', () => {
  test('is recorded as one that does not sign; when keys appear it must from then on', async () => {
    const key = makeKey()
    using t = setup('none')
    expect(await t.trust.judgement()).toEqual({ keys: [], signs: false })
    expect(t.leaves()).toEqual([])
    expect(await later(t, [key])).toMatchObject({ signs: true, keys: [{ keyid: key.keyid }] })
    expect(t.leaves()).toEqual([`add ${key.keyid} -`])
    expect(await later(t, 'none')).toMatchObject({ signs: true })
  })

  test('is not what a registry is taken for whose keys cannot be asked for', async () => {
    using t = setup('down')
    await expect(t.trust.judgement()).rejects.toMatchObject({ code: 'upstream-unreachable' })
    await later(t, 'none')
    expect(t.trust.stored()).toEqual({ keys: [], signs: false })
  })

  test('is refused altogether in mode require, and never asked in mode off', async () => {
    using strict = setup('none', 'require')
    expect(await strict.trust.judgement()).toEqual({ keys: [], signs: true })
    using off = setup([makeKey()], 'off')
    expect(await off.trust.judgement()).toEqual({ keys: [], signs: false })
    expect(off.trust.keys()).toEqual([])
  })
})

describe('an answer that is none', () => {
  const FAULTS = ['error', 'nonsense'] as const
  test.each(FAULTS)('%s: nothing is learnt from it, and nothing forgotten', async answer => {
    await using registry = startFixtureRegistry()
    using t = setup('none')
    const where = { name: 'fixture', url: registry.url, namespace: 'registry.example' }
    const upstream = new Upstream(where, new Fetcher({ userAgent: 'test' }))
    registry.act({ do: 'keys', answer })
    const trust = t.make(upstream)
    await expect(trust.judgement()).rejects.toBeInstanceOf(RegistryError)
    expect(t.store.get('fixture')?.signsSince).toBeNull()
    registry.act({ do: 'keys', answer: 'normal' })
    const learnt = await t.make(upstream).judgement()
    registry.act({ do: 'keys', answer })
    expect(learnt.signs).toBe(true)
    expect(await t.make(upstream).judgement()).toEqual(learnt)
  })

  test('a key under another keyid is refused, alone or beside good ones', async () => {
    const [good, bad] = [makeKey(), makeKey()]
    using alone = setup([{ ...bad, keyid: good.keyid }])
    await expect(alone.trust.judgement()).rejects.toMatchObject({ code: 'upstream-bad-answer' })
    expect(alone.leaves()).toEqual([])
    using beside = setup([good, { ...bad, keyid: makeKey().keyid }])
    expect(keyids((await beside.trust.judgement()).keys)).toEqual([good.keyid])
    expect(beside.warnings.join()).toContain("not the key's own")
  })
})

describe('a new key', () => {
  test('waits: it vouches for nothing, is no leaf, and survives a restart as pending', async () => {
    const [old, fresh] = [makeKey(), makeKey()]
    using t = setup([old])
    await t.trust.judgement()
    expect(keyids((await later(t, [old, fresh])).keys)).toEqual([old.keyid])
    expect(keyids(t.make().stored().keys)).toEqual([old.keyid])
    expect(t.leaves()).toHaveLength(1)
    expect(t.warnings.join()).toContain(fresh.keyid)
    const incidents = new Incidents(t.db).latest(9)
    expect(incidents.map(({ code }) => code)).toEqual(['key-change'])
    expect(incidents[0]?.sentence).toContain(fresh.keyid)
  })

  test('approved: it vouches, its leaf is in the published log, old refusals are looked at again', async () => {
    const [old, fresh] = [makeKey(), makeKey()]
    using t = setup([old])
    await t.trust.judgement()
    await later(t, [old, fresh])
    const before = t.trust.changedMs
    const row = t.trust.approve(fresh.keyid)
    expect(row).toMatchObject({ keyid: fresh.keyid, state: 'approved', leafIdx: 1 })
    expect(t.leaves()).toEqual([`add ${old.keyid} -`, `add ${fresh.keyid} -`])
    expect(t.log.published.size).toBe(2)
    expect(keyids(t.trust.stored().keys)).toContain(fresh.keyid)
    expect(t.trust.changedMs).toBeGreaterThan(Math.max(before, t.state.nowMs))
    // Once is enough.
    expect(t.trust.approve(fresh.keyid)).toEqual(row)
    expect(t.leaves()).toHaveLength(2)
  })

  test('is approved whole or not at all', async () => {
    const [old, fresh] = [makeKey(), makeKey()]
    using t = setup([old])
    await t.trust.judgement()
    await later(t, [old, fresh])
    const fail = () => {
      throw new RangeError('the audit trail is full')
    }
    expect(() => t.trust.approve(fresh.keyid, fail)).toThrow(RangeError)
    expect(states(t)).toEqual({ [old.keyid]: 'approved', [fresh.keyid]: 'pending' })
    expect(t.leaves()).toHaveLength(1)
    const seen: string[] = []
    t.trust.approve(fresh.keyid, ({ keyid, state }) => void seen.push(`${keyid} ${state}`))
    expect(seen).toEqual([`${fresh.keyid} approved`])
  })

  test('that nobody published cannot be approved or retired', async () => {
    using t = setup([makeKey()])
    await t.trust.judgement()
    const { keyid } = makeKey()
    for (const action of ['approve', 'retire'] as const) {
      expect(errorOf(() => t.trust[action](keyid))).toMatchObject({ code: 'not-found' })
    }
  })
})

describe('a retired key', () => {
  test('vouches for nothing new, is a leaf, and never comes back', async () => {
    const [old, other] = [makeKey('2030-01-01T00:00:00Z'), makeKey()]
    using t = setup([old, other])
    await t.trust.judgement()
    expect(t.trust.retire(old.keyid)).toMatchObject({ state: 'retired' })
    expect(t.leaves().at(-1)).toBe(`retire ${old.keyid} 2030-01-01T00:00:00Z`)
    expect(t.log.published.size).toBe(3)
    expect(keyids((await later(t, [old, other])).keys)).toEqual([other.keyid])
    expect(errorOf(() => t.trust.approve(old.keyid))).toMatchObject({ code: 'conflict' })
    expect(t.trust.retire(old.keyid)).toMatchObject({ state: 'retired' })
    expect(t.leaves()).toHaveLength(3)
    expect(t.make().stored()).toMatchObject({ signs: true })
  })

  test('may be the only one: then nothing new can be signed', async () => {
    const key = makeKey()
    using t = setup([key])
    await t.trust.judgement()
    t.trust.retire(key.keyid)
    expect(t.trust.stored()).toEqual({ keys: [], signs: true })
  })
})

describe('the end of a key', () => {
  const EARLY = '2027-01-01T00:00:00.000Z'
  const LATE = '2028-01-01T00:00:00.000Z'
  // A: as it was first seen; B: as it is now; what counts then.
  const MOVES: [string | null, string | null, string | null][] = [
    [null, LATE, LATE],
    [LATE, EARLY, EARLY],
    [EARLY, LATE, EARLY],
    [EARLY, null, EARLY],
    [EARLY, EARLY, EARLY],
  ]
  test.each(MOVES)('from %p to %p: %p counts', async (first, second, counts) => {
    const key = makeKey(first)
    using t = setup([key])
    await t.trust.judgement()
    const { keys } = await later(t, [{ ...key, expires: second }])
    expect(keys).toMatchObject([{ keyid: key.keyid, expires: counts }])
    const logged = [`add ${key.keyid} ${first ?? '-'}`]
    if (counts !== first) logged.push(`add ${key.keyid} ${counts ?? '-'}`)
    expect(t.leaves()).toEqual(logged)
    expect(JSON.parse(t.trust.keys()[0]?.json ?? '')).toMatchObject({ expires: counts })
    expect(t.log.published.size).toBe(logged.length)
  })

  test('of a key that waits is not logged: it vouches for nothing yet', async () => {
    const [old, fresh] = [makeKey(), makeKey()]
    using t = setup([old])
    await t.trust.judgement()
    await later(t, [old, fresh])
    await later(t, [old, { ...fresh, expires: EARLY }])
    expect(t.leaves()).toHaveLength(1)
    t.trust.approve(fresh.keyid)
    expect(t.leaves().at(-1)).toBe(`add ${fresh.keyid} ${EARLY}`)
  })
})
