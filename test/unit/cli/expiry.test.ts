/**
 * What ended long ago is forgotten by a server that runs, in the background and beside answering.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { run } from '../../../src/cli/program.ts'
import { Tokens, type TokenRow } from '../../../src/db/accounts.ts'
import { Audit } from '../../../src/db/audit.ts'
import { openRegistry, openRegistryReadonly } from '../../../src/db/open.ts'
import { TrustedPublishers } from '../../../src/db/trusted-publishers.ts'
import { timestamp } from '../../../src/registries/timestamp.ts'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { recordingIo } from './upstream-shell.ts'

const DAY_MS = 24 * 3_600_000
/** More than one step looks at. */
const OLD = 2500
const WAIT_MS_MAX = 10_000

const MadeShape = Type.Object({
  token: Type.Object({ id: Type.String() }),
  secret: Type.String(),
})
const ListShape = Type.Object({ tokens: Type.Array(Type.Object({ id: Type.String() })) })

const folder = mkdtempSync(join(tmpdir(), 'npmx-registry-expiry-'))
let open: FixtureRegistry
let instance: Instance

beforeAll(async () => {
  writeFileSync(join(folder, 'c.toml'), 'log-level = "silent"\n')
  open = startFixtureRegistry()
  instance = await Instance.start(open.url)
})
afterAll(async () => {
  await instance[Symbol.asyncDispose]()
  await open[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function shell(...args: string[]): Promise<unknown> {
  const written = { out: '', err: '' }
  const [group = '', command = '', ...rest] = args
  const where = ['--data-dir', instance.dataDir, '--config', join(folder, 'c.toml'), '--json']
  const code = await run([group, command, ...where, ...rest], recordingIo(written))
  expect({ code, err: written.err }).toMatchObject({ code: 0 })
  return JSON.parse(written.out)
}

async function listed(): Promise<string[]> {
  return Value.Parse(ListShape, await shell('token', 'list')).tokens.map(({ id }) => id)
}

function ago(days: number): string {
  return timestamp(new Date(Date.now() - days * DAY_MS))
}

/** A row that ended so many days ago. */
function row(id: string, ended: Partial<TokenRow>): TokenRow {
  return {
    id,
    hash: `hash of ${id}`,
    user: null,
    kind: 'granular',
    name: id,
    scopes: ['read'],
    packages: ['**'],
    orgs: null,
    readOnly: true,
    cidrs: [],
    view: null,
    created: ago(400),
    expires: null,
    lastUsed: null,
    revoked: null,
    ...ended,
  }
}

test('tokens and id tokens that ended long ago are forgotten, others and the trail stay', async () => {
  const args = ['--name', 'kept', '--scope', 'read', '--packages', '**']
  const made = Value.Parse(MadeShape, await shell('token', 'create', ...args))
  await instance.stop()
  const before = new Set<string>()
  let trail = 0
  {
    using db = openRegistry(instance.dataDir)
    const tokens = new Tokens(db)
    db.transaction(() => {
      for (let i = 0; i < OLD; i += 1) tokens.add(row(`old-${i}`, { expires: ago(31 + i / 10) }))
      for (let i = 0; i < OLD; i += 1) tokens.add(row(`gone-${i}`, { revoked: ago(31) }))
      tokens.add(row('lately', { expires: ago(29) }))
      tokens.add(row('lately-revoked', { expires: ago(-9), revoked: ago(29) }))
      tokens.add(row('later', { expires: ago(-1) }))
    })
    const publishers = new TrustedPublishers(db)
    // Whoever was used first has ended when the other comes.
    const seconds = Date.now() / 1000
    publishers.use('ended', seconds - 60, seconds - 120)
    publishers.use('live', seconds + 3600, seconds - 120)
    for (const { id } of tokens.list()) before.add(id)
    trail = new Audit(db).page(1000).length
  }
  expect(before.size).toBe(OLD + 3)
  expect(rows('oidc_use')).toBe(2)
  await instance.restart()
  const want = ['lately', 'later', made.token.id].toSorted()
  const until = Date.now() + WAIT_MS_MAX
  const kept = want.length + 1
  // Beside the server, which goes on with its steps.
  while (Date.now() < until && (rows('token') > kept || rows('oidc_use') > 1)) await Bun.sleep(20)
  expect((await listed()).toSorted()).toEqual(want)
  const known = await instance.get('-/whoami', { authorization: `Bearer ${made.secret}` })
  expect(known.status).toBe(200)
  await instance.stop()
  using db = openRegistry(instance.dataDir)
  const left = db.database.query<{ id: string }, []>('SELECT id FROM token').all()
  expect(left.map(({ id }) => id).toSorted()).toEqual([...want, 'lately-revoked'].toSorted())
  const used = db.database.query<{ id: string }, []>('SELECT id FROM oidc_use').all()
  expect(used).toEqual([{ id: 'live' }])
  expect(new Audit(db).page(1000).length).toBe(trail)
  await instance.restart()
})

function rows(table: 'token' | 'oidc_use'): number {
  using db = openRegistryReadonly(instance.dataDir)
  const sql = `SELECT count(*) AS rows FROM ${table}`
  return db.database.query<{ rows: number }, []>(sql).get()?.rows ?? -1
}
