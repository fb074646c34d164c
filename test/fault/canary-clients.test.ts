/**
 * Canaries in the settings of real clients: each has a token of its own, installs from registries
 * with credentials and from one that clients are redirected to, publishes, and asks who it is. Every
 * token was heard by our server alone, and stands in nothing that it wrote.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type Client, CLIENTS, newProject, runClient } from '../e2e/clients.ts'
import { installedPackages } from '../e2e/installed.ts'
import { COMMANDS, PASSWORD, PUBLISHERS, type PublishingClient } from '../e2e/publishing.ts'
import { clientsAndServerReady } from '../e2e/ready.ts'
import { allKept } from '../fixtures/kept-bytes.ts'
import { addUpstreams, SECRETS, World } from './canary-world.ts'

const TEST_TIMEOUT_MS = 300_000
const DEPENDENCIES = { 'alpha': '^1.0.0', '@acme/one': '1.0.0', '@basic/one': '1.1.0' }
/** Without a question: at no terminal it would be answered by nobody. */
const UNASKED: Partial<Record<PublishingClient, string[]>> = {
  yarn1: ['publish', '--access', 'public', '--non-interactive', '--new-version', '1.0.0'],
}
const AUDITORS = ['npm11', 'npm12', 'pnpm'] as const

const ready = await clientsAndServerReady()

describe.skipIf(!ready)('a token in the settings of', () => {
  const tokens = new Map<Client, string>()
  let world: World

  beforeAll(async () => {
    world = await World.start()
    await addUpstreams(world)
    await world.command(['upstream', 'set', 'hosted', '--names', '@house/*', '--yes'])
    const password = await world.secretFile('password', PASSWORD)
    await world.command(['user', 'add', 'ana', '--password-file', password])
    for (const client of CLIENTS) {
      const grant = ['--user', 'ana', '--scope', 'read', 'publish', 'account']
      tokens.set(client, await world.issue(client, grant))
    }
  }, TEST_TIMEOUT_MS)
  afterAll(() => world[Symbol.asyncDispose]())

  /** Runs it with its token, and keeps what it says. */
  async function run(client: Client, dir: string, args?: string[]) {
    const token = tokens.get(client) ?? ''
    const options = { dir, registry: world.server.url, token }
    const ended = await runClient(client, { ...options, ...(args !== undefined && { args }) })
    world.said.push({ where: client, status: ended.exitCode, text: ended.output })
    return ended
  }

  test.each(CLIENTS)(
    '%s installs with it',
    async client => {
      await using project = await newProject(DEPENDENCIES)
      const ended = await run(client, project.dir)
      expect(ended.exitCode, ended.output).toBe(0)
      expect((await installedPackages(client, project.dir, ended.home)).size).toBe(6)
      expect(world.canaries.in(ended.lockfile ?? '')).toEqual([])
    },
    TEST_TIMEOUT_MS,
  )

  test.each(PUBLISHERS)(
    '%s publishes with it',
    async client => {
      const name = `@house/by-${client}`
      // Yarn 4 would pack its settings, with the token in them.
      const files = ['index.js']
      await using project = await newProject({}, { name, version: '1.0.0', private: false, files })
      await Bun.write(join(project.dir, 'index.js'), '')
      await Bun.write(join(project.dir, 'yarn.lock'), '')
      const { prepare, publish } = COMMANDS[client]
      if (prepare !== null) await run(client, project.dir, prepare.args)
      const ended = await run(client, project.dir, UNASKED[client] ?? publish.args)
      expect(ended.exitCode, ended.output).toBe(0)
      const answer = await fetch(`${world.server.url}${name.replace('/', '%2f')}`)
      expect(answer.status).toBe(200)
      // The same once more: it fails, and says so to the person.
      const again = await run(client, project.dir, UNASKED[client] ?? publish.args)
      expect(again.exitCode).not.toBe(0)
    },
    TEST_TIMEOUT_MS,
  )

  test.each(AUDITORS)(
    '%s audits, and asks who it is, with it',
    async client => {
      await using project = await newProject(DEPENDENCIES)
      await run(client, project.dir)
      await run(client, project.dir, ['audit'])
      const who = await run(client, project.dir, ['whoami'])
      expect(who.output).toContain('ana')
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'all of them was heard by the server alone, and is written nowhere',
    async () => {
      const { at, behind } = world.sources
      const { npm, mirror } = behind
      // Redirects were followed: the registry behind the recorder was asked by clients.
      const agents = npm.requests.map(({ headers }) => headers['user-agent'] ?? '')
      expect(agents.some(agent => agent.includes('npm/12'))).toBe(true)
      expect(mirror.requests).not.toBeEmpty()
      const output = await world.server.stop()
      const own: Record<string, string[]> = { mirror: ['mirror'], acme: ['acme'], basic: ['basic'] }
      for (const [name, { everything }] of Object.entries(at)) {
        expect([name, ...world.canaries.in(everything)]).toEqual([name, ...(own[name] ?? [])])
      }
      for (const { requests } of Object.values(behind)) {
        expect(world.canaries.in(JSON.stringify(requests))).toEqual([])
      }
      expect(world.canaries.in(output)).toEqual([])
      expect(world.leaks()).toEqual([])
      await world.addKeyFiles()
      const found = [...allKept(world.server.dataDir)].flatMap(({ where, bytes }) =>
        world.canaries.in(bytes).map(name => `${where}: ${name}`),
      )
      expect(found.filter(line => !/^(keys\/\S+): \1$/.test(line))).toEqual([])
      expect(at.acme.everything).toContain(SECRETS.acme)
    },
    TEST_TIMEOUT_MS,
  )
})
