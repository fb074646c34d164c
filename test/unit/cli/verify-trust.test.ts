/**
 * Whom `verify` trusts: the key, the remembered head, and what it does when the log lies about
 * them or cannot be asked at all.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryLog, testKey } from '../log/memory-log.ts'
import {
  BERRY,
  GOOD,
  NPM,
  project,
  removeProjects,
  run,
  runJson,
  smallLog,
  smallProject,
} from './verify-project.ts'
import { bytesOf, failure, fixtureLog, record, serveLog, VKEY } from './verify-server.ts'

afterAll(removeProjects)

describe('the key and the state', () => {
  test('first use: the key comes from the server, is said, and is remembered', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: GOOD })
    const first = await run(cwd, { url: server.url })
    expect(first.stdout).toContain(`first use and remembered; to pin it:\n  --key '${VKEY}'`)
    const { report } = await runJson(cwd, { url: server.url })
    expect(report.log).toMatchObject({ keyFrom: 'state', rememberedSize: 1, size: 1, vkey: VKEY })
    expect(server.asked.filter(path => path.endsWith('/vkey'))).toHaveLength(1)
  })

  test('another key: exit 4, with a file that holds the evidence', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: GOOD })
    const other = testKey(undefined, 'another seed').verifier.vkey
    const { code, report } = await runJson(cwd, { url: server.url, key: other })
    expect(code).toBe(4)
    expect(report).toMatchObject({ verdict: 'misbehaved', log: null, entries: [] })
    const evidence = readFileSync(report.misbehaviour.evidence, 'utf8')
    expect(evidence).toContain(other)
    expect(evidence).toContain('— registry.example/log ')
  })

  test('a log that changes its key after first use: exit 4', async () => {
    const cwd = smallProject({ integrity: GOOD })
    const leaf = record('left', '1.0.0', GOOD)
    let log = new MemoryLog([leaf])
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: request => proxy(request),
    })
    const proxy = async (request: Request) => {
      await using inner = serveLog(log)
      const response = await fetch(new URL(new URL(request.url).pathname, inner.url))
      return new Response(await response.bytes(), { status: response.status })
    }
    const url = `http://127.0.0.1:${server.port}/`
    expect((await run(cwd, { url })).code).toBe(0)
    log = new MemoryLog([leaf], testKey(undefined, 'another seed'))
    const { code, stdout } = await run(cwd, { url })
    expect(code).toBe(4)
    expect(stdout).toContain('THE LOG MISBEHAVED')
  })

  test('a fork of the remembered history: exit 4, both notes in the evidence', async () => {
    const cwd = smallProject({ integrity: GOOD })
    const state = join(cwd, 'state.json')
    const ours = [record('left', '1.0.0', GOOD), record('a', '1.0.0', GOOD)]
    const theirs = [...ours.slice(0, 1), record('b', '1.0.0', GOOD), record('c', '1.0.0', GOOD)]
    await using first = serveLog(new MemoryLog(ours))
    await using second = serveLog(new MemoryLog(theirs))
    expect((await run(cwd, { url: first.url, state, key: VKEY })).code).toBe(0)
    const before = readFileSync(state, 'utf8')
    const { code, report } = await runJson(cwd, { url: second.url, state, key: VKEY })
    expect(code).toBe(4)
    expect(report.misbehaviour.code).toBe('fork')
    const evidence = readFileSync(report.misbehaviour.evidence, 'utf8')
    expect(evidence).toContain(new MemoryLog(ours).note().trim().split('\n')[2] ?? '?')
    expect(evidence).toContain(new MemoryLog(theirs).note().trim().split('\n')[2] ?? '?')
    // What is remembered is still the history that was seen first.
    expect(readFileSync(state, 'utf8')).toBe(before)
  })

  test('growth, and an older head of the same history, are fine', async () => {
    const cwd = smallProject({ integrity: GOOD })
    const state = join(cwd, 'state.json')
    const log = smallLog()
    let head = 1
    await using server = serveLog(log, path =>
      path.endsWith('/checkpoint') ? new Response(log.note(head)) : undefined,
    )
    const sizes: [number, number | null][] = []
    for (head of [1, 2, 1]) {
      if (log.size < head) log.append(record('a', '1.0.0', GOOD))
      const { code, report } = await runJson(cwd, { url: server.url, state, key: VKEY })
      expect(code).toBe(0)
      sizes.push([report.log.size, report.log.rememberedSize])
    }
    expect(sizes).toEqual([
      [1, null],
      [2, 1],
      [2, 2],
    ])
  })

  test('a proof that does not fit: exit 4', async () => {
    await using server = serveLog(smallLog(), path => {
      const isTile = path.includes('/tile/')
      return isTile ? new Response(new Blob([new Uint8Array(32)])) : undefined
    })
    const cwd = smallProject({ integrity: GOOD })
    expect((await run(cwd, { url: server.url })).code).toBe(4)
    expect(readdirSync(cwd).some(name => name.startsWith('npmx-registry-evidence-'))).toBeTrue()
  })

  test('a state file that cannot be trusted: exit 2, and it is left as it is', async () => {
    await using server = serveLog(smallLog())
    const cwd = smallProject({ integrity: GOOD })
    const state = join(cwd, 'state.json')
    const entry = { url: server.url, vkey: VKEY, checkpoint: 'x', seen: 'x' }
    const states = [
      '',
      'null',
      '[]',
      '{"version":2,"logs":[]}',
      '{"version":1,"logs":[{}]}',
      JSON.stringify({ version: 1, logs: [entry] }),
      JSON.stringify({ version: 1, logs: [{ ...entry, vkey: 'x' }] }),
    ]
    for (const text of states) {
      writeFileSync(state, text)
      const { code, stderr } = await run(cwd, { url: server.url, state })
      expect(code).toBe(2)
      expect(stderr).toContain('state.json')
      expect(readFileSync(state, 'utf8')).toBe(text)
    }
  })

  test('keeps the logs of other registries', async () => {
    await using one = serveLog(smallLog())
    await using two = serveLog(
      new MemoryLog([record('left', '1.0.0', GOOD)], testKey(undefined, 'x')),
      path =>
        path.endsWith('/vkey') ? new Response(testKey(undefined, 'x').verifier.vkey) : undefined,
    )
    const cwd = smallProject({ integrity: GOOD })
    const state = join(cwd, 'state.json')
    for (const { url } of [one, two, one, two]) {
      expect((await run(cwd, { url, state })).code).toBe(0)
    }
    expect(JSON.parse(readFileSync(state, 'utf8')).logs).toHaveLength(2)
  })
})

describe('a log that cannot be asked', () => {
  test('no server: exit 3', async () => {
    const server = serveLog(smallLog())
    const { url } = server
    await server[Symbol.asyncDispose]()
    const { code, report } = await runJson(smallProject({ integrity: GOOD }), { url, key: VKEY })
    expect(code).toBe(3)
    expect(report).toMatchObject({ verdict: 'unreachable', log: null })
    expect(report.error).toContain('cannot read the checkpoint')
  })

  test('a registry without a log: exit 3 and a hint', async () => {
    await using server = serveLog(smallLog(), () => failure(404, 'not found'))
    const { code, stdout } = await run(smallProject({ integrity: GOOD }), { url: server.url })
    expect(code).toBe(3)
    expect(stdout).toContain('is it an npmx-registry?')
    await using odd = serveLog(smallLog(), () => new Response('<html>'))
    expect((await run(smallProject({ integrity: GOOD }), { url: odd.url })).code).toBe(3)
  })

  test('lookups that fail: exit 3 also beside findings; 4 outweighs both', async () => {
    const cwd = project(NPM)
    const log = fixtureLog()
    let lie = false
    await using server = serveLog(log, path => {
      if (path.endsWith('/ms@2.1.3')) return failure(404, 'gone')
      if (path.endsWith('/ms@2.1.2')) return failure(503, 'busy', { 'retry-after': '1' })
      if (lie && path.endsWith('/react@18.3.1')) return bytesOf(log.answer(0))
      return undefined
    })
    const { code, report } = await runJson(cwd, { url: server.url, key: VKEY })
    expect(code).toBe(3)
    expect(report.counts).toMatchObject({ failed: 1, missing: 1, verified: 13 })
    lie = true
    expect((await run(cwd, { url: server.url, key: VKEY })).code).toBe(4)
  })

  test('a tarball that cannot be had for --fetch: exit 3', async () => {
    await using server = serveLog(fixtureLog([BERRY]), path =>
      path.endsWith('.tgz') ? failure(403, 'blocked here') : undefined,
    )
    const { code, stdout } = await run(project(BERRY), { url: server.url, fetch: true })
    expect(code).toBe(3)
    expect(stdout).toContain('blocked here')
  })
})
