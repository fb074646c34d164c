/**
 * Keys through the front door: whose are published, what our own signs, what an approved key lets
 * in.
 *
 * @module
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { verify } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { checkSignature } from '../../../src/registries/keys/signature.ts'
import { controlPath } from '../../../src/services-admin.ts'
import { ABBREVIATED, FRESH, Instance, type Packument } from '../../fixtures/instance.ts'
import type { PackageSpec } from '../../fixtures/registry-packages.ts'
import { pointOf } from '../../fixtures/registry-keys.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { until } from '../../fixtures/patience.ts'

/** The registry says nothing about freshness: its answers are fresh for a second (freshness.ts). */
const NEXT_CHECK_MS = 1050

const KeysShape = Type.Object({
  keys: Type.Array(
    Type.Object({
      keyid: Type.String(),
      key: Type.String(),
      keytype: Type.Literal('ecdsa-sha2-nistp256'),
      scheme: Type.Literal('ecdsa-sha2-nistp256'),
      expires: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
})
type Key = Static<typeof KeysShape>['keys'][number]

function packagesOf(signed: boolean): PackageSpec[] {
  const versions = ['1.0.0', '1.1.0', '2.0.0'].map(version => ({ version, signed }))
  return [
    { name: 'victim', versions },
    { name: '@fixture/victim', versions },
  ]
}

let upstream: FixtureRegistry
let instance: Instance

async function start(options: { signed: boolean }) {
  upstream = startFixtureRegistry({ packages: packagesOf(options.signed) })
  if (!options.signed) upstream.act({ do: 'keys', answer: 'missing' })
  instance = await Instance.start(upstream.url)
}

afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

async function publishedKeys(): Promise<Key[]> {
  const response = await instance.get('-/npm/v1/keys')
  expect(response.headers.get('content-type')).toBe('application/json')
  return Value.Parse(KeysShape, await response.json()).keys
}

async function ownKey(): Promise<Key> {
  const own = (await publishedKeys()).at(-1)
  if (own === undefined) throw new Error('no key of our own')
  return own
}

async function next(name: string): Promise<Packument> {
  await Bun.sleep(NEXT_CHECK_MS)
  return await instance.packument(name, FRESH)
}

/** As an operator does it, while the server runs. */
function approve(keyid: string): Promise<Response> {
  return fetch('http://127.0.0.1/upstream/approve-key', {
    unix: controlPath(instance.dataDir),
    method: 'POST',
    body: JSON.stringify({ name: 'npm', keyid }),
  })
}

function signaturesOf(packument: Packument, version: string) {
  return packument.versions[version]?.dist.signatures ?? []
}

/** As another implementation than the one that signs sees it. */
function checksWithNoble(key: Key, message: string, sig: string): boolean {
  try {
    return p256.verify(
      Buffer.from(sig, 'base64'),
      new TextEncoder().encode(message),
      pointOf(key.key),
      { format: 'der', lowS: false },
    )
  } catch {
    return false
  }
}

/** As npm itself does it. */
function checksWithNode(key: Key, message: string, sig: string): boolean {
  const pem = `-----BEGIN PUBLIC KEY-----\n${key.key}\n-----END PUBLIC KEY-----`
  return verify('sha256', Buffer.from(message), pem, Buffer.from(sig, 'base64'))
}

describe('a registry that does not sign', () => {
  beforeEach(() => start({ signed: false }))

  test('has our signature on every version, the same one in every form', async () => {
    const own = await ownKey()
    for (const name of ['victim', '@fixture/victim']) {
      const full = await instance.packument(name)
      const short = await instance.packument(name, { accept: ABBREVIATED })
      const escaped = name.replace('/', '%2f')
      expect(Object.keys(full.versions)).toEqual(['1.0.0', '1.1.0', '2.0.0'])
      for (const [version, { dist }] of Object.entries(full.versions)) {
        const [entry, ...others] = dist.signatures ?? []
        expect(others).toEqual([])
        expect(entry?.keyid).toBe(own.keyid)
        const message = `${name}@${version}:${dist.integrity}`
        expect(checksWithNode(own, message, entry?.sig ?? '')).toBe(true)
        expect(checksWithNoble(own, message, entry?.sig ?? '')).toBe(true)
        expect(signaturesOf(short, version)).toEqual(dist.signatures ?? [])
        const manifest = await instance.get(`${escaped}/${version}`)
        expect(await manifest.json()).toMatchObject({ dist: { signatures: dist.signatures } })
      }
      const tagged = await instance.get(`${escaped}/latest`)
      expect(await tagged.json()).toMatchObject({
        version: '2.0.0',
        dist: { signatures: signaturesOf(full, '2.0.0') },
      })
    }
  })

  test('a signature with any byte changed, or for anything else, is none', async () => {
    const own = await ownKey()
    const { versions } = await instance.packument('victim')
    const [entry] = versions['1.0.0']?.dist.signatures ?? []
    const integrity = versions['1.0.0']?.dist.integrity ?? ''
    const message = `victim@1.0.0:${integrity}`
    const sig = Buffer.from(entry?.sig ?? '', 'base64')
    expect(sig.length).toBeGreaterThan(60)
    for (let at = 0; at < sig.length; at += 1) {
      for (const bit of [1, 0x80]) {
        const wrong = Buffer.from(sig)
        wrong[at] = (wrong[at] ?? 0) ^ bit
        const text = wrong.toString('base64')
        expect(checkSignature(own.key, message, text)).toBe(false)
        expect(checksWithNoble(own, message, text)).toBe(false)
      }
    }
    for (let at = 0; at < message.length; at += 1) {
      const other = message.slice(0, at) + '~' + message.slice(at + 1)
      expect(checkSignature(own.key, other, entry?.sig ?? '')).toBe(other === message)
    }
  })

  test('answers the same bytes after a restart with an empty cache', async () => {
    const ask = async ({ path, accept }: { path: string; accept: string }) => {
      const response = await instance.get(path, { accept })
      return { etag: response.headers.get('etag'), text: await response.text() }
    }
    const asked = [
      { path: 'victim', accept: 'application/json' },
      { path: 'victim', accept: ABBREVIATED },
      { path: 'victim/1.0.0', accept: 'application/json' },
      { path: '@fixture%2fvictim', accept: 'application/json' },
    ]
    const before = await Promise.all(asked.map(ask))
    await instance.restart({ wipeCache: true })
    // The other way round, so that no order of questions matters.
    const after = await Promise.all(asked.toReversed().map(ask))
    expect(after.toReversed()).toEqual(before)
    const etag = before[0]?.etag ?? ''
    expect(etag).toMatch(/^"[^"]{20,}"$/)
    const headers = { 'if-none-match': etag }
    expect((await instance.get('victim', headers)).status).toBe(304)
  })

  test('is not signed for where a version is refused, and nothing of ours is in the log', async () => {
    await instance.packument('victim')
    upstream.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    upstream.act({
      do: 'publish',
      name: 'victim',
      spec: { version: '3.0.0', signed: false },
    })
    upstream.act({ do: 'drop-integrity', name: 'victim', version: '3.0.0' })
    const { keyid } = await ownKey()
    const packument = await next('victim')
    for (const version of ['1.1.0', '3.0.0']) {
      expect(packument.versions[version]?.dist.tarball).toContain('/-/blocked/')
      expect(JSON.stringify(packument.versions[version])).not.toContain(keyid)
    }
    expect(signaturesOf(packument, '2.0.0')).toMatchObject([{ keyid }])
    const lookup = await (await instance.get('-/sumdb/lookup/victim@2.0.0')).text()
    expect(lookup).toContain('victim@2.0.0 sha512-')
    expect(lookup).not.toContain(keyid)
  })

  test('keeps our signature where its manifest changed, over what was logged', async () => {
    const before = await instance.packument('victim')
    const patch = { dependencies: { 'evil-dependency': '1.0.0' } }
    upstream.act({ do: 'change-manifest', name: 'victim', version: '1.0.0', patch })
    const after = await next('victim')
    expect(after.versions['1.0.0']?.dependencies ?? {}).toEqual({})
    expect(signaturesOf(after, '1.0.0')).toEqual(signaturesOf(before, '1.0.0'))
  })

  test('must sign from the day on that it publishes keys; what was recorded stays co-signed', async () => {
    const before = await instance.packument('victim')
    upstream.act({ do: 'keys', answer: 'normal' })
    await instance.restart()
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0', signed: false } })
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '4.0.0' } })
    const after = await next('victim')
    expect(after.versions['3.0.0']?.dist.tarball).toContain('/-/blocked/victim@3.0.0/unsigned')
    const [key] = upstream.state.keys
    expect(signaturesOf(after, '4.0.0')).toMatchObject([{ keyid: key?.keyid ?? '' }])
    expect(signaturesOf(after, '1.0.0')).toEqual(signaturesOf(before, '1.0.0'))
    expect((await publishedKeys()).map(({ keyid }) => keyid)).toContain(key?.keyid ?? '')
  })

  test('passes on signatures that nobody here can check, ours after them', async () => {
    const own = await ownKey()
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0' } })
    const [theirs] = upstream.state.packages.get('victim')?.versions.get('3.0.0')?.signatures ?? []
    if (theirs === undefined) throw new Error('the fixture did not sign')
    const packument = await instance.packument('victim')
    expect(signaturesOf(packument, '3.0.0')).toEqual([
      theirs,
      { keyid: own.keyid, sig: expect.any(String) },
    ])
  })

  test('cannot speak in our name: an entry under our keyid is replaced', async () => {
    const own = await ownKey()
    const stored = upstream.state.packages.get('victim')?.versions.get('1.0.0')
    stored?.signatures.push({ keyid: own.keyid, sig: 'MAYCAQECAQE=' })
    const packument = await instance.packument('victim')
    const [entry, ...others] = signaturesOf(packument, '1.0.0')
    expect(others).toEqual([])
    const integrity = packument.versions['1.0.0']?.dist.integrity ?? ''
    expect(checkSignature(own.key, `victim@1.0.0:${integrity}`, entry?.sig ?? '')).toBe(true)
  })
})

describe('a registry that signs', () => {
  beforeEach(() => start({ signed: true }))

  test('is never signed for', async () => {
    const packument = await instance.packument('victim')
    const stored = upstream.state.packages.get('victim')?.versions ?? new Map()
    for (const [version, { signatures }] of stored) {
      expect(signaturesOf(packument, version)).toEqual(signatures)
    }
  })

  test('its keys stand before ours, as they came', async () => {
    const before = await publishedKeys()
    expect(before).toHaveLength(1)
    await instance.packument('victim')
    expect(await publishedKeys()).toEqual([...upstream.state.keys, ...before])
    await instance.restart({ wipeCache: true })
    expect(await publishedKeys()).toEqual([...upstream.state.keys, ...before])
  })

  // The answer stays fresh for five minutes: an approval must not wait for that, nor for a change
  // of the document, which the registry answers with 304.
  test.each(['at once', 'after a restart'])(
    'a new key is refused until it is approved, and %s its versions are served',
    async when => {
      upstream.act({ do: 'cache-control', value: 'max-age=300' })
      await instance.packument('victim')
      upstream.act({ do: 'rotate-key' })
      upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0' } })
      await instance.restart({ wipeCache: true })
      const refused = await instance.packument('victim')
      const [, key] = upstream.state.keys
      const keyid = key?.keyid ?? ''
      expect(refused.versions['3.0.0']?.dist.tarball).toContain('/-/blocked/')
      expect((await publishedKeys()).map(each => each.keyid)).not.toContain(keyid)
      expect(await (await approve(keyid)).json()).toMatchObject({ keyid, state: 'approved' })
      if (when === 'after a restart') await instance.restart()
      const served = await instance.packument('victim')
      expect(served.versions['3.0.0']?.dist.tarball).toContain('victim-3.0.0.tgz')
      expect(served.versions['3.0.0']?.deprecated).toBeUndefined()
      expect(served['dist-tags']['latest']).toBe('3.0.0')
      expect((await instance.get('victim/3.0.0')).status).toBe(200)
      expect((await publishedKeys()).map(each => each.keyid)).toContain(keyid)
      const entries = await instance.get('-/sumdb/tile/entries/000.p/2')
      const checkpoint = await (await instance.get('-/sumdb/checkpoint')).text()
      const size = Number(checkpoint.split('\n')[1])
      const bundle = await (await instance.get(`-/sumdb/tile/entries/000.p/${size}`)).text()
      expect(entries.status).toBe(200)
      expect(bundle).toContain(`registry-key add npm ${keyid} ${key?.key} -\n`)
    },
  )

  test('an approval lets the registry be down: the last verified answer is served', async () => {
    await instance.packument('victim')
    upstream.act({ do: 'rotate-key' })
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0' } })
    await instance.restart({ wipeCache: true })
    await instance.packument('victim')
    expect((await approve(upstream.state.keys[1]?.keyid ?? '')).status).toBe(200)
    await upstream.goAway('refuse')
    const stale = await instance.get('victim')
    expect(stale.status).toBe(200)
    expect(stale.headers.get('warning')).toContain('110')
    upstream.comeBack()
  })

  test('an approval while its registry is being asked is not lost', async () => {
    upstream.act({ do: 'cache-control', value: 'max-age=300' })
    await instance.packument('victim')
    upstream.act({ do: 'rotate-key' })
    upstream.act({ do: 'publish', name: 'victim', spec: { version: '3.0.0' } })
    await instance.restart({ wipeCache: true })
    await instance.packument('@fixture/victim')
    upstream.act({ do: 'delay', path: '/victim', ms: 1_500 })
    const before = upstream.count('/victim')
    const asked = instance.packument('victim')
    await until(() => upstream.count('/victim') > before)
    expect((await approve(upstream.state.keys[1]?.keyid ?? '')).status).toBe(200)
    await asked
    const { versions } = await instance.packument('victim')
    expect(versions['3.0.0']?.dist.tarball).toContain('victim-3.0.0.tgz')
  })

  test('a key that nobody published cannot be approved', async () => {
    await instance.packument('victim')
    expect((await approve(`SHA256:${'A'.repeat(43)}`)).status).toBe(404)
  })
})
