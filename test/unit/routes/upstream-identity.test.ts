/**
 * Adding a registry whose DID document names other keys than it publishes, through the control
 * socket. Goal: it is refused until somebody says that this is known.
 */
import { expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { generateLogKey } from '../../../src/log/note.ts'
import { didDocument } from '../../../src/registries/did.ts'
import { generateSigningKey, publishedKey } from '../../../src/registries/own-key.ts'
import { ProbeViewShape } from '../../../src/registries/upstream-view.ts'
import { operate } from '../../fixtures/accounts.ts'
import { Instance } from '../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../fixtures/registry.ts'

const Named = Type.Object({ name: Type.String() })

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
