/**
 * A registry that re-issues bytes, with the real clients. Goal: a new project gets what the registry
 * has now, a lockfile from before goes on installing what it pins while that is kept, and `verify`
 * tells the two apart.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Instance, type NewUpstream } from '../fixtures/instance.ts'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import { ReissuingRegistry } from '../fixtures/reissuing.ts'
import { run as runVerify } from '../unit/cli/verify-project.ts'
import { type Client, newProject, runClient } from './clients.ts'
import { clientsReady } from './ready.ts'

const TEST_TIMEOUT_MS = 300_000
const NAME = '@again/box'
/** A client's question just after another's is answered from the same check of the registry. */
const NEXT_CHECK_MS = 1_100
/** How each installs exactly what its lockfile pins, where that is not what it does anyhow. */
const CLIENTS: [Client, string[] | undefined][] = [
  ['npm11', ['ci']],
  ['npm12', ['ci']],
  ['pnpm', ['install', '--frozen-lockfile']],
  ['yarn1', ['install', '--frozen-lockfile']],
  ['bun', ['install', '--frozen-lockfile']],
]

const ready = await clientsReady()
let stack: AsyncDisposableStack
let registry: ReissuingRegistry
let instance: Instance

beforeAll(async () => {
  stack = new AsyncDisposableStack()
  const npm = stack.use(startFixtureRegistry({ packages: [] }))
  registry = stack.use(new ReissuingRegistry(NAME))
  const rows: NewUpstream[] = [
    { name: 'npm', kind: 'registry', url: npm.url },
    {
      name: 'again',
      kind: 'registry',
      url: registry.url,
      namespace: 'again.example',
      names: ['@again/*'],
      tarballs: 'redirect',
      revisions: true,
    },
  ]
  instance = stack.use(await Instance.start(npm.url, '', rows))
})
afterAll(() => stack.disposeAsync())

async function installed(dir: string): Promise<string> {
  return await Bun.file(join(dir, 'node_modules', NAME, 'index.js')).text()
}

describe.skipIf(!ready)('a re-issued version', () => {
  test.each(CLIENTS)(
    '%s: new projects get what is there now, older lockfiles what they pin',
    async (client, args) => {
      const install = async (dir: string, frozen: boolean) => {
        const how = { dir, registry: instance.url, noRetries: !frozen }
        const more = frozen && args !== undefined ? { args } : {}
        const { exitCode, output } = await runClient(client, { ...how, ...more })
        // pnpm takes no URL from a lockfile that the packument does not name now, with any registry.
        if (output.includes('ERR_PNPM_TARBALL_URL_MISMATCH')) return 'refused by pnpm'
        expect({ exitCode, output }).toEqual({ exitCode: 0, output: expect.anything() })
        return await installed(dir)
      }
      const show = async (issue: number) => {
        registry.kept.add(registry.issue)
        registry.issue = issue
        await Bun.sleep(NEXT_CHECK_MS)
        await instance.packument(NAME, { 'cache-control': 'no-cache' })
      }
      await using older = await newProject({ [NAME]: '1.0.0' })
      await using newer = await newProject({ [NAME]: '1.0.0' })
      await show(1)
      expect(await install(older.dir, false)).toBe('module.exports = 1\n')
      await show(2)
      expect(await install(newer.dir, false)).toBe('module.exports = 2\n')
      await show(3)
      for (const [project, issue] of [
        [older, 1],
        [newer, 2],
      ] as const) {
        for (const folder of ['node_modules', '../home']) {
          rmSync(join(project.dir, folder), { recursive: true, force: true })
        }
        const isRefused = client === 'pnpm' && issue === 2
        const expected = isRefused ? 'refused by pnpm' : `module.exports = ${issue}\n`
        expect(await install(project.dir, true)).toBe(expected)
      }
      const check = { url: instance.url, key: instance.vkey }
      expect(await runVerify(older.dir, check)).toMatchObject({ code: 0 })
      expect(await runVerify(newer.dir, check)).toMatchObject({ code: 1 })
      const allowed = await runVerify(newer.dir, { ...check, allowRevisions: ['@again/*'] })
      expect(allowed).toMatchObject({ code: 0 })
    },
    TEST_TIMEOUT_MS,
  )
})
