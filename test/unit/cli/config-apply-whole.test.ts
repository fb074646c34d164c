/**
 * `config apply` when one of its changes cannot be made, though each by itself was found possible.
 * Goal: nothing of the file is there afterwards, in the database, its audit trail and the log as in
 * what a running server answers; and the next run, without the fault, does all of it.
 */
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { Audit } from '../../../src/db/audit.ts'
import { openRegistryReadonly } from '../../../src/db/open.ts'
import { Upstreams } from '../../../src/db/upstreams.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { Shell } from './upstream-shell.ts'

let npm: FixtureRegistry
let acme: FixtureRegistry
let near: FixtureRegistry
let instance: Instance
let shell: Shell

beforeEach(async () => {
  const packages = [{ name: '@acme/tool', versions: [{ version: '1.0.0' }] }]
  npm = startFixtureRegistry({ packages: [{ name: 'left', versions: [{ version: '1.0.0' }] }] })
  acme = startFixtureRegistry({ seed: 'acme', packages })
  near = startFixtureRegistry({ seed: 'acme', packages })
  instance = await Instance.start(npm.url)
  shell = new Shell(instance.dataDir)
  await instance.packument('left')
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  for (const each of [npm, acme, near]) await each[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
})

/** Five changes: the rules, npm's setting, two registries, a mirror. */
function wanted(otherNames: string): string {
  const keys = `keys = ["${acme.state.signer.published.keyid}"]\n`
  return `
[[upstream]]
name = "near"
kind = "mirror"
of = "acme"
url = "${near.url}"

[[upstream]]
name = "npm"
tarballs = "redirect"

[[upstream]]
name = "acme"
url = "${acme.url}"
names = ["@acme/*"]
${keys}
[[upstream]]
name = "other"
url = "${acme.url}"
namespace = "other.example"
names = ["${otherNames}"]
${keys}
[[policy]]
match = "left"
action = "deny"
`
}

function apply(text: string) {
  return shell.run('config', 'apply', '-f', shell.file('want.toml', text))
}

/** Every row of every table. */
function rows(): Record<string, unknown[]> {
  using db = openRegistryReadonly(instance.dataDir)
  const tables = db.database
    .query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all()
  return Object.fromEntries(
    tables.map(({ name }) => [name, db.database.query(`SELECT * FROM "${name}"`).values()]),
  )
}

async function answers() {
  const checkpoint = await (await instance.get('-/sumdb/checkpoint')).text()
  const tarball = (await instance.packument('left')).versions['1.0.0']?.dist.tarball
  const isDenied = tarball?.includes('/-/blocked/')
  return { checkpoint, isDenied, tool: (await instance.get('@acme%2ftool')).status }
}

test('the fourth of five is refused when the third is there: nothing is changed', async () => {
  const before = { rows: rows(), answers: await answers() }
  expect(before.answers).toMatchObject({ isDenied: false, tool: 404 })
  const refused = await apply(wanted('@acme/*'))
  expect(refused.code).toBe(2)
  expect(refused.err).toContain('upstream other: ')
  expect(refused.err).toEndWith('; nothing was changed\n')
  expect(await answers()).toEqual(before.answers)
  expect(rows()).toEqual(before.rows)

  expect(await apply(wanted('@other/*'))).toMatchObject({ code: 0, err: '' })
  expect((await apply(wanted('@other/*'))).out).toBe('nothing to change\n')
  expect(await answers()).toMatchObject({ isDenied: true, tool: 200 })
  expect(rows()['audit']).toHaveLength((before.rows['audit'] ?? []).length + 5)
})

test.each(['with a server', 'without one'])(
  '%s: the disk is full at the third of five',
  async how => {
    const isServed = how === 'with a server'
    if (!isServed) {
      await instance.stop()
      // Whoever opens a data dir by another public URL says so in it.
      await shell.run('policy', 'list')
    }
    const before = rows()
    const lines = spyOn(Audit.prototype, 'append')
    const struck = spyOn(Upstreams.prototype, 'addKey').mockImplementationOnce(() => {
      throw new Error('the disk is full')
    })
    const { code } = await apply(wanted('@other/*'))
    expect(code).toBeGreaterThan(0)
    expect(struck).toHaveBeenCalledTimes(1)
    expect(lines).toHaveBeenCalledTimes(2)
    for (const each of [struck, lines]) each.mockRestore()
    expect(rows()).toEqual(before)
    expect(await apply(wanted('@other/*'))).toMatchObject({ code: 0 })
    if (!isServed) await instance.restart()
    expect(await answers()).toMatchObject({ tool: 200 })
  },
)

test('a registry that is gone when it is applied: nothing is changed, and nothing was begun', async () => {
  const before = rows()
  await near.goAway('refuse')
  const { code, err } = await apply(wanted('@other/*'))
  expect(code).toBe(3)
  expect(err).toContain('upstream near: ')
  expect(rows()).toEqual(before)
})
