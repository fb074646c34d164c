/**
 * `policy`, `incident`, `key` and `upstream retire-key` over a running instance and over a data dir
 * that nobody has open: what they answer, what they refuse, and what they leave in the audit trail.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Audit } from '../../../src/db/audit.ts'
import { writeNextKey } from '../../../src/db/keys.ts'
import { openRegistry } from '../../../src/db/open.ts'
import { generateSigningKey } from '../../../src/registries/keys/own-key.ts'
import { errorOf, FRESH, type Instance } from '../../fixtures/instance.ts'
import { placeOf, serverOf, serverOnce, startMirrored } from '../../fixtures/mirrored.ts'
import { Client } from '../../fixtures/publishing.ts'
import { Shell } from './upstream-shell.ts'
import { until } from '../../fixtures/patience.ts'

const NEXT_CHECK_MS = 1050
const VICTIM = { name: 'victim', versions: [{ version: '1.0.0' }, { version: '1.1.0' }] }

let cleanup: AsyncDisposableStack
beforeEach(() => {
  cleanup = new AsyncDisposableStack()
})
afterEach(() => cleanup.disposeAsync())

async function start(mirrors = 0) {
  const started = await startMirrored(cleanup, { packages: [VICTIM] }, mirrors)
  return { ...started, shell: cleanup.use(new Shell(started.instance.dataDir)) }
}

/** The newest line of the audit trail of a data dir that nobody has open. */
async function lastAudit(instance: Instance) {
  await instance.stop()
  using db = openRegistry(instance.dataDir)
  const [row] = new Audit(db).page(1)
  await instance.restart()
  return row
}

async function json(ran: Promise<{ code: number; out: string; err: string }>): Promise<unknown> {
  const { code, out, err } = await ran
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out)
}

async function firstIncident(shell: Shell): Promise<string> {
  const { out } = await shell.run('incident', 'list', '--json')
  return /"id":"([0-9a-f]+)"/.exec(out)?.[1] ?? 'none'
}

describe('policy', () => {
  const TOML = `
[[policy]]
match = "@acme/*"
action = "allow"

[[policy]]
match = "**"
action = "quarantine"
minAge = "7d"
until = 2099-01-01
`

  test('a file is the whole list, and the list is a file', async () => {
    const { shell } = await start()
    expect((await shell.run('policy', 'list')).out).toContain('no rules')
    const file = shell.file('rules.toml', TOML)
    const set = await json(shell.run('policy', 'set', '-f', file, '--json'))
    expect(set).toMatchObject({
      view: null,
      rules: [
        { place: 1, match: '@acme/*', action: 'allow' },
        { place: 2, match: '**', minAge: '7d', until: '2099-01-01' },
      ],
    })
    const listed = (await shell.run('policy', 'list', '--json')).out
    const again = shell.file('rules.json', listed)
    expect(await json(shell.run('policy', 'set', '-f', again, '--json'))).toEqual(set)
    const text = (await shell.run('policy', 'list')).out
    expect(text).toMatch(/^2 +quarantine +\*\* +age 7d +2099-01-01 +-$/m)
    expect(
      (await shell.run('policy', 'set', '-f', shell.file('no.toml', 'policy = []'))).code,
    ).toBe(0)
    expect((await shell.run('policy', 'list')).out).toContain('no rules')
  })

  test.each([
    [
      '[[policy]]\nmatch = "x"\nactoin = "deny"\n',
      "file:3:1: unknown key 'actoin'; did you mean 'action'",
    ],
    [
      '[[policy]]\nmatch = "x"\naction = "dny"\n',
      "file:3:1: action: expected allow, deny, quarantine; did you mean 'deny'?",
    ],
    [
      '[[policy]]\nmatch="y"\naction="deny"\n\n[[policy]]\nmatch = "a*"\naction = "deny"\n',
      'file:5:1: ',
    ],
    ['[[polcy]]\nmatch = "x"\n', "file:1:1: unknown key 'polcy'; did you mean 'policy'"],
    ['policy = 1\n', 'file:1:1: '],
    ['[[policy]\n', 'file:1:'],
    ['{"policy": [\n  {"match": "x", "action": "deny", "min-age": "7d"}\n]}', 'file:2:'],
    ['', 'holds no rules'],
  ])('a file that is wrong is refused with its line: %j', async (text, reason) => {
    const { shell } = await start()
    const { code, err } = await shell.run('policy', 'set', '-f', shell.file('file', text))
    expect(code).toBe(2)
    expect(err).toContain(reason)
    expect((await shell.run('policy', 'list')).out).toContain('no rules')
  })

  test('one rule at a time, in its place', async () => {
    const { shell } = await start()
    const set = (...args: string[]) => shell.run('policy', 'set', ...args, '--json')
    await set('--match', '**', '--action', 'quarantine', '--min-age', '7d')
    await set('--match', 'x', '--action', 'allow', '--at', '1')
    const changed = await json(set('--match', 'x', '--action', 'deny'))
    expect(changed).toMatchObject({ rules: [{ match: 'x', action: 'deny' }, { match: '**' }] })
    expect(await json(set('--remove', 'x'))).toMatchObject({ rules: [{ match: '**', place: 1 }] })
    for (const [args, reason] of [
      [['--remove', 'x'], 'there is no rule for'],
      [['--match', 'x'], 'needs --action'],
      [['--match', 'x@?', '--action', 'deny'], 'is no range'],
      [['--match', 'x', '--action', 'deny', '--at', '0'], 'expected a place'],
      [['--match', 'x', '--action', 'deny', '--view', 'none'], 'there is no view none'],
      [[], 'give a file'],
    ] as const) {
      const { code, err } = await shell.run('policy', 'set', ...args)
      expect({ code, has: err.includes(reason) }).toEqual({ code: 2, has: true })
    }
  })

  test('test says what is decided, also of rules that are not in force', async () => {
    const { shell, registry, instance } = await start()
    const file = shell.file('rules.toml', '[[policy]]\nmatch = "victim@1.1.0"\naction = "deny"\n')
    const tested = await json(shell.run('policy', 'test', 'victim', '-f', file, '--json'))
    expect(tested).toMatchObject({
      name: 'victim',
      versions: [
        { version: '1.1.0', outcome: 'refused', code: 'denied', by: 'rule', place: 1 },
        { version: '1.0.0', outcome: 'served', by: null, why: 'no rule decides about it' },
      ],
    })
    expect((await instance.get('victim/1.1.0')).status).toBe(200)
    expect((await shell.run('policy', 'test', 'victim@1.1.0', '-f', file)).code).toBe(1)
    const range = await shell.run('policy', 'test', 'victim@^1.1.0', '-f', file)
    expect(range.out).toMatch(/^1\.1\.0 +denied +1 \(victim@1\.1\.0\) +- +denied by rule 1/m)
    registry.act({ do: 'swap', name: 'victim', version: '1.0.0' })
    await Bun.sleep(NEXT_CHECK_MS)
    await instance.packument('victim', FRESH)
    const after = await json(
      shell.run('policy', 'test', 'victim@1.0.0', '--json').then(ran => ({ ...ran, code: 0 })),
    )
    expect(after).toMatchObject({ versions: [{ code: 'conflict', by: 'record' }] })
    expect((await shell.run('policy', 'test', 'nothing-of-that-name')).code).toBe(2)
    expect((await shell.run('policy', 'test', 'victim@a b')).err).toContain('is no range')
  })

  test('without a server too, and every change is in the audit trail', async () => {
    const { shell, instance } = await start()
    await instance.packument('victim')
    await instance.stop()
    expect((await shell.run('policy', 'set', '--match', 'victim', '--action', 'deny')).code).toBe(0)
    expect((await shell.run('policy', 'test', 'victim')).code).toBe(1)
    await instance.restart()
    expect((await instance.get('victim/1.0.0')).status).toBe(403)
    await shell.run('policy', 'set', '--remove', 'victim')
    expect(await lastAudit(instance)).toMatchObject({
      actor: `socket:${process.getuid?.()}`,
      action: 'policy.set',
      target: 'everybody',
      before: '[{"match":"victim","action":"deny"}]',
      after: '[]',
    })
  })
})

describe('incidents', () => {
  test('a dispute that is settled is served as it was logged, whoever repeats it', async () => {
    const { shell, instance, registry, mirrors } = await start(1)
    mirrors[0]?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    await instance.packument('victim')
    await until(async () => (await instance.get('victim/1.1.0')).status === 403)
    expect((await instance.get('victim/1.1.0')).status).toBe(403)
    const id = await firstIncident(shell)
    expect((await shell.run('incident', 'resolve', id)).err).toContain('say why')
    const shown = await json(shell.run('incident', 'show', id, '--json'))
    expect(shown).toMatchObject({
      code: 'conflict',
      state: 'open',
      evidence: { mirror: 'mirror-0' },
    })
    const settled = await json(
      shell.run('incident', 'resolve', id, '--reason', 'the mirror was broken', '--json'),
    )
    expect(settled).toMatchObject({
      state: 'resolved',
      resolution: { reason: 'the mirror was broken' },
    })
    const packument = await instance.packument('victim')
    expect(packument.versions['1.1.0']?.dist.integrity).toBe(
      registry.integrityOf('victim', '1.1.0'),
    )
    expect(packument['dist-tags']['latest']).toBe('1.1.0')
    expect((await shell.run('incident', 'list')).out).toBe('no incidents\n')
    expect((await shell.run('incident', 'list', '--all')).out).toContain(id)
    // A new version makes the sources be compared again; the mirror repeats its word.
    registry.act({ do: 'publish', name: 'victim', spec: { version: '1.2.0' } })
    await Bun.sleep(NEXT_CHECK_MS)
    await instance.packument('victim', FRESH)
    await Bun.sleep(300)
    expect((await instance.get('victim/1.1.0')).status).toBe(200)
    await instance.restart({ wipeCache: true })
    expect((await instance.get('victim/1.1.0')).status).toBe(200)
    expect((await instance.get(`-/why/${id}`)).status).toBe(403)
    expect(await lastAudit(instance)).toMatchObject({ action: 'incident.resolve' })
  })

  test('what its registry itself does wrong cannot be settled', async () => {
    const { shell, instance, registry } = await start()
    await instance.packument('victim')
    registry.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    await Bun.sleep(NEXT_CHECK_MS)
    await instance.packument('victim', FRESH)
    const id = await firstIncident(shell)
    const { code, err } = await shell.run('incident', 'resolve', id, '--reason', 'I believe it')
    expect(code).toBe(2)
    expect(err).toContain('what its registry itself sends')
    expect((await errorOf(await instance.get('victim/1.1.0'))).reason).toBe('conflict')
    expect((await shell.run('incident', 'show', 'none')).err).toContain('there is no incident none')
  })

  test('a mirror that is forgiven serves again, and is set aside again when it lies again', async () => {
    const { shell, instance, registry, mirrors } = await start(1)
    const [mirror] = mirrors
    mirror?.act({ do: 'swap', name: 'victim', version: '1.1.0' })
    mirror?.act({ do: 'forge-signature', how: 'bit-flip', name: 'victim', version: '1.1.0' })
    await instance.packument('victim')
    expect(await serverOnce(registry.url, instance, 'victim')).toBe(registry.url)
    const id = await firstIncident(shell)
    await json(shell.run('incident', 'resolve', id, '--reason', 'restored from backup', '--json'))
    expect(serverOf(await placeOf(instance, 'victim'))).toBe(mirror?.url ?? '')
    await instance.restart()
    expect(serverOf(await placeOf(instance, 'victim'))).toBe(mirror?.url ?? '')
    registry.act({ do: 'publish', name: 'victim', spec: { version: '1.2.0' } })
    await Bun.sleep(NEXT_CHECK_MS)
    await instance.packument('victim', FRESH)
    expect(await serverOnce(registry.url, instance, 'victim')).toBe(registry.url)
    expect((await shell.run('incident', 'list')).out).toContain('returned')
  })
})

describe('keys', () => {
  test('another key signs at once, and what the old one signed stays good', async () => {
    const { shell, instance, registry } = await start()
    registry.act({ do: 'keys', answer: 'missing' })
    await instance.packument('victim')
    const signed = (await instance.packument('victim')).versions['1.0.0']?.dist.signatures?.at(-1)
    const rotated = await json(shell.run('key', 'rotate', '--json'))
    const shown = await json(shell.run('key', 'show', '--json'))
    expect(rotated).toMatchObject({ replaced: signed?.keyid, leaf: expect.any(Number) })
    const keyid = /"keyid":"([^"]+)"/.exec(JSON.stringify(rotated))?.[1] ?? ''
    expect(JSON.stringify(shown)).toContain(keyid)
    const published = await (await instance.get('-/npm/v1/keys')).text()
    expect(published).toContain(keyid)
    expect(published).toContain(signed?.keyid ?? '-')
    registry.act({ do: 'publish', name: 'victim', spec: { version: '1.2.0', signed: false } })
    await Bun.sleep(NEXT_CHECK_MS)
    const { versions } = await instance.packument('victim', FRESH)
    expect(versions['1.0.0']?.dist.signatures).toContainEqual(signed ?? { keyid: '', sig: '' })
    expect(versions['1.2.0']?.dist.signatures?.at(-1)?.keyid).toBe(keyid)
    expect(existsSync(join(instance.dataDir, 'keys', 'registry.key.next'))).toBe(false)
    await instance.restart()
    expect(await (await instance.get('-/npm/v1/keys')).text()).toBe(published)
    expect(await lastAudit(instance)).toMatchObject({ action: 'key.rotate' })
  })

  test('what is published here is signed by the key of its day, and both are good', async () => {
    const { shell, instance } = await start()
    const roe = await Client.named(instance, 'roe')
    expect((await roe.publish({ name: 'here', version: '1.0.0' })).status).toBe(201)
    expect((await shell.run('key', 'rotate')).code).toBe(0)
    expect((await roe.publish({ name: 'here', version: '1.1.0' })).status).toBe(201)
    const { versions } = await instance.packument('here')
    const keyids = ['1.0.0', '1.1.0'].map(each => versions[each]?.dist.signatures?.[0]?.keyid)
    expect(new Set(keyids).size).toBe(2)
    const published = await (await instance.get('-/npm/v1/keys')).text()
    for (const keyid of keyids) expect(published).toContain(keyid ?? '-')
    for (const version of ['1.0.0', '1.1.0']) {
      expect((await instance.get(`here/-/here-${version}.tgz`)).status).toBe(200)
    }
    await instance.restart({ wipeCache: true })
    expect(Object.keys((await instance.packument('here')).versions)).toEqual(['1.0.0', '1.1.0'])
    expect((await shell.run('incident', 'list')).out).toBe('no incidents\n')
  })

  test('a key that was made and never counted is gone at the next start', async () => {
    const { shell, instance } = await start()
    const before = await json(shell.run('key', 'show', '--json'))
    await instance.stop()
    writeNextKey(instance.dataDir, 'registry.key', generateSigningKey())
    await instance.restart()
    expect(await json(shell.run('key', 'show', '--json'))).toEqual(before)
    expect(existsSync(join(instance.dataDir, 'keys', 'registry.key.next'))).toBe(false)
  })

  test('a key that counted before a crash signs at the next start', async () => {
    const { shell, instance } = await start()
    const path = join(instance.dataDir, 'keys', 'registry.key')
    const before = readFileSync(path)
    await json(shell.run('key', 'rotate', '--json'))
    const shown = await json(shell.run('key', 'show', '--json'))
    await instance.stop()
    writeNextKey(instance.dataDir, 'registry.key', readFileSync(path, 'utf8'))
    writeFileSync(path, before)
    await instance.restart()
    expect(await json(shell.run('key', 'show', '--json'))).toEqual(shown)
    expect(existsSync(`${path}.next`)).toBe(false)
  })

  test('public keys go to stdout, private ones into a new file of one user alone', async () => {
    const { shell, instance } = await start()
    const { out } = await shell.run('key', 'export')
    expect(out).toContain(instance.vkey)
    expect(out).toContain('-----BEGIN PUBLIC KEY-----')
    expect(out).not.toContain('PRIVATE')
    const path = join(shell.folder, 'private.json')
    const { code, out: silent } = await shell.run('key', 'export', '--private', path)
    expect({ code, silent }).toEqual({ code: 0, silent: '' })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const stored = readFileSync(join(instance.dataDir, 'keys', 'log.key'), 'utf8')
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ 'log.key': stored })
    writeFileSync(path, 'mine')
    expect((await shell.run('key', 'export', '--private', path)).code).toBe(2)
    expect(readFileSync(path, 'utf8')).toBe('mine')
  })

  test('a retired key vouches for nothing new, is a leaf, and clients hear of it no more', async () => {
    const { shell, instance, registry } = await start()
    const { keyid } = registry.state.signer.published
    await instance.packument('victim')
    expect(await (await instance.get('-/npm/v1/keys')).text()).toContain(keyid)
    const retired = await json(shell.run('upstream', 'retire-key', 'npm', keyid, '--json'))
    expect(retired).toMatchObject({ keyid, state: 'retired' })
    expect(await (await instance.get('-/npm/v1/keys')).text()).not.toContain(keyid)
    registry.act({ do: 'publish', name: 'victim', spec: { version: '1.2.0' } })
    await Bun.sleep(NEXT_CHECK_MS)
    const { versions } = await instance.packument('victim', FRESH)
    expect(versions['1.0.0']?.dist.tarball).toContain('victim-1.0.0.tgz')
    expect(versions['1.2.0']?.dist.tarball).toContain('/unknown-key')
    const size = (await (await instance.get('-/sumdb/checkpoint')).text()).split('\n')[1] ?? '0'
    const bundle = await (await instance.get(`-/sumdb/tile/entries/000.p/${size}`)).text()
    expect(bundle).toContain(`registry-key retire npm ${keyid}`)
    expect((await shell.run('upstream', 'retire-key', 'npm', 'SHA256:none')).code).toBe(2)
    expect((await shell.run('upstream', 'approve-key', 'npm', keyid)).err).toContain(
      'cannot come back',
    )
  })
})
