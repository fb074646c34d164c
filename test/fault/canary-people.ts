/**
 * Everybody who logs in to the server of canary-world.ts, in every way there is, and what they then
 * ask: the setup link, legacy and web logins, tokens of a person, of the operator and of a job, a
 * session of a browser, and every kind of header in which a client may send something secret.
 * @module
 */
import { publishBodyOf } from '../fixtures/publishing.ts'
import { JSON_TYPE, SECRETS, type World } from './canary-world.ts'

const COOKIE = /npmx-registry-session=([\w-]+)/
const TOKEN = /"token": ?"([^"]+)"/
const CSRF = /name="csrf" value="([^"]+)"/

/** Headers of each of them, by who it is. */
export type People = Record<string, Record<string, string>>

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Logs in everybody. */
export async function logIn(world: World): Promise<People> {
  await setUp(world)
  await world.command(['upstream', 'set', 'hosted', '--names', '@house/*', '--yes'])
  const legacy = await logInWithPassword(world)
  const web = await logInOnPage(world)
  const own = await world.receive(
    'granular',
    '-/npm/v1/tokens',
    {
      method: 'POST',
      headers: { ...JSON_TYPE, ...bearer(legacy) },
      body: JSON.stringify({ password: SECRETS.password, name: 'ci', readonly: true }),
    },
    TOKEN,
  )
  const session = await world.receive(
    'session',
    '-/api/sessions',
    {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ name: 'root', password: SECRETS.root }),
    },
    COOKIE,
  )
  const job = await exchangeIdToken(world, legacy)
  return {
    stranger: {
      ...bearer(SECRETS.stranger),
      'cookie': `npmx-registry-session=${SECRETS.cookie}`,
      'npm-otp': SECRETS.otp,
      'user-agent': 'npm/11.19.1 node/v22.0.0 linux x64',
    },
    legacy: bearer(legacy),
    web: bearer(web),
    own: bearer(own),
    job: bearer(job),
    admin: bearer(SECRETS.admin),
    browser: { cookie: `npmx-registry-session=${session}` },
    basic: { authorization: `Basic ${btoa(`canary:${SECRETS.password}`)}` },
  }
}

/** The first admin, by the link. */
async function setUp(world: World): Promise<void> {
  const path = await world.setupPath()
  await world.ask(path)
  const send = (name: string, again: string) =>
    world.ask(path, {
      method: 'POST',
      headers: { origin: new URL(world.server.url).origin },
      body: new URLSearchParams({ name, password: SECRETS.root, again }),
    })
  await send('root', SECRETS.refused)
  await send('no name at all', SECRETS.root)
  await send('root', SECRETS.root)
  // Once only.
  await send('again', SECRETS.root)
}

async function logInWithPassword(world: World): Promise<string> {
  const path = '-/user/org.couchdb.user:canary'
  const person = { name: 'canary', password: SECRETS.password, email: 'canary@user.example' }
  const init = (body: object) => ({
    method: 'PUT',
    headers: JSON_TYPE,
    body: JSON.stringify(body),
  })
  const token = await world.receive('login', path, init(person), TOKEN)
  await world.ask(path, init({ ...person, password: SECRETS.refused }))
  await world.ask(path, init({ ...person, password: { [SECRETS.refused]: SECRETS.refused } }))
  await world.ask(path, { ...init({}), body: `{"password":"${SECRETS.refused}` })
  return token
}

async function logInOnPage(world: World): Promise<string> {
  const begin = { method: 'POST', headers: JSON_TYPE, body: '{}' }
  const answer = await fetch(`${world.server.url}-/v1/login`, begin)
  const text = await answer.text()
  const page = /"loginUrl":"[^"]*(-\/web\/login\/([\w-]+))"/.exec(text)
  const done = /"doneUrl":"[^"]*(-\/v1\/done\?session=([\w-]+))"/.exec(text)
  if (page?.[1] === undefined || done?.[1] === undefined) throw new Error(text)
  for (const secret of [page[2], done[2]]) world.canaries.add('web login', secret ?? '')
  const csrf = CSRF.exec(await world.ask(page[1]))?.[1] ?? ''
  const send = (password: string) =>
    world.ask(page[1] ?? '', {
      method: 'POST',
      headers: { origin: new URL(world.server.url).origin },
      body: new URLSearchParams({ name: 'canary', password, csrf }),
    })
  await send(SECRETS.refused)
  await world.ask(done[1])
  await send(SECRETS.password)
  const token = await world.receive('web token', done[1], {}, TOKEN)
  await world.ask(done[1])
  return token
}

/** A job of a CI system: its id token, and the token that it gets for that. */
async function exchangeIdToken(world: World, token: string): Promise<string> {
  const { issuer } = world
  const send = async (path: string, method: string, secret: string, value: unknown) => {
    const headers = { ...JSON_TYPE, ...bearer(secret) }
    await world.ask(path, { method, headers, body: JSON.stringify(value) })
  }
  const name = '@house/kit'
  await send('-/oidc/issuers', 'POST', SECRETS.admin, { issuer: issuer.url, type: 'github' })
  await send('@house%2fkit', 'PUT', token, publishBodyOf({ name, version: '1.0.0' }))
  const claims = { repository: 'canary/kit', workflow_ref: { file: 'release.yml' } }
  const trust = { type: 'github', issuer: issuer.url, claims }
  await send('-/package/@house%2fkit/trust', 'POST', token, [trust])
  const job = {
    aud: `npm:${new URL(world.server.url).hostname}`,
    repository: 'canary/kit',
    workflow_ref: 'canary/kit/.github/workflows/release.yml@refs/heads/main',
  }
  const path = '-/npm/v1/oidc/token/exchange/package/@house%2fkit'
  const tokens = [await issuer.token({ ...job, repository: 'other/kit' }), await issuer.token(job)]
  // The signature: without it the token opens nothing.
  for (const each of tokens) world.canaries.add('id token', each.split('.')[2] ?? '')
  const [wrong = '', right = ''] = tokens
  await world.ask(path, { method: 'POST', headers: bearer(wrong) })
  await world.ask(path, { method: 'POST', headers: bearer(`${wrong}x`) })
  const init = { method: 'POST', headers: bearer(right) }
  const given = await world.receive('job', path, init, TOKEN)
  // An id token counts once.
  await world.ask(path, init)
  return given
}

const READ = [
  '',
  'alpha',
  'victim',
  'alpha/latest',
  'alpha/-/alpha-1.0.0.tgz',
  '@acme/one',
  '@acme/moved',
  '@acme/one/-/one-1.0.0.tgz',
  '@acme/none',
  '@basic/one',
  '@basic/one/-/one-1.0.0.tgz',
  '@closed/one',
  '@closed/one/-/one-1.0.0.tgz',
  '@house/kit',
  '~/acme/@acme/one',
  'nobody-has-this',
  '-/v1/search?text=alpha',
  '-/npm/v1/keys',
  '-/npm/v1/attestations/alpha@1.0.0',
  '-/npm/v1/oidc/token/exchange/package/alpha',
  '-/package/@house%2fkit/trust',
  '-/package/@house%2fkit/dist-tags',
  '-/sumdb/checkpoint',
  '-/sumdb/lookup/@acme/one@1.0.0',
  '-/sumdb/lookup/alpha@9.9.9',
  '-/sumdb/tile/entries/0.p/1',
  '-/registries',
  '-/whoami',
  '-/ping',
  '-/readyz',
  '-/metrics',
  '-/npm/v1/tokens',
  '-/npm/v1/user',
  '-/oidc/issuers',
  '-/docs',
  '.well-known/did.json',
  '-/why/0123456789abcdef0123456789abcdef',
  '-/blocked/victim@1.1.0/conflict',
  '-/web/setup/none',
  '%00',
  '-/nothing',
]

/** Everybody reads everything. */
export async function askEverything(world: World, people: People): Promise<void> {
  const paths = [...READ, ...(await apiPaths(world))]
  for (const [who, headers] of Object.entries(people)) {
    await Promise.all(
      paths.map(async path => {
        const query = path.includes('?') ? '&' : '?'
        await world.ask(path, { headers: { ...headers, 'cache-control': 'no-cache' } })
        await world.ask(`${path}${query}token=${SECRETS.query}`, { headers })
        if (who !== 'stranger') return
        await world.ask(path, { method: 'HEAD', headers })
      }),
    )
    await sendEverything(world, headers)
  }
}

/** What the API document says can be read, with names of things that are there. */
async function apiPaths(world: World): Promise<string[]> {
  const document = await world.ask('-/api/openapi.json')
  const headers = { authorization: `Bearer ${SECRETS.admin}` }
  const incidents = await world.ask('-/api/incidents', { headers })
  const [, id = 'none'] = /"id":"([0-9a-f]{32})"/.exec(incidents) ?? []
  const paths = [...document.matchAll(/"\/(-\/api\/[^"]*)": ?\{\s*"get"/g)].map(([, path]) => path)
  const values: Record<string, string> = { id, user: 'canary' }
  return paths.flatMap(path => {
    if (path === undefined) return []
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, word: string) => values[word] ?? 'acme')
    return id === 'none' ? [filled] : [filled, `-/why/${id}`]
  })
}

/** Questions with a body; most of them are refused to most. */
async function sendEverything(world: World, headers: Record<string, string>): Promise<void> {
  const json = { ...headers, ...JSON_TYPE }
  const send = (path: string, body: unknown, more: Record<string, string> = {}, method = 'POST') =>
    world.ask(path, {
      method,
      headers: { ...json, ...more },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  await send('-/npm/v1/security/advisories/bulk', { 'alpha': ['1.0.0'], '@acme/one': ['1.0.0'] })
  await send('-/npm/v1/security/audits/quick', '{')
  await send('@acme/one', { [SECRETS.refused]: 1 }, {}, 'PUT')
  await send('@house%2fkit', publishBodyOf({ name: '@house/kit', version: '1.0.0' }), {}, 'PUT')
  const repeat = { 'idempotency-key': SECRETS.repeat }
  const secret = { token: SECRETS.refused }
  const upstream = { name: 'x', url: 'http://127.0.0.1:9/', names: ['@x/*'], secret }
  await send('-/api/upstreams', upstream, repeat)
  await send('-/api/upstreams', { ...upstream, url: `http://a:${SECRETS.url}@127.0.0.1:9/` })
  await send('-/api/upstreams', { ...upstream, secret: { [SECRETS.refused]: SECRETS.refused } })
  await send('-/api/upstreams', { ...upstream, url: SECRETS.url })
  await send('-/api/upstreams/acme', { secret: { basic: SECRETS.refused } }, repeat, 'PATCH')
  await send('-/api/users', { name: 'x y', password: SECRETS.refused }, repeat)
  await send('-/api/users', { name: 'sam', password: SECRETS.password }, repeat)
  await send('-/api/sessions', { name: 'canary', password: SECRETS.refused })
  await send('-/npm/v1/tokens', { password: SECRETS.refused })
  await send('-/npm/v1/user', { password: { old: SECRETS.refused, new: SECRETS.refused } })
  await send(`-/npm/v1/tokens/token/${SECRETS.stranger}`, '', {}, 'DELETE')
  await send(`-/user/token/${SECRETS.stranger}`, '', {}, 'DELETE')
}
