/**
 * The one-time link: works once, for this process alone, and never when there is an admin.
 */
import { expect, test } from 'bun:test'
import { setupLink } from '../../../src/routes/setup.ts'
import { AccountsServer, PASSWORD } from '../../fixtures/accounts.ts'

function submit(url: string, fields: Record<string, string>, headers = {}) {
  return fetch(url, { method: 'POST', body: new URLSearchParams(fields), headers })
}

const RIGHT = { name: 'root', password: PASSWORD, again: PASSWORD }

function begin(server: AccountsServer): string {
  const secret = server.parts.firstAdmin.begin()
  if (secret === null) throw new Error('there is an admin')
  return setupLink(server.url, secret)
}

test('makes the first admin, once', async () => {
  await using server = new AccountsServer()
  const url = begin(server)
  const page = await fetch(url)
  expect(page.status).toBe(200)
  expect(page.headers.get('content-security-policy')).toContain("form-action 'self'")
  expect(await page.text()).toContain('name="again"')
  for (const [wrong, said] of [
    [{ ...RIGHT, again: 'other' }, 'differ'],
    [{ ...RIGHT, password: 'short', again: 'short' }, 'characters'],
    [{ ...RIGHT, name: 'No Name' }, 'user name'],
  ] as const) {
    const answer = await submit(url, wrong)
    expect(answer.status).toBe(422)
    expect(await answer.text()).toContain(said)
  }
  expect((await submit(url, RIGHT, { origin: 'https://evil.example' })).status).toBe(403)
  expect((await submit(`${url}x`, RIGHT)).status).toBe(404)
  expect(await server.parts.accountAdmin.users()).toEqual([])
  const done = await submit(url, RIGHT)
  expect(done.status).toBe(201)
  expect(await done.text()).toContain(`npm login --registry ${server.url}`)
  expect(await server.parts.accountAdmin.user('root')).toMatchObject({ role: 'admin' })
  expect(server.audit.page(1)).toMatchObject([{ actor: 'setup', action: 'user.add' }])
  expect((await submit(url, { ...RIGHT, name: 'second' })).status).toBe(404)
  const over = await fetch(url)
  expect(over.status).toBe(404)
  expect(await over.text()).toContain('This link is over')
  expect(server.parts.firstAdmin.begin()).toBeNull()
  expect((await server.legacyLogin('root', PASSWORD)).status).toBe(201)
  expect(server.everything()).not.toContain(url.slice(-43))
})

test('of two at the same time one is made', async () => {
  await using server = new AccountsServer()
  const url = begin(server)
  const names = ['a', 'b', 'c']
  const answers = await Promise.all(names.map(name => submit(url, { ...RIGHT, name })))
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 404, 404])
  expect(await server.parts.accountAdmin.users()).toHaveLength(1)
})

test('a newer link takes the place of the one before', async () => {
  await using server = new AccountsServer()
  const [first, second] = [begin(server), begin(server)]
  expect((await fetch(first)).status).toBe(404)
  expect((await fetch(second)).status).toBe(200)
  await server.parts.accountAdmin.addUser({ name: 'cli', password: PASSWORD, role: 'admin' })
  expect((await fetch(second)).status).toBe(404)
  expect((await submit(second, RIGHT)).status).toBe(404)
})
