/**
 * Staged publishing through the front door, in the wire forms of `npm stage` (npm 12): what is
 * staged is nowhere to be seen before somebody approves it, and a token for staging can do no more.
 * @module
 */
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { givenToken, operate } from '../../fixtures/accounts.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { Client, publishBodyOf, type Release, tarballOf } from '../../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const StagedShape = Type.Object({ stageId: Type.String({ pattern: '^[0-9a-f-]{36}$' }) })
const PageShape = Type.Object({
  items: Type.Array(Type.Object({ id: Type.String(), packageName: Type.String() })),
  total: Type.Integer(),
})

let registry: FixtureRegistry
let instance: Instance
let ann: Client
let stager: Client
let stranger: Client
let count = 0
let release: Release

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  ann = await Client.named(instance, 'ann')
  stranger = await Client.named(instance, 'stranger')
  const token = await givenToken(instance, { user: 'ann', scopes: ['read', 'stage'] })
  stager = new Client(instance, token.authorization)
  // The first version brings the leaf of our key along.
  const first = await ann.publish({ name: '@acme/first', version: '1.0.0' })
  if (first.status !== 201) throw new Error(await first.text())
})

beforeEach(() => {
  count += 1
  release = { name: `@acme/staged-${count}`, version: '1.0.0' }
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

const escaped = (name: string): string => name.replace('/', '%2f')

function send(who: Client, asked: Release): Promise<Response> {
  return who.send('POST', `-/stage/package/${escaped(asked.name)}`, publishBodyOf(asked))
}

async function staged(who: Client, asked: Release): Promise<string> {
  const answer = await send(who, asked)
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
  return Value.Parse(StagedShape, await answer.json()).stageId
}

async function pageOf(who: Client, query: string) {
  const answer = await who.get(`-/stage?${query}`)
  return Value.Parse(PageShape, await answer.json())
}

function bodies(): string[] {
  const folder = join(instance.dataDir, 'staged')
  return readdirSync(folder).flatMap(each => readdirSync(join(folder, each)))
}

async function logSize(): Promise<number> {
  return Number((await (await instance.get('-/sumdb/checkpoint')).text()).split('\n')[1])
}

describe('a staged version', () => {
  test('is in no packument and no log until it is approved, and then both', async () => {
    const size = await logSize()
    const id = await staged(stager, release)
    expect((await instance.get(escaped(release.name))).status).toBe(404)
    expect(await logSize()).toBe(size)
    const view = await ann.get(`-/stage/${id}`)
    expect(await view.json()).toMatchObject({
      id,
      packageName: release.name,
      version: '1.0.0',
      tag: 'latest',
      actor: 'user:ann',
      status: 'staged',
    })
    const tarball = await ann.get(`-/stage/${id}/tarball`)
    expect(Buffer.from(await tarball.arrayBuffer())).toEqual(Buffer.from(tarballOf(release)))

    const approved = await ann.send('POST', `-/stage/${id}/approve`)
    expect(approved.status).toBe(200)
    expect(approved.headers.get('npm-notice')).toContain(`leaf ${size} `)
    expect(Object.keys((await instance.packument(release.name)).versions)).toEqual(['1.0.0'])
    expect(await logSize()).toBe(size + 1)
    expect((await ann.get(`-/stage/${id}`)).status).toBe(404)
    expect(bodies()).toEqual([])
  })

  test('counts with its whole size, also when it is read in a Worker', async () => {
    const seed = randomBytes(2 * 2 ** 20).toString('hex')
    const id = await staged(ann, { ...release, seed })
    using database = new Database(join(instance.dataDir, 'registry.db'), { readonly: true })
    const rows = database.query<{ bytes: number }, []>('SELECT bytes FROM stage').all()
    expect(rows.map(({ bytes }) => bytes > 2 * 2 ** 20)).toEqual([true])
    expect((await ann.send('DELETE', `-/stage/${id}`)).status).toBe(204)
  })

  test('is published by no token that is for staging alone', async () => {
    expect((await stager.publish(release)).status).toBe(403)
    const id = await staged(stager, release)
    expect((await stager.send('POST', `-/stage/${id}/approve`)).status).toBe(403)
    expect((await instance.get(escaped(release.name))).status).toBe(404)
    expect((await stager.send('DELETE', `-/stage/${id}`)).status).toBe(204)
  })

  test('leaves nothing when it is rejected, and its number is free', async () => {
    const id = await staged(ann, release)
    expect(bodies().length).toBe(1)
    expect((await ann.send('DELETE', `-/stage/${id}`)).status).toBe(204)
    expect(bodies()).toEqual([])
    expect((await ann.send('DELETE', `-/stage/${id}`)).status).toBe(404)
    expect((await ann.publish(release)).status).toBe(201)
  })

  test('looks to others like an id that is not there', async () => {
    const id = await staged(ann, release)
    const absent = crypto.randomUUID()
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/tarball'],
      ['POST', '/approve'],
      ['DELETE', ''],
    ] as const) {
      const there = await stranger.send(method, `-/stage/${id}${path}`)
      const nothing = await stranger.send(method, `-/stage/${absent}${path}`)
      expect([there.status, (await errorOf(there)).error]).toEqual([
        nothing.status,
        (await errorOf(nothing)).error,
      ])
      expect(there.status).toBe(404)
      expect((await new Client(instance).send(method, `-/stage/${id}${path}`)).status).toBe(401)
    }
    expect((await pageOf(stranger, `package=${release.name}`)).total).toBe(0)
    expect((await pageOf(ann, `package=${release.name}`)).total).toBe(1)
    expect((await ann.send('DELETE', `-/stage/${id}`)).status).toBe(204)
  })

  test('is listed by pages', async () => {
    const ids = new Set<string>()
    for (const version of ['1.0.0', '1.0.1', '1.0.2']) {
      ids.add(await staged(ann, { ...release, version }))
    }
    const seen = new Set<string>()
    for (const page of [0, 1, 2]) {
      const found = await pageOf(ann, `package=${release.name}&perPage=1&page=${page}`)
      expect([found.total, found.items.length]).toEqual([3, 1])
      for (const { id } of found.items) seen.add(id)
    }
    expect(seen).toEqual(ids)
    for (const id of ids) await ann.send('DELETE', `-/stage/${id}`)
  })

  test('is refused, and leaves nothing, when it could not be published', async () => {
    const broken = { ...publishBodyOf(release), name: '@acme/other' }
    const path = `-/stage/package/${escaped(release.name)}`
    expect((await ann.send('POST', path, broken)).status).toBeGreaterThanOrEqual(400)
    expect((await ann.send('POST', path, { name: release.name })).status).toBe(400)
    expect(bodies()).toEqual([])
    expect((await send(ann, release)).status).toBe(201)
    const again = await send(ann, release)
    expect(again.status).toBe(409)
    expect((await errorOf(again)).error).toContain('waits for approval already')
    expect((await ann.publish(release)).status).toBe(201)
    const [item] = (await pageOf(ann, `package=${release.name}`)).items
    const late = await ann.send('POST', `-/stage/${item?.id}/approve`)
    expect(late.status).toBe(403)
    expect((await errorOf(late)).error).toContain('cannot publish over')
  })
})
