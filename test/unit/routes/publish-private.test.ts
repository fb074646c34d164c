/**
 * Packages that not everybody may see, through the front door: who may not read one gets, byte for
 * byte, the answer for a package that does not exist, and nothing of it is in the log.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openRegistry } from '../../../src/db/open.ts'
import { Teams } from '../../../src/db/teams.ts'
import { Upstreams } from '../../../src/db/upstreams.ts'
import { operate } from '../../fixtures/accounts.ts'
import { Client, tarballOf } from '../../fixtures/publishing.ts'
import { errorOf, FRESH, Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

const SECRET = '@acme/secret'
const ABSENT = '@acme/absent'

let registry: FixtureRegistry
let instance: Instance
let ann: Client
let anybody: Client
let stranger: Client

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  ann = await Client.named(instance, 'ann')
  stranger = await Client.named(instance, 'stranger')
  anybody = new Client(instance)
  const answer = await ann.publish({ name: SECRET, version: '1.0.0', access: 'restricted' })
  if (answer.status !== 201) throw new Error(await answer.text())
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

async function leaves(): Promise<string> {
  const note = await (await instance.get('-/sumdb/checkpoint')).text()
  const size = Number(note.split('\n')[1])
  if (size === 0) return ''
  return await (await instance.get(`-/sumdb/tile/entries/000.p/${size}`)).text()
}

/** All that a client sees of an answer but what differs between any two. */
async function seen(answer: Response, name: string): Promise<unknown> {
  const headers = [...answer.headers].filter(([key]) => key !== 'date')
  const body = (await answer.text())
    .replaceAll(/"(?:requestId|time)":"[^"]*"/g, '')
    .replaceAll(name.slice(1), 'acme/x')
  const plain = headers
    .filter(([key]) => key !== 'content-length')
    .map(([key, value]) => [key, value.replaceAll(name.slice(1), 'acme/x')])
  return { status: answer.status, headers: plain, body }
}

const PATHS = [
  ['packument', (name: string) => name],
  ['packument, escaped', (name: string) => name.replace('/', '%2f')],
  ['packument, to write', (name: string) => `${name.replace('/', '%2F')}?write=true`],
  ['manifest', (name: string) => `${name}/1.0.0`],
  ['dist-tag', (name: string) => `${name}/latest`],
  ['tarball', (name: string) => `${name}/-/${name.slice(6)}-1.0.0.tgz`],
  ['lookup', (name: string) => `-/sumdb/lookup/${name}@1.0.0`],
  ['proof', (name: string) => `-/sumdb/proof/${name}@1.0.0`],
  ['dist-tags', (name: string) => `-/package/${name.replace('/', '%2f')}/dist-tags`],
  [
    'dist-tags through one registry',
    (name: string) => `~/hosted/-/package/${name.replace('/', '%2f')}/dist-tags`,
  ],
  ['attestations', (name: string) => `-/npm/v1/attestations/${name.replace('/', '%2f')}@1.0.0`],
  ['search', (name: string) => `-/v1/search?text=${name}`],
  ['through one registry', (name: string) => `~/hosted/${name}`],
  [
    'tarball through one registry',
    (name: string) => `~/hosted/${name}/-/${name.slice(6)}-1.0.0.tgz`,
  ],
  ['through another registry', (name: string) => `~/npm/${name}`],
  ['reason', (name: string) => `-/blocked/${name}@1.0.0/denied`],
] as const

describe('a private package', () => {
  test('is there for whoever published it', async () => {
    const packument = await ann.get('@acme%2fsecret')
    expect(packument.status).toBe(200)
    expect(packument.headers.get('cache-control')).toBe('private, max-age=0')
    expect(packument.headers.get('vary')).toContain('authorization')
    const tarball = await ann.get(`${SECRET}/-/secret-1.0.0.tgz`)
    const bytes = tarballOf({ name: SECRET, version: '1.0.0' })
    expect(new Uint8Array(await tarball.arrayBuffer())).toEqual(bytes)
  })

  test.each([...PATHS])('looks like one that is absent: %s', async (what, path) => {
    for (const who of [anybody, stranger]) {
      for (const headers of [{}, FRESH, { accept: 'text/html' }]) {
        const secret = await seen(await who.get(path(SECRET), headers), SECRET)
        const absent = await seen(await who.get(path(ABSENT), headers), ABSENT)
        expect({ what, answer: secret }).toEqual({ what, answer: absent })
      }
    }
  })

  test('cannot be changed, nor published over, and that says nothing either', async () => {
    for (const [method, path] of [
      ['DELETE', `${SECRET}/-rev/1-0`],
      ['PUT', `${SECRET}/-rev/1-0`],
    ] as const) {
      const answer = await stranger.send(method, path, { _id: SECRET, name: SECRET })
      expect(answer.status).toBe(404)
    }
  })

  test('is in no log, and nobody else was asked for it', async () => {
    expect(await leaves()).not.toContain('secret')
    registry.requests.length = 0
    for (const [what, path] of PATHS) {
      if (what === 'through another registry') continue
      for (const who of [ann, anybody]) await (await who.get(path(SECRET), FRESH)).text()
    }
    const asked = { [SECRET]: ['1.0.0'], alpha: ['1.0.0'] }
    const audit = await anybody.send('POST', '-/npm/v1/security/advisories/bulk', asked)
    expect(audit.status).toBe(200)
    expect(registry.requests.length).toBeGreaterThan(0)
    expect(JSON.stringify(registry.requests)).not.toContain('acme')
  })

  test('is read and published through a team', async () => {
    const member = await Client.named(instance, 'member')
    expect((await member.get(SECRET)).status).toBe(404)
    await instance.stop()
    withTeams(teams => {
      const created = '2026-11-22T08:31:07Z'
      teams.addOrg({ name: 'acme', created })
      teams.addTeam({ org: 'acme', name: 'web', description: '', created })
      teams.putMember({ org: 'acme', user: 'member', role: 'developer' })
      teams.addTeamMember('acme', 'web', 'member')
      teams.putPackage({ org: 'acme', team: 'web', package: SECRET, permission: 'read-only' })
    })
    await instance.restart()
    expect((await member.get(SECRET)).status).toBe(200)
    expect((await member.publish({ name: SECRET, version: '1.0.1' })).status).toBe(403)
  })

  test('looks like one that is absent to who would write', async () => {
    for (const write of [
      (name: string) => stranger.publish({ name, version: '1.0.0' }),
      (name: string) => stranger.send('DELETE', `${name}/-rev/1-0`),
      (name: string) => stranger.send('PUT', `${name}/-rev/1-0`, { _id: name, name }),
      (name: string) => stranger.send('PUT', `-/package/${name}/dist-tags/beta`, '1.0.0'),
    ]) {
      const secret = await seen(await write(SECRET), SECRET)
      expect(secret).toEqual(await seen(await write(ABSENT), ABSENT))
      expect(secret).toMatchObject({ status: 403 })
    }
  })

  test('is named to nobody by the table of names', async () => {
    const set = (names: string[]) =>
      operate(instance, 'upstream/set', { name: 'hosted', settings: { names }, confirm: [] })
    for (const names of [[SECRET], ['@*/*', SECRET]]) {
      await expect(set(names)).rejects.toThrow(
        `${SECRET} is private, and everybody sees these names: give @acme/* in its place`,
      )
    }
    await expect(set(['@other/*'])).rejects.toThrow(`these live here and stay: ${SECRET}`)
    expect(await (await anybody.get('-/registries')).text()).not.toContain('secret')
    await set(['@*/*'])
    for (const names of [['@acme/*'], [SECRET]]) {
      const asked = { name: 'other', url: registry.url, names, namespace: 'other.example' }
      const confirm = registry.state.keys.map(({ keyid }) => keyid)
      const added = operate(instance, 'upstream/add', { asked, confirm })
      await expect(added).rejects.toThrow(`these live here and stay: ${SECRET}: no other registry`)
    }
    await set(['@acme/*'])
    // As a data dir of an earlier program has it.
    await instance.stop()
    withNames([SECRET])
    await instance.restart()
    for (const who of [anybody, stranger]) {
      const registries = await (await who.get('-/registries')).text()
      expect(registries).toContain('"hosted"')
      expect(registries).not.toContain('secret')
    }
    expect((await ann.get('@acme%2fsecret')).status).toBe(200)
    await instance.stop()
    withNames(['@acme/*'])
    await instance.restart()
  })

  test('is logged from the moment on at which it becomes public', async () => {
    expect((await ann.publish({ name: SECRET, version: '1.1.0' })).status).toBe(201)
    expect(await leaves()).not.toContain('secret')
    const published = await ann.publish({ name: SECRET, version: '2.0.0', access: 'public' })
    expect(published.status).toBe(201)
    const text = await leaves()
    for (const version of ['1.0.0', '1.1.0', '2.0.0']) {
      expect(text).toContain(`/${SECRET}@${version} sha512-`)
    }
    const packument = await instance.packument(SECRET)
    expect(Object.keys(packument.versions)).toEqual(['1.0.0', '1.1.0', '2.0.0'])
    expect((await anybody.get(`-/sumdb/lookup/${SECRET}@1.0.0`)).status).toBe(200)
  })
})

describe('what may be private', () => {
  test('only what has a scope that lives here', async () => {
    const bare = await ann.publish({ name: 'bare', version: '1.0.0', access: 'restricted' })
    expect(bare.status).toBe(400)
    const roaming = { name: '@roaming/x', version: '1.0.0', access: 'restricted' } as const
    const answer = await ann.publish(roaming)
    expect(answer.status).toBe(403)
    expect((await errorOf(answer)).error).toContain('upstream set hosted --names @roaming/*')
    const names = ['@acme/*', '@roaming/x']
    await operate(instance, 'upstream/set', { name: 'hosted', settings: { names }, confirm: [] })
    expect((await ann.publish(roaming)).status).toBe(403)
    expect(JSON.stringify(registry.requests)).not.toContain('roaming')
  })
})

describe('the row of the house', () => {
  test('keeps the names that live here, and cannot be removed', async () => {
    const set = (settings: object) =>
      operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
    await expect(set({ names: [] })).rejects.toThrow('live here and stay')
    await expect(set({ names: ['@acme/*'], url: 'https://elsewhere.example/' })).rejects.toThrow(
      'no url',
    )
    const removed = operate(instance, 'upstream/remove', { name: 'hosted' })
    await expect(removed).rejects.toThrow('cannot be removed')
  })
})

/** Gives the house these names, in the data dir that nobody has open. */
function withNames(names: string[]): void {
  using db = openRegistry(instance.dataDir)
  new Upstreams(db).change('hosted', { names })
}

/** Writes into the data dir that nobody has open. */
function withTeams(change: (teams: Teams) => void): void {
  using db = openRegistry(instance.dataDir)
  change(new Teams(db))
}
