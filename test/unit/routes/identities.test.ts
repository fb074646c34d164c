/**
 * Every route by everybody: generated from the server's own table of routes, so that a route that
 * declares no scope, or forgets to ask for it, fails here without anybody having thought of it.
 *
 * Goal: default deny. Who lacks the declared scope is answered 401 (nobody) or 403 or 404
 * (somebody), whatever the request says; who may not read a package gets for a private one, byte for
 * byte, what there is for an absent one.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SCOPES, type Scope } from '../../../src/registries/accounts/access.ts'
import type { TokenRequest } from '../../../src/registries/accounts/accounts-request.ts'
import type { RouteScope } from '../../../src/routes/app.ts'
import { givenToken, givenUser, operate } from '../../fixtures/accounts.ts'
import { Instance } from '../../fixtures/instance.ts'
import { Client } from '../../fixtures/publishing.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

type Person = { has: ReadonlySet<Scope>; headers: Record<string, string> }

const NOTHING: readonly Scope[] = ['public']
const MEMBER: readonly Scope[] = ['public', 'read', 'publish', 'stage', 'account', 'team']

/** Public routes that ask by themselves, because what they need is no scope. */
const ASK_THEMSELVES: ReadonlySet<string> = new Set([
  // Says whose the token is, whatever it may do.
  'GET /-/whoami',
  // A password in the body.
  'PUT /-/user/*',
  'POST /-/api/sessions',
  // The token in the path, the cookie.
  'DELETE /-/user/token/*',
  'DELETE /-/api/sessions/current',
  'GET /-/api/sessions/current',
  // The token of a job's own issuer.
  'POST /-/npm/v1/oidc/token/exchange/package/*',
])

const PRIVATE = '@acme/secret'
const ABSENT = '@acme/absent'

let registry: FixtureRegistry
let instance: Instance
const people = new Map<string, Person>()

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  const settings = { names: ['@acme/*', '@other/*'] }
  await operate(instance, 'upstream/set', { name: 'hosted', settings, confirm: [] })
  await givenUser(instance, { name: 'mary' })
  await givenUser(instance, { name: 'root', role: 'admin' })
  const owner = await Client.named(instance, 'owner')
  const answer = await owner.publish({ name: PRIVATE, version: '1.0.0', access: 'restricted' })
  if (answer.status !== 201) throw new Error(await answer.text())
  await givenPeople()
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

async function givenPeople(): Promise<void> {
  const scopes = [...SCOPES]
  people.set('anonymous', { has: new Set(NOTHING), headers: {} })
  await given('read-only', ['public', 'read', 'account'], { user: 'mary', scopes, readOnly: true })
  await given('publish one scope', ['public', 'read', 'publish', 'stage'], {
    user: 'mary',
    scopes: ['read', 'publish'],
    packages: ['@other/*'],
  })
  const soon = new Date(Date.now() + 1500).toISOString()
  await given('expired', NOTHING, { user: 'root', scopes, expires: soon })
  const revoked = await given('revoked', NOTHING, { user: 'root', scopes })
  await operate(instance, 'account/revoke-token', { id: revoked })
  await given('outside CIDR', NOTHING, { user: 'root', scopes, cidrs: ['192.0.2.0/24'] })
  await given('member', MEMBER, { user: 'mary', scopes })
  await given('admin', SCOPES, { user: 'root', scopes })
  await Bun.sleep(Math.max(0, Date.parse(soon) - Date.now()) + 100)
}

async function given(
  name: string,
  has: readonly Scope[],
  token: Partial<TokenRequest> & { user: string },
): Promise<string> {
  const { id, authorization } = await givenToken(instance, token)
  people.set(name, { has: new Set(has), headers: { authorization } })
  return id
}

/** What a route can be asked with; a name of a package wherever one fits. */
function pathsOf({ path }: RouteScope, name: string): string[] {
  const escaped = name.replace('/', '%2f')
  const filled = path.replace(':package', escaped).replaceAll(/:[a-z]+/gi, 'something')
  if (!filled.includes('*')) return [filled]
  const fillers = [
    escaped,
    `${name}@1.0.0`,
    `${escaped}/-/${name.slice(6)}-1.0.0.tgz`,
    `${escaped}/latest`,
    `hosted/${escaped}`,
    `${name}@1.0.0/denied`,
  ]
  return fillers.map(filler => filled.replace('*', filler))
}

function ask(method: string, path: string, headers: Record<string, string>): Promise<Response> {
  const hasBody = method !== 'GET' && method !== 'HEAD'
  return fetch(`${instance.url}${path.slice(1)}`, {
    method,
    redirect: 'manual',
    headers: { ...headers, ...(hasBody && { 'content-type': 'application/json' }) },
    ...(hasBody && { body: '{}' }),
  })
}

describe('every route', () => {
  test('declares a scope', () => {
    const routes = instance.routes()
    expect(routes.length).toBeGreaterThan(100)
    const known: ReadonlySet<string | null> = new Set(SCOPES)
    expect(routes.filter(({ scope }) => !known.has(scope))).toEqual([])
  })

  test('is denied to whoever lacks its scope, and open to whoever has it', async () => {
    const wrong: string[] = []
    for (const route of instance.routes()) {
      for (const [who, { has, headers }] of people) {
        for (const path of pathsOf(route, ABSENT)) {
          const answer = await ask(route.method, path, headers)
          await answer.body?.cancel()
          const fault = faultOf(route, has, answer.status)
          if (fault !== null)
            wrong.push(`${fault}: ${route.method} ${path} (${route.scope}) by ${who}`)
        }
      }
    }
    expect(wrong).toEqual([])
  }, 120_000)

  test('answers for a private package as for an absent one, to whoever may not read it', async () => {
    const wrong: string[] = []
    for (const route of instance.routes()) {
      if (!/\*|:package/.test(route.path)) continue
      for (const [who, { headers }] of people) {
        if (who === 'admin') continue
        const [there, absent] = [pathsOf(route, PRIVATE), pathsOf(route, ABSENT)]
        for (const [i, path] of there.entries()) {
          const seen = await seenOf(await ask(route.method, path, headers))
          const expected = await seenOf(await ask(route.method, absent[i] ?? '', headers))
          if (seen === expected) continue
          wrong.push(`${route.method} ${path} by ${who}: ${seen} instead of ${expected}`)
        }
      }
    }
    expect(wrong).toEqual([])
  }, 120_000)
})

function faultOf(
  { method, path, scope }: RouteScope,
  has: ReadonlySet<Scope>,
  status: number,
): string | null {
  if (status >= 500) return `${status}, a fault of the server`
  const isNobody = has.size === 1
  const mayAsk = SCOPES.some(each => each === scope && has.has(each))
  if (!mayAsk) {
    const denied = isNobody ? status === 401 : status === 403 || status === 404
    return denied ? null : `${status}, not denied`
  }
  const isDenied = status === 401 && !ASK_THEMSELVES.has(`${method} ${path}`)
  return isDenied ? `${status} although allowed` : null
}

/** All that a client sees but what differs between any two answers, without the name. */
async function seenOf(answer: Response): Promise<string> {
  const text = (await answer.text())
    .replaceAll(/"(?:requestId|instance|time)":"[^"]*"/g, '')
    .replaceAll(/secret|absent/g, 'x')
  const kind = answer.headers.get('content-type')
  const cached = answer.headers.get('cache-control')
  return `${answer.status} ${kind} ${cached} ${text}`
}
