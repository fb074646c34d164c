/**
 * Rules for serving through every client, set as an operator does while the server runs: a version
 * that is too young, one that is denied, and one that its registry did not sign. An exact request
 * fails with the reason or with a URL that opens it; a range goes on to an older version.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type Client, CLIENTS, newProject, runClient } from './clients.ts'
import { clientsAndServerReady } from './ready.ts'
import { expectInstalled, expectRefused } from './refused.ts'
import { runCommand, type ServerProcess, startServer } from './server.ts'

const ready = await clientsAndServerReady()
const TEST_TIMEOUT_MS = 300_000
const REASON = 'broken on Tuesdays'
const VICTIMS = ['victim', '@fixture/victim']
/** Those that show a person the sentence itself; the others show the URL that opens it. */
const TELLS_REASON: readonly Client[] = ['npm11', 'npm12', 'yarn1', 'bun', 'deno']

let registry: FixtureRegistry
let server: ServerProcess

async function policy(...args: string[]): Promise<void> {
  const done = await runCommand(['policy', ...args, '--data-dir', server.dataDir], server.dataDir)
  expect(done.exitCode, done.output).toBe(0)
}

describe.skipIf(!ready)('rules for serving', () => {
  beforeAll(async () => {
    registry = startFixtureRegistry()
    server = await startServer({ upstream: registry.url })
    for (const name of VICTIMS) await server.revalidateUntil(name, text => text.includes('"2.0.0"'))
    // It appears after its package was first seen here, with a date that would make it old enough.
    const spec = { version: '1.2.0', published: '2020-02-01T00:00:00.000Z' }
    registry.act({ do: 'publish', name: '@fixture/victim', spec })
    await server.revalidateUntil('@fixture/victim', text => text.includes('"1.2.0"'))
    await policy('set', '--match', 'victim@1.1.0', '--action', 'deny', '--reason', REASON)
    await policy('set', '--match', '@fixture/*', '--action', 'quarantine', '--min-age', '7d')
  }, TEST_TIMEOUT_MS)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  test.each(CLIENTS)(
    'deny: an exact request fails in %s',
    client => expectRefused(client, server.url, 'victim', '1.1.0', 'told'),
    TEST_TIMEOUT_MS,
  )

  test.each(TELLS_REASON)(
    'deny: %s shows the reason',
    async client => {
      await using project = await newProject({})
      const { dir } = project
      const add = 'victim@1.1.0'
      const run = await runClient(client, { dir, registry: server.url, add, noRetries: true })
      expect(run.output).toContain(REASON)
    },
    TEST_TIMEOUT_MS,
  )

  test.each(CLIENTS)(
    'quarantine: an exact request fails in %s',
    client => expectRefused(client, server.url, '@fixture/victim', '1.2.0', 'told'),
    TEST_TIMEOUT_MS,
  )

  // Deno 2.9 takes the highest version of a range without `latest` in it (refusals.test.ts).
  test.each(CLIENTS.filter(client => client !== 'deno'))(
    'a range goes on to an older version in %s',
    async client => {
      const dependencies = { 'victim': '^1.0.0', '@fixture/victim': '^1.0.0' }
      const wanted = { 'victim': '1.0.0', '@fixture/victim': '1.1.0' }
      await expectInstalled(client, server.url, dependencies, wanted)
    },
    TEST_TIMEOUT_MS,
  )
})
