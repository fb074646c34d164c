/**
 * A data dir of an earlier release (fixtures/upgrade, as it was left by a server that stopped) is
 * opened by this one: same log, same keys, same upstreams and credentials, same refusals; a
 * lockfile from then is verified, and what was not there before works.
 *
 * @module
 */

import { Database } from 'bun:sqlite'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import keys from '../fixtures/upgrade/keys.json' with { type: 'json' }
import dump from '../fixtures/upgrade/registry.sql' with { type: 'text' }
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { serverReady } from './ready.ts'
import { type CommandResult, runCommand, type ServerProcess, startServer } from './server.ts'

const LOCKFILE = join(import.meta.dir, '../fixtures/upgrade/package-lock.json')
const VKEY = keys['log.key'].split('\n')[1] ?? ''
const CONFLICT = 'de56219fc531a22c8c4ec3777d79d2a4'
const RECORDS = 10
const TEST_TIMEOUT_MS = 300_000

const ready = await serverReady()
let registry: FixtureRegistry
let server: ServerProcess

async function putOldData(dir: string): Promise<void> {
  await rm(dir, { recursive: true })
  await mkdir(join(dir, 'keys'), { recursive: true, mode: 0o700 })
  for (const [file, text] of Object.entries(keys)) {
    await writeFile(join(dir, 'keys', file), text, { mode: 0o600 })
  }
  using db = new Database(join(dir, 'registry.db'))
  db.run(dump)
}

async function command(...args: string[]): Promise<CommandResult> {
  return runCommand([...args, '--data-dir', server.dataDir], server.dataDir)
}

async function stored(...args: string[]): Promise<unknown> {
  const done = await command(...args, '--json')
  expect(done.exitCode, done.output).toBe(0)
  return JSON.parse(done.stdout)
}

describe.skipIf(!ready)('a data dir of an earlier release', () => {
  beforeAll(async () => {
    registry = startFixtureRegistry()
    server = await startServer({ upstream: registry.url })
    await server.stop()
    await putOldData(server.dataDir)
  }, TEST_TIMEOUT_MS)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  test('is left alone by a command that only reads, which says what to do', async () => {
    const done = await command('log', 'fsck')
    expect(done.exitCode).toBe(2)
    expect(done.stderr).toMatch(/^npmx-registry: .*start the server once to upgrade it\n$/)
  })

  test('keeps its log, under the same key', async () => {
    await server.start()
    expect(await (await fetch(`${server.url}-/sumdb/vkey`)).text()).toBe(`${VKEY}\n`)
    const checkpoint = await (await fetch(`${server.url}-/sumdb/checkpoint`)).text()
    expect(checkpoint.split('\n')[1]).toBe(String(RECORDS))
    const fsck = await command('log', 'fsck')
    expect(fsck.exitCode, fsck.output).toBe(0)
  })

  test('verifies a lockfile from then', async () => {
    const state = join(server.dataDir, 'state.json')
    const where = ['--url', server.url, '--key', VKEY, '--state', state]
    const done = await runCommand(['verify', LOCKFILE, ...where], server.dataDir)
    expect(done.exitCode, done.output).toBe(0)
    expect(done.stdout).toContain('3 of 3 entries verified')
  })

  test('keeps its upstreams, their keys and credentials, and its own key', async () => {
    expect(await stored('upstream', 'show', 'acme')).toMatchObject({
      names: ['@acme/*'],
      tarballs: 'stream',
      credential: { authorization: 'bearer' },
      keys: [{ keyid: 'SHA256:CUHU0d56LzdnhHISTE1su+iflwgvAKyYX/HSNx38W2I', state: 'approved' }],
    })
    expect(await stored('upstream', 'show', 'near')).toMatchObject({ kind: 'mirror', of: 'npm' })
    expect(await stored('key', 'show')).toMatchObject({
      registry: { keyid: 'SHA256:4Wt5GsyJEFitv4SWAIxZKjnBxSgQLFOUiPLxFWwxlkc' },
    })
  })

  test('keeps its incidents with their evidence', async () => {
    const why = await fetch(`${server.url}-/why/${CONFLICT}`)
    expect(why.status).toBe(403)
    expect(await why.json()).toMatchObject({ package: 'vic3', reason: 'conflict' })
  })

  test('can do what it could not: rules, people, and a name of its own', async () => {
    await stored('policy', 'set', '--match', 'beta@0.9.0', '--action', 'deny')
    const refused = await fetch(`${server.url}beta/0.9.0`)
    expect(refused.status).toBe(403)
    await stored('user', 'add', 'ana', '--admin')
    const house = { kind: 'hosted', namespace: VKEY.slice(0, VKEY.indexOf('/')) }
    expect(await stored('upstream', 'show', 'hosted')).toMatchObject(house)
  })
})
