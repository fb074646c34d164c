/**
 * What a reviewer who meant harm found, through the front door: each of these worked once.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { SCOPES } from '../../../src/registries/accounts/access.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { givenToken, operate } from '../../fixtures/accounts.ts'
import { errorOf, FRESH, Instance } from '../../fixtures/instance.ts'
import { Client, publishBodyOf } from '../../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const SECRET = '@acme/secret'
const ABSENT = '@acme/absent'
const StagedShape = Type.Object({ stageId: Type.String() })

let registry: FixtureRegistry
let instance: Instance
/** Admin of the server; owner and developer of the organisation; nobody. */
let root: Client
let olga: Client
let dora: Client
let anybody: Client

beforeAll(async () => {
  registry = startFixtureRegistry({
    packages: [{ name: 'beta', versions: [{ version: '1.0.0' }] }],
  })
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*', '@free/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  await operate(instance, 'account/add-user', { name: 'root', password: null, role: 'admin' })
  const token = await givenToken(instance, { user: 'root', scopes: [...SCOPES] })
  root = new Client(instance, token.authorization)
  olga = await Client.named(instance, 'olga')
  dora = await Client.named(instance, 'dora')
  anybody = new Client(instance)
  await expectStatus(root.send('PUT', '-/org/acme/user', { user: 'olga', role: 'owner' }), 200)
  await expectStatus(olga.send('PUT', '-/org/acme/user', { user: 'dora' }), 200)
  const release = { name: SECRET, version: '1.0.0', access: 'restricted' } as const
  await expectStatus(olga.publish(release), 201)
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

async function expectStatus(asked: Promise<Response>, status: number): Promise<Response> {
  const answer = await asked
  if (answer.status !== status) throw new Error(`${answer.status} ${await answer.text()}`)
  return answer
}

async function toldOf(path: string, name: string): Promise<string> {
  const answer = await anybody.get(path)
  const text = (await answer.text()).replaceAll(name, 'NAME')
  return `${answer.status} ${text.replace(/"requestId":"[^"]*"/, '')}`
}

describe('a private package', () => {
  test('is not betrayed by the reason of a rule that meets it', async () => {
    const rules = [{ match: '@acme/*', action: 'deny', reason: 'not yet' }]
    await operate(instance, 'policy/set', { view: null, rules })
    const blocked = (name: string) => `-/blocked/${name}@1.0.0/denied`
    const there = await toldOf(blocked(SECRET), SECRET)
    const seenByOwner = await olga.get(blocked(SECRET))
    await operate(instance, 'policy/set', { view: null, rules: [] })
    expect(there).toBe(await toldOf(blocked(ABSENT), ABSENT))
    expect(there).toStartWith('404')
    expect(seenByOwner.status).toBe(403)
  })

  test('is told to no other registry, also by its own path, in no view', async () => {
    await operate(instance, 'view/add', { name: 'outside', registries: ['npm'] })
    const token = await givenToken(instance, { user: 'olga', scopes: ['read'], view: 'outside' })
    const outside = new Client(instance, token.authorization)
    for (const who of [anybody, olga, outside]) {
      for (const name of [SECRET, ABSENT]) {
        for (const path of [name, `-/sumdb/lookup/${name}@1.0.0`, `${name}/-/x-1.0.0.tgz`]) {
          expect((await who.get(`~/npm/${path}`)).status).toBe(404)
        }
      }
    }
    expect(registry.requests.filter(({ path }) => path.includes('acme'))).toEqual([])
    expect((await olga.get(`~/hosted/${SECRET}`)).status).toBe(200)
  })

  test('is not named to a member by the list of a team that reaches it', async () => {
    await expectStatus(olga.send('PUT', '-/org/acme/team', { name: 'few' }), 201)
    const given = { package: SECRET, permissions: 'read-only' }
    await expectStatus(olga.send('PUT', '-/team/acme/few/package', given), 201)
    const shown = async (who: Client) => await (await who.get('-/team/acme/few/package')).json()
    expect(await shown(dora)).toEqual({})
    expect(await shown(olga)).toEqual({ [SECRET]: 'read' })
    await expectStatus(olga.send('PUT', '-/team/acme/few/user', { user: 'dora' }), 201)
    expect(await shown(dora)).toEqual({ [SECRET]: 'read' })
  })

  test('is found by a search that no cache keeps', async () => {
    const found = await olga.get('-/v1/search?text=secret')
    expect(await found.text()).toContain(SECRET)
    expect(found.headers.get('cache-control')).toBe('private, no-store')
    expect(found.headers.get('vary')).toBe('authorization')
  })
})

describe('a token of an organisation', () => {
  test('gives to a team no package that it does not reach', async () => {
    await expectStatus(olga.publish({ name: '@acme/mine', version: '1.0.0' }), 201)
    await expectStatus(olga.send('PUT', '-/org/acme/team', { name: 'all' }), 201)
    const limited = await givenToken(instance, {
      user: 'olga',
      scopes: ['read', 'team'],
      packages: ['@acme/mine'],
      orgs: ['acme'],
    })
    const thief = new Client(instance, limited.authorization)
    const give = (name: string) =>
      thief.send('PUT', '-/team/acme/all/package', { package: name, permissions: 'read-write' })
    await expectStatus(give('@acme/mine'), 201)
    const refused = await expectStatus(give(SECRET), 403)
    expect((await errorOf(refused)).error).toContain('does not reach')
    const taken = thief.send('DELETE', '-/team/acme/few/package', { package: SECRET })
    await expectStatus(taken, 403)
  })

  test('is nobody in another one, also for its list of packages and for leaving it', async () => {
    const { authorization } = await givenToken(instance, {
      user: 'dora',
      scopes: ['read', 'team'],
      orgs: [],
    })
    const limited = new Client(instance, authorization)
    await expectStatus(limited.get('-/org/acme/user'), 404)
    await expectStatus(limited.get('-/org/acme/package'), 404)
    await expectStatus(limited.send('DELETE', '-/org/acme/user', { user: 'dora' }), 403)
    expect(await (await olga.get('-/org/acme/user')).json()).toMatchObject({ dora: 'developer' })
  })
})

describe('who was removed from an organisation', () => {
  test('keeps nothing of its packages, also those that they made', async () => {
    const mallory = await Client.named(instance, 'mallory')
    await expectStatus(olga.send('PUT', '-/org/acme/user', { user: 'mallory' }), 200)
    const name = '@acme/of-mallory'
    await expectStatus(mallory.publish({ name, version: '1.0.0', access: 'restricted' }), 201)
    await expectStatus(mallory.publish({ name: '@free/own', version: '1.0.0' }), 201)
    await expectStatus(olga.send('DELETE', '-/org/acme/user', { user: 'mallory' }), 204)
    const absent = mallory.publish({ name: '@acme/never-there', version: '1.0.1' })
    const status = (await absent).status
    expect((await mallory.publish({ name, version: '1.0.1' })).status).toBe(status)
    expect(status).toBe(403)
    await expectStatus(mallory.get(name), 404)
    await expectStatus(mallory.publish({ name: '@free/own', version: '1.0.1' }), 201)
    await expectStatus(olga.publish({ name, version: '1.0.2' }), 201)
    const document = await olga.document(name)
    expect(document['maintainers']).toEqual([])
  })
})

describe('a name of another registry', () => {
  test('cannot be taken while that registry loses it: it is recorded here', async () => {
    await expectStatus(anybody.get('beta'), 200)
    const kept = registry.state.packages.get('beta')
    registry.state.packages.delete('beta')
    await anybody.get('beta', FRESH)
    const answer = await dora.publish({ name: 'beta', version: '9.9.9' })
    if (kept !== undefined) registry.state.packages.set('beta', kept)
    expect(answer.status).toBe(403)
    expect((await errorOf(answer)).error).toContain('recorded')
    expect(await (await anybody.get('-/registries')).text()).not.toContain('beta')
  })
})

describe('a staged body', () => {
  test('stays when the same one is refused to somebody else at the same time', async () => {
    const body = publishBodyOf({ name: '@free/twice', version: '1.0.0' })
    const elsewhere = await givenToken(instance, {
      user: 'dora',
      scopes: ['read', 'stage'],
      packages: ['@acme/*'],
    })
    const refused = new Client(instance, elsewhere.authorization)
    const path = '-/stage/package/@free%2ftwice'
    const answers = await Promise.all([refused, olga].map(who => who.send('POST', path, body)))
    expect(answers.map(({ status }) => status)).toEqual([403, 201])
    const { stageId } = Value.Parse(StagedShape, await answers[1]?.json())
    await expectStatus(olga.get(`-/stage/${stageId}/tarball`), 200)
    await expectStatus(olga.send('POST', `-/stage/${stageId}/approve`), 200)
  })
})

describe('what waits for approval', () => {
  test.each([
    ['many small ones', 5200, 1],
    ['a few large ones', 3, 120 * 1024 * 1024],
  ])('of one person leaves room for others: %s', async (_, rows, bytes) => {
    const name = `@free/many-${rows}`
    using db = openRegistry(instance.dataDir)
    db.database.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       INSERT INTO stage SELECT 'x' || i, ?, i || '.0.0', 'latest', '', '', '', ?, 'user:dora',
         '2126-11-22T08:31:07Z' FROM n`,
      [rows, name, bytes],
    )
    const path = '-/stage/package/@free%2fone-more'
    const body = publishBodyOf({ name: '@free/one-more', version: '1.0.0' })
    const { authorization } = await givenToken(instance, { user: 'dora', scopes: ['stage'] })
    const full = await new Client(instance, authorization).send('POST', path, body)
    const other = await olga.send('POST', path, body)
    db.database.run("DELETE FROM stage WHERE actor = 'user:dora' OR name = '@free/one-more'")
    expect([full.status, other.status]).toEqual([422, 201])
  })
})

describe('a body without an end', () => {
  test.each(['-/npm/v1/security/advisories/bulk', '~/npm/-/npm/v1/security/audits/quick'])(
    'of nobody is not read to its end: %s',
    async path => {
      let pieces = 0
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          pieces += 1
          if (pieces === 100) controller.close()
          else controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20))
        },
      })
      const headers = { 'content-type': 'application/json' }
      const sent = fetch(`${instance.url}${path}`, { method: 'POST', body, headers })
      const status = await sent.then(
        answer => answer.status,
        // It was cut off while it still talked.
        () => 400,
      )
      expect(status).toBe(400)
      expect(pieces).toBeLessThan(90)
    },
  )
})

describe('half a character', () => {
  test.each([
    [
      'upstream/set',
      '{"name":"hosted","settings":{"names":["@acme/*","@free/*","x\\ud800"]},"confirm":[]}',
    ],
    [
      'upstream/set',
      '{"name":"hosted","settings":{"names":["@acme/*","@free/*","@x\\ud800/*"]},"confirm":[]}',
    ],
    ['account/create-token', '{"user":"olga","name":"x","packages":["a\\ud800"]}'],
    ['policy/set', '{"view":null,"rules":[{"match":"a\\ud800","action":"deny","reason":"x"}]}'],
    ['policy/test', '{"view":null,"name":"a\\ud800","version":"1.0.0"}'],
    ['upstream/probe', '{"name":"q","url":"URL","names":["@q/*"],"sample":"@q/\\ud800"}'],
  ])('is refused by %s, and breaks nothing: %s', async (name, body) => {
    const unix = `${instance.dataDir}/control.sock`
    const sent = { unix, method: 'POST', body: body.replace('URL', registry.url) }
    const answer = await fetch(`http://localhost/${name}`, sent)
    expect([400, 409, 422]).toContain(answer.status)
  })
})
