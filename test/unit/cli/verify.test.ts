/**
 * `verify` from its options to its exit code, against a log on loopback that is built from the
 * pure functions of `src/log/`: what it finds, and how it says so.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { VerifyOptions } from '../../../src/cli/verify.ts'
import { MemoryLog, testKey } from '../log/memory-log.ts'
import {
  BERRY,
  folder,
  GOOD,
  NPM,
  project,
  removeProjects,
  run,
  runJson,
  smallLog,
  smallProject,
} from './verify-project.ts'
import {
  failure,
  FIXTURES,
  fixtureEntries,
  fixtureLog,
  hashOf,
  record,
  serveLog,
  tarballOf,
  VKEY,
} from './verify-server.ts'

afterAll(removeProjects)

describe('a good log and a good lockfile', () => {
  const files = [
    'npm-1/package-lock.json',
    'npm-2/package-lock.json',
    NPM,
    'pnpm-5.4/pnpm-lock.yaml',
  ]
  files.push('pnpm-6/pnpm-lock.yaml', 'pnpm-9/pnpm-lock.yaml', 'yarn-1/yarn.lock')
  files.push('bun-1/bun.lock', 'bun-2/bun.lock')
  test.each(files)('%s: exit 0, every entry verified or told', async fixture => {
    await using server = serveLog(fixtureLog())
    const { code, report } = await runJson(project(fixture), { url: server.url, key: VKEY })
    expect(code).toBe(0)
    const pinned = fixtureEntries(fixture).length
    expect(report.counts.verified).toBe(pinned)
    expect(report.counts.uncompared).toBe(0)
    expect(report.counts.notChecked).toBe(report.entries.length - pinned)
    expect(report).toMatchObject({ version: 1, verdict: 'ok', exitCode: 0, error: null })
  })

  test('asks for each version once', async () => {
    await using server = serveLog(fixtureLog())
    await run(project('npm-2/package-lock.json'), { url: server.url })
    const lookups = server.asked.filter(path => path.includes('/lookup/'))
    expect(lookups).toHaveLength(new Set(lookups).size)
    expect(lookups).toContain('/-/sumdb/lookup/@types/estree@1.0.6')
  })

  test('the text ends in a verdict, and tells each entry that was not compared', async () => {
    await using server = serveLog(fixtureLog())
    const { stdout, code } = await run(project(NPM), { url: server.url, key: VKEY })
    expect(code).toBe(0)
    const lines = stdout.trimEnd().split('\n')
    expect(lines[0]).toStartWith(`log registry.example/log at ${server.url}: `)
    expect(lines.at(-1)).toBe('OK: 15 of 21 entries verified against the log')
    expect(stdout).toContain('not checked      git-dep@1.2.3  package-lock.json:')
    expect(stdout).not.toContain('react-dom')
  })

  test('the registry that .npmrc names is the default', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: GOOD })
    writeFileSync(join(cwd, '.npmrc'), `registry=${server.url}\n`)
    expect((await run(cwd, {})).code).toBe(0)
    const other = smallProject({ integrity: GOOD })
    const { code, stderr } = await run(other, {})
    expect(code).toBe(2)
    expect(stderr).toContain('--url')
  })

  test('several lockfiles, named from elsewhere', async () => {
    await using server = serveLog(fixtureLog())
    const cwd = folder()
    const lockfiles = [NPM, 'bun-2/bun.lock'].map(path => join(FIXTURES, path))
    const { code, report } = await runJson(cwd, { url: server.url, lockfiles })
    expect(code).toBe(0)
    expect(report.lockfiles).toHaveLength(2)
  })
})

describe('findings', () => {
  const files: [string, string][] = [
    [NPM, 'package-lock.json'],
    ['pnpm-9/pnpm-lock.yaml', 'pnpm-lock.yaml'],
    ['yarn-1/yarn.lock', 'yarn.lock'],
    ['bun-2/bun.lock', 'bun.lock'],
  ]
  test.each(files)('%s with one character of one hash changed: exit 1', async (fixture, name) => {
    await using server = serveLog(fixtureLog())
    const cwd = project(fixture)
    const path = join(cwd, name)
    const text = readFileSync(path, 'utf8')
    const right = fixtureEntries(fixture).find(entry => entry.name === 'react-dom')
    const integrity = right?.integrity ?? 'none'
    const other = integrity[30] === 'A' ? 'B' : 'A'
    const wrong = integrity.slice(0, 30) + other + integrity.slice(31)
    writeFileSync(path, text.replace(integrity, wrong))
    const { code, stdout } = await run(cwd, { url: server.url, key: VKEY })
    expect(code).toBe(1)
    expect(stdout).toContain(`DIFFERENT        react-dom@18.3.1  ${name}:${right?.line}\n`)
    expect(stdout).toContain(wrong)
    expect(stdout).toContain(integrity)
    expect(stdout).toEndWith('not the logged content: do not install\n')
  })

  test('a version that the registry does not have is missing, unless it is allowed', async () => {
    await using server = serveLog(new MemoryLog([record('other', '1.0.0', GOOD)]))
    const cwd = smallProject({ integrity: GOOD })
    const { code, report } = await runJson(cwd, { url: server.url })
    expect(code).toBe(1)
    expect(report.entries[0]).toMatchObject({ status: 'missing', allowed: false })
    expect(report.entries[0].reason).toBe('left@1.0.0 not found')
    for (const pattern of ['left', 'l*', 'left@1.*', '**']) {
      expect((await run(cwd, { url: server.url, allowMissing: [pattern] })).code).toBe(0)
    }
    for (const pattern of ['lef', '@*/*', 'left@2.*', 'left.']) {
      expect((await run(cwd, { url: server.url, allowMissing: ['x', pattern] })).code).toBe(1)
    }
    expect((await run(cwd, { url: server.url, allowMissing: [''] })).code).toBe(2)
  })

  test('a refusal is told in the words of the registry', async () => {
    const sentence = 'left@1.0.0 refused by registry.example: no valid signature'
    await using server = serveLog(smallLog(), path =>
      path.includes('/lookup/') ? failure(403, sentence) : undefined,
    )
    const { code, stdout } = await run(smallProject({ integrity: GOOD }), { url: server.url })
    expect(code).toBe(1)
    expect(stdout).toContain('REFUSED')
    expect(stdout).toContain(sentence)
  })

  test('an entry whose hash was taken away is not called verified', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ resolved: 'https://evil.example/left-1.0.0.tgz' })
    for (const fetch of [false, true]) {
      const { code, report } = await runJson(cwd, { url: server.url, fetch })
      expect(code).toBe(1)
      expect(report.entries[0]).toMatchObject({ status: 'unpinned', compared: false })
    }
  })

  test('a lockfile with SHA-1 only needs --fetch, and then is compared', async () => {
    await using server = serveLog(smallLog())
    const sha1 = new Bun.CryptoHasher('sha1').update(tarballOf('left', '1.0.0')).digest('base64')
    const cwd = smallProject({ integrity: `sha1-${sha1}` })
    expect((await run(cwd, { url: server.url })).code).toBe(1)
    expect((await run(cwd, { url: server.url, fetch: true })).code).toBe(0)
    const zeros = Buffer.alloc(20).toString('base64')
    const changed = smallProject({ integrity: `sha1-${zeros}` })
    const { code, stdout } = await run(changed, { url: server.url, fetch: true })
    expect(code).toBe(1)
    expect(stdout).toContain('SHA-1')
  })
})

describe('yarn berry', () => {
  test('exit 0, and each entry says that its hash cannot be compared', async () => {
    await using server = serveLog(fixtureLog())
    const { code, stdout } = await run(project(BERRY), { url: server.url, key: VKEY })
    const entries = fixtureEntries(BERRY)
    expect(code).toBe(0)
    expect(stdout.match(/yarn's lockfile holds no comparable hash/g)).toHaveLength(entries.length)
    expect(stdout).toContain('--fetch')
    expect(stdout).toContain(`${entries.length} verified`)
  })

  test('--fetch downloads and compares', async () => {
    await using server = serveLog(fixtureLog([BERRY]))
    const { code, report } = await runJson(project(BERRY), { url: server.url, fetch: true })
    expect(code).toBe(0)
    expect(report.counts).toMatchObject({ uncompared: 0, different: 0 })
    expect(server.asked).toContain('/@types/estree/-/estree-1.0.6.tgz')
  })

  test('--fetch sees altered bytes', async () => {
    await using server = serveLog(fixtureLog([BERRY]), path =>
      path.endsWith('/ms-2.1.3.tgz') ? new Response('evil') : undefined,
    )
    const { code, stdout } = await run(project(BERRY), { url: server.url, fetch: true })
    expect(code).toBe(1)
    expect(stdout).toContain('DIFFERENT        ms@2.1.3')
    expect(stdout).toContain(hashOf(Buffer.from('evil')))
    expect(stdout).toContain(hashOf(tarballOf('ms', '2.1.3')))
  })

  test('an archive on another host is a finding until it is fetched and compared', async () => {
    await using evil = serveLog(smallLog())
    await using server = serveLog(smallLog())
    const cwd = folder()
    const archive = (url: string) => encodeURIComponent(`${url}left/-/left-1.0.0.tgz`)
    const write = (url: string) => {
      const resolution = `left@npm:1.0.0::__archiveUrl=${archive(url)}`
      const entry = `"left@npm:^1.0.0":\n  version: 1.0.0\n  resolution: "${resolution}"\n`
      writeFileSync(join(cwd, 'yarn.lock'), `__metadata:\n  version: 8\n\n${entry}`)
    }
    write(server.url)
    expect((await run(cwd, { url: server.url })).code).toBe(0)
    write(evil.url)
    const { code, stdout } = await run(cwd, { url: server.url })
    expect(code).toBe(1)
    expect(stdout).toContain(`yarn would take it from ${evil.url}`)
    expect((await run(cwd, { url: server.url, fetch: true })).code).toBe(0)
    expect(evil.asked).toEqual(['/left/-/left-1.0.0.tgz'])
  })
})

describe('usage', () => {
  test('exit 2 and a sentence', async () => {
    const cwd = smallProject({ integrity: GOOD })
    const cases: [string, Partial<VerifyOptions>, string][] = [
      [folder(), { url: 'http://127.0.0.1:1/' }, 'no lockfile here'],
      [cwd, { url: 'nonsense' }, '--url'],
      [cwd, { url: 'file:///etc/passwd' }, 'is no http or https URL'],
      [cwd, { url: 'http://127.0.0.1:1/', key: 'nonsense' }, '--key'],
      [
        cwd,
        { url: 'http://127.0.0.1:1/', lockfiles: ['nowhere.json'] },
        'nowhere.json:1: cannot be read',
      ],
    ]
    for (const [where, options, sentence] of cases) {
      const { code, stdout, stderr } = await run(where, options)
      expect(code).toBe(2)
      expect(stdout).toBe('')
      expect(stderr).toContain(sentence)
    }
  })

  test('a broken lockfile is told with its line', async () => {
    const cwd = folder()
    writeFileSync(join(cwd, 'package-lock.json'), '{"lockfileVersion": 3,\n"packages": {},}')
    const { code, stderr } = await run(cwd, { url: 'http://127.0.0.1:1/' })
    expect(code).toBe(2)
    expect(stderr).toContain('package-lock.json:2: is not JSON')
  })
})

describe('formats', () => {
  const wrong = hashOf(Buffer.from('other'))

  test('sarif: one result for each finding', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: wrong })
    const { code, stdout } = await run(cwd, { url: server.url, key: VKEY, format: 'sarif' })
    expect(code).toBe(1)
    const sarif = JSON.parse(stdout)
    expect(sarif.version).toBe('2.1.0')
    const [{ results, tool, invocations }] = sarif.runs
    expect(results).toHaveLength(1)
    expect(results[0]).toMatchObject({
      ruleId: 'different',
      level: 'error',
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'package-lock.json' },
            region: { startLine: 1 },
          },
        },
      ],
    })
    expect(results[0].message.text).toContain(wrong)
    expect(results[0].message.text).toContain(GOOD)
    expect(tool.driver.rules.map((rule: { id: string }) => rule.id)).toContain('different')
    expect(invocations[0]).toMatchObject({ executionSuccessful: true, exitCode: 1 })
    const other = testKey(undefined, 'another seed').verifier.vkey
    const lied = await run(cwd, { url: server.url, key: other, format: 'sarif' })
    expect(JSON.parse(lied.stdout).runs[0].invocations[0].executionSuccessful).toBeFalse()
  })

  test('a GitHub workflow gets annotations, on stderr where stdout is data', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: wrong })
    const env = { GITHUB_ACTIONS: 'true' }
    const start = '::error file=package-lock.json,line=1,title=npmx-registry::left@1.0.0: '
    const text = await run(cwd, { url: server.url, key: VKEY }, env)
    expect(text.stdout).toStartWith(start)
    expect(text.stdout).toEndWith('do not install\n')
    const json = await run(cwd, { url: server.url, key: VKEY, format: 'json' }, env)
    expect(json.stderr).toStartWith(start)
    expect(JSON.parse(json.stdout).exitCode).toBe(1)
    expect((await run(cwd, { url: server.url, key: VKEY })).stdout).not.toContain('::error')
  })

  test('control characters of servers and lockfiles do not reach a terminal', async () => {
    await using server = serveLog(smallLog(), path =>
      path.includes('/lookup/') ? failure(403, 'no\u001B[2J\u202E\r\n::error::x') : undefined,
    )
    const env = { GITHUB_ACTIONS: 'true' }
    const { stdout } = await run(smallProject({ integrity: GOOD }), { url: server.url }, env)
    expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u)
    expect(stdout.match(/^::error/gm)).toHaveLength(1)
  })
})
