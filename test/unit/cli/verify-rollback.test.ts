/**
 * `verify` against a server that was brought back from an old copy of its data dir: the log shows a
 * smaller tree than the one it signed before, or goes on to sign another history.
 * @module
 */
import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Instance } from '../../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../../fixtures/registry.ts'
import { folder, removeProjects, run, runJson } from './verify-project.ts'

/** Each has a record or more: the tree grows when it is first asked for. */
const NAMES = ['one', 'two', 'three', 'four', 'five']

let upstream: FixtureRegistry
let instance: Instance

beforeEach(async () => {
  const packages = NAMES.map(name => ({ name, versions: [{ version: '1.0.0' }] }))
  upstream = startFixtureRegistry({ packages })
  instance = await Instance.start(upstream.url)
})
afterEach(async () => {
  await instance[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})
afterAll(removeProjects)

/** A project with these packages as the server has them now. */
async function projectOf(names: readonly string[]): Promise<string> {
  const cwd = folder()
  const packages: Record<string, unknown> = { '': {} }
  for (const name of names) {
    const { versions } = await instance.packument(name)
    const integrity = versions['1.0.0']?.dist.integrity
    packages[`node_modules/${name}`] = { version: '1.0.0', integrity }
  }
  writeFileSync(join(cwd, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }))
  return cwd
}

/** Puts an old copy of the data dir into its place, as a hand with `cp` does. */
async function rollBackTo(copy: string): Promise<void> {
  await instance.stop()
  rmSync(instance.dataDir, { recursive: true })
  cpSync(copy, instance.dataDir, { recursive: true })
  await instance.restart()
}

async function checkpointOf(): Promise<string> {
  return await (await instance.get('-/sumdb/checkpoint')).text()
}

test('a log that went back: exit 4 with both checkpoints, until what was seen is there again', async () => {
  await projectOf(['one', 'two'])
  const copy = join(folder(), 'copy')
  await instance.stop()
  cpSync(instance.dataDir, copy, { recursive: true })
  await instance.restart()
  const cwd = await projectOf(NAMES)
  const state = join(cwd, 'state.json')
  const options = { url: instance.url, state, key: instance.vkey }
  expect((await run(cwd, options)).code).toBe(0)
  const remembered = readFileSync(state, 'utf8')
  const before = await checkpointOf()
  await rollBackTo(copy)
  const now = await checkpointOf()
  const { code, report } = await runJson(cwd, options)
  expect(code).toBe(4)
  expect(report).toMatchObject({ verdict: 'misbehaved', misbehaviour: { code: 'rollback' } })
  expect(report.misbehaviour.message).toContain(
    `shows a tree of ${now.split('\n')[1]} and signed one of ${before.split('\n')[1]} before`,
  )
  const evidence = readFileSync(report.misbehaviour.evidence, 'utf8')
  for (const line of [...before.split('\n'), ...now.split('\n')]) expect(evidence).toContain(line)
  expect((await run(cwd, options)).stdout).toContain('THE LOG MISBEHAVED')
  expect(readFileSync(state, 'utf8')).toBe(remembered)
  // It goes on, and signs another history.
  for (const name of NAMES.toReversed()) await instance.packument(name)
  const forked = await runJson(cwd, options)
  expect(forked.code).toBe(4)
  expect(forked.report.misbehaviour.code).toMatch(/^(?:fork|bad-tile)$/)
})

test('an older checkpoint of a log that has what it signed is fine', async () => {
  await projectOf(['one'])
  const old = await checkpointOf()
  const cwd = await projectOf(NAMES)
  const state = join(cwd, 'state.json')
  await using cache = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const path = new URL(request.url).pathname
      if (path.endsWith('/checkpoint')) return new Response(old)
      const answer = await instance.get(path.slice(1))
      return new Response(await answer.bytes(), { status: answer.status })
    },
  })
  expect((await run(cwd, { url: instance.url, state, key: instance.vkey })).code).toBe(0)
  const url = `http://127.0.0.1:${cache.port}/`
  expect((await run(cwd, { url, state, key: instance.vkey })).code).toBe(0)
})
