/**
 * The fixture application through every client and the server: exit 0, and the same packages,
 * versions, hashes and files as from the registry itself; `verify` of each lockfile, whole and
 * with one character changed; and where a client's token goes.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { APP_DEPENDENCIES, APP_TREE } from '../fixtures/registry-app.ts'
import { type Client, CLIENTS, LOCKFILES, newProject, type Project, runClient } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import { clientsAndServerReady } from './ready.ts'
import { runCommand, type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000
/** The program reads no deno.lock (see the list of lockfiles in its help). */
const VERIFIED: Client[] = ['npm11', 'npm12', 'pnpm', 'yarn1', 'yarn4', 'bun']
/** yarn.lock of yarn 2 and later holds a checksum of yarn's own archive, not of the tarball. */
const COMPARABLE = VERIFIED.filter(client => client !== 'yarn4')
const TOKEN = 'npm_thisTokenBelongsToTheProxyAndToNobodyElse'

describe.skipIf(!ready)('the fixture application', () => {
  let registry: FixtureRegistry
  let server: ServerProcess

  beforeAll(async () => {
    registry = startFixtureRegistry()
    server = await startServer({ upstream: registry.url })
  }, TEST_TIMEOUT_MS)

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  async function install(client: Client, project: Project, url: string) {
    const run = await runClient(client, { dir: project.dir, registry: url })
    expect(run.exitCode, run.output).toBe(0)
    const lockfile = run.lockfile ?? ''
    const packages = await installedPackages(client, project.dir, run.home)
    return { lockfile, locked: lockEntries(client, lockfile), packages }
  }

  test.each(CLIENTS)(
    '%s installs the same through the server as from the registry',
    async client => {
      await using one = await newProject(APP_DEPENDENCIES)
      await using other = await newProject(APP_DEPENDENCIES)
      const direct = await install(client, one, registry.url)
      const proxied = await install(client, other, server.url)
      expect(proxied.locked).toEqual(direct.locked)
      expect(proxied.packages).toEqual(direct.packages)
      expect(proxied.packages.size).toBe(APP_TREE.length)
    },
    TEST_TIMEOUT_MS,
  )

  test.each(VERIFIED)(
    'verify accepts the lockfile of %s',
    async client => {
      await using project = await newProject(APP_DEPENDENCIES)
      const { lockfile, locked } = await install(client, project, server.url)
      const state = join(project.dir, '..', 'state')
      const args = ['verify', LOCKFILES[client], '--state', state]
      const first = await runCommand(args, project.dir)
      expect(first.exitCode, first.output).toBe(0)
      expect(first.output).toContain(String(locked.size))
      const again = await runCommand(args, project.dir)
      expect(again.exitCode, again.output).toBe(0)
      const json = await runCommand([...args, '--format', 'json'], project.dir)
      expect(json.exitCode, json.output).toBe(0)
      expect(typeof JSON.parse(json.stdout)).toBe('object')
      expect(await Bun.file(join(project.dir, LOCKFILES[client])).text()).toBe(lockfile)
      if (client !== 'yarn4') return
      expect(first.output).toContain('--fetch')
      const fetched = await runCommand([...args, '--fetch'], project.dir)
      expect(fetched.exitCode, fetched.output).toBe(0)
    },
    TEST_TIMEOUT_MS,
  )

  test.each(COMPARABLE)(
    'verify names entry, line and both hashes when one character of the lockfile of %s differs',
    async client => {
      await using project = await newProject(APP_DEPENDENCIES)
      const { lockfile, locked } = await install(client, project, server.url)
      const good = locked.get('@fixture/core@1.2.0') ?? ''
      const bad = withOtherCharacter(good)
      expect(lockfile.split(good)).toHaveLength(2)
      const path = join(project.dir, LOCKFILES[client])
      await Bun.write(path, lockfile.replace(good, bad))
      const line = lockfile.slice(0, lockfile.indexOf(good)).split('\n').length
      const run = await runCommand(['verify', LOCKFILES[client]], project.dir)
      expect(run.exitCode, run.output).toBe(1)
      expect(run.output).toContain('@fixture/core@1.2.0')
      expect(run.output).toContain(good)
      expect(run.output).toContain(bad)
      // The line of the hash, or the line on which its entry begins.
      const lines = [line, line - 1, line - 2, line - 3].join('|')
      expect(run.output).toMatch(new RegExp(`\\b(?:${lines})\\b`))
      expect(run.output).not.toContain('alpha@1.1.0 sha512')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'verify exits 4 with the key of another log, and 3 when there is no server',
    async () => {
      await using project = await newProject(APP_DEPENDENCIES)
      await install('npm11', project, server.url)
      const vkey = (await (await fetch(`${server.url}-/sumdb/vkey`)).text()).trim()
      const args = ['verify', 'package-lock.json', '--url', server.url]
      const right = await runCommand([...args, '--key', vkey], project.dir)
      expect(right.exitCode, right.output).toBe(0)
      const wrong = await runCommand([...args, '--key', strangersKey(vkey)], project.dir)
      expect(wrong.exitCode, wrong.output).toBe(4)
      const nobody = ['verify', 'package-lock.json', '--url', 'http://127.0.0.1:9/']
      const lost = await runCommand([...nobody, '--key', vkey], project.dir)
      expect(lost.exitCode, lost.output).toBe(3)
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)("a client's token", () => {
  test.each(CLIENTS)(
    'of %s stays with the server',
    async client => {
      // Another host name than the server's: some clients send a token wherever the name is the
      // same. Yarn 4 is sent to no tarball host at all, its bytes come through the server.
      const separateTarballs = client !== 'yarn4'
      await using registry = startFixtureRegistry({ host: 'localhost', separateTarballs })
      await using server = await startServer({ upstream: registry.url })
      await using project = await newProject({ '@fixture/core': '^1.0.0', 'alpha': '^1.0.0' })
      const { dir } = project
      const run = await runClient(client, { dir, registry: server.url, token: TOKEN })
      expect(run.exitCode, run.output).toBe(0)
      expect(registry.requests.filter(each => each.path.endsWith('.tgz'))).not.toBeEmpty()
      const leaks = registry.requests.filter(each => JSON.stringify(each).includes(TOKEN))
      expect(leaks).toEqual([])
      expect(await server.stop()).not.toContain(TOKEN)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'would be seen here if it did leave',
    async () => {
      await using registry = startFixtureRegistry()
      await using project = await newProject({ alpha: '^1.0.0' })
      await runClient('npm11', { dir: project.dir, registry: registry.url, token: TOKEN })
      const sent = registry.requests.filter(each => JSON.stringify(each).includes(TOKEN))
      expect(sent).not.toBeEmpty()
    },
    TEST_TIMEOUT_MS,
  )
})

/** Another hash of the same form: its tenth character changed. */
function withOtherCharacter(integrity: string): string {
  const at = 'sha512-'.length + 10
  const other = integrity[at] === 'A' ? 'B' : 'A'
  return integrity.slice(0, at) + other + integrity.slice(at + 1)
}

/** A verifier key with the same name and a key that signed nothing here (c2sp.org/signed-note). */
function strangersKey(vkey: string): string {
  const name = vkey.slice(0, vkey.indexOf('+'))
  // A point that is on the curve: the public key of RFC 8032, section 7.1, test 1.
  const point = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
  const key = Buffer.concat([Buffer.from([1]), Buffer.from(point, 'hex')])
  const digest = createHash('sha256').update(`${name}\n`).update(key).digest()
  return `${name}+${digest.subarray(0, 4).toString('hex')}+${key.toString('base64')}`
}
