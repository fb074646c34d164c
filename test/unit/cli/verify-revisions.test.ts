/**
 * `verify` where a registry re-issues bytes. Goal: other content with a record of its own is told
 * apart from a swap, is a finding unless it was said that this registry does so, and never passes
 * for the public npm registry or by the record of anything else.
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeLeaf } from '../../../src/log/leaf.ts'
import { revisionOf } from '../../../src/registries/packument/revisions.ts'
import { MemoryLog } from '../log/memory-log.ts'
import { folder, removeProjects, run, runJson, smallProject } from './verify-project.ts'
import { failure, hashOf, record, serveLog, tarballOf, VKEY } from './verify-server.ts'

afterAll(removeProjects)

const FIRST = hashOf(Buffer.from('first'))
const LATER = hashOf(Buffer.from('later'))
const TEXT = revisionOf('1.0.0', LATER)

function leaf(version: string, integrity: string, namespace = 'again.example'): Uint8Array {
  const manifest = `sha256-${Buffer.alloc(32).toString('base64')}`
  const about = { kind: 'version', name: 'left', seen: '2026-11-22T08:31:07Z' } as const
  return encodeLeaf({ ...about, namespace, version, integrity, manifest })
}

const revisedLog = () => new MemoryLog([leaf('1.0.0', FIRST), leaf(TEXT, LATER)])

describe('a later content', () => {
  test('is a finding that says what it is, and how to allow it', async () => {
    await using server = serveLog(revisedLog())
    const cwd = smallProject({ integrity: LATER })
    const { code, report } = await runJson(cwd, { url: server.url, key: VKEY })
    expect(code).toBe(1)
    expect(report).toMatchObject({ verdict: 'findings', counts: { revision: 1, different: 0 } })
    expect(report.entries[0]).toMatchObject({
      status: 'revision',
      compared: true,
      allowed: false,
      lockfileIntegrity: LATER,
      logIntegrity: LATER,
      namespace: 'again.example',
      index: 1,
    })
    const { stdout } = await run(cwd, { url: server.url, key: VKEY })
    expect(stdout).toContain('REVISION         left@1.0.0  package-lock.json:')
    expect(stdout).toContain('the first is record 0. If this registry is known to do so: --allow-')
    expect(stdout).toContain('FAILED: 1 of 1 entry could not be verified')
    const sarif = await run(cwd, { url: server.url, key: VKEY, format: 'sarif' })
    expect(sarif.stdout).toContain('"ruleId": "revision"')
  })

  test.each([['left'], ['left@1.0.0'], ['**']])(
    'passes with --allow-revisions %s',
    async pattern => {
      await using server = serveLog(revisedLog())
      const cwd = smallProject({ integrity: LATER })
      const options = { url: server.url, key: VKEY, allowRevisions: [pattern] }
      const { code, report } = await runJson(cwd, options)
      expect({ code, allowed: report.counts.allowed }).toEqual({ code: 0, allowed: 1 })
      const { stdout } = await run(cwd, options)
      expect(stdout).toContain('a revision       left@1.0.0')
      expect(stdout).toContain('OK: 1 of 1 entry verified against the log, 1 as allowed revisions')
      expect((await run(cwd, { ...options, format: 'sarif' })).stdout).not.toContain('"ruleId"')
    },
  )

  test('of other names is not allowed by that', async () => {
    await using server = serveLog(revisedLog())
    const cwd = smallProject({ integrity: LATER })
    for (const allowRevisions of [['right'], ['@left/*'], []]) {
      expect((await run(cwd, { url: server.url, key: VKEY, allowRevisions })).code).toBe(1)
    }
    expect((await run(cwd, { url: server.url, allowRevisions: [''] })).code).toBe(2)
  })

  test('the first content needs no leave', async () => {
    await using server = serveLog(revisedLog())
    const cwd = smallProject({ integrity: FIRST })
    expect((await run(cwd, { url: server.url, key: VKEY })).code).toBe(0)
    expect(server.asked.filter(path => path.includes('/lookup/'))).toHaveLength(1)
  })

  test('that cannot be asked for is not called a swap', async () => {
    await using server = serveLog(revisedLog(), path =>
      path.includes('revision') ? failure(503, 'busy') : undefined,
    )
    const cwd = smallProject({ integrity: LATER })
    const { code, report } = await runJson(cwd, { url: server.url, key: VKEY })
    expect({ code, status: report.entries[0].status }).toEqual({ code: 3, status: 'failed' })
  })

  test('that --fetch downloads, where the lockfile holds no hash, is told as well', async () => {
    const bytes = tarballOf('left', '1.0.0')
    const log = new MemoryLog([
      leaf('1.0.0', FIRST),
      leaf(revisionOf('1.0.0', hashOf(bytes)), hashOf(bytes)),
    ])
    await using server = serveLog(log)
    const sha1 = new Bun.CryptoHasher('sha1').update(bytes).digest('hex')
    for (const [hash, status] of [
      [sha1, 'revision'],
      ['0'.repeat(40), 'different'],
    ] as const) {
      const cwd = folder()
      const resolved = `${server.url}left/-/left-1.0.0.tgz#${hash}`
      const text = `# yarn lockfile v1\n\n\nleft@^1.0.0:\n  version "1.0.0"\n  resolved "${resolved}"\n`
      writeFileSync(join(cwd, 'yarn.lock'), text)
      const options = { url: server.url, key: VKEY, fetch: true, allowRevisions: ['**'] }
      const { report } = await runJson(cwd, options)
      expect(report.entries[0].status).toBe(status)
    }
  })
})

describe('what is no revision stays different, whatever is allowed', () => {
  test.each<[string, Uint8Array[]]>([
    ['no record of it', [leaf('1.0.0', FIRST)]],
    ['the public npm registry', [record('left', '1.0.0', FIRST), record('left', TEXT, LATER)]],
    ['a record of another registry', [leaf('1.0.0', FIRST), leaf(TEXT, LATER, 'b.example')]],
    ['one of npm, for another registry', [leaf('1.0.0', FIRST), record('left', TEXT, LATER)]],
    ['a record of other content', [leaf('1.0.0', FIRST), leaf(TEXT, hashOf(Buffer.from('x')))]],
  ])('%s', async (_, leaves) => {
    await using server = serveLog(new MemoryLog(leaves))
    const cwd = smallProject({ integrity: LATER })
    const options = { url: server.url, key: VKEY, allowRevisions: ['**'] }
    const { code, report } = await runJson(cwd, options)
    expect(code).toBe(1)
    expect(report.entries[0]).toMatchObject({ status: 'different', index: 0, logIntegrity: FIRST })
  })
})
