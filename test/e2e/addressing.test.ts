/**
 * Content addressing with the real clients: a package named by its bytes (`@cas/sha512-…`), the
 * dist-tag of bytes (`sha512-…`), and two registries with the same name and version side by side.
 * Goal: each client installs exactly the bytes that were named, and `verify` of what it installed
 * from one registry alone compares with the records of that registry, as the settings say.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Instance } from '../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { CLIENTS, LOCKFILES, newProject, runClient } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import { clientsReady } from './ready.ts'
import { runCommand } from './server.ts'

const ready = await clientsReady()
const TEST_TIMEOUT_MS = 300_000

let stack: AsyncDisposableStack
let npm: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  stack = new AsyncDisposableStack()
  npm = stack.use(startFixtureRegistry())
  const files = { 'index.js': 'module.exports = "acme"\n' }
  const own = { name: 'victim', versions: [{ version: '1.1.0', files }] }
  acme = stack.use(startFixtureRegistry({ packages: [own], seed: 'acme' }))
  instance = stack.use(
    await Instance.start(npm.url, '', [
      {
        name: 'acme',
        url: acme.url,
        kind: 'registry',
        namespace: 'acme.example',
        names: ['@acme/*'],
        tarballs: 'redirect',
      },
    ]),
  )
  await instance.packument('victim')
  await instance.packument('~/acme/victim')
})
afterAll(() => stack.disposeAsync())

function hexOf(registry: FixtureRegistry): string {
  const integrity = registry.integrityOf('victim', '1.1.0')
  return Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')
}

/** yarn 4 resolves an alias with a range only; `*` is fine with every client. */
function aliasOf(registry: FixtureRegistry): string {
  return `npm:@cas/sha512-${hexOf(registry)}@*`
}

describe.skipIf(!ready)('content addressing', () => {
  test.each(CLIENTS)(
    '%s installs exactly the bytes that an alias names',
    async client => {
      await using project = await newProject({ theirs: aliasOf(acme) })
      const { dir } = project
      const run = await runClient(client, { dir, registry: instance.url, noRetries: true })
      expect(run.output).not.toContain('error')
      expect(run.exitCode).toBe(0)
      if (client === 'yarn4') {
        expect(run.lockfile).toContain(`@cas/sha512-${hexOf(acme)}`)
        return
      }
      const installed = await installedPackages(client, dir, run.home)
      expect([...installed.keys()]).toEqual(['victim@1.1.0'])
      expect(run.lockfile).toContain(acme.integrityOf('victim', '1.1.0'))
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)(
    '%s installs exactly the bytes that a dist-tag names',
    async client => {
      await using project = await newProject({ victim: `sha512-${hexOf(npm)}` })
      const { dir } = project
      const run = await runClient(client, { dir, registry: instance.url, noRetries: true })
      expect(run.exitCode).toBe(0)
      const locked = lockEntries(client, run.lockfile ?? '')
      expect([...locked.keys()]).toEqual(['victim@1.1.0'])
      if (client === 'yarn4') return
      expect(locked.get('victim@1.1.0')).toBe(npm.integrityOf('victim', '1.1.0'))
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)(
    '%s installs from one registry alone by its URL',
    async client => {
      await using project = await newProject({ victim: '1.1.0' })
      const { dir } = project
      const registry = `${instance.url}~/acme/`
      const run = await runClient(client, { dir, registry, noRetries: true })
      expect(run.exitCode).toBe(0)
      const locked = lockEntries(client, run.lockfile ?? '')
      expect([...locked.keys()]).toEqual(['victim@1.1.0'])
      if (client === 'yarn4') return
      expect(locked.get('victim@1.1.0')).toBe(acme.integrityOf('victim', '1.1.0'))
    },
    TEST_TIMEOUT_MS,
  )

  // yarn 4 does not read .npmrc and writes no hash that a registry knows; deno's lockfile is not read.
  test.each(['npm11', 'npm12', 'pnpm', 'yarn1', 'bun'] as const)(
    'verify of what %s installed from one registry alone',
    async client => {
      await using project = await newProject({ victim: '1.1.0' })
      const { dir } = project
      const registry = `${instance.url}~/acme/`
      const run = await runClient(client, { dir, registry, noRetries: true })
      expect(run.exitCode).toBe(0)
      const state = join(dir, '..', 'state')
      const verify = () => runCommand(['verify', LOCKFILES[client], '--state', state], dir)
      const good = await verify()
      expect(good.exitCode, good.output).toBe(0)
      expect(good.output).toContain('1 entry checked against acme alone (acme.example)')
      const integrity = acme.integrityOf('victim', '1.1.0')
      const other = integrity.replace(/.(?=.{9}$)/, found => (found === 'A' ? 'B' : 'A'))
      const lockfile = run.lockfile ?? ''
      await Bun.write(join(dir, LOCKFILES[client]), lockfile.replace(integrity, other))
      const changed = await verify()
      expect(changed.exitCode, changed.output).toBe(1)
      expect(changed.output).toContain(other)
      expect(changed.output).toContain(integrity)
      // The same lockfile beside settings that name the whole server: the other registry's package.
      await Bun.write(join(dir, LOCKFILES[client]), lockfile)
      await Bun.write(join(dir, '.npmrc'), `registry=${instance.url}\n`)
      const common = await verify()
      expect(common.exitCode, common.output).toBe(1)
      expect(common.output).toContain(npm.integrityOf('victim', '1.1.0'))
    },
    TEST_TIMEOUT_MS,
  )
})
