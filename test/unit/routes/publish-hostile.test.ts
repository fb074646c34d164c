/**
 * Bad publish bodies and hostile tarballs through the front door of a whole instance: each is
 * refused with one line that a client can show, and leaves nothing behind: no file, no row, no leaf.
 *
 * @module
 */
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { givenToken, givenUser } from '../../fixtures/accounts.ts'
import { PACKAGE, VERSION } from '../../fixtures/honest-tarball.ts'
import { hostileTarballs } from '../../fixtures/hostile-tarballs.ts'
import { errorOf, Instance } from '../../fixtures/instance.ts'
import { badBodies } from '../../fixtures/publish-bodies.ts'
import { attachmentOf, FILE, publishBody, version } from '../../fixtures/publish-body.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'

/** The largest ones are tested without a server (publish-document.test.ts, test/slow). */
const BODY_BYTES_MAX = 4 * 1024 * 1024
/** What is shorter is no tarball for the document already. */
const TARBALL_BYTES_MIN = 20
const TIMEOUT_MS = 60_000
const WRITE_TABLES = ['hosted_package', 'hosted_version', 'leaf', 'audit']

let registry: FixtureRegistry
let instance: Instance
let authorization: string

beforeAll(async () => {
  registry = startFixtureRegistry()
  instance = await Instance.start(registry.url)
  await givenUser(instance, { name: 'roe' })
  const token = await givenToken(instance, { user: 'roe', scopes: ['read', 'publish'] })
  authorization = token.authorization
})

afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

function put(name: string, body: Uint8Array): Promise<Response> {
  return fetch(`${instance.url}${name.replace('/', '%2f')}`, {
    method: 'PUT',
    headers: { authorization, 'content-type': 'application/json' },
    body: new Uint8Array(body),
  })
}

function bodyOf(tarball: Uint8Array): Uint8Array {
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
  const shasum = createHash('sha1').update(tarball).digest('hex')
  const versions = { [VERSION]: version({ dist: { integrity, shasum } }) }
  const attachments = { [FILE]: attachmentOf(tarball) }
  return Buffer.from(JSON.stringify(publishBody({ versions, _attachments: attachments })))
}

/** All that a publish could leave: files of the data dir, rows of its tables, the log's head. */
async function state(): Promise<string> {
  const files = readdirSync(instance.dataDir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !/^(?:registry|cache|lock)\./.test(entry.name))
    .map(({ parentPath, name }) => `${name} ${statSync(join(parentPath, name)).size}`)
    .toSorted()
  using database = new Database(join(instance.dataDir, 'registry.db'), { readonly: true })
  const rows = WRITE_TABLES.map(table => {
    const found = database.query<{ count: number }, []>(`SELECT count(*) count FROM ${table}`)
    return `${table} ${found.get()?.count}`
  })
  const head = await (await instance.get('-/sumdb/checkpoint')).text()
  return [...files, ...rows, head].join('\n')
}

async function assertRefused(answer: Response, says: string): Promise<void> {
  const { error, code } = await errorOf(answer)
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.status).toBeLessThan(500)
  expect(answer.status).not.toBe(401)
  expect(code).not.toBe('')
  expect(error).toContain(says)
}

test(
  'bad bodies leave nothing',
  async () => {
    const before = await state()
    let asked = 0
    for (const { url, bytes, says } of badBodies()) {
      // What cannot stand in a URL is refused for its path.
      if (bytes.length > BODY_BYTES_MAX || url.length > 200 || url.split('/').length > 2) continue
      await assertRefused(await put(url, bytes), says)
      asked += 1
    }
    expect(asked).toBeGreaterThanOrEqual(300)
    expect(await state()).toBe(before)
  },
  TIMEOUT_MS,
)

test(
  'hostile tarballs leave nothing',
  async () => {
    const before = await state()
    let asked = 0
    for (const { bytes, says } of hostileTarballs()) {
      if (bytes.length > BODY_BYTES_MAX || bytes.length < TARBALL_BYTES_MIN) continue
      await assertRefused(await put(PACKAGE, bodyOf(bytes)), says)
      asked += 1
    }
    expect(asked).toBeGreaterThanOrEqual(200)
    expect(await state()).toBe(before)
  },
  TIMEOUT_MS,
)

test('and the honest one goes in', async () => {
  const before = await state()
  const answer = await put(PACKAGE, Buffer.from(JSON.stringify(publishBody())))
  expect(await answer.json()).toEqual({ ok: true, success: true })
  expect(answer.status).toBe(201)
  expect(await state()).not.toBe(before)
})
