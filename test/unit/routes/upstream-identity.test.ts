/**
 * Adding a registry whose DID document names other keys than it publishes, through the control
 * socket. Goal: it is refused until somebody says that this is known; of another instance, which
 * publishes the keys of the registries behind it too, its own key is taken and no other.
 */
import { expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { generateLogKey } from '../../../src/log/note.ts'
import { didDocument } from '../../../src/registries/keys/did.ts'
import { generateSigningKey, publishedKey } from '../../../src/registries/keys/own-key.ts'
import { ProbeViewShape } from '../../../src/registries/operator/upstream-view.ts'
import { operate } from '../../fixtures/accounts.ts'
import { Instance } from '../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../fixtures/registry.ts'

const Named = Type.Object({ name: Type.String() })
const Keys = Type.Array(Type.Object({ keyid: Type.String(), state: Type.String() }))

test('a registry whose DID document names other keys is added only when that is confirmed', async () => {
  await using npm = startFixtureRegistry()
  await using acme = startFixtureRegistry({ packages: [], seed: 'acme' })
  const key = publishedKey(generateSigningKey())
  const { vkey } = generateLogKey('acme/log', new Uint8Array(32))
  await using front = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const { origin, pathname } = new URL(request.url)
      if (pathname !== '/.well-known/did.json') return fetch(new URL(pathname, acme.url))
      return new Response(didDocument({ publicUrl: `${origin}/`, key, vkey }))
    },
  })
  await using instance = await Instance.start(npm.url)
  const asked = { name: 'acme', url: front.url.href, names: ['@acme/*'] }
  const found = Value.Parse(ProbeViewShape, await operate(instance, 'upstream/probe', asked))
  expect(found.bindings.map(({ by, state }) => [by, state])).toEqual([
    ['dns', 'absent'],
    ['did', 'different'],
  ])
  const confirm = found.keys.map(({ keyid }) => keyid)
  expect(operate(instance, 'upstream/add', { asked, confirm })).rejects.toThrow(/speaks against it/)
  const known = { asked, confirm: [...confirm, 'different:did'] }
  const added = Value.Parse(Named, await operate(instance, 'upstream/add', known))
  expect(added.name).toBe('acme')
})

test('of another instance its own key is taken, and none of the registries behind it', async () => {
  await using npm = startFixtureRegistry()
  await using first = await Instance.start(npm.url)
  await using second = await Instance.start(npm.url)
  // It learns the keys of the registry behind it with the first question to it.
  await first.packument('alpha')
  const did: unknown = await (await first.get('.well-known/did.json')).json()
  const asked = { name: 'first', url: first.url, names: ['@house/*'] }
  const found = Value.Parse(ProbeViewShape, await operate(second, 'upstream/probe', asked))
  const [own] = found.keys
  expect(found.keys).toHaveLength(1)
  expect(JSON.stringify(did)).toContain(own?.keyid ?? 'none')
  expect(found.refusedKeys).toHaveLength(1)
  expect(found.bindings).toMatchObject([{ state: 'absent' }, { state: 'some' }])
  await operate(second, 'upstream/add', { asked, confirm: [own?.keyid] })
  const keys = Value.Parse(Keys, await operate(second, 'upstream/keys', { name: 'first' }))
  const states = new Map(keys.map(({ keyid, state }) => [keyid, state]))
  const [behind] = found.refusedKeys
  expect(states).toEqual(
    new Map([
      [own?.keyid ?? 'none', 'approved'],
      [behind?.keyid ?? 'none', 'pending'],
    ]),
  )
  // What waits vouches for nothing, and is not handed on.
  await second.restart()
  const handed = await (await second.get('-/npm/v1/keys')).text()
  expect(handed).toContain(own?.keyid ?? 'none')
  expect(handed).not.toContain(behind?.keyid ?? 'none')
})
