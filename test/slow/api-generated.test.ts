/**
 * The admin API under 20,000 requests made from its own document, by everybody who could ask: no
 * fault, no status that is not declared, no answer of another form than the declared one, no secret
 * in any answer.
 * @module
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import Ajv from 'ajv'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { SCOPES } from '../../src/registries/accounts/access.ts'
import { Instance } from '../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import {
  CANARY,
  Chance,
  type Json,
  json,
  list,
  type Lore,
  type Made,
  type Operation,
  operationsOf,
  RequestMaker,
} from './api-requests.ts'

const REQUESTS = 20_000
const AT_ONCE = 8
/** Said when it fails, so that it can be told again. */
const SEED = 20_261_122
const ADMIN_TOKEN = 'an-admin-token-that-only-this-test-knows'

const PASSWORD = `${CANARY}of-the-session`

const Issued = Type.Object({ token: Type.Object({ id: Type.String() }), secret: Type.String() })
const Scope = Type.Union(SCOPES.map(scope => Type.Literal(scope)))
const Session = Type.Object({ csrf: Type.String() })
const Incidents = Type.Object({ items: Type.Array(Type.Object({ id: Type.String() })) })

let npm: FixtureRegistry
let acme: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  npm = startFixtureRegistry({
    packages: [
      { name: 'left', versions: [{ version: '1.0.0' }, { version: '2.0.0', signed: false }] },
    ],
  })
  acme = startFixtureRegistry({
    packages: [{ name: '@acme/widget', versions: [{ version: '1.0.0' }] }],
    seed: 'acme',
  })
  instance = await Instance.start(npm.url, '', [], { adminToken: ADMIN_TOKEN })
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await npm[Symbol.asyncDispose]()
  await acme[Symbol.asyncDispose]()
})

async function create(path: string, body: object): Promise<Response> {
  const headers = { 'authorization': `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' }
  const request = { method: 'POST', headers, body: JSON.stringify(body) }
  const answer = await fetch(`${instance.url}-/api/${path}`, request)
  expect(answer.status).toBe(201)
  return answer
}

async function tokenFor(asked: object) {
  const answer = await create('tokens', { user: null, name: 'generated', ...asked })
  return Value.Parse(Issued, await answer.json())
}

async function session(): Promise<Record<string, string>> {
  await create('users', { name: 'olivia', password: PASSWORD, role: 'admin' })
  const answer = await create('sessions', { name: 'olivia', password: PASSWORD })
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? ''
  const { csrf } = Value.Parse(Session, await answer.json())
  return { cookie, 'x-csrf-token': csrf }
}

/** Nobody, a token that only reads, somebody who is no admin, a session, and most often an admin. */
async function identities(): Promise<Record<string, string>[]> {
  const reader = await tokenFor({ scopes: ['admin:read', 'admin:write'], readOnly: true })
  const member = await tokenFor({ scopes: ['read', 'publish', 'account'] })
  const admin = { authorization: `Bearer ${ADMIN_TOKEN}` }
  return [
    {},
    { authorization: `Bearer ${reader.secret}` },
    { authorization: `Bearer ${member.secret}` },
    { authorization: 'Bearer npmx_unknown' },
    { authorization: 'Basic !!' },
    await session(),
    admin,
    admin,
    admin,
  ]
}

/** What parameters and properties often are: things that are there, and things that are not. */
async function lore(): Promise<Lore> {
  await instance.packument('left')
  const found = await fetch(`${instance.url}-/api/incidents`, {
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  })
  const [incident] = Value.Parse(Incidents, await found.json()).items
  const { keyid } = acme.state.signer.published
  const tokens = await Promise.all([1, 2, 3, 4, 5, 6].map(() => tokenFor({ scopes: ['read'] })))
  const words = {
    name: ['npm', 'acme', 'acme-mirror', 'ada', 'grace', 'careful', 'left', 'nobody'],
    url: [acme.url, acme.url, npm.url],
    names: ['@acme/*', '@acme/widget', 'left', '**', '@*/*'],
    of: ['npm', 'acme', 'nobody'],
    id: [incident?.id ?? '', '0a1b2c3d4e5f607182', ...tokens.map(({ token }) => token.id)],
    after: [incident?.id ?? '', '5', 'acme', 'zzz'],
    keyid: [keyid, npm.state.signer.published.keyid, 'SHA256:none'],
    confirm: [keyid, keyid, npm.state.signer.published.keyid],
    sample: ['@acme/widget', 'left', 'none'],
    user: ['ada', 'grace', 'nobody'],
    view: ['careful', 'nobody'],
    match: ['left', '@acme/*', 'left@<2', '**'],
    minAge: ['7d', '90m', 'soon'],
    until: ['2999-01-01', '2000-01-01T00:00:00Z', 'soon'],
    range: ['^1.0.0', '*', 'no range'],
    registries: ['npm', 'acme'],
    expires: ['2999-01-01T00:00:00Z', '2000-01-01T00:00:00Z', 'soon'],
    cidrs: ['127.0.0.0/8', '::1/128', '300.1.1.1/8'],
    packages: ['**', '@acme/*', 'left'],
  }
  const bodies = {
    createUpstream: { name: 'acme', url: acme.url, names: ['@acme/*'], confirm: [keyid] },
    beginSession: { name: 'olivia', password: PASSWORD },
  }
  return { words, bodies }
}

/** Checks an answer against the form that is declared for its status. */
type Check = (value: unknown) => boolean

/** Declared objects are taken as closed: an answer with more in it than is declared is wrong. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([key, each]) => [key, closed(each)]))
  return 'properties' in inner && !('additionalProperties' in inner)
    ? { ...inner, additionalProperties: false }
    : inner
}

function checksOf(document: Json, operations: readonly Operation[]): Map<string, Check> {
  const ajv = new Ajv({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'api', components: closed(document['components']) })
  const checks = new Map<string, Check>()
  for (const { method, path, spec } of operations) {
    for (const [status, response] of Object.entries(json(spec['responses']))) {
      const [media] = Object.values(json(json(response)['content']))
      const schema = closed(json(media)['schema'])
      const text = JSON.stringify(schema)?.replaceAll('"#/components', '"api#/components')
      const check = text === undefined ? null : ajv.compile(JSON.parse(text))
      const isEmpty = (value: unknown) => value === null
      checks.set(`${method} ${path} ${status}`, value =>
        check === null ? isEmpty(value) : check(value),
      )
    }
  }
  return checks
}

/** What is wrong with the answer to one request; nothing when it is as declared. */
async function fault(
  { method, path }: Operation,
  made: Made,
  identity: Record<string, string>,
  checks: ReadonlyMap<string, Check>,
): Promise<{ status: number; wrong: string | null }> {
  const answer = await fetch(`${instance.url.replace(/\/$/, '')}${made.path}`, {
    method,
    headers: { ...made.headers, ...identity },
    redirect: 'manual',
    ...(made.body !== null && { body: made.body }),
  })
  const text = await answer.text()
  const { status } = answer
  const type = answer.headers.get('content-type')
  const wrong = () => {
    if (status >= 500) return 'a fault'
    const check = checks.get(`${method} ${path} ${status}`)
    if (check === undefined) return 'not declared'
    if (text.includes(CANARY)) return 'repeats a secret'
    if (status >= 400 && type !== 'application/problem+json') return `of type ${type}`
    const value: unknown = text === '' ? null : JSON.parse(text)
    return check(value) ? null : 'of another form'
  }
  const found = wrong()
  const told = `${method} ${made.path} ${made.body ?? ''} -> ${status} ${text}`
  return { status, wrong: found === null ? null : `${found}: ${told.slice(0, 1_000)}` }
}

test(`${REQUESTS} requests from the document`, async () => {
  const document = json(await (await instance.get('-/api/openapi.json')).json())
  const operations = operationsOf(document)
  for (const { spec } of operations) {
    expect(SCOPES).toContain(Value.Parse(Scope, spec['x-scope']))
    expect(list(spec['tags'])).toHaveLength(1)
  }
  const checks = checksOf(document, operations)
  const everybody = await identities()
  const chance = new Chance(SEED)
  const maker = new RequestMaker(document, await lore(), chance)
  const faults: string[] = []
  const statuses = new Map<number, number>()
  const seen = new Set<string>()
  const each = Math.ceil(REQUESTS / (operations.length * everybody.length))
  for (let round = 0; round < each && faults.length === 0; round += 1) {
    const wanted = operations.flatMap(operation =>
      everybody.map(identity => ({ operation, identity, made: maker.make(operation) })),
    )
    for (let at = 0; at < wanted.length; at += AT_ONCE) {
      const some = wanted.slice(at, at + AT_ONCE)
      const answers = await Promise.all(
        some.map(({ operation, made, identity }) => fault(operation, made, identity, checks)),
      )
      for (const [index, { status, wrong }] of answers.entries()) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        const operation = some[index]?.operation
        if (status < 300) seen.add(String(operation?.spec['operationId']))
        if (wrong !== null) faults.push(wrong)
      }
    }
  }
  expect({ seed: SEED, faults }).toEqual({ seed: SEED, faults: [] })
  const sent = [...statuses.values()].reduce((sum, count) => sum + count, 0)
  expect(sent).toBeGreaterThanOrEqual(REQUESTS)
  // Chance reached what there is: most operations were carried out, most problems were met.
  const missed = operations
    .map(({ spec }) => String(spec['operationId']))
    .filter(id => !seen.has(id))
  expect(missed.length > 2 ? missed : []).toEqual([])
  for (const status of [200, 201, 204, 400, 401, 403, 404, 409, 412, 415, 422]) {
    expect([...statuses.keys()]).toContain(status)
  }
}, 600_000)
