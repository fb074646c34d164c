/**
 * `npm audit signatures` and `pnpm audit signatures` over trees that came through the server: from
 * a registry that signs, from one that does not, and from three at once. They pass because every
 * version carries a signature by a key that the server publishes, and fail when one is taken away.
 *
 * @module
 */

import { Database } from 'bun:sqlite'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { addUpstreams } from '../fixtures/instance.ts'
import { opensshLine } from '../fixtures/openssh-line.ts'
import { APP_DEPENDENCIES, APP_PACKAGES, APP_TREE } from '../fixtures/registry-app.ts'
import type { PackageSpec } from '../fixtures/registry-packages.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type Client, newProject, type Project, runClient, type RunResult } from './clients.ts'
import { clientsAndServerReady, serverReady } from './ready.ts'
import { type ServerProcess, startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
/** Those that have the command. */
const AUDITORS: Client[] = ['npm11', 'npm12', 'pnpm']
const STUB = join(import.meta.dir, 'tuf-stub.cjs')
/** pnpm audits the lockfile, in which a package stands that this platform never gets. */
const VERIFIED: Partial<Record<Client, number>> = { pnpm: APP_TREE.length + 1 }

const SSH_KEYGEN = Bun.which('ssh-keygen')
if (SSH_KEYGEN === null) console.error('SKIPPED: there is no ssh-keygen here')
const KeysShape = Type.Object({
  keys: Type.Array(Type.Object({ keyid: Type.String(), key: Type.String() })),
})

const ready = await clientsAndServerReady()

/** The application's packages without a signature. */
const UNSIGNED = APP_PACKAGES.map(({ name, tags = {}, versions }): PackageSpec => {
  const unsigned = versions.map(version => Object.assign({}, version, { signed: false }))
  return { name, tags, versions: unsigned }
})

function startUnsigned(): FixtureRegistry {
  const registry = startFixtureRegistry({ packages: UNSIGNED })
  registry.act({ do: 'keys', answer: 'missing' })
  return registry
}

async function install(client: Client, registry: string): Promise<Project> {
  const project = await newProject(APP_DEPENDENCIES)
  const run = await runClient(client, { dir: project.dir, registry })
  expect(run.exitCode, run.output).toBe(0)
  return project
}

function audit(client: Client, project: Project, registry: string): Promise<RunResult> {
  const args = ['audit', 'signatures']
  return runClient(client, { dir: project.dir, registry, args, preload: STUB })
}

/** Installs, audits with success, and audits again after `take` has taken a key away. */
async function auditAround(client: Client, server: ServerProcess, take: () => Promise<void>) {
  await using project = await install(client, server.url)
  const good = await audit(client, project, server.url)
  expect(good.exitCode, good.output).toBe(0)
  const count = VERIFIED[client] ?? APP_TREE.length
  expect(good.output).toContain(`${count} packages have verified registry signatures`)
  await take()
  // Keys may be kept for some minutes: this is another day.
  await rm(good.home, { recursive: true })
  const bad = await audit(client, project, server.url)
  expect(bad.exitCode, bad.output).toBe(1)
  expect(bad.output).toMatch(/no corresponding public key|invalid registry signature/)
}

/** A key leaves the server's list, as if somebody had removed it from the database. */
async function withoutKeys(server: ServerProcess, upstream: string): Promise<void> {
  await server.stop()
  const db = new Database(join(server.dataDir, 'registry.db'))
  db.run('DELETE FROM upstream_key WHERE upstream = ?', [upstream])
  db.close()
  await server.start()
}

describe.skipIf(SSH_KEYGEN === null || !(await serverReady()))('the keys that are served', () => {
  test(
    'have the ids that ssh-keygen -lf shows, ours among them',
    async () => {
      await using registry = startFixtureRegistry()
      await using server = await startServer({ upstream: registry.url })
      await (await server.revalidate('alpha')).body?.cancel()
      const answer: unknown = await (await fetch(`${server.url}-/npm/v1/keys`)).json()
      const { keys } = Value.Parse(KeysShape, answer)
      expect(keys).toHaveLength(2)
      expect(keys.map(({ keyid }) => keyid)).toContain(registry.state.signer.published.keyid)
      for (const [i, { key, keyid }] of keys.entries()) {
        const file = join(server.dataDir, `${i}.pub`)
        await Bun.write(file, opensshLine(key))
        const shown = Bun.spawnSync([SSH_KEYGEN ?? '', '-lf', file])
        expect(shown.stdout.toString().split(' ')[1]).toBe(keyid)
      }
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready).each(AUDITORS)('%s audit signatures', client => {
  let servers: AsyncDisposableStack
  beforeAll(() => {
    servers = new AsyncDisposableStack()
  })
  afterAll(() => servers.disposeAsync())

  test(
    'passes where the registry signs; without its key it fails',
    async () => {
      const registry = servers.use(startFixtureRegistry())
      const server = servers.use(await startServer({ upstream: registry.url }))
      await auditAround(client, server, async () => {
        registry.act({ do: 'keys', answer: 'missing' })
        await withoutKeys(server, 'npm')
      })
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'passes where the registry does not sign; without our key it fails',
    async () => {
      const registry = servers.use(startUnsigned())
      const server = servers.use(await startServer({ upstream: registry.url }))
      await auditAround(client, server, async () => {
        await rm(join(server.dataDir, 'keys', 'registry.key'))
        await withoutKeys(server, '')
      })
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'passes over three registries; without the key of one it fails',
    async () => {
      const signing = servers.use(startFixtureRegistry())
      const other = servers.use(startFixtureRegistry({ seed: 'another registry' }))
      const unsigned = servers.use(startUnsigned())
      const server = servers.use(await startServer({ upstream: signing.url }))
      await server.stop()
      const settings = { kind: 'registry', tarballs: 'redirect' } as const
      addUpstreams(server.dataDir, [
        {
          ...settings,
          name: 'other',
          url: other.url,
          namespace: 'other.example',
          names: ['deep', 'gamma'],
        },
        {
          ...settings,
          name: 'unsigned',
          url: unsigned.url,
          namespace: 'unsigned.example',
          names: ['@fixture/*', 'with-script'],
        },
      ])
      await server.start()
      await auditAround(client, server, async () => {
        other.act({ do: 'keys', answer: 'missing' })
        await withoutKeys(server, 'other')
      })
      expect(signing.requests.filter(({ path }) => /fixture|deep|gamma/.test(path))).toEqual([])
    },
    TEST_TIMEOUT_MS,
  )
})
