/**
 * What npm 12 has around publishing, by people with accounts of their own: who they are, their
 * tokens, the owners and the visibility of a package, an organisation and its team, what waits for
 * approval, and the search.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import type { Turn } from './clients.ts'
import { addPerson, byPassword, Machine, operate, PASSWORD, succeeded, told } from './publishing.ts'
import { clientsAndServerReady } from './ready.ts'
import { type ServerProcess, startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
const CLIENT = 'npm12'
const PEOPLE = ['root', 'ana', 'ben'] as const
const PASSWORD_TURN: Turn = { asks: /password:/i, answer: () => PASSWORD }

const ready = await clientsAndServerReady()

let fixture: FixtureRegistry
let server: ServerProcess
const machines = new Map<string, Machine>()
beforeAll(async () => {
  if (!ready) return
  fixture = startFixtureRegistry()
  server = await startServer({ upstream: fixture.url })
  await operate(server, 'upstream', 'set', 'hosted', '--names', '@house/*', '--yes')
  for (const person of PEOPLE) {
    await addPerson(server, person, ...(person === 'root' ? ['--admin'] : []))
    const machine = await Machine.new(CLIENT, server.url)
    machines.set(person, machine)
    const login = { args: ['login', '--auth-type=legacy'], turns: byPassword(person) }
    succeeded(await machine.run(login))
  }
}, TEST_TIMEOUT_MS)
afterAll(async () => {
  for (const machine of machines.values()) await machine[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
  await fixture?.[Symbol.asyncDispose]()
})

function machineOf(person: (typeof PEOPLE)[number]): Machine {
  const machine = machines.get(person)
  if (machine === undefined) throw new RangeError(person)
  return machine
}

/** What npm says when it does as it is told. */
async function npm(person: (typeof PEOPLE)[number], ...args: string[]): Promise<string> {
  return told(succeeded(await machineOf(person).run({ args })))
}

/** What npm says when it cannot. */
async function npmFails(person: (typeof PEOPLE)[number], ...args: string[]): Promise<string> {
  const run = await machineOf(person).run({ args })
  expect(run.exitCode, run.output).not.toBe(0)
  return told(run)
}

describe.skipIf(!ready)('npm 12', () => {
  test(
    'whoami, profile',
    async () => {
      expect(await npm('ben', 'whoami')).toContain('ben')
      expect(await npm('ben', 'profile', 'get')).toMatch(/name: ben/)
      await npm('ben', 'profile', 'set', 'email', 'ben@people.example')
      expect(await npm('ben', 'profile', 'get', 'email')).toContain('ben@people.example')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'token create, list, revoke',
    async () => {
      const machine = machineOf('ben')
      const grant = ['--name', 'ci', '--packages', '@house/web', '--cidr', '192.0.2.0/24']
      const args = ['token', 'create', ...grant, '--packages-and-scopes-permission', 'read-only']
      const made = succeeded(await machine.run({ args, turns: [PASSWORD_TURN] }))
      expect(made.output).toMatch(/Created token npmx_\w/)
      const listed = await npm('ben', 'token', 'list')
      const id = /with id (\w+) name ci\b/.exec(listed)?.[1] ?? 'none'
      expect(listed).toContain('with IP whitelist: 192.0.2.0/24')
      expect(await npm('ben', 'token', 'revoke', id)).toContain('Removed 1 token')
      const wrong = { args, turns: [{ ...PASSWORD_TURN, answer: () => 'another password' }] }
      const refused = await machine.run(wrong)
      expect(refused.exitCode, refused.output).not.toBe(0)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'owner add, ls, rm; access get and set; search',
    async () => {
      const name = '@house/kettle'
      const manifest = { description: 'boils water for tea' }
      succeeded(await machineOf('ana').publish(name, '1.0.0', { manifest }))
      expect(await npmFails('ben', 'deprecate', name, 'mine now')).toContain('ben')
      await npm('ana', 'owner', 'add', 'ben', name)
      expect(await npm('ben', 'owner', 'ls', name)).toMatch(/ana .*ben /)
      await npm('ben', 'owner', 'rm', 'ana', name)
      expect(await npm('ben', 'owner', 'ls', name)).not.toContain('ana')
      expect(await npm('ben', 'access', 'list', 'collaborators', name)).toContain('ben: read-write')
      expect(await npm('ana', 'access', 'get', 'status', name)).toContain(`${name}: public`)
      expect(await npm('ana', 'search', 'tea')).toContain(name)
      expect(await npm('ben', 'access', 'set', 'status=private', name)).toContain(name)
      expect(await npm('ben', 'access', 'get', 'status', name)).toContain(`${name}: private`)
      expect(await npm('ana', 'search', 'tea')).not.toContain(name)
      expect(await npmFails('ana', 'view', name)).toContain('404')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'org, team, and access by team',
    async () => {
      await npm('root', 'org', 'set', 'house', 'ana', 'owner')
      await npm('ana', 'org', 'set', 'house', 'ben', 'developer')
      expect(await npm('ben', 'org', 'ls', 'house')).toMatch(/ana.*owner.*ben.*developer/)
      succeeded(await machineOf('ana').publish('@house/door', '1.0.0'))
      await npm('ana', 'team', 'create', 'house:carpenters')
      await npm('ana', 'team', 'add', 'house:carpenters', 'ben')
      expect(await npm('ana', 'team', 'ls', 'house:carpenters')).toContain('ben')
      expect(await npmFails('ben', 'deprecate', '@house/door', 'locked')).toContain('@house/door')
      await npm('ana', 'access', 'grant', 'read-write', 'house:carpenters', '@house/door')
      const packages = await npm('ana', 'access', 'list', 'packages', 'house:carpenters')
      expect(packages).toContain('@house/door: read-write')
      await npm('ben', 'deprecate', '@house/door', 'locked')
      await npm('ana', 'access', 'revoke', 'house:carpenters', '@house/door')
      await npmFails('ben', 'deprecate', '@house/door', 'open again')
      await npm('ana', 'team', 'rm', 'house:carpenters', 'ben')
      await npm('ana', 'team', 'destroy', 'house:carpenters')
      expect(await npm('ana', 'team', 'ls', 'house')).not.toContain('carpenters')
      await npm('ana', 'org', 'rm', 'house', 'ben')
      expect(await npm('ana', 'org', 'ls', 'house')).not.toContain('ben')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'stage publish, list, view, approve, reject',
    async () => {
      const machine = machineOf('ana')
      for (const version of ['1.0.0', '1.1.0']) {
        const dir = await machine.write('@house/staged', version)
        const args = ['stage', 'publish', '--access', 'public']
        succeeded(await machine.run({ args }, dir))
      }
      expect(await npmFails('ana', 'view', '@house/staged')).toContain('404')
      const listed = await npm('ana', 'stage', 'list', '@house/staged')
      const ids = listed.match(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g) ?? []
      expect(ids).toHaveLength(2)
      for (const id of ids) {
        const isFirst = (await npm('ana', 'stage', 'view', id)).includes('1.0.0')
        await npm('ana', 'stage', isFirst ? 'approve' : 'reject', id)
      }
      expect(await npm('ben', 'view', '@house/staged', 'versions')).toContain('1.0.0')
      expect(await npm('ben', 'view', '@house/staged', 'versions')).not.toContain('1.1.0')
      expect(await npm('ana', 'stage', 'list')).toContain('No staged packages')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'logout ends the token, and a wrong one is told to be wrong',
    async () => {
      await using machine = await Machine.new(CLIENT, server.url)
      const login = { args: ['login', '--auth-type=legacy'], turns: byPassword('ben') }
      const { home } = succeeded(await machine.run(login))
      const settings = Bun.file(join(home, '.npmrc'))
      const kept = await settings.text()
      succeeded(await machine.run({ args: ['logout'] }))
      expect(await settings.exists()).toBe(false)
      await settings.write(kept)
      const run = await machine.run({ args: ['whoami'] })
      expect(run.exitCode, run.output).toBe(1)
      expect(told(run)).toMatch(/npm notice this token .*revoked.* npm error code E401/)
    },
    TEST_TIMEOUT_MS,
  )
})
