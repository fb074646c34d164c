/**
 * `verify` where a project installs from one registry of a server alone (`/~/<upstream>/`), against
 * a real server with two registries that have the same names and versions. Goal: an honest project
 * is verified against the records of the registry that its settings name, and nothing that a
 * lockfile says chooses another one.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { MemoryLog } from '../log/memory-log.ts'
import { folder, GOOD, removeProjects, run, runJson } from './verify-project.ts'
import { failure, record, serveLog, VKEY } from './verify-server.ts'

const PREFIX = '/npm'
const TWICE = 'twice'
const SCOPED = '@both/twice'

let stack: AsyncDisposableStack
let npm: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance
/** The registry `acme` alone. */
let lens: string

beforeAll(async () => {
  stack = new AsyncDisposableStack()
  const of = (content: string) =>
    [TWICE, SCOPED].map(name => {
      return { name, versions: [{ version: '1.0.0', files: { 'index.js': content } }] }
    })
  npm = stack.use(startFixtureRegistry({ packages: of('npm') }))
  acme = stack.use(startFixtureRegistry({ packages: of('acme'), seed: 'acme' }))
  const row = { kind: 'registry', tarballs: 'redirect' } as const
  const namespace = 'acme.example'
  instance = stack.use(
    await Instance.start(npm.url, PREFIX, [
      { ...row, name: 'acme', url: acme.url, namespace, names: ['@acme/*'] },
      { name: 'near', url: npm.url, kind: 'mirror' },
    ]),
  )
  lens = `${instance.url}~/acme/`
})
afterAll(async () => {
  removeProjects()
  await stack.disposeAsync()
})

type Entry = { integrity?: string; resolved?: string }

/** A project with these lines of settings and a package-lock.json. */
function project(settings: string, entries: Record<string, Entry>): string {
  const cwd = folder()
  const packages: Record<string, object> = { '': {} }
  for (const [name, entry] of Object.entries(entries)) {
    packages[`node_modules/${name}`] = { version: '1.0.0', ...entry }
  }
  writeFileSync(join(cwd, '.npmrc'), settings)
  writeFileSync(join(cwd, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }))
  return cwd
}

function entryOf(registry: FixtureRegistry, name: string, base: string): Entry {
  const integrity = registry.integrityOf(name, '1.0.0')
  return { integrity, resolved: `${base}${name}/-/twice-1.0.0.tgz` }
}

const theirs = (name: string) => entryOf(acme, name, lens)
const common = (name: string) => entryOf(npm, name, instance.url)

describe('settings that name one registry alone', () => {
  test('have the log of their server, and are checked against its records', async () => {
    const cwd = project(`registry=${lens}\n`, { [TWICE]: theirs(TWICE), [SCOPED]: theirs(SCOPED) })
    const { code, report } = await runJson(cwd, {})
    expect({ code, url: report.url }).toEqual({ code: 0, url: instance.url })
    expect(report.entries).toHaveLength(2)
    for (const entry of report.entries) {
      expect(entry).toMatchObject({
        status: 'verified',
        upstream: 'acme',
        lockfileUpstream: null,
        namespace: 'acme.example',
      })
    }
    const { stdout } = await run(cwd, { url: instance.url })
    expect(stdout).toContain(
      '2 entries checked against acme alone (acme.example), as the settings say\n',
    )
    expect(stdout).toEndWith('OK: 2 of 2 entries verified against the log\n')
  })

  test('are not satisfied by the record of the registry that owns the name', async () => {
    const entries = { [TWICE]: { integrity: npm.integrityOf(TWICE, '1.0.0') } }
    const { code, stdout } = await run(project(`registry=${lens}\n`, entries), {})
    expect(code).toBe(1)
    expect(stdout).toContain('DIFFERENT        twice@1.0.0')
    expect(stdout).toMatch(/\(record \d+, acme\.example\)/)
    expect(stdout).toContain(acme.integrityOf(TWICE, '1.0.0'))
    const options = { format: 'sarif' } as const
    const sarif = await run(project(`registry=${lens}\n`, entries), options)
    expect(sarif.stdout).toContain('; checked against acme alone (acme.example), as the settings')
  })

  test('count for their scope, beside a default that names none alone', async () => {
    const settings = `registry=${instance.url}\n@both:registry=${lens}\n`
    const entries = { [TWICE]: common(TWICE), [SCOPED]: theirs(SCOPED) }
    const { code, report } = await runJson(project(settings, entries), {})
    expect(code).toBe(0)
    expect(report.entries).toMatchObject([
      { name: TWICE, upstream: null, namespace: 'npm' },
      { name: SCOPED, upstream: 'acme', namespace: 'acme.example' },
    ])
  })

  test('do not count for a scope with settings of its own', async () => {
    const scopes = [
      `@both:registry=${instance.url}\n`,
      '@both:registry=http://localhost:1/~/acme/\n',
    ]
    for (const scope of scopes) {
      const entries = { [TWICE]: theirs(TWICE), [SCOPED]: common(SCOPED) }
      const { code, report } = await runJson(project(`registry=${lens}\n${scope}`, entries), {})
      expect(code).toBe(0)
      expect(report.entries).toMatchObject([
        { name: TWICE, upstream: 'acme', namespace: 'acme.example' },
        { name: SCOPED, upstream: null, namespace: 'npm' },
      ])
    }
  })

  test('for scopes only say where the log is, unless they name several', async () => {
    const settings = `@both:registry=${lens}\n@other:registry=http://localhost:1/\n`
    const cwd = project(settings, { [SCOPED]: theirs(SCOPED) })
    expect((await run(cwd, {})).code).toBe(0)
    const several = `${settings}@more:registry=http://localhost:1/~/acme/\n`
    expect((await run(project(several, { [SCOPED]: theirs(SCOPED) }), {})).code).toBe(2)
    const none = project('@both:registry=http://localhost:1/\n', { [SCOPED]: theirs(SCOPED) })
    expect((await run(none, {})).code).toBe(2)
  })

  test('of another server choose nothing here', async () => {
    const elsewhere = 'https://us.example/npm/~/acme/'
    const entry = entryOf(npm, TWICE, elsewhere)
    const { url } = instance
    const { code, report } = await runJson(project(`registry=${elsewhere}\n`, { [TWICE]: entry }), {
      url,
    })
    expect(code).toBe(0)
    expect(report.entries[0]).toMatchObject({ upstream: null, namespace: 'npm' })
    const longer = project(`registry=${lens}below/\n`, { [TWICE]: common(TWICE) })
    expect((await run(longer, { url })).code).toBe(0)
  })

  test('that cannot be read are an error also with --url', async () => {
    const cwd = project('registry=nonsense\n', { [TWICE]: common(TWICE) })
    const { code, stderr } = await run(cwd, { url: instance.url })
    expect(code).toBe(2)
    expect(stderr).toContain('registry is not an http or https URL')
  })

  test.each(['other', 'near'])('%s, which is no registry there: exit 3', async upstream => {
    const settings = `registry=${instance.url}\n@both:registry=${instance.url}~/${upstream}/\n`
    const cwd = project(settings, { [TWICE]: common(TWICE), [SCOPED]: theirs(SCOPED) })
    const { code, report } = await runJson(cwd, { allowMissing: ['**'] })
    expect(code).toBe(3)
    const reason = `the settings name ${instance.url}~/${upstream}/, but this server lists no registry ${upstream}`
    expect(report.entries).toMatchObject([{ status: 'verified' }, { status: 'failed', reason }])
    expect(report.entries[1].namespace).toBeNull()
  })

  test('a version that is not recorded yet is recorded and found', async () => {
    const late = 'left-late'
    await using more = startFixtureRegistry({
      packages: [{ name: late, versions: [{ version: '1.0.0' }] }],
    })
    const row = { kind: 'registry', url: more.url, namespace: 'more.example' } as const
    await using other = await Instance.start(npm.url, '', [
      { ...row, name: 'more', names: ['@more/*'] },
    ])
    const entries = { [late]: { integrity: more.integrityOf(late, '1.0.0') } }
    const cwd = project(`registry=${other.url}~/more/\n`, entries)
    expect((await run(cwd, {})).code).toBe(0)
    expect(npm.requests.filter(({ path }) => path.includes(late))).toEqual([])
  })
})

describe('a lockfile that names another registry than the settings', () => {
  test.each<[string, (url: string) => string]>([
    ['as it is', url => url],
    ['escaped', url => url.replace('/~/', '/%7E/')],
    ['with a second slash', url => url.replace('/~/', '//~/')],
    ['with dots', url => url.replace('/~/', '/x/../~/./')],
    ['with escaped dots and slashes', url => url.replace('/~/', '/x%2F%2e%2e%2f~/')],
    ['by https', url => url.replace('http://', 'https://')],
    ['with a fragment', url => `${url}?a=b#c`],
  ])('is a finding, also where its hash is right: %s', async (_, spell) => {
    const resolved = spell(theirs(TWICE).resolved ?? '')
    const entry = { ...common(TWICE), resolved }
    const cwd = project(`registry=${instance.url}\n`, { [TWICE]: entry })
    const { code, report } = await runJson(cwd, {})
    expect(code).toBe(1)
    const reason = `the settings name ${instance.url}, the lockfile ${lens}`
    expect(report.entries[0]).toMatchObject({
      status: 'different',
      upstream: null,
      lockfileUpstream: 'acme',
      namespace: 'npm',
      reason,
    })
    const { stdout } = await run(cwd, {})
    expect(stdout).toContain(reason)
    expect(stdout).not.toContain('not the logged content')
    expect(stdout).toEndWith('from another registry than the settings name: do not install\n')
    const sarif = await run(cwd, { format: 'sarif' })
    expect(sarif.stdout).toContain('"ruleId": "elsewhere"')
  })

  test('gets no record of that registry by it, and no leave by --allow-missing', async () => {
    const cwd = project(`registry=${instance.url}\n`, { [TWICE]: theirs(TWICE) })
    const { code, report } = await runJson(cwd, { allowMissing: ['**'], allowRevisions: ['**'] })
    expect(code).toBe(1)
    expect(report.entries[0]).toMatchObject({
      status: 'different',
      namespace: 'npm',
      logIntegrity: npm.integrityOf(TWICE, '1.0.0'),
    })
    expect((await run(cwd, {})).stdout).toContain('not the logged content: do not install')
    const missing = { resolved: `${lens}nowhere/-/nowhere-1.0.0.tgz`, integrity: GOOD }
    const gone = project(`registry=${instance.url}\n`, { nowhere: missing })
    const allowed = await runJson(gone, { allowMissing: ['**'] })
    expect(allowed.code).toBe(1)
    expect(allowed.report.entries[0]).toMatchObject({ status: 'different', allowed: false })
  })

  test('is one too where the settings name a registry alone, listed or not', async () => {
    for (const other of ['npm', 'unheard']) {
      const base = `${instance.url}~/${other}/`
      const entry = { ...theirs(TWICE), resolved: `${base}twice/-/twice-1.0.0.tgz` }
      const { code, report } = await runJson(project(`registry=${lens}\n`, { [TWICE]: entry }), {})
      expect(code).toBe(1)
      expect(report.entries[0]).toMatchObject({
        status: 'different',
        upstream: 'acme',
        lockfileUpstream: other,
        reason: `the settings name ${lens}, the lockfile ${base}`,
      })
    }
  })

  test('is none where that is the registry that owns the name', async () => {
    const entry = entryOf(npm, TWICE, `${instance.url}~/npm/`)
    const cwd = project(`registry=${instance.url}\n`, { [TWICE]: entry })
    const { code, report } = await runJson(cwd, {})
    expect({ code, upstream: report.entries[0].upstream }).toEqual({ code: 0, upstream: null })
  })

  const yarn1 = (url: string, integrity: string) =>
    `# yarn lockfile v1\n\n\ntwice@^1.0.0:\n  version "1.0.0"\n  resolved "${url}#${'0'.repeat(40)}"\n  integrity ${integrity}\n`
  const pnpm = (url: string, integrity: string) =>
    `lockfileVersion: '9.0'\n\npackages:\n\n  twice@1.0.0:\n    resolution: {integrity: ${integrity}, tarball: ${url}}\n`
  const npmOf = (lockfileVersion: number) => (url: string, integrity: string) => {
    const entry = { version: '1.0.0', resolved: url, integrity }
    const packages = { '': {}, 'node_modules/twice': { ...entry, resolved: undefined } }
    return JSON.stringify({ lockfileVersion, packages, dependencies: { twice: entry } })
  }
  test.each<[string, string, (url: string, integrity: string) => string]>([
    ['npm 1', 'package-lock.json', npmOf(1)],
    ['npm 2, where npm 6 reads it', 'package-lock.json', npmOf(2)],
    ['pnpm', 'pnpm-lock.yaml', pnpm],
    ['pnpm, relative', 'pnpm-lock.yaml', (url, of) => pnpm(new URL(url).pathname, of)],
    ['pnpm, relative to the registry', 'pnpm-lock.yaml', (url, of) => pnpm(below(url), of)],
    ['yarn 1', 'yarn.lock', yarn1],
    [
      'bun',
      'bun.lock',
      (url, integrity) =>
        JSON.stringify({
          lockfileVersion: 1,
          packages: { twice: ['twice@1.0.0', url, {}, integrity] },
        }),
    ],
    [
      'yarn berry',
      'yarn.lock',
      url =>
        `__metadata:\n  version: 8\n\n"twice@npm:^1.0.0":\n  version: 1.0.0\n  resolution: "twice@npm:1.0.0::__archiveUrl=${encodeURIComponent(url)}"\n`,
    ],
  ])('%s', async (_, file, format) => {
    const url = theirs(TWICE).resolved ?? ''
    const statusOf = async (registry: string, integrity: string) => {
      const cwd = folder()
      writeFileSync(join(cwd, '.npmrc'), `registry=${registry}\n`)
      writeFileSync(join(cwd, file), format(url, integrity))
      const { code, report } = await runJson(cwd, {})
      return { code, lockfileUpstream: report.entries.at(-1).lockfileUpstream }
    }
    const ours = npm.integrityOf(TWICE, '1.0.0')
    expect(await statusOf(instance.url, ours)).toEqual({ code: 1, lockfileUpstream: 'acme' })
    if (_.startsWith('pnpm, relative to')) return
    const good = await statusOf(lens, acme.integrityOf(TWICE, '1.0.0'))
    expect(good).toEqual({ code: 0, lockfileUpstream: null })
  })

  function below(url: string): string {
    return url.slice(instance.url.length)
  }
})

describe('yarn berry, where nothing but the URL says what is installed', () => {
  const berry = (settings: string, url: string | null) => {
    const cwd = folder()
    const archive = url === null ? '' : `::__archiveUrl=${encodeURIComponent(url)}`
    const entry = `"twice@npm:^1.0.0":\n  version: 1.0.0\n  resolution: "twice@npm:1.0.0${archive}"\n`
    writeFileSync(join(cwd, '.npmrc'), `registry=${settings}\n`)
    writeFileSync(join(cwd, 'yarn.lock'), `__metadata:\n  version: 8\n\n${entry}`)
    return cwd
  }

  test('an archive of the server is not one of its registry alone', async () => {
    const { code, report } = await runJson(berry(lens, common(TWICE).resolved ?? ''), {})
    expect({ code, status: report.entries[0].status }).toEqual({ code: 1, status: 'unpinned' })
  })

  test('--fetch takes the tarball of the registry alone', async () => {
    const { code, report } = await runJson(berry(lens, null), { fetch: true })
    expect(code).toBe(0)
    expect(report.entries[0]).toMatchObject({
      compared: true,
      fetchedIntegrity: acme.integrityOf(TWICE, '1.0.0'),
      namespace: 'acme.example',
    })
  })
})

describe('a server that does not tell, or tells something else', () => {
  const listing = (path: string) =>
    path === '/-/registries'
      ? Response.json({
          registries: [{ name: 'acme', kind: 'registry', namespace: 'acme.example' }],
        })
      : undefined

  test('the record of another namespace than the one asked for: exit 4', async () => {
    const log = new MemoryLog([record('left', '1.0.0', GOOD)])
    await using server = serveLog(log, path => {
      const isLookup = path === '/~/acme/-/sumdb/lookup/left@1.0.0'
      return isLookup ? new Response(new Uint8Array(log.answer(0))) : listing(path)
    })
    const cwd = project(`registry=${server.url}~/acme/\n`, { left: { integrity: GOOD } })
    const { code, report } = await runJson(cwd, { key: VKEY })
    expect(code).toBe(4)
    expect(report.misbehaviour).toMatchObject({
      code: 'bad-record',
      message: 'asked for acme.example/left@1.0.0, got the record of npm/left@1.0.0',
    })
  })

  test.each<[string, () => Response]>([
    ['none', () => failure(404, 'not found')],
    ['no JSON', () => new Response('<html>')],
    ['nothing of that form', () => Response.json({ registries: {} })],
  ])('no list of registries, %s: exit 3, only where it matters', async (_, answer) => {
    await using server = serveLog(new MemoryLog([record('left', '1.0.0', GOOD)]), path =>
      path === '/-/registries' ? answer() : undefined,
    )
    const entries = { left: { integrity: GOOD } }
    const alone = await runJson(project(`registry=${server.url}~/acme/\n`, entries), { key: VKEY })
    expect(alone.code).toBe(3)
    expect(alone.report.error).toStartWith('cannot read which registries the server has: ')
    const plain = await run(project(`registry=${server.url}\n`, entries), { key: VKEY })
    expect(plain.code).toBe(0)
    expect(server.asked.filter(path => path === '/-/registries')).toHaveLength(1)
  })
})

describe('a name that is a hash', () => {
  test('has no record, whatever the settings say and wherever its bytes come from', async () => {
    await instance.packument('~/acme/twice')
    const integrity = acme.integrityOf(TWICE, '1.0.0')
    const hex = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')
    const name = `@cas/sha512-${hex}`
    for (const registry of [instance.url, lens]) {
      const cwd = project(`registry=${registry}\n`, { [name]: { ...theirs(TWICE), integrity } })
      const { code, report } = await runJson(cwd, {})
      expect(code).toBe(1)
      expect(report.entries[0]).toMatchObject({ status: 'missing', upstream: null })
      expect(report.entries[0].reason).toStartWith('a name of @cas/ is the hash of bytes')
      expect((await run(cwd, { allowMissing: ['@cas/*'] })).code).toBe(0)
      expect((await run(cwd, { allowMissing: ['@other/*'] })).code).toBe(1)
    }
  })
})
