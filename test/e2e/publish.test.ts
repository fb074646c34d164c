/**
 * Publishing as people do it: every client logs in at an empty home, publishes a package with a
 * scope and one without, and another empty home installs them back; the signatures pass, the
 * lockfile is in the log; tags, deprecation and unpublishing do what the client says they did, and
 * a version that was published once is refused with a sentence that the client shows.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { Type } from '@sinclair/typebox'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { LOCKFILES, newProject, type Project, runClient, type RunResult } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import {
  addPerson,
  type ClientCommand,
  COMMANDS,
  Machine,
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
const AUDITORS = new Set<PublishingClient>(['npm11', 'npm12', 'pnpm'])
/** Npm looks at the packument first and refuses by itself what it finds there. */
const NPM = new Set<PublishingClient>(['npm11', 'npm12'])
const TAKEN = 'You cannot publish over the previously published versions'
const FOR_EVER = 'its number stays taken'
/** What an install says of a deprecated version; pnpm keeps the reason to itself. */
const WARNING: Partial<Record<PublishingClient, (name: string) => string>> = {
  npm11: name => `deprecated ${name}@1.0.0: use 1.1.0 instead`,
  npm12: name => `deprecated ${name}@1.0.0: use 1.1.0 instead`,
  pnpm: name => `deprecated ${name}@1.0.0`,
  yarn1: name => `${name}@1.0.0: use 1.1.0 instead`,
  // Yarn 4 and bun install it without a word.
}
const DocumentShape = Type.Object({
  'dist-tags': Type.Record(Type.String(), Type.String()),
  'versions': Type.Record(
    Type.String(),
    Type.Object({
      deprecated: Type.Optional(Type.String()),
      dist: Type.Object({ integrity: Type.String() }),
    }),
  ),
})

const ready = await clientsAndServerReady()

let fixture: FixtureRegistry
let server: ServerProcess
beforeAll(async () => {
  if (!ready) return
  fixture = startFixtureRegistry()
  server = await startServer({ upstream: fixture.url })
  await addPerson(server, PERSON)
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await fixture?.[Symbol.asyncDispose]()
})

async function documentOf(name: string) {
  const answer = await fetch(server.url + name.replace('/', '%2f'))
  return Value.Parse(DocumentShape, await answer.json())
}

/** A machine from which a command can be given by somebody who is logged in. */
async function machineFor(client: PublishingClient, command: ClientCommand): Promise<Machine> {
  const machine = await Machine.new(client, server.url)
  await machine.logInFor(command)
  return machine
}

/** Installs version 1.0.0 of each at an empty home. */
async function installBack(client: PublishingClient, names: string[]) {
  const project = await newProject(Object.fromEntries(names.map(name => [name, '1.0.0'])))
  // By default yarn 4 installs nothing that was published less than a day ago, anywhere.
  if (client === 'yarn4') {
    await Bun.write(join(project.dir, '../home/.yarnrc.yml'), 'npmMinimalAgeGate: 0\n')
  }
  const run = succeeded(await runClient(client, { dir: project.dir, registry: server.url }))
  return { project, run }
}

async function expectTheSameBytes(
  client: PublishingClient,
  names: string[],
  { project, run }: { project: Project; run: RunResult },
) {
  const installed = await installedPackages(client, project.dir, run.home)
  expect(installed.size).toBe(names.length)
  // Yarn 4 locks the hash of an archive that it makes itself.
  if (client === 'yarn4') return
  const locked = lockEntries(client, run.lockfile ?? '')
  for (const name of names) {
    const { versions } = await documentOf(name)
    expect(locked.get(`${name}@1.0.0`)).toBe(versions['1.0.0']?.dist.integrity ?? 'none')
    const text = await Bun.file(join(project.dir, 'node_modules', name, 'index.js')).text()
    expect(text).toBe(`module.exports = '${name}@1.0.0'\n`)
  }
}

/** `verify` finds all that was installed in the log. */
async function expectRecorded(client: PublishingClient, { dir }: Project): Promise<void> {
  const state = ['--state', join(dir, 'state')]
  // The archives that yarn 4 locks are its own: it has to look at the tarballs.
  const fetched = client === 'yarn4' ? ['--fetch'] : []
  const run = await runCommand(['verify', LOCKFILES[client], ...state, ...fetched], dir)
  expect(run.exitCode, run.output).toBe(0)
  expect(run.output).toMatch(/^2 verified/m)
}

async function expectSigned(client: PublishingClient, { dir }: Project): Promise<void> {
  const args = ['audit', 'signatures']
  const run = await runClient(client, { dir, registry: server.url, args, preload: STUB })
  expect(run.exitCode, run.output).toBe(0)
  expect(run.output).toContain('2 packages have verified registry signatures')
}

describe.skipIf(!ready).each(PUBLISHERS)('%s', client => {
  const commands = COMMANDS[client]
  const names = [`@made-by-${client}/scoped`, `made-by-${client}`]

  test.each(Object.entries(commands.logins))(
    'logs in %s',
    async (_, login) => {
      await using machine = await Machine.new(client, server.url)
      succeeded(await machine.run(login))
      if (commands.whoami === null) return
      const who = await machine.run(commands.whoami)
      expect(who.exitCode, who.output).toBe(0)
      expect(who.output).toContain(PERSON)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'publishes, and an empty home installs the same: signed, recorded, never twice',
    async () => {
      await using machine = await machineFor(client, commands.publish)
      for (const name of names) {
        for (const version of ['1.0.0', '1.1.0']) succeeded(await machine.publish(name, version))
        const again = await machine.publish(name, '1.0.0')
        expect(again.exitCode, again.output).not.toBe(0)
        expect(told(again)).toContain(TAKEN)
        if (!NPM.has(client)) expect(told(again)).toContain(FOR_EVER)
      }
      const back = await installBack(client, names)
      await using project = back.project
      await expectTheSameBytes(client, names, back)
      await expectRecorded(client, project)
      if (AUDITORS.has(client)) await expectSigned(client, project)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'gives and takes dist-tags',
    async () => {
      await using machine = await machineFor(client, commands.addTag('', ''))
      for (const name of names) {
        succeeded(await machine.run(commands.addTag(name, '1.0.0')))
        const { output } = succeeded(await machine.run(commands.listTags(name)))
        expect(output).toMatch(/\bstable(?:: | → )1\.0\.0\n/)
        expect(output).toMatch(/\blatest(?:: | → )1\.1\.0\n/)
        succeeded(await machine.run(commands.removeTag(name)))
        const left = await fetch(`${server.url}-/package/${name.replace('/', '%2f')}/dist-tags`)
        expect(await left.json()).toEqual({ latest: '1.1.0' })
      }
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'deprecates, which whoever installs is told, and takes it back',
    async () => {
      await using machine = await machineFor(client, commands.deprecate('', ''))
      for (const name of names) {
        succeeded(await machine.run(commands.deprecate(`${name}@1.0.0`, 'use 1.1.0 instead')))
        const { versions } = await documentOf(name)
        expect(versions['1.0.0']?.deprecated).toBe('use 1.1.0 instead')
        expect(versions['1.1.0']?.deprecated).toBe(undefined)
      }
      const { project, run } = await installBack(client, names)
      await using _ = project
      for (const name of names) {
        expect(told(run)).toContain(WARNING[client]?.(name) ?? '')
        succeeded(await machine.run(commands.undeprecate(`${name}@1.0.0`)))
        expect((await documentOf(name)).versions['1.0.0']?.deprecated).toBe(undefined)
      }
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'unpublishes, after which nobody gets that number again',
    async () => {
      const [publisher, remover] = [commands.publish, commands.unpublish('')]
      await using machine = await machineFor(client, publisher)
      if (remover.client !== publisher.client) await machine.logInFor(remover)
      for (const name of names) {
        succeeded(await machine.run(commands.unpublish(`${name}@1.1.0`)))
        const { versions, 'dist-tags': tags } = await documentOf(name)
        expect(Object.keys(versions)).toEqual(['1.0.0'])
        expect(tags['latest']).toBe('1.0.0')
        const record = await fetch(`${server.url}-/sumdb/lookup/${name}@1.1.0`)
        expect(record.status).toBe(200)
        const again = await machine.publish(name, '1.1.0')
        expect(again.exitCode, again.output).not.toBe(0)
        expect(told(again)).toContain(TAKEN)
        expect(told(again)).toContain(FOR_EVER)
        succeeded(await machine.publish(name, '1.2.0'))
        succeeded(await machine.run(commands.unpublishAll(name)))
        expect((await fetch(server.url + name.replace('/', '%2f'))).status).toBe(404)
      }
    },
    TEST_TIMEOUT_MS,
  )
})
