/**
 * Search through the front door: what lives here comes first, then the registry's own page, as one
 * list. Nobody finds what they may not read, and no other registry hears of a name that is ours.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { operate } from '../../fixtures/accounts.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { Client } from '../../fixtures/publishing.ts'
import { APP_PACKAGES } from '../../fixtures/registry-app.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const FoundShape = Type.Object({
  objects: Type.Array(
    Type.Object({ package: Type.Object({ name: Type.String(), version: Type.String() }) }),
  ),
  total: Type.Integer(),
  time: Type.String(),
})

let registry: FixtureRegistry
let instance: Instance
let ann: Client
let anybody: Client

beforeAll(async () => {
  registry = startFixtureRegistry({ packages: APP_PACKAGES })
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  ann = await Client.named(instance, 'ann')
  anybody = new Client(instance)
  const widget = { description: 'draws a zebra', keywords: ['gauge', 'dial'] }
  await publish({ name: '@acme/widget', manifest: widget })
  await publish({ name: '@acme/zebra', manifest: { description: 'stripes' } })
  await publish({ name: '@acme/hidden', access: 'restricted', manifest: { keywords: ['zebra'] } })
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

async function publish(release: {
  name: string
  access?: 'restricted'
  manifest: Record<string, unknown>
  version?: string
}): Promise<void> {
  const answer = await ann.publish({ version: '1.0.0', ...release })
  if (answer.status !== 201) throw new Error(await answer.text())
}

async function find(who: Client, query: string): Promise<Static<typeof FoundShape>> {
  const answer = await who.get(`-/v1/search?${query}`)
  return Value.Parse(FoundShape, await answer.json())
}

async function names(who: Client, query: string): Promise<string[]> {
  return (await find(who, query)).objects.map(({ package: { name } }) => name)
}

describe('search', () => {
  test('finds by name before description and keywords', async () => {
    expect((await names(anybody, 'text=zebra')).slice(0, 2)).toEqual([
      '@acme/zebra',
      '@acme/widget',
    ])
    expect(await names(anybody, 'text=zeb')).toContain('@acme/zebra')
    expect(await names(anybody, 'text=keywords:dial')).toContain('@acme/widget')
    expect(await names(anybody, 'text=keywords:zebra')).not.toContain('@acme/zebra')
    expect(await names(anybody, 'text=maintainer:ann%20gauge')).toContain('@acme/widget')
    expect(await names(anybody, 'text=maintainer:bob%20gauge')).not.toContain('@acme/widget')
  })

  test('finds a restricted package for its people alone', async () => {
    for (const text of ['zebra', 'hidden', '@acme/hidden', 'scope:acme', 'keywords:zebra']) {
      expect(await names(anybody, `text=${text}`)).not.toContain('@acme/hidden')
      expect(await names(ann, `text=${text}`)).toContain('@acme/hidden')
    }
  })

  test('tells no other registry of names that are ours', async () => {
    const before = registry.requests.length
    for (const text of ['@acme/hidden', '@acme', 'scope:acme', '@acme/nothing']) {
      await find(ann, `text=${text}`)
    }
    const asked = registry.requests.slice(before).map(({ path }) => path)
    expect(asked.filter(path => path.includes('acme'))).toEqual([])
  })

  test('is one list that can be paged through', async () => {
    const whole = await find(anybody, 'text=zebra&size=50')
    const paged: string[] = []
    for (let from = 0; from < whole.total && from < 50; from += 1) {
      const page = await find(anybody, `text=zebra&size=1&from=${from}`)
      expect(page.total).toBe(whole.total)
      expect(page.objects.length).toBe(1)
      paged.push(...page.objects.map(({ package: { name } }) => name))
    }
    expect(paged).toEqual(whole.objects.map(({ package: { name } }) => name))
  })

  test('follows what is published and unpublished', async () => {
    await publish({ name: '@acme/brief', manifest: { description: 'quokka' } })
    expect(await names(anybody, 'text=quokka')).toContain('@acme/brief')
    const changed = { description: 'wombat' }
    await publish({ name: '@acme/brief', version: '1.0.1', manifest: changed })
    expect(await names(anybody, 'text=quokka')).not.toContain('@acme/brief')
    expect(await names(anybody, 'text=wombat')).toContain('@acme/brief')
    const { _rev: rev } = await ann.document('@acme/brief')
    expect((await ann.send('DELETE', `@acme%2fbrief/-rev/${String(rev)}`)).status).toBe(200)
    expect(await names(anybody, 'text=wombat')).not.toContain('@acme/brief')
  })

  test('follows the keywords of the version that is the latest', async () => {
    const name = '@acme/tagged'
    const versions = [['numbat'], ['numbat', 'bilby'], ['bilby'], ['bilby'], undefined]
    for (const [i, keywords] of versions.entries()) {
      await publish({ name, version: `1.0.${i}`, manifest: { ...(keywords && { keywords }) } })
      for (const word of ['numbat', 'bilby']) {
        const found = await names(anybody, `text=keywords:${word}`)
        expect([i, word, found.includes(name)]).toEqual([
          i,
          word,
          keywords?.includes(word) ?? false,
        ])
      }
    }
    const tag = '-/package/@acme%2ftagged/dist-tags/latest'
    expect((await ann.send('PUT', tag, '1.0.0')).status).toBe(200)
    expect(await names(anybody, 'text=keywords:numbat')).toContain(name)
  })

  test('takes no word for a command', async () => {
    for (const text of ['"', 'a" OR name:"b', 'NEAR(', '*', '-', 'zebra*', '\0', "'; DROP"]) {
      const answer = await anybody.get(`-/v1/search?text=${encodeURIComponent(text)}`)
      expect(answer.status).toBe(200)
    }
    const wrong = await anybody.get('-/v1/search?text=zebra&size=many')
    expect(wrong.status).toBe(400)
    expect((await errorOf(wrong)).error).toContain('size')
  })
})

describe('the dist-tags of a package', () => {
  test('are listed by themselves, wherever it lives', async () => {
    const [other = ''] = APP_PACKAGES.map(({ name }) => name)
    const listed = await anybody.get(`-/package/${other.replace('/', '%2f')}/dist-tags`)
    expect(listed.status).toBe(200)
    const tags: unknown = await listed.json()
    expect(tags).toEqual((await instance.packument(other))['dist-tags'])
    const own = await anybody.get('-/package/@acme%2fwidget/dist-tags')
    expect(await own.json()).toEqual({ latest: '1.0.0' })
    expect((await anybody.get('-/package/@acme%2fhidden/dist-tags')).status).toBe(404)
    expect((await anybody.get('-/package/no-such-package/dist-tags')).status).toBe(404)
  })
})
