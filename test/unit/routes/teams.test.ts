/**
 * Organisations, teams and access through the front door, in the wire forms of libnpmorg,
 * libnpmteam and libnpmaccess (npm 12). Who may not see something is told what is told of nothing.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SCOPES } from '../../../src/registries/accounts/access.ts'
import { givenToken, operate } from '../../fixtures/accounts.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { Client } from '../../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const PACKAGE = '@acme%2fsecret'

let registry: FixtureRegistry
let instance: Instance
/** Admin of the server; owner, admin, developer of the organisation; somebody else. */
let root: Client
let olga: Client
let adam: Client
let dora: Client
let stranger: Client
let anybody: Client

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  await operate(instance, 'account/add-user', { name: 'root', password: null, role: 'admin' })
  const scopes = [...SCOPES]
  const token = await givenToken(instance, { user: 'root', scopes })
  root = new Client(instance, token.authorization)
  olga = await Client.named(instance, 'olga')
  adam = await Client.named(instance, 'adam')
  dora = await Client.named(instance, 'dora')
  stranger = await Client.named(instance, 'stranger')
  anybody = new Client(instance)
  await expectStatus(root.send('PUT', '-/org/acme/user', { user: 'olga', role: 'owner' }), 200)
  await expectStatus(olga.send('PUT', '-/org/acme/user', { user: 'adam', role: 'admin' }), 200)
  await expectStatus(adam.send('PUT', '-/org/acme/user', { user: 'dora' }), 200)
  const release = { name: '@acme/secret', version: '1.0.0', access: 'restricted' } as const
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

async function sentenceOf(asked: Promise<Response>, status: number): Promise<string> {
  return (await errorOf(await expectStatus(asked, status))).error
}

describe('an organisation', () => {
  test('is made by an admin of the server alone', async () => {
    const asked = { user: 'stranger', role: 'owner' }
    expect(await sentenceOf(stranger.send('PUT', '-/org/mine/user', asked), 404)).toContain('mine')
    const made = await expectStatus(root.send('PUT', '-/org/other/user', asked), 200)
    expect(await made.json()).toEqual({
      org: { name: 'other', size: 1 },
      user: 'stranger',
      role: 'owner',
    })
  })

  test('shows its members to members', async () => {
    const roster = { adam: 'admin', dora: 'developer', olga: 'owner' }
    for (const who of [olga, adam, dora, root]) {
      expect(await (await expectStatus(who.get('-/org/acme/user'), 200)).json()).toEqual(roster)
    }
  })

  test('looks to others like one that is not there', async () => {
    for (const path of ['user', 'team', 'package']) {
      const there = await sentenceOf(stranger.get(`-/org/acme/${path}`), 404)
      const absent = await sentenceOf(stranger.get(`-/org/nothing/${path}`), 404)
      expect(there.replaceAll('acme', 'nothing')).toBe(absent)
      await expectStatus(anybody.get(`-/org/acme/${path}`), 401)
    }
  })

  test('owners are made and removed by owners, and one stays', async () => {
    const asAdmin = adam.send('PUT', '-/org/acme/user', { user: 'dora', role: 'owner' })
    expect(await sentenceOf(asAdmin, 403)).toContain('no owner')
    await expectStatus(adam.send('DELETE', '-/org/acme/user', { user: 'olga' }), 403)
    const last = olga.send('DELETE', '-/org/acme/user', { user: 'olga' })
    expect(await sentenceOf(last, 403)).toContain('last owner')
    const demoted = olga.send('PUT', '-/org/acme/user', { user: 'olga', role: 'developer' })
    expect(await sentenceOf(demoted, 403)).toContain('last owner')
  })

  test('takes in only people that there are', async () => {
    await expectStatus(olga.send('PUT', '-/org/acme/user', { user: 'nobody' }), 404)
    await expectStatus(olga.send('PUT', '-/org/acme/user', { user: 'dora', role: 'king' }), 400)
    await expectStatus(dora.send('PUT', '-/org/acme/user', { user: 'stranger' }), 403)
  })

  test('is out of reach of a token for another one, and of one that only reads', async () => {
    const user = 'olga'
    const scopes = ['read' as const, 'team' as const]
    const limited = await givenToken(instance, { user, scopes, orgs: ['other'] })
    const elsewhere = new Client(instance, limited.authorization)
    await expectStatus(elsewhere.get('-/org/acme/user'), 404)
    await expectStatus(elsewhere.send('PUT', '-/org/acme/team', { name: 'x' }), 403)
    const readOnly = await givenToken(instance, { user, scopes, readOnly: true })
    const reading = new Client(instance, readOnly.authorization)
    await expectStatus(reading.get('-/org/acme/user'), 200)
    await expectStatus(reading.send('PUT', '-/org/acme/team', { name: 'x' }), 403)
  })

  test('makes packages of its scope the affair of its members', async () => {
    const release = { name: '@acme/new', version: '1.0.0' }
    expect(await sentenceOf(stranger.publish(release), 403)).toContain('no member')
    await expectStatus(dora.publish(release), 201)
    await expectStatus(adam.publish({ ...release, version: '1.0.1' }), 201)
  })
})

describe('a team', () => {
  test('gives its members the packages that it was given, as long as it has them', async () => {
    await expectStatus(dora.get(PACKAGE), 404)
    await expectStatus(adam.send('PUT', '-/org/acme/team', { name: 'core' }), 201)
    expect(await (await dora.get('-/org/acme/team?format=cli')).json()).toEqual(['acme:core'])
    const grant = { package: '@acme/secret', permissions: 'read-only' }
    await expectStatus(adam.send('PUT', '-/team/acme/core/package', grant), 201)
    await expectStatus(dora.get(PACKAGE), 404)
    await expectStatus(adam.send('PUT', '-/team/acme/core/user', { user: 'dora' }), 201)
    expect(await (await dora.get('-/team/acme/core/user?format=cli')).json()).toEqual(['dora'])
    await expectStatus(dora.get(PACKAGE), 200)

    const next = { name: '@acme/secret', version: '1.0.1' }
    await expectStatus(dora.publish(next), 403)
    const more = { ...grant, permissions: 'read-write' }
    await expectStatus(adam.send('PUT', '-/team/acme/core/package', more), 201)
    await expectStatus(dora.publish(next), 201)
    const people = await expectStatus(olga.get(`-/package/${PACKAGE}/collaborators`), 200)
    expect(await people.json()).toEqual({ olga: 'write', dora: 'write' })
    const shown = await expectStatus(dora.get('-/team/acme/core/package'), 200)
    expect(await shown.json()).toEqual({ '@acme/secret': 'write' })

    await expectStatus(adam.send('DELETE', '-/team/acme/core/user', { user: 'dora' }), 204)
    await expectStatus(dora.get(PACKAGE), 404)
    await expectStatus(adam.send('PUT', '-/team/acme/core/user', { user: 'dora' }), 201)
    await expectStatus(dora.get(PACKAGE), 200)
    await expectStatus(adam.send('DELETE', '-/team/acme/core'), 204)
    await expectStatus(dora.get(PACKAGE), 404)
  })

  test('refuses what it cannot have', async () => {
    await expectStatus(adam.send('PUT', '-/org/acme/team', { name: 'ops' }), 201)
    const again = adam.send('PUT', '-/org/acme/team', { name: 'ops' })
    expect(await sentenceOf(again, 409)).toContain('already')
    const stray = adam.send('PUT', '-/team/acme/ops/user', { user: 'stranger' })
    expect(await sentenceOf(stray, 422)).toContain('no member')
    const grant = (name: string) => ({ package: name, permissions: 'read-only' })
    const foreign = adam.send('PUT', '-/team/acme/ops/package', grant('left-pad'))
    expect(await sentenceOf(foreign, 422)).toContain('scope')
    await expectStatus(adam.send('PUT', '-/team/acme/ops/package', grant('@acme/absent')), 404)
    await expectStatus(adam.send('PUT', '-/team/acme/none/package', grant('@acme/secret')), 404)
    await expectStatus(dora.send('PUT', '-/team/acme/ops/user', { user: 'dora' }), 403)
    await expectStatus(stranger.get('-/team/acme/ops/user'), 404)
  })

  test('every change stands in the audit trail, with who made it', async () => {
    const audit = await (await root.get('-/api/audit?limit=100')).text()
    expect(audit).toContain('org.member')
    expect(audit).toContain('team.package')
    expect(audit).toContain('user:adam')
  })
})

describe('access', () => {
  test('tells who may see a package', async () => {
    const visibility = await expectStatus(olga.get(`-/package/${PACKAGE}/visibility`), 200)
    expect(await visibility.json()).toEqual({ public: false })
    const hidden = await sentenceOf(stranger.get(`-/package/${PACKAGE}/visibility`), 404)
    const absent = await sentenceOf(stranger.get('-/package/@acme%2fnothing/visibility'), 404)
    expect(hidden.replaceAll('secret', 'nothing')).toBe(absent)
    await expectStatus(stranger.get(`-/package/${PACKAGE}/collaborators`), 404)
    await expectStatus(anybody.get(`-/package/${PACKAGE}/collaborators`), 401)
  })

  test('can be opened and closed again by whoever may change it', async () => {
    const release = { name: '@acme/door', version: '1.0.0', access: 'restricted' } as const
    await expectStatus(olga.publish(release), 201)
    const path = '-/package/@acme%2fdoor/access'
    const absentPath = '-/package/@acme%2fnothing/access'
    for (const [who, status] of [
      [stranger, 403],
      [dora, 404],
    ] as const) {
      const there = await sentenceOf(who.send('POST', path, { access: 'public' }), status)
      const absent = await sentenceOf(who.send('POST', absentPath, { access: 'public' }), status)
      expect(there.replaceAll('door', 'nothing')).toBe(absent)
    }
    await expectStatus(olga.send('POST', path, { access: 'public' }), 200)
    await expectStatus(anybody.get('@acme%2fdoor'), 200)
    await expectStatus(dora.send('POST', path, { access: 'restricted' }), 403)
    await expectStatus(olga.send('POST', path, { access: 'restricted' }), 200)
    await expectStatus(anybody.get('@acme%2fdoor'), 404)
    const second = olga.send('POST', path, { publish_requires_tfa: true })
    expect(await sentenceOf(second, 422)).toContain('second factor')
    await expectStatus(olga.send('POST', path, {}), 400)
  })

  test("lists a person's packages, without those that whoever asks may not see", async () => {
    const own = await expectStatus(olga.get('-/user/olga/package'), 200)
    const listed: unknown = await own.json()
    expect(listed).toMatchObject({ '@acme/secret': 'write' })
    const shown = await (await expectStatus(stranger.get('-/user/olga/package'), 200)).text()
    expect(shown).not.toContain('secret')
    await expectStatus(stranger.get('-/user/nobody/package'), 404)
    await expectStatus(anybody.get('-/user/olga/package'), 401)
  })
})
