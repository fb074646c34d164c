/**
 * Packages that live here after this registry got another key for its signatures: what the old one
 * signed stays good, also what is in no log because not everybody may see it.
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { operate } from '../../fixtures/accounts.ts'
import { Instance } from '../../fixtures/instance.ts'
import { Client } from '../../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

let registry: FixtureRegistry
let instance: Instance
let ann: Client

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  ann = await Client.named(instance, 'ann')
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

test.each(['public', 'restricted'] as const)('a %s package', async access => {
  const name = `@acme/${access}`
  const state = async (version: string) => ({
    tarball: (await ann.get(`${name}/-/${access}-${version}.tgz`)).status,
    manifest: (await ann.get(`${name}/${version}`)).status,
    isDeprecated: (await (await ann.get(name)).text()).includes('"deprecated"'),
  })
  const good = { tarball: 200, manifest: 200, isDeprecated: false }
  expect((await ann.publish({ name, version: '1.0.0', access })).status).toBe(201)
  await operate(instance, 'key/rotate', {})
  expect((await ann.publish({ name, version: '1.0.1', access })).status).toBe(201)
  for (const version of ['1.0.0', '1.0.1']) expect(await state(version)).toEqual(good)
  await instance.stop()
  rmSync(join(instance.dataDir, 'cache'), { recursive: true })
  await instance.restart()
  for (const version of ['1.0.0', '1.0.1']) expect(await state(version)).toEqual(good)
})
