/**
 * Who this instance says that it is, and whom it says that it trusts, through the front door.
 *
 * @module
 */
import { afterEach, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { identityOf } from '../../../src/registries/keys/did.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const PACKAGES = [{ name: 'victim', versions: [{ version: '1.0.0' }] }]

const KeysShape = Type.Object({ keys: Type.Array(Type.Object({ keyid: Type.String() })) })
const RegistriesShape = Type.Object({
  cosigner: Type.String(),
  registries: Type.Array(
    Type.Object({
      name: Type.String(),
      kind: Type.String(),
      mirrorOf: Type.Union([Type.String(), Type.Null()]),
      namespace: Type.String(),
      names: Type.Array(Type.String()),
      signatures: Type.Union([Type.String(), Type.Null()]),
      health: Type.String(),
      keys: Type.Array(Type.Object({ keyid: Type.String(), state: Type.String() })),
    }),
  ),
})

let upstream: FixtureRegistry
let instance: Instance

afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

/** Ours stands last. */
async function ownKeyid(): Promise<string> {
  const body: unknown = await (await instance.get('-/npm/v1/keys')).json()
  return Value.Parse(KeysShape, body).keys.at(-1)?.keyid ?? ''
}

describe('who this instance is and trusts', () => {
  test.each(['', '/npm'])(
    'its DID document is read by another instance (prefix %p)',
    async prefix => {
      upstream = startFixtureRegistry({ packages: [] })
      instance = await Instance.start(upstream.url, prefix)
      const response = await instance.get('.well-known/did.json')
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('application/did+json')
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      const { host } = new URL(instance.url)
      const bytes = await response.bytes()
      expect(identityOf(bytes, host)).toEqual({
        did: `did:web:${host.replace(':', '%3A')}${prefix === '' ? '' : ':npm:.well-known'}`,
        keyids: [await ownKeyid()],
        registry: instance.url,
      })
      expect(new TextDecoder().decode(bytes)).toContain(instance.vkey)
      expect(() => identityOf(bytes, 'registry.example')).toThrow('is that of')
      // It hides no package, and is none.
      expect((await instance.get('.well-known')).status).toBe(400)
    },
  )

  test('registries and mirrors are told apart, with their keys and how they are', async () => {
    upstream = startFixtureRegistry({ packages: PACKAGES })
    await using mirror = startFixtureRegistry({ packages: PACKAGES })
    instance = await Instance.start(upstream.url, '', [{ name: 'near', url: mirror.url }])
    await instance.packument('victim')
    const read = async () =>
      Value.Parse(RegistriesShape, await (await instance.get('-/registries')).json())
    const [key] = upstream.state.keys
    expect(await read()).toMatchObject({
      cosigner: await ownKeyid(),
      registries: [
        { name: 'near', kind: 'mirror', mirrorOf: 'npm', names: [], signatures: null, keys: [] },
        {
          name: 'npm',
          kind: 'registry',
          mirrorOf: null,
          namespace: 'npm',
          names: ['**'],
          signatures: 'signed',
          health: 'up',
          keys: [{ keyid: key?.keyid, state: 'approved' }],
        },
      ],
    })
    await upstream.goAway('refuse')
    for (let i = 0; i < 6; i += 1) await instance.get(`unknown-${i}`)
    const down = (await read()).registries.find(({ name }) => name === 'npm')
    expect(down?.health).toBe('down')
  })

  test('a registry is called unsigned when it said so, not before', async () => {
    upstream = startFixtureRegistry({ packages: PACKAGES })
    upstream.act({ do: 'keys', answer: 'missing' })
    instance = await Instance.start(upstream.url)
    const read = async () => {
      const body: unknown = await (await instance.get('-/registries')).json()
      return Value.Parse(RegistriesShape, body).registries.map(each => each.signatures)
    }
    expect(await read()).toEqual(['unknown'])
    expect((await instance.get('-/npm/v1/keys')).status).toBe(200)
    expect(await read()).toEqual(['unknown'])
    await instance.packument('victim')
    expect(await read()).toEqual(['unsigned'])
    await instance.restart({ wipeCache: true })
    expect(await read()).toEqual(['unsigned'])
    upstream.act({ do: 'keys', answer: 'normal' })
    await instance.packument('victim', { 'cache-control': 'no-cache' })
    expect(await read()).toEqual(['signed'])
  })
})
