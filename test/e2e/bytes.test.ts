/**
 * What no signature covers, through every client: tarball bytes that are not those of the
 * recorded hash, and a manifest that changed after it was recorded.
 *
 * @module
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { CLIENTS, newProject, runClient } from './clients.ts'
import { installedPackages } from './installed.ts'
import { clientsAndServerReady } from './ready.ts'
import { type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000

let registry: FixtureRegistry
let server: ServerProcess

async function start(): Promise<void> {
  registry = startFixtureRegistry()
  server = await startServer({ upstream: registry.url })
}

async function stop(): Promise<void> {
  await server[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
}

describe.skipIf(!ready)('altered tarball bytes', () => {
  beforeAll(async () => {
    await start()
    for (const name of ['victim', '@fixture/victim']) {
      registry.act({ do: 'alter-tarball', name, version: '1.1.0' })
    }
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)(
    'are not installed by %s',
    async client => {
      for (const name of ['victim', '@fixture/victim']) {
        await using project = await newProject({})
        const { dir } = project
        const add = `${name}@1.1.0`
        const run = await runClient(client, { dir, registry: server.url, add, noRetries: true })
        expect(run.exitCode, run.output).not.toBe(0)
        const left = await installedPackages(client, dir, run.home)
        expect([...left.keys()].filter(key => key.includes('victim'))).toEqual([])
      }
    },
    TEST_TIMEOUT_MS,
  )
})

describe.skipIf(!ready)('a manifest changed after it was recorded', () => {
  beforeAll(async () => {
    await start()
    await server.revalidateUntil('victim', text => text.includes('"1.1.0"'))
    const asked = registry.count('/victim')
    registry.act({
      do: 'change-manifest',
      name: 'victim',
      version: '1.1.0',
      patch: {
        dependencies: { 'evil-dependency': '1.0.0' },
        scripts: { install: 'node -e "require(`fs`).writeFileSync(`evil.txt`, ``)"' },
        bin: { node: 'index.js' },
      },
    })
    await server.revalidateUntil('victim', () => registry.count('/victim') > asked)
    // The answer to that request is not always made of what it brought; the next one is.
    await server.revalidateUntil('victim', () => registry.count('/victim') > asked + 1)
  }, TEST_TIMEOUT_MS)
  afterAll(stop)

  test.each(CLIENTS)(
    'is not seen by %s',
    async client => {
      await using project = await newProject({ victim: '1.1.0' })
      const { dir } = project
      const run = await runClient(client, { dir, registry: server.url })
      expect(run.exitCode, run.output).toBe(0)
      expect(run.output).not.toContain('evil')
      expect(run.lockfile ?? '').not.toContain('evil')
      const found = [...(await installedPackages(client, dir, run.home)).keys()]
      expect(found).toHaveLength(1)
      expect(found[0]).toStartWith('victim')
      expect(existsSync(join(dir, 'node_modules', 'victim', 'evil.txt'))).toBeFalse()
      expect(existsSync(join(dir, 'node_modules', '.bin', 'node'))).toBeFalse()
    },
    TEST_TIMEOUT_MS,
  )

  test.each(['application/json', 'application/vnd.npm.install-v1+json', ''])(
    'is in no document (accept: %p)',
    async accept => {
      const headers = accept === '' ? new Headers() : new Headers({ accept })
      for (const path of ['victim', 'victim/1.1.0']) {
        const text = await (await fetch(server.url + path, { headers })).text()
        expect(text).toContain(registry.integrityOf('victim', '1.1.0'))
        expect(text).not.toContain('evil')
        expect(text).not.toContain('"hasInstallScript":true')
      }
    },
  )
})
