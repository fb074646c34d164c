/**
 * A registry that re-issues bytes, through the front door. Goal: what it has now installs and is
 * recorded before it is offered, who holds older bytes gets those or a sentence, and everywhere else
 * other bytes are the conflict that they were.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { parseLookup } from '../../../src/log/lookup.ts'
import { parseLeaf } from '../../../src/log/leaf.ts'
import { revisionOf } from '../../../src/registries/packument/revisions.ts'
import { errorOf, FRESH, Instance, type NewUpstream, YARN_4 } from '../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../fixtures/registry.ts'
import { ReissuingRegistry } from '../../fixtures/reissuing.ts'
import { Shell } from '../cli/upstream-shell.ts'
import { until } from '../../fixtures/patience.ts'

const SCOPE = '@again'
const NAME = `${SCOPE}/box`
const NAMESPACE = 'again.example'
/** A forced check is not repeated before. */
const NEXT_CHECK_MS = 120

let cleanup: AsyncDisposableStack
beforeEach(() => {
  cleanup = new AsyncDisposableStack()
})
afterEach(() => cleanup.disposeAsync())

async function start(row: Partial<NewUpstream> = {}) {
  const npm = cleanup.use(startFixtureRegistry({ packages: [] }))
  const registry = cleanup.use(new ReissuingRegistry(NAME))
  const again = {
    name: 'again',
    kind: 'registry',
    url: registry.url,
    namespace: NAMESPACE,
    names: [`${SCOPE}/*`],
    tarballs: 'redirect',
    revisions: true,
    ...row,
  } satisfies NewUpstream
  const npmRow = { name: 'npm', kind: 'registry', url: npm.url } as const
  const instance = cleanup.use(await Instance.start(npm.url, '', [npmRow, again]))
  return { registry, instance }
}

async function distOf(instance: Instance, issue?: { registry: ReissuingRegistry; to: number }) {
  if (issue !== undefined) {
    issue.registry.issue = issue.to
    await Bun.sleep(NEXT_CHECK_MS)
  }
  const { versions } = await instance.packument(NAME, FRESH)
  return versions['1.0.0']?.dist ?? { tarball: '', integrity: '' }
}

/** The record of a version text, or the status of the answer. */
async function recordOf(instance: Instance, version: string) {
  const path = `-/sumdb/lookup/${NAME}@${encodeURIComponent(version)}`
  const response = await instance.get(path)
  if (response.status !== 200) return response.status
  const leaf = parseLeaf(parseLookup(await response.bytes()).leaf)
  return leaf.kind === 'version' ? `${leaf.namespace} ${leaf.integrity}` : leaf.kind
}

describe('a registry that re-issues bytes', () => {
  test('each content has a record before it is offered, and a file of its own', async () => {
    const { registry, instance } = await start()
    const first = await distOf(instance)
    expect(first.tarball).toBe(`${instance.url}${NAME}/-/box-1.0.0.tgz`)
    const second = await distOf(instance, { registry, to: 2 })
    const text = revisionOf('1.0.0', registry.integrityOf(2))
    expect(second.integrity).toBe(registry.integrityOf(2))
    expect(second.tarball).toBe(`${instance.url}${NAME}/-/box-${text}.tgz`)
    expect(await recordOf(instance, '1.0.0')).toBe(`${NAMESPACE} ${registry.integrityOf(1)}`)
    expect(await recordOf(instance, text)).toBe(`${NAMESPACE} ${registry.integrityOf(2)}`)
    expect(await recordOf(instance, revisionOf('1.0.0', registry.integrityOf(3)))).toBe(404)
    const redirect = await fetch(second.tarball, { redirect: 'manual' })
    expect(redirect.headers.get('location')).toBe(`${registry.url}~/2/${NAME}/1.0.0.tgz`)
    const before = await distOf(instance, { registry, to: 1 })
    expect(before).toMatchObject({ tarball: first.tarball, integrity: registry.integrityOf(1) })
    await instance.restart({ wipeCache: true })
    expect(await distOf(instance)).toMatchObject({ tarball: first.tarball })
  })

  test('each is co-signed, noted once, and none is a conflict', async () => {
    const { registry, instance } = await start()
    const signatures = [await distOf(instance)]
    for (const to of [2, 1, 2]) signatures.push(await distOf(instance, { registry, to }))
    const sigs = signatures.map(each => ('signatures' in each ? each.signatures?.[0]?.sig : ''))
    expect(new Set(sigs).size).toBeGreaterThanOrEqual(2)
    expect(sigs.every(sig => (sig?.length ?? 0) > 80)).toBe(true)
    using shell = new Shell(instance.dataDir)
    const { out } = await shell.run('incident', 'list', '--json')
    const codes = [...out.matchAll(/"code":"([a-z-]+)"/g)].map(([, code]) => code)
    expect(codes).toEqual(['revised'])
    const id = /"id":"([0-9a-f]{32})"/.exec(out)?.[1] ?? ''
    const why = await (await instance.get(`-/why/${id}`)).text()
    const page = await (await instance.get(`-/why/${id}`, { accept: 'text/html' })).text()
    expect(page).toContain('@again/box@1.0.0 was issued again')
    for (const issue of [1, 2]) expect(why).toContain(registry.integrityOf(issue))
  })

  test('who holds an older lockfile gets the older bytes while they are kept, verified', async () => {
    const { registry, instance } = await start()
    const { tarball } = await distOf(instance)
    registry.kept.add(1)
    const { tarball: present } = await distOf(instance, { registry, to: 2 })
    for (const headers of [{}, { 'user-agent': YARN_4 }]) {
      const response = await fetch(tarball, { headers })
      expect(response.status).toBe(200)
      expect(Buffer.from(await response.bytes())).toEqual(Buffer.from(registry.bytesOf(1)))
    }
    const streamed = await fetch(present, { headers: { 'user-agent': YARN_4 } })
    expect(Buffer.from(await streamed.bytes())).toEqual(Buffer.from(registry.bytesOf(2)))
    registry.kept.delete(1)
    const dropped = await fetch(tarball, { headers: { 'user-agent': YARN_4 } })
    expect(dropped.status).toBe(404)
    expect((await errorOf(dropped)).error).toContain('again does not have this tarball')
  })

  test('where the path names no issue, older bytes are gone and never asked for', async () => {
    const { registry, instance } = await start()
    registry.namesIssues = false
    const { tarball } = await distOf(instance)
    const { tarball: present } = await distOf(instance, { registry, to: 2 })
    const gone = await fetch(tarball)
    expect(gone.status).toBe(410)
    expect((await errorOf(gone)).error).toContain('re-issued it, and the bytes of record 0')
    const response = await fetch(present, { headers: { 'user-agent': YARN_4 } })
    expect(Buffer.from(await response.bytes())).toEqual(Buffer.from(registry.bytesOf(2)))
    // Re-issued between the document and the tarball: cut, not passed on.
    registry.issue = 3
    const cut = fetch(present, { headers: { 'user-agent': YARN_4 } })
    await expect(cut.then(answer => answer.bytes())).rejects.toThrow()
    expect((await distOf(instance, { registry, to: 3 })).integrity).toBe(registry.integrityOf(3))
  })

  test('in strict mode each content is looked into anew', async () => {
    const { registry, instance } = await start({ strictSince: '2020-01-01T00:00:00Z' })
    const offered = async (): Promise<string> => {
      let tarball = '/unchecked'
      await until(async () => {
        tarball = (await instance.packument(NAME)).versions['1.0.0']?.dist.tarball ?? tarball
        return !tarball.includes('/unchecked')
      })
      return tarball
    }
    expect((await distOf(instance)).tarball).toEndWith('/unchecked')
    expect(await offered()).toEndWith('/box-1.0.0.tgz')
    expect((await distOf(instance, { registry, to: 2 })).tarball).toEndWith('/unchecked')
    expect(await offered()).toContain('/box-1.0.0+revision.')
    expect((await instance.get(`${NAME}/-/box-1.0.0.tgz`)).status).toBe(410)
  })

  test('a quarantine begins anew with other bytes', async () => {
    const { registry, instance } = await start()
    using shell = new Shell(instance.dataDir)
    expect((await distOf(instance)).tarball).toEndWith('.tgz')
    const rule = '[[policy]]\nmatch = "@again/*"\naction = "quarantine"\nminAge = "1d"\n'
    const file = shell.file('policy.toml', rule)
    expect(await shell.run('policy', 'set', '-f', file)).toMatchObject({ code: 0 })
    expect((await distOf(instance)).tarball).toEndWith('/box-1.0.0.tgz')
    const { tarball } = await distOf(instance, { registry, to: 2 })
    expect(tarball).toContain('/-/blocked/@again/box@1.0.0/quarantined')
    expect((await distOf(instance, { registry, to: 1 })).tarball).toEndWith('/box-1.0.0.tgz')
  })

  test('a manifest that changes with a known content is served as it was recorded', async () => {
    const { registry, instance } = await start()
    await distOf(instance)
    await distOf(instance, { registry, to: 2 })
    const integrity = registry.integrityOf(1)
    registry.dependencies = { evil: '1.0.0' }
    const integrityOf = registry.integrityOf.bind(registry)
    registry.integrityOf = issue => (issue === 1 ? integrity : integrityOf(issue))
    await distOf(instance, { registry, to: 1 })
    const { versions } = await instance.packument(NAME)
    expect(versions['1.0.0']?.dist.integrity).toBe(integrity)
    expect(JSON.stringify(versions)).not.toContain('evil')
  })

  test('a version that is called as a revision is refused, and hides none', async () => {
    const { registry, instance } = await start()
    await distOf(instance)
    const text = revisionOf('1.0.0', registry.integrityOf(2))
    registry.listed = text
    const { tarball } = await distOf(instance, { registry, to: 2 })
    const { versions } = await instance.packument(NAME)
    expect(versions[text]?.dist.tarball).toContain('/-/blocked/')
    const redirect = await fetch(tarball, { redirect: 'manual' })
    expect(redirect.headers.get('location')).toBe(`${registry.url}~/2/${NAME}/1.0.0.tgz`)
  })
})

describe('declaring it', () => {
  test('other bytes of any other registry are a conflict', async () => {
    const { registry, instance } = await start({ revisions: false })
    const { integrity } = await distOf(instance)
    expect((await distOf(instance, { registry, to: 2 })).tarball).toEndWith('/conflict')
    expect(await recordOf(instance, '1.0.0')).toBe(`${NAMESPACE} ${integrity}`)
    expect(await recordOf(instance, revisionOf('1.0.0', registry.integrityOf(2)))).toBe(404)
    expect((await distOf(instance, { registry, to: 1 })).integrity).toBe(integrity ?? '')
  })

  test('it is said before anything is recorded, and holds for ever', async () => {
    const npm = cleanup.use(startFixtureRegistry({ packages: [] }))
    const registry = cleanup.use(new ReissuingRegistry(NAME))
    const instance = cleanup.use(await Instance.start(npm.url))
    using shell = new Shell(instance.dataDir)
    const add = ['add', 'again', registry.url, '--names', '@again/*', '--namespace', NAMESPACE]
    const refused = async (why: string, ...args: string[]) => {
      const { code, err } = await shell.upstream(...args)
      expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(why) })
    }
    expect((await shell.upstream(...add, '--revisions', 'on', '--yes')).code).toBe(0)
    expect((await shell.upstream('show', 'again')).out).toContain('revisions   on')
    const parties = await (await instance.get('-/registries')).text()
    expect(parties).toContain('"revisions":true')
    // Nothing is recorded of it yet.
    expect((await shell.upstream('set', 'again', '--revisions', 'off')).code).toBe(0)
    expect((await shell.upstream('set', 'again', '--revisions', 'on')).code).toBe(0)
    await distOf(instance)
    expect((await distOf(instance, { registry, to: 2 })).integrity).toBe(registry.integrityOf(2))
    await refused(
      'as of a registry that issues a version again',
      'set',
      'again',
      '--revisions',
      'off',
    )
    const mirror = ['add', 'near', registry.url, '--kind', 'mirror', '--of', 'again', '--yes']
    await refused('so it has no mirrors', ...mirror)
    expect((await shell.upstream('remove', 'again')).code).toBe(0)
    await refused('as of a registry that issues a version again', ...add, '--yes')
    expect((await shell.upstream(...add, '--revisions', 'on', '--yes')).code).toBe(0)
    expect((await distOf(instance, { registry, to: 3 })).integrity).toBe(registry.integrityOf(3))
  })

  test('never of npm, of what has records, of what signs, of a mirror', async () => {
    const signs = startFixtureRegistry({ packages: [], seed: 'signs' })
    cleanup.use(signs)
    const { registry, instance } = await start({ revisions: false })
    await distOf(instance)
    using shell = new Shell(instance.dataDir)
    const on = ['--revisions', 'on']
    const cases: [string, string[]][] = [
      ['npm has no revisions', ['set', 'npm', ...on]],
      ['that issues a version once', ['set', 'again', ...on]],
      ['signs its versions', ['add', 's', signs.url, '--names', '@s/*', '--yes', ...on]],
      [
        'signs its versions',
        ['add', 's', registry.url, '--names', '@s/*', '--yes', ...on, '--signatures', 'require'],
      ],
      [
        'no revisions of its own',
        ['add', 'm', registry.url, '--kind', 'mirror', '--of', 'npm', '--yes', ...on],
      ],
      ['only its names', ['set', 'hosted', ...on]],
    ]
    for (const [why, args] of cases) {
      const { code, err } = await shell.upstream(...args)
      expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(why) })
    }
    const mirror = ['add', 'm', signs.url, '--kind', 'mirror', '--of', 'again', '--yes']
    expect((await shell.upstream(...mirror)).code).toBe(0)
  })
})
