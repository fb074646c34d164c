/**
 * A private package, for every client: whoever has a token that reaches it installs it; to everybody
 * else it is what a package is that does not exist; no other registry is asked about it and no log
 * has it. And an instance that takes another for its upstream: the same key, the same bytes, the
 * same record in both logs.
 *
 * @module
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { LOCKFILES, newProject, type Project, runClient, type RunResult } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import {
  addPerson,
  addToken,
  Machine,
  operate,
  PERSON,
  PUBLISHERS,
  type PublishingClient,
  succeeded,
  told,
} from './publishing.ts'
import { clientsAndServerReady } from './ready.ts'
import { runCommand, type ServerProcess, startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
const STUB = join(import.meta.dir, 'tuf-stub.cjs')
const SECRET = '@house/secret'
/** As long as the other, so that what is said about the two can be compared. */
const ABSENT = '@house/nobody'
const OPEN = '@house/window'
const PLAIN = 'made-of-wood'
/** What changes from one run of a client to the next. */
const CHANGING = /\d+(?:\.\d+)?m?s\b|\d{4}-\d\d-\d\dT[\w-]+|npmx-e2e-\w+|[\da-f]{8}-[\da-f-]{27}/g

const ready = await clientsAndServerReady()

let fixture: FixtureRegistry
let server: ServerProcess
let token: string
beforeAll(async () => {
  if (!ready) return
  fixture = startFixtureRegistry()
  server = await startServer({ upstream: fixture.url })
  await operate(server, 'upstream', 'set', 'hosted', '--names', '@house/*', '--yes')
  await addPerson(server, PERSON)
  token = await addToken(server, '--user', PERSON, '--packages', '@house/*', '--read-only')
  await using machine = await Machine.new('npm12', server.url)
  await machine.logInFor({ args: [] })
  for (const name of [OPEN, PLAIN]) succeeded(await machine.publish(name, '1.0.0'))
  const dir = await machine.write(SECRET, '1.0.0')
  const hidden = await machine.run({ args: ['publish', '--access', 'restricted'] }, dir)
  expect(told(succeeded(hidden))).toContain('restricted access')
}, TEST_TIMEOUT_MS)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await fixture?.[Symbol.asyncDispose]()
})

async function install(
  client: PublishingClient,
  project: Project,
  registry: string,
  secret?: string,
): Promise<RunResult> {
  // By default yarn 4 installs nothing that was published less than a day ago, anywhere.
  if (client === 'yarn4') {
    await Bun.write(join(project.dir, '../home/.yarnrc.yml'), 'npmMinimalAgeGate: 0\n')
  }
  // Without a token of anybody's, unless one is given: an install of its own accord has one.
  const options = { dir: project.dir, registry, noRetries: true, args: ['install'] }
  return runClient(client, { ...options, ...(secret !== undefined && { token: secret }) })
}

async function logOf({ url }: ServerProcess): Promise<string> {
  const answer = await fetch(`${url}-/sumdb/checkpoint`)
  const size = Number((await answer.text()).split('\n')[1])
  const entries = await fetch(`${url}-/sumdb/tile/entries/000.p/${size}`)
  return entries.text()
}

/** The record of a version, as a lookup shows it. */
async function recordOf({ url }: ServerProcess, name: string): Promise<string> {
  const answer = await fetch(`${url}-/sumdb/lookup/${name}@1.0.0`)
  const [, record = ''] = (await answer.text()).split('\n')
  return record
}

describe.skipIf(!ready).each(PUBLISHERS)('a private package with %s', client => {
  test(
    'installs with a token',
    async () => {
      await using project = await newProject({ [SECRET]: '1.0.0' })
      const run = succeeded(await install(client, project, server.url, token))
      const installed = await installedPackages(client, project.dir, run.home)
      expect(installed.size).toBe(1)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'does not exist without one',
    async () => {
      await using project = await newProject({ [SECRET]: '1.0.0' })
      await using other = await newProject({ [ABSENT]: '1.0.0' })
      const hidden = await install(client, project, server.url)
      const absent = await install(client, other, server.url)
      expect(hidden.exitCode).toBe(1)
      expect(absent.exitCode).toBe(1)
      expect(hidden.output).toMatch(/404|not found/i)
      const shown = told(hidden).replaceAll('secret', 'nobody').replaceAll(CHANGING, '')
      expect(shown).toBe(told(absent).replaceAll(CHANGING, ''))
    },
    TEST_TIMEOUT_MS,
  )
})

test.skipIf(!ready)(
  'a private package is in no log, and no other registry hears of it',
  async () => {
    expect(fixture.requests.filter(({ path }) => path.includes('house'))).toEqual([])
    const log = await logOf(server)
    expect(log).toContain(`/${OPEN}@1.0.0 `)
    expect(log).not.toContain('secret')
  },
)

describe.skipIf(!ready)('another instance that adds this one by its URL', () => {
  test(
    'sees the same key, installs the same bytes and has the same record',
    async () => {
      await using second = await startServer({ upstream: fixture.url })
      const settings = ['--names', '@house/*', PLAIN, '--sample', OPEN, '--yes']
      const added = await operate(second, 'upstream', 'add', 'first', server.url, ...settings)
      const { registry } = JSON.parse(await operate(server, 'key', 'show', '--json'))
      expect(added).toContain(registry.keyid)
      const pinned = await operate(second, 'upstream', 'keys', 'first')
      expect(pinned).toMatch(new RegExp(`${RegExp.escape(registry.keyid)} +approved`))
      expect(pinned.match(/approved/g)).toHaveLength(1)
      for (const client of PUBLISHERS) {
        await using one = await newProject({ [OPEN]: '1.0.0', [PLAIN]: '1.0.0' })
        await using other = await newProject({ [OPEN]: '1.0.0', [PLAIN]: '1.0.0' })
        const direct = succeeded(await install(client, one, server.url))
        const through = succeeded(await install(client, other, second.url))
        const locked = lockEntries(client, through.lockfile ?? '')
        expect(locked).toEqual(lockEntries(client, direct.lockfile ?? ''))
        expect(locked.size).toBe(2)
        const verified = await runCommand(['verify', LOCKFILES[client]], other.dir)
        expect(verified.exitCode, verified.output).toBe(0)
        if (client !== 'npm12') continue
        const audit = { registry: second.url, args: ['audit', 'signatures'], preload: STUB }
        const audited = await runClient(client, { dir: other.dir, ...audit })
        expect(audited.exitCode, audited.output).toBe(0)
        expect(audited.output).toContain('2 packages have verified registry signatures')
      }
      for (const name of [OPEN, PLAIN]) {
        const record = await recordOf(server, name)
        expect(record).toContain(`${name}@1.0.0 sha512-`)
        expect(await recordOf(second, name)).toBe(record)
      }
    },
    TEST_TIMEOUT_MS,
  )
})
