/**
 * Another instance adds this one by its URL: the same fingerprint, the same integrity, everything
 * accepted, and a log that says the same of every version.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { generateSigningKey } from '../../../src/registries/keys/own-key.ts'
import { operate } from '../../fixtures/accounts.ts'
import { Client, tarballOf } from '../../fixtures/publishing.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const ProbeShape = Type.Object({ keys: Type.Array(Type.Object({ keyid: Type.String() })) })
const KeysShape = Type.Object({ keys: Type.Array(Type.Object({ keyid: Type.String() })) })
const PartiesShape = Type.Object({
  registries: Type.Array(
    Type.Object({
      name: Type.String(),
      kind: Type.String(),
      signatures: Type.Union([Type.String(), Type.Null()]),
      keys: Type.Array(Type.Object({ keyid: Type.String(), state: Type.String() })),
    }),
  ),
})

let registry: FixtureRegistry
let home: Instance
let peer: Instance
let roe: Client

beforeAll(async () => {
  registry = startFixtureRegistry()
  home = await Instance.start(registry.url)
  peer = await Instance.start(registry.url)
  roe = await Client.named(home, 'roe')
  for (const version of ['1.0.0', '1.1.0', '2.0.0']) {
    const answer = await roe.publish({ name: '@roe/kit', version, manifest: { bin: './index.js' } })
    if (answer.status !== 201) throw new Error(await answer.text())
  }
})

afterAll(async () => {
  await home[Symbol.asyncDispose]()
  await peer[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

/** What a log says of a version, without when it saw it. */
async function recordOf(at: Instance, version: string): Promise<string[]> {
  const text = await (await at.get(`-/sumdb/lookup/@roe/kit@${version}`)).text()
  const lines = text.split('\n\n')[0]?.split('\n').slice(1) ?? []
  return lines.filter(line => !line.startsWith('seen '))
}

async function keyidsOf(at: Instance): Promise<string[]> {
  const answer = Value.Parse(KeysShape, await (await at.get('-/npm/v1/keys')).json())
  return answer.keys.map(({ keyid }) => keyid)
}

describe('another instance', () => {
  test('sees the fingerprint that this one shows, each key once', async () => {
    const keyids = await keyidsOf(home)
    expect(new Set(keyids).size).toBe(keyids.length)
    const packument = await home.packument('@roe/kit')
    const [signature] = packument.versions['1.0.0']?.dist.signatures ?? []
    expect(keyids).toContain(signature?.keyid ?? '')
    const shown = Value.Parse(PartiesShape, await (await home.get('-/registries')).json())
    const house = shown.registries.find(({ name }) => name === 'hosted')
    expect(house).toMatchObject({ kind: 'hosted', signatures: 'signed' })
    expect(house?.keys.map(({ keyid }) => keyid)).toEqual([signature?.keyid ?? ''])
  })

  test('adds it by its URL, installs, and records the same', async () => {
    const asked = { name: 'home', url: home.url, names: ['@roe/*'], sample: '@roe/kit' }
    const probe = Value.Parse(ProbeShape, await operate(peer, 'upstream/probe', asked))
    const confirm = probe.keys.map(({ keyid }) => keyid)
    expect(confirm.toSorted()).toEqual((await keyidsOf(home)).toSorted())
    await operate(peer, 'upstream/add', { asked, confirm })
    const theirs = await peer.packument('@roe/kit')
    const ours = await home.packument('@roe/kit')
    expect(Object.keys(theirs.versions)).toEqual(Object.keys(ours.versions))
    for (const [version, { dist }] of Object.entries(theirs.versions)) {
      expect(dist.integrity).toBe(ours.versions[version]?.dist.integrity ?? '')
      expect(dist.signatures).toEqual(ours.versions[version]?.dist.signatures ?? [])
      expect(await recordOf(peer, version)).toEqual(await recordOf(home, version))
    }
    const placed = await peer.get('@roe/kit/-/kit-2.0.0.tgz')
    expect(placed.headers.get('location')).toBe(`${home.url}@roe/kit/-/kit-2.0.0.tgz`)
    const bytes = await (await fetch(placed.headers.get('location') ?? '')).arrayBuffer()
    const manifest = { bin: './index.js' }
    expect(new Uint8Array(bytes)).toEqual(
      tarballOf({ name: '@roe/kit', version: '2.0.0', manifest }),
    )
  })

  test('sees what is published and unpublished later', async () => {
    await roe.publish({ name: '@roe/kit', version: '3.0.0' })
    const fresh = { 'cache-control': 'no-cache' }
    await Bun.sleep(150)
    expect(Object.keys((await peer.packument('@roe/kit', fresh)).versions)).toContain('3.0.0')
    const { _rev: rev } = await roe.document('@roe/kit')
    await roe.send('DELETE', `@roe%2fkit/-rev/${String(rev)}`)
    await Bun.sleep(150)
    expect((await peer.get('@roe/kit', fresh)).status).toBe(404)
    expect(await recordOf(peer, '3.0.0')).toEqual(await recordOf(home, '3.0.0'))
  })

  test('a new key of the house vouches at once, beside the old one', async () => {
    await roe.publish({ name: '@roe/keys', version: '1.0.0' })
    const before = await keyidsOf(home)
    await home.stop()
    const path = join(home.dataDir, 'keys', 'registry.key')
    rmSync(path)
    writeFileSync(path, generateSigningKey(), { mode: 0o600 })
    await home.restart()
    expect(await keyidsOf(home)).toHaveLength(before.length + 1)
    const shown = Value.Parse(PartiesShape, await (await home.get('-/registries')).json())
    const house = shown.registries.find(({ name }) => name === 'hosted')
    expect(house?.keys.map(({ state }) => state)).toEqual(['approved', 'approved'])
    expect((await roe.publish({ name: '@roe/keys', version: '2.0.0' })).status).toBe(201)
    const { versions } = await home.packument('@roe/keys')
    const keyids = Object.values(versions).map(({ dist }) => dist.signatures?.[0]?.keyid)
    expect(new Set(keyids)).toEqual(new Set(house?.keys.map(({ keyid }) => keyid)))
  })

  test('keeps what it has when the house restarts without its cache', async () => {
    await roe.publish({ name: '@roe/later', version: '1.0.0' })
    const before = await (await home.get('@roe/later')).text()
    await home.restart({ wipeCache: true })
    expect(await (await home.get('@roe/later')).text()).toBe(before)
    expect((await home.get('@roe/later/-/later-1.0.0.tgz')).status).toBe(200)
  })
})
