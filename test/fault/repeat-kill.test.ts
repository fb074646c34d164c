/**
 * A request under an Idempotency-Key whose process is killed between the change and the answer, or
 * within the change, and that is sent again after a restart.
 * Goal: it is done exactly once. Either nothing happened and the repetition does it, or it happened
 * and the repetition is told so; in no case is there a second one, nor a second line of the trail.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { temporaryDir } from '../unit/db/data-dir.ts'
import { Served } from './publish-server.ts'

const SERVER = join(import.meta.dir, 'repeat-server.ts')
const Trail = Type.Object({ items: Type.Array(Type.Object({ action: Type.String() })) })

/** A POST that would do something twice, or that cannot be told from somebody else's. */
type Asked = { path: string; body: unknown; action: string }

let acme: FixtureRegistry

beforeAll(() => {
  acme = startFixtureRegistry({ seed: 'acme' })
})
afterAll(() => acme[Symbol.asyncDispose]())

function requests(): Asked[] {
  const { keyid } = acme.state.signer.published
  return [
    { path: 'tokens', action: 'token.create', body: { user: null, name: 'm', scopes: ['read'] } },
    // Waits for a queue before its change.
    { path: 'users', action: 'user.add', body: { name: 'ada', password: 'correct horse battery' } },
    // Asks another server before its change.
    {
      path: 'upstreams',
      action: 'upstream.add',
      body: { name: 'acme', url: acme.url, names: ['@acme/*'], confirm: [keyid] },
    },
    { path: 'server/key-rotations', action: 'key.rotate', body: {} },
  ]
}

async function killed(dataDir: string, where: string, { path, body }: Asked): Promise<void> {
  const args = [dataDir, where, path, 'the-key', JSON.stringify(body)]
  const command = [process.execPath, SERVER, ...args]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe', timeout: 30_000 })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  await child.exited
  expect({ out, err, signal: child.signalCode }).toEqual({ out: '', err: '', signal: 'SIGKILL' })
}

async function linesOf(served: Served, action: string): Promise<number> {
  const answer = await served.get('-/api/audit?limit=200')
  const { items } = Value.Parse(Trail, await answer.json())
  return items.filter(line => line.action === action).length
}

test.each(['begin', 'keep'])(
  'killed at %s: done once',
  async where => {
    for (const asked of requests()) {
      using dir = temporaryDir()
      await killed(dir.path, where, asked)
      await using served = await Served.on(dir.path)
      const before = await linesOf(served, asked.action)
      expect({ asked, before }).toEqual({ asked, before: where === 'begin' ? 0 : 1 })
      const headers = { 'idempotency-key': 'the-key' }
      const again = await served.post(asked.path, asked.body, headers)
      if (where === 'begin') expect([200, 201]).toContain(again.status)
      else {
        expect(again.status).toBe(409)
        expect(await again.text()).toContain('carried out already')
      }
      expect(await linesOf(served, asked.action)).toBe(1)
      const third = await served.post(asked.path, asked.body, headers)
      expect([200, 201, 409]).toContain(third.status)
      expect(await linesOf(served, asked.action)).toBe(1)
    }
  },
  120_000,
)
