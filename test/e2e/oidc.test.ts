/**
 * Trusted publishing with the real clients: a maintainer says whom a package trusts with
 * `npm trust`, and a job with nothing but an id token publishes, by npm 11, npm 12 and yarn 4. The
 * registry has a path in its URL, which clients leave out when they ask for the exchange.
 *
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { givenToken, givenUser } from '../fixtures/accounts.ts'
import { Instance } from '../fixtures/instance.ts'
import { OidcIssuer } from '../fixtures/oidc-issuer.ts'
import { publishBodyOf } from '../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { type Client, installClients, newProject, runClient } from './clients.ts'

const TIMEOUT_MS = 300_000
const ADMIN_TOKEN = 'a'.repeat(40)
const JOB = {
  aud: 'npm:127.0.0.1',
  repository: 'roe/kit',
  workflow_ref: 'roe/kit/.github/workflows/release.yml@refs/heads/main',
}

let registry: FixtureRegistry
let instance: Instance
let issuer: OidcIssuer
let authorization: string
let secret: string
let skipped: string | null = null

beforeAll(async () => {
  skipped = await installClients()
  if (skipped !== null) console.warn(skipped)
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url, '/npm', [], { adminToken: ADMIN_TOKEN })
  issuer = await OidcIssuer.start()
  await givenUser(instance, { name: 'roe' })
  const given = await givenToken(instance, {
    user: 'roe',
    scopes: ['read', 'publish', 'account'],
  })
  authorization = given.authorization
  secret = given.secret
  const headers = { 'authorization': `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ issuer: issuer.url, type: 'github' })
  await fetch(`${instance.url}-/oidc/issuers`, { method: 'POST', headers, body })
}, TIMEOUT_MS)

afterAll(async () => {
  await issuer[Symbol.asyncDispose]()
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

/** What a CI system sets that hands its id token on in the environment; clients that are scripts. */
async function jobEnvironment(dir: string, idToken: string): Promise<string> {
  const path = join(dir, '..', 'job.cjs')
  const set = { CI: 'true', GITLAB_CI: 'true', NPM_ID_TOKEN: idToken }
  await Bun.write(path, `Object.assign(process.env, ${JSON.stringify(set)})\n`)
  return path
}

async function send(path: string, method: string, body: unknown): Promise<void> {
  const headers = { authorization, 'content-type': 'application/json' }
  const text = JSON.stringify(body)
  const answer = await fetch(`${instance.url}${path}`, { method, headers, body: text })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
}

const COMMANDS: [Client, string[]][] = [
  ['npm11', ['publish']],
  ['npm12', ['publish']],
  ['yarn4', ['npm', 'publish', '--access', 'public']],
]

for (const [client, args] of COMMANDS) {
  test(
    `${client} publishes with an id token alone`,
    async () => {
      if (skipped !== null) return
      const name = `@roe/by-${client}`
      await send(name.replace('/', '%2f'), 'PUT', publishBodyOf({ name, version: '1.0.0' }))
      const claims = { repository: 'roe/kit', workflow_ref: { file: 'release.yml' } }
      const trust = { type: 'github', issuer: issuer.url, claims }
      await send(`-/package/${name.replace('/', '%2f')}/trust`, 'POST', [trust])
      await using project = await newProject({}, { name, version: '1.1.0', private: false })
      const { dir } = project
      const preload = await jobEnvironment(dir, await issuer.token(JOB))
      const options = { dir, registry: instance.url, preload }
      // In CI yarn 4 writes no lockfile.
      if (client === 'yarn4') await runClient(client, { dir, registry: instance.url })
      const published = await runClient(client, { ...options, args })
      expect([published.exitCode, published.output]).toEqual([0, expect.any(String)])
      expect((await instance.packument(name))['dist-tags']).toEqual({ latest: '1.1.0' })
      const again = await runClient(client, { ...options, args })
      expect(again.exitCode).not.toBe(0)
    },
    TIMEOUT_MS,
  )
}

for (const client of ['npm11', 'npm12'] as const) {
  test(
    `${client} trust`,
    async () => {
      if (skipped !== null) return
      const name = `@roe/trusted-by-${client}`
      await send(name.replace('/', '%2f'), 'PUT', publishBodyOf({ name, version: '1.0.0' }))
      await using project = await newProject({})
      const { dir } = project
      const npm = async (...args: string[]) => {
        const options = { dir, registry: instance.url, token: secret }
        const { exitCode, output } = await runClient(client, {
          ...options,
          args: ['trust', ...args],
        })
        expect([exitCode, output]).toEqual([0, expect.any(String)])
        return output
      }
      const job = ['--file', 'release.yml', '--repository', 'roe/kit']
      await npm('github', name, ...job, '--allow-publish', '--yes')
      const listed = await npm('list', name)
      expect(listed).toContain('roe/kit')
      const id = /id: (\S+)/.exec(listed)?.[1] ?? ''
      await npm('revoke', name, '--id', id)
      expect(await npm('list', name)).toContain('No trust configurations')
    },
    TIMEOUT_MS,
  )
}
