/**
 * The `upstream` commands over a running instance and over a data dir that nobody has open: the
 * same operations, the same answers. Goal: exit codes, confirmation, refusals that save nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { upstreamAdd } from '../../../src/cli/upstream.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { recordingIo, Shell } from './upstream-shell.ts'

let open: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance
let shell: Shell

beforeAll(async () => {
  open = startFixtureRegistry()
  const packages = [{ name: '@acme/tool', versions: [{ version: '1.0.0' }] }]
  acme = startFixtureRegistry({ seed: 'acme', packages })
  instance = await Instance.start(open.url)
  shell = new Shell(instance.dataDir)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  for (const each of [open, acme]) await each[Symbol.asyncDispose]()
  shell[Symbol.dispose]()
})

const KEYID = () => acme.state.signer.published.keyid
const NAMES = ['--names', '@acme/*']

async function listed(): Promise<unknown> {
  return JSON.parse((await shell.upstream('list', '--json')).out)
}

describe('add', () => {
  test('shows the fingerprints and, where nobody can be asked, refuses without --yes', async () => {
    const { code, out, err } = await shell.upstream('add', 'acme', acme.url, ...NAMES)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(`  ${KEYID()}\n`)
    expect(err).toContain('pass --yes')
    expect(await listed()).toMatchObject({ upstreams: [{ name: 'hosted' }, { name: 'npm' }] })
  })

  test.each([
    ['no\n', 2, 2],
    ['', 2, 2],
    ['y', 0, 3],
  ])('asks a person at a terminal; the answer %j', async (typed, code, count) => {
    const written = { out: '', err: '' }
    const questions: string[] = []
    const input = {
      isTty: true,
      readAll: async () => '',
      ask: async (question: string) => {
        questions.push(question)
        return typed
      },
    }
    const flags = { 'data-dir': instance.dataDir }
    const io = recordingIo(written, true)
    const given = { names: ['@acme/*'] }
    const ended = await upstreamAdd(flags, ['acme', acme.url], given, { json: false }, io, input)
    expect(ended).toBe(code)
    expect(questions).toEqual(['Is this what you expect? [y/N] '])
    expect(await listed()).toHaveProperty(['upstreams', 'length'], count)
  })

  test('the keys that were shown are trusted and logged at once', async () => {
    const { code, out } = await shell.upstream('show', 'acme', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      name: 'acme',
      kind: 'registry',
      url: acme.url,
      namespace: new URL(acme.url).host,
      names: ['@acme/*'],
      tarballs: 'redirect',
      credential: null,
      keys: [{ keyid: KEYID(), state: 'approved', leaf: expect.any(Number) }],
      health: 'up',
    })
    const text = (await shell.upstream('show', 'acme')).out
    expect(text).toContain('signatures  auto (signed)\n')
    const packument = await instance.packument('@acme/tool')
    expect(packument.versions['1.0.0']?.dist.signatures).toMatchObject([{ keyid: KEYID() }])
  })

  test.each([
    [['acme', 'URL', '--names', '@other/*'], 'there is an upstream acme already'],
    [['Acme', 'URL', '--names', '@other/*'], '"Acme" is no name'],
    [['other', 'URL'], 'must say which names it owns'],
    [['other', 'nowhere', '--names', '@other/*'], 'is no URL'],
    [['other', 'ftp://registry.example/', '--names', '@other/*'], 'is not https'],
    [['other', 'URL', '--names', '@acme/*', '--namespace', 'o'], '@acme/* is claimed by acme'],
    [['other', 'URL', '--names', '**', '--namespace', 'o'], '** is claimed by'],
    [['other', 'URL', '--names', '@ACME/*', '--namespace', 'o'], 'differ in capitals only'],
    [['other', 'URL', '--names', '@o/*', '@o/x', '--namespace', 'o'], '@o/x decides nothing'],
    [['other', 'URL', '--names', 'a*', '--namespace', 'o'], 'is no pattern'],
    [['other', 'URL', '--names', '@other/*'], 'is that of acme'],
    [['other', 'URL', '--names', '@other/*', '--namespace', 'npm'], 'can be nobody else'],
    [['other', 'URL', '--names', '@other/*', '--namespace', 'a/b'], 'is no namespace'],
    [['other', 'URL', '--of', 'npm', '--names', 'x'], 'only a mirror'],
    [['other', 'URL', '--kind', 'mirror'], 'must say which registry'],
    [['other', 'URL', '--kind', 'mirror', '--of', 'none'], 'there is no registry none'],
    [['other', 'URL', '--kind', 'mirror', '--of', 'npm', '--names', 'x'], 'has no names'],
    [['other', 'URL', '--names', 'x', '--namespace', 'o', '--cert-file', 'f'], 'belong together'],
    [['other', 'URL', '--names', 'x', '--namespace', 'o', '--token-file', '/none'], 'be read'],
  ])('what cannot be is refused and nothing saved: %j', async (args, reason) => {
    const before = await listed()
    const { code, out, err } = await shell.upstream(
      'add',
      ...args.map(arg => (arg === 'URL' ? acme.url : arg)),
      '--yes',
    )
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(reason)
    expect(await listed()).toEqual(before)
  })

  test('a registry that does not answer, or nonsense, is refused with 3', async () => {
    await using down = startFixtureRegistry()
    const args = ['add', 'down', down.url, '--names', '@down/*', '--yes']
    down.act({ do: 'keys', answer: 'nonsense' })
    const nonsense = await shell.upstream(...args)
    expect(nonsense).toMatchObject({ code: 3, out: '' })
    expect(nonsense.err).toContain('in place of JSON')
    await down.goAway('refuse')
    const { code, err } = await shell.upstream(...args)
    expect(code).toBe(3)
    expect(err).toContain('cannot be reached')
    expect((await shell.upstream('show', 'down')).code).toBe(2)
  })

  test('a sample package is looked at and compared with the log', async () => {
    await using other = startFixtureRegistry({ seed: 'other' })
    const name = 'victim'
    await instance.packument(name)
    other.act({ do: 'swap', name, version: '1.0.0' })
    const args = ['add', 'other', other.url, '--names', '@other/*']
    const { code, err } = await shell.upstream(...args, '--sample', name)
    expect(code).toBe(2)
    expect(err).toMatch(/victim: \d+ versions \(\d+ valid\)/)
    expect(err).toMatch(/compared with the log's npm: \d+ the same, DIFFERENT: 1\.0\.0/)
    const none = await shell.upstream(...args, '--sample', 'no-such-package', '--yes')
    expect(none).toMatchObject({ code: 2 })
    expect(none.err).toContain('has no package no-such-package')
  })

  test('a registry without keys is called unsigned; signatures cannot be required of it', async () => {
    await using plain = startFixtureRegistry({ seed: 'plain' })
    plain.act({ do: 'keys', answer: 'missing' })
    const args = ['add', 'plain', plain.url, '--names', '@plain/*', '--yes']
    const refused = await shell.upstream(...args, '--signatures', 'require')
    expect(refused).toMatchObject({ code: 2 })
    const { code, err } = await shell.upstream(...args)
    expect(code).toBe(0)
    expect(err).toContain('publishes no keys')
    expect((await shell.upstream('list')).out).toMatch(/^plain .* unsigned +up$/m)
    expect((await shell.upstream('remove', 'plain')).code).toBe(0)
  })
})

describe('set and remove', () => {
  test.each([
    [['set', 'npm', '--url', 'https://registry.example/'], 'is a setting of the process'],
    [['set', 'npm', '--namespace', 'other'], 'a namespace with records stays'],
    [['set', 'acme', '--namespace', 'other'], 'a namespace with records stays'],
    [['set', 'acme', '--names', '**'], '** is claimed by'],
    [['set', 'acme', '--sample', 'x', '--yes'], 'say what is to change'],
    [['set', 'none', '--names', '@x/*'], 'there is no upstream none'],
    [['remove', 'npm'], 'made again at every start'],
    [['remove', 'none'], 'there is no upstream none'],
    [['keys', 'none'], 'there is no upstream none'],
    [['approve-key', 'acme', 'SHA256:none'], 'has no key SHA256:none'],
  ])('what cannot be is refused: %j', async (args, reason) => {
    const before = await listed()
    const { code, err } = await shell.upstream(...args)
    expect(code).toBe(2)
    expect(err).toContain(reason)
    expect(await listed()).toEqual(before)
  })

  test('a mirror belongs to its registry, which stays as long as the mirror does', async () => {
    const args = ['add', 'near', open.url, '--kind', 'mirror', '--of', 'acme', '--yes', '--json']
    const { code, out } = await shell.upstream(...args)
    expect(code).toBe(0)
    const namespace = new URL(acme.url).host
    expect(JSON.parse(out)).toMatchObject({ kind: 'mirror', of: 'acme', namespace, keys: [] })
    const removed = await shell.upstream('remove', 'acme')
    expect(removed).toMatchObject({ code: 2 })
    expect(removed.err).toContain('remove near first')
    expect((await shell.upstream('approve-key', 'near', KEYID())).code).toBe(2)
    expect((await shell.upstream('remove', 'near')).code).toBe(0)
  })

  test('two mirrors are two places, and neither is that of their registry', async () => {
    const mirror = ['--kind', 'mirror', '--of', 'acme', '--yes']
    await using place = startFixtureRegistry({ seed: 'acme' })
    const refused = async (args: string[], reason: string) => {
      const before = await listed()
      const { code, err } = await shell.upstream(...args)
      expect(code).toBe(2)
      expect(err).toContain(reason)
      expect(await listed()).toEqual(before)
    }
    await refused(['add', 'near', acme.url, ...mirror], 'is at the URL of acme itself')
    expect((await shell.upstream('add', 'near', place.url, ...mirror)).code).toBe(0)
    const same = place.url.replace(/\/$/, '')
    await refused(
      ['add', 'far', same, ...mirror],
      'near is at the URL of far, a mirror of acme too',
    )
    expect((await shell.upstream('add', 'far', open.url, ...mirror)).code).toBe(0)
    await refused(['set', 'far', '--url', place.url, '--yes'], 'near is at the URL of far')
    await refused(['set', 'acme', '--url', place.url, '--yes'], 'is at the URL of acme itself')
    // Of another registry it is another mirror.
    const other = ['--kind', 'mirror', '--of', 'npm', '--yes']
    expect((await shell.upstream('add', 'both', place.url, ...other)).code).toBe(0)
    for (const name of ['near', 'far', 'both']) {
      expect((await shell.upstream('remove', name)).code).toBe(0)
    }
  })

  test('a new key waits for approve-key', async () => {
    acme.act({ do: 'rotate-key' })
    await instance.restart()
    await instance.packument('@acme/tool', { 'cache-control': 'no-cache' })
    const keys: unknown = JSON.parse((await shell.upstream('keys', 'acme', '--json')).out)
    expect(keys).toMatchObject({
      keys: [{ state: 'approved' }, { keyid: KEYID(), state: 'pending' }],
    })
    const { code, out } = await shell.upstream('approve-key', 'acme', KEYID(), '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ state: 'approved', leaf: expect.any(Number) })
  })
})

test('without a server the same commands work on the data dir; with one that has no socket they refuse', async () => {
  await using alone = await Instance.start(open.url)
  using other = new Shell(alone.dataDir)
  const { code } = await other.upstream('add', 'acme', acme.url, ...NAMES, '--yes')
  expect(code).toBe(0)
  const served = (await other.upstream('show', 'acme', '--json')).out
  const socket = join(alone.dataDir, 'control.sock')
  renameSync(socket, `${socket}.away`)
  const locked = await other.upstream('list')
  expect(locked).toMatchObject({ code: 2, out: '' })
  expect(locked.err).toContain('it has no control socket')
  renameSync(`${socket}.away`, socket)
  await alone.stop()
  expect(existsSync(socket)).toBe(false)
  expect((await other.upstream('show', 'acme', '--json')).out).toBe(served)
  expect((await other.upstream('set', 'acme', '--names', '@acme/*', '@x/*')).code).toBe(0)
  await alone.restart()
  expect(JSON.parse((await other.upstream('show', 'acme', '--json')).out)).toMatchObject({
    names: ['@acme/*', '@x/*'],
  })
  expect(Object.keys((await alone.packument('@acme/tool')).versions)).toEqual(['1.0.0'])
})

test('a data dir that no server ever had is not made by a command', async () => {
  using other = new Shell('/nonexistent/npmx-registry')
  const { code, err } = await other.upstream('list')
  expect(code).toBe(2)
  expect(err).toContain("run 'serve' once first")
})
