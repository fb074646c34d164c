/**
 * `config apply`: what a file leads to, over a running instance and over a data dir that nobody has
 * open. Goal: nothing is changed before everything was looked at, the second time changes nothing,
 * and no secret is printed.
 */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { Shell } from './upstream-shell.ts'

const SECRET = 'a-token-that-nobody-may-see'

let npm: FixtureRegistry
let acme: FixtureRegistry
let near: FixtureRegistry
let instance: Instance
let shell: Shell

beforeEach(async () => {
  npm = startFixtureRegistry()
  const packages = [{ name: '@acme/tool', versions: [{ version: '1.0.0' }] }]
  acme = startFixtureRegistry({ seed: 'acme', packages })
  near = startFixtureRegistry({ seed: 'acme', packages })
  instance = await Instance.start(npm.url)
  shell = new Shell(instance.dataDir)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  for (const each of [npm, acme, near]) await each[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
})

function whole(keyid = acme.state.signer.published.keyid): string {
  shell.file('acme.token', `${SECRET}\n`)
  return `
[[upstream]]
name = "near"
kind = "mirror"
of = "acme"
url = "${near.url}"

[[upstream]]
name = "acme"
url = "${acme.url}"
names = ["@acme/*"]
keys = ["${keyid}"]
tokenFile = "acme.token"

[[upstream]]
name = "npm"
tarballs = "redirect"

[[policy]]
match = "@acme/*"
action = "allow"

[[policy]]
match = "**"
action = "quarantine"
minAge = "7d"
`
}

async function apply(text: string, ...args: string[]) {
  return await shell.run('config', 'apply', '-f', shell.file('want.toml', text), ...args)
}

test('a whole file is applied, mirrors after their registry, and the second time changes nothing', async () => {
  const dry = await apply(whole(), '--dry-run')
  expect({ code: dry.code, err: dry.err }).toEqual({ code: 0, err: '' })
  expect(dry.out).toContain('+ rule 1 allow @acme/* (-)\n+ rule 2 quarantine ** (age 7d)\n')
  expect(dry.out.indexOf('+ upstream acme')).toBeLessThan(dry.out.indexOf('+ upstream near'))
  expect(dry.out).toContain('~ upstream npm: {"tarballs":"redirect"}\n')
  expect((await shell.upstream('list')).out).not.toContain('acme')
  const done = await apply(whole())
  expect({ code: done.code, err: done.err, out: done.out }).toEqual({ ...dry })
  const again = await apply(whole(), '--json')
  expect(JSON.parse(again.out)).toEqual({ applied: true, changes: [] })
  expect(await instance.packument('@acme/tool')).toHaveProperty(['dist-tags', 'latest'], '1.0.0')
  const sent = acme.requests.map(({ headers }) => headers['authorization'])
  expect(sent).toContain(`Bearer ${SECRET}`)
  const listed = await shell.run('policy', 'list', '--json')
  expect(JSON.parse(listed.out)).toMatchObject({ rules: [{ match: '@acme/*' }, { match: '**' }] })
  for (const { out, err } of [dry, done, again]) expect(out + err).not.toContain(SECRET)
})

test('without a server too', async () => {
  await instance.stop()
  expect(await apply(whole())).toMatchObject({ code: 0, err: '' })
  expect((await apply(whole())).out).toBe('nothing to change\n')
  await instance.restart()
  expect(await instance.packument('@acme/tool')).toHaveProperty(['dist-tags', 'latest'], '1.0.0')
})

test('nothing is changed when one part cannot be, however early the others stand', async () => {
  const other = `SHA256:${'A'.repeat(43)}`
  const wrong = await apply(whole(other))
  expect(wrong.code).toBe(2)
  expect(wrong.err).toContain('not the keys that are wanted; nothing was changed')
  await acme.goAway('refuse')
  expect((await apply(whole())).code).toBe(3)
  acme.comeBack()
  expect((await shell.run('policy', 'list')).out).toContain('no rules')
  expect((await shell.upstream('show', 'npm', '--json')).out).toContain('"tarballs":"canonical"')
})

test('keys that the file does not name need a yes', async () => {
  const text = `[[upstream]]\nname = "acme"\nurl = "${acme.url}"\nnames = ["@acme/*"]\n`
  const { code, err } = await apply(text)
  expect(code).toBe(2)
  expect(err).toContain(acme.state.signer.published.keyid)
  expect(err).toContain('nothing was changed')
  expect((await apply(text, '--yes')).code).toBe(0)
  acme.act({ do: 'rotate-key' })
  await instance.restart()
  await instance.packument('@acme/tool', { 'cache-control': 'no-cache' })
  const { keyid } = acme.state.signer.published
  const approved = await apply(`${text}keys = ["${keyid}"]\n`)
  expect(approved).toEqual({ code: 0, err: '', out: `+ key ${keyid} of acme\n` })
  expect((await apply(`${text}keys = ["${keyid}"]\n`)).out).toBe('nothing to change\n')
  expect((await apply(`${text}kind = "mirror"\nof = "npm"\n`)).err).toContain('cannot change')
})

test.each([
  ['[[upstraem]]\nname = "x"\n', "want.toml:1:1: unknown key 'upstraem'; did you mean 'upstream'"],
  [
    '[[upstream]]\nname = "x"\n\n[[upstream]]\nname = "y"\n  token = "s"\n',
    'want.toml:6:3: unknown key',
  ],
  ['[[upstream]]\nname = "x"\nnames = "@x/*"\n', 'want.toml:3:1: '],
  ['[[upstream]]\nname = "x"\nnames = ["@x/*"]\n', 'its url is not given'],
  [
    '[[upstream]]\nname = "npm"\n[[upstream]]\nname = "npm"\n',
    'want.toml:3:1: npm stands in the file twice',
  ],
  ['[[upstream]]\nname = "npm"\ntokenFile = "none"\n', 'cannot be read'],
  [
    '[[policy]]\nmatch = "x"\naction = "deny"\nmin-age = "7d"\n',
    "want.toml:4:1: unknown key 'min-age'; did you mean 'minAge'",
  ],
])('a file that is wrong is refused with its line: %j', async (text, reason) => {
  const { code, out, err } = await apply(text, '--yes')
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain(reason)
})
