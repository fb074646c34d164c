/**
 * The control of the other end-to-end tests: every client against the fixture registry itself,
 * with nothing between. Shows that the fixture is a registry that all of them take, that its
 * faults do reach them, and which fault each client stops by itself.
 *
 * @module
 */

import { describe, expect, test } from 'bun:test'
import { startFixtureRegistry } from '../fixtures/registry.ts'
import { APP_DEPENDENCIES, APP_TREE } from '../fixtures/registry-app.ts'
import { CLIENTS, newProject, runClient } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import { clientsReady } from './ready.ts'

const ready = await clientsReady()
const TEST_TIMEOUT_MS = 300_000
/** Locked by some clients although it suits no platform; on disk it is nowhere. */
const LOCKED_ONLY = 'optional-nowhere@1.0.0'

describe.skipIf(!ready)('without a proxy', () => {
  test.each([...CLIENTS, 'pnpm10'] as const)(
    '%s installs the fixture application',
    async client => {
      await using registry = startFixtureRegistry()
      await using project = await newProject(APP_DEPENDENCIES)
      const run = await runClient(client, { dir: project.dir, registry: registry.url })
      expect(run.output).not.toContain('404')
      expect(run.exitCode).toBe(0)
      const locked = lockEntries(client, run.lockfile ?? '')
      expect([...locked.keys()].filter(key => key !== LOCKED_ONLY)).toEqual(APP_TREE)
      const onDisk = await installedPackages(client, project.dir, run.home)
      expect(onDisk.size).toBe(APP_TREE.length)
      if (client === 'yarn4') return
      expect([...onDisk.keys()]).toEqual(APP_TREE)
      for (const [spec, integrity] of locked) {
        const at = spec.lastIndexOf('@')
        expect(integrity).toBe(registry.integrityOf(spec.slice(0, at), spec.slice(at + 1)))
      }
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)(
    '%s is shown altered tarball bytes, and only yarn 4 takes them',
    async client => {
      await using registry = startFixtureRegistry()
      registry.act({ do: 'alter-tarball', name: 'victim', version: '1.1.0' })
      await using project = await newProject({})
      const { dir } = project
      const add = 'victim@1.1.0'
      const run = await runClient(client, { dir, registry: registry.url, add, noRetries: true })
      expect(registry.count('/victim/-/victim-1.1.0.tgz')).toBeGreaterThan(0)
      expect(run.exitCode === 0).toBe(client === 'yarn4')
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)(
    '%s installs a version that was swapped: it cannot know',
    async client => {
      await using registry = startFixtureRegistry()
      const before = registry.integrityOf('victim', '1.1.0')
      registry.act({ do: 'swap', name: 'victim', version: '1.1.0' })
      expect(registry.integrityOf('victim', '1.1.0')).not.toBe(before)
      await using project = await newProject({})
      const run = await runClient(client, {
        dir: project.dir,
        registry: registry.url,
        add: 'victim@1.1.0',
      })
      expect(run.exitCode).toBe(0)
    },
    TEST_TIMEOUT_MS,
  )
})
