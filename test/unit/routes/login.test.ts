/**
 * Logging in and out as npm does it (npm-profile), with what must not be anywhere afterwards.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { AccountsServer, PASSWORD } from '../../fixtures/accounts.ts'
import { errorOf } from '../../fixtures/instance.ts'

let server: AccountsServer

beforeEach(async () => {
  server = new AccountsServer()
  await server.addPerson('ana')
})
afterEach(() => server[Symbol.asyncDispose]())

async function tokenIn(answer: Response): Promise<string> {
  const body: unknown = await answer.json()
  const token = typeof body === 'object' && body !== null && 'token' in body ? body.token : null
  if (typeof token !== 'string') throw new TypeError(`no token: ${JSON.stringify(body)}`)
  return token
}

describe('legacy login', () => {
  test('gives a token, of which only the hash is kept', async () => {
    const answer = await server.legacyLogin('ana', PASSWORD)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const token = await tokenIn(answer)
    expect(token).toMatch(/^npmx_[\w-]{43}$/)
    expect(await server.whoami(token)).toBe('{"username":"ana"}')
    expect(server.everything()).toContain('token.create')
    expect(server.everything()).toContain('$argon2id$v=19$m=19456,t=2,p=1$')
    expect(server.everything()).not.toContain(token.slice(5))
    expect(server.everything()).not.toContain(PASSWORD)
  })

  test('is answered at /-rev/ too, where a client goes after a 409', async () => {
    const path = '-/user/org.couchdb.user:ana/-rev/1-0'
    const answer = await server.send('PUT', path, { name: 'ana', password: PASSWORD })
    expect(answer.status).toBe(201)
    expect((await server.send('PUT', '-/user/org.couchdb.user:ana/more', {})).status).toBe(404)
    expect((await server.send('PUT', '-/user/ana', {})).status).toBe(404)
  })

  test.each([
    ['ana', 'wrong password', 401, 'wrong password'],
    ['ana', '', 401, 'wrong password'],
    ['nobody', PASSWORD, 403, 'ask the admin'],
    ['__proto__', PASSWORD, 403, 'ask the admin'],
    ['Ana', PASSWORD, 403, 'ask the admin'],
  ])('%s with %p: %d', async (name, password, status, sentence) => {
    const answer = await server.legacyLogin(name, password)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Basic' : null)
    expect((await errorOf(answer)).error).toContain(sentence)
    expect(await server.parts.accountAdmin.tokens()).toEqual([])
  })

  test.each([
    ['another name', { name: 'bob', password: PASSWORD }],
    ['no password', { name: 'ana' }],
    ['a number', { name: 'ana', password: 1 }],
    ['a list', []],
  ])('refuses %s in the body and repeats none of it', async (_, body) => {
    const answer = await server.send('PUT', '-/user/org.couchdb.user:ana', body)
    expect(answer.status).toBe(400)
    expect(await answer.text()).not.toContain(PASSWORD)
  })

  test('reads no more of a body than it needs', async () => {
    const answer = await server.legacyLogin('ana', 'x'.repeat(70_000))
    expect(answer.status).toBe(413)
  })

  test('a person without a password is entered by none', async () => {
    await server.parts.accountAdmin.addUser({ name: 'job', password: null })
    expect((await server.legacyLogin('job', PASSWORD)).status).toBe(401)
  })

  test('a disabled account is told so, with the right password only', async () => {
    await server.parts.accountAdmin.setUser('ana', { state: 'disabled' })
    expect((await server.legacyLogin('ana', 'wrong password')).status).toBe(401)
    const answer = await server.legacyLogin('ana', PASSWORD)
    expect(answer.status).toBe(403)
    expect((await errorOf(answer)).error).toContain('disabled')
  })
})

describe('registration', () => {
  test('when it is open, makes the account', async () => {
    await using open = new AccountsServer({ registration: 'open' })
    const answer = await open.legacyLogin('bob', PASSWORD, { email: 'bob@example.org' })
    expect(answer.status).toBe(201)
    expect(await open.whoami(await tokenIn(answer))).toBe('{"username":"bob"}')
    expect(await open.parts.accountAdmin.user('bob')).toMatchObject({
      role: 'member',
      email: 'bob@example.org',
    })
    expect(open.audit.page(10).map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'user:bob token.create',
      'user:bob user.add',
    ])
    expect((await open.legacyLogin('bob', 'another password')).status).toBe(401)
  })

  test.each([
    ['UPPER', PASSWORD],
    ['a b', PASSWORD],
    ['..', PASSWORD],
    ['a'.repeat(65), PASSWORD],
    ['short', 'too short'],
    ['long', 'x'.repeat(257)],
    ['lone', `${PASSWORD}\ud800`],
  ])('refuses %p with %p', async (name, password) => {
    await using open = new AccountsServer({ registration: 'open' })
    const answer = await open.send('PUT', `-/user/org.couchdb.user:${encodeURIComponent(name)}`, {
      name,
      password,
    })
    expect(answer.status).toBe(422)
    expect(await open.parts.accountAdmin.users()).toEqual([])
  })

  test('has a limit by address', async () => {
    await using open = new AccountsServer({ registration: 'open' })
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      expect((await open.legacyLogin(name, PASSWORD)).status).toBe(201)
    }
    const answer = await open.legacyLogin('f', PASSWORD)
    expect(answer.status).toBe(429)
    expect(Number(answer.headers.get('retry-after'))).toBe(3600)
  })
})

describe('guessing', () => {
  test('ends after ten tries a minute, for the right password too, and begins again', async () => {
    const tries = Array.from({ length: 10 }, () => server.legacyLogin('ana', 'wrong password'))
    const answers = await Promise.all(tries)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401))
    server.pass(15)
    const answer = await server.legacyLogin('ana', PASSWORD)
    expect(answer.status).toBe(429)
    expect(answer.headers.get('retry-after')).toBe('45')
    server.pass(46)
    expect((await server.legacyLogin('ana', PASSWORD)).status).toBe(201)
  })

  test('the right password counts against nobody', async () => {
    for (let i = 0; i < 12; i++) {
      expect((await server.legacyLogin('ana', PASSWORD)).status).toBe(201)
    }
  })
})

describe('web login', () => {
  async function begin(headers: Record<string, string> = {}) {
    const answer = await server.ask('-/v1/login', { method: 'POST', body: '{}', headers })
    expect(answer.status).toBe(200)
    const { loginUrl, doneUrl } = JSON.parse(await answer.text())
    return { loginUrl: String(loginUrl), doneUrl: String(doneUrl) }
  }

  function submit(url: string, fields: Record<string, string>, headers = {}) {
    return fetch(url, { method: 'POST', body: new URLSearchParams(fields), headers })
  }

  async function csrfOf(url: string): Promise<string> {
    return /name="csrf" value="([\w-]+)"/.exec(await (await fetch(url)).text())?.[1] ?? ''
  }

  test('from the first question to the token, which comes once', async () => {
    const { loginUrl, doneUrl } = await begin({ 'user-agent': 'npm/12 <b>bold</b>' })
    expect(loginUrl).toStartWith(server.url)
    expect(doneUrl).toStartWith(server.url)
    const page = await fetch(loginUrl)
    const html = await page.text()
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(page.headers.get('cache-control')).toBe('no-store')
    expect(html).toContain('npm/12 &lt;b&gt;bold&lt;/b&gt;')
    expect(html).toContain('127.0.0.1')
    expect(html).not.toContain('<script')
    const waiting = await fetch(doneUrl)
    expect([waiting.status, waiting.headers.get('retry-after')]).toEqual([202, '1'])
    expect(await waiting.json()).toEqual({})
    const csrf = await csrfOf(loginUrl)
    const wrong = await submit(loginUrl, { name: 'ana', password: 'wrong password', csrf })
    expect(wrong.status).toBe(401)
    expect(await wrong.text()).toContain('role="alert">wrong password')
    expect((await fetch(doneUrl)).status).toBe(202)
    const done = await submit(loginUrl, { name: 'ana', password: PASSWORD, csrf })
    expect(done.status).toBe(200)
    expect(await done.text()).toContain('logged in as ana')
    const answer = await fetch(doneUrl)
    expect(answer.status).toBe(200)
    const token = await tokenIn(answer)
    expect(await server.whoami(token)).toBe('{"username":"ana"}')
    expect((await fetch(doneUrl)).status).toBe(404)
    expect((await fetch(loginUrl)).status).toBe(404)
    expect(server.everything()).not.toContain(token.slice(5))
  })

  test('the page does not tell what brings the token', async () => {
    const { loginUrl, doneUrl } = await begin()
    const session = new URL(doneUrl).searchParams.get('session') ?? ''
    expect(session).toHaveLength(32)
    expect(loginUrl + (await (await fetch(loginUrl)).text())).not.toContain(session)
    const page = loginUrl.slice(loginUrl.lastIndexOf('/') + 1)
    expect((await server.ask(`-/v1/done?session=${page}`)).status).toBe(404)
  })

  test('takes no form from elsewhere', async () => {
    const { loginUrl, doneUrl } = await begin()
    const fields = { name: 'ana', password: PASSWORD, csrf: await csrfOf(loginUrl) }
    const origin = new URL(server.url).origin
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ]) {
      expect((await submit(loginUrl, fields, headers)).status).toBe(403)
    }
    expect((await submit(loginUrl, { ...fields, csrf: 'x' }, { origin })).status).toBe(403)
    expect((await submit(loginUrl, { name: 'ana', password: PASSWORD })).status).toBe(403)
    const json = await fetch(loginUrl, { method: 'POST', body: JSON.stringify(fields) })
    expect(json.status).toBe(400)
    expect((await fetch(doneUrl)).status).toBe(202)
    const ours = { origin, 'sec-fetch-site': 'same-origin' }
    expect((await submit(loginUrl, fields, ours)).status).toBe(200)
  })

  test('is over after ten minutes', async () => {
    const { loginUrl, doneUrl } = await begin()
    const csrf = await csrfOf(loginUrl)
    server.pass(600)
    expect((await fetch(loginUrl)).status).toBe(404)
    expect((await fetch(doneUrl)).status).toBe(404)
    expect((await submit(loginUrl, { name: 'ana', password: PASSWORD, csrf })).status).toBe(404)
  })

  test('somebody who was disabled in between gets no token', async () => {
    const { loginUrl, doneUrl } = await begin()
    const csrf = await csrfOf(loginUrl)
    expect((await submit(loginUrl, { name: 'ana', password: PASSWORD, csrf })).status).toBe(200)
    await server.parts.accountAdmin.setUser('ana', { state: 'disabled' })
    expect((await fetch(doneUrl)).status).toBe(403)
    expect(await server.parts.accountAdmin.tokens()).toEqual([])
  })

  test('has a limit by address', async () => {
    const begun = await Promise.all(
      Array.from({ length: 31 }, () => server.ask('-/v1/login', { method: 'POST', body: '{}' })),
    )
    expect(begun.filter(({ status }) => status === 429)).toHaveLength(1)
  })

  test('works below a prefix', async () => {
    await using below = new AccountsServer({ prefix: '/npm' })
    const answer = await below.ask('-/v1/login', { method: 'POST', body: '{}' })
    const { loginUrl } = JSON.parse(await answer.text())
    expect(loginUrl).toStartWith(`${below.url}-/web/login/`)
    expect((await fetch(loginUrl)).status).toBe(200)
  })
})

describe('logout', () => {
  test('ends the token at once, and says nothing of it in the log', async () => {
    const token = await tokenIn(await server.legacyLogin('ana', PASSWORD))
    expect(await server.whoami(token)).toBe('{"username":"ana"}')
    const path = `-/user/token/${encodeURIComponent(token)}`
    expect((await server.ask(path, { method: 'DELETE' })).status).toBe(200)
    expect(await server.whoami(token)).toBe(401)
    expect((await server.ask(path, { method: 'DELETE' })).status).toBe(200)
    expect((await server.ask('-/user/token/npmx_other', { method: 'DELETE' })).status).toBe(200)
    expect((await server.ask('-/user/token/%E0%A4%A', { method: 'DELETE' })).status).toBe(400)
    expect(server.audit.page(1)).toMatchObject([{ actor: 'user:ana', action: 'token.revoke' }])
    expect(server.everything()).not.toContain(token.slice(5))
  })

  test('a failure of ours tells the log no token', async () => {
    const token = await tokenIn(await server.legacyLogin('ana', PASSWORD))
    server.db.database.run('DROP TABLE token')
    const path = `-/user/token/${token}`
    expect((await server.ask(path, { method: 'DELETE' })).status).toBe(500)
    expect(server.log).toContain('unexpected error')
    expect(server.log).not.toContain(token.slice(5))
  })
})
