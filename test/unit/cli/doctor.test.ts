import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { run } from '../../../src/cli/program.ts'
import { Instance } from '../../fixtures/instance.ts'
import { startFixtureRegistry } from '../../fixtures/registry.ts'
import { temporaryDir } from '../db/data-dir.ts'

const ReportShape = Type.Object({
  ok: Type.Boolean(),
  checks: Type.Array(
    Type.Object({ name: Type.String(), status: Type.String(), says: Type.String() }),
  ),
})

async function doctor(instance: Instance) {
  const out: string[] = []
  const args = ['doctor', '--json', '--data-dir', instance.dataDir, '--public-url', instance.url]
  const code = await run(args, {
    out: text => void out.push(text),
    err: () => undefined,
    errIsTty: false,
    onStop: () => undefined,
    exit: () => undefined,
  })
  const { ok, checks } = Value.Parse(ReportShape, JSON.parse(out.join('')))
  return { code, ok, found: new Map(checks.map(({ name, ...rest }) => [name, rest])) }
}

describe('doctor', () => {
  test('all is well, served or not', async () => {
    await using upstream = startFixtureRegistry({})
    await using instance = await Instance.start(upstream.url)
    await instance.packument('alpha')
    const served = await doctor(instance)
    expect(served).toMatchObject({ code: 0, ok: true })
    expect([...served.found.keys()]).toEqual([
      'data dir',
      'disk',
      'lock',
      'keys',
      'schema',
      'log',
      'clock',
      'upstream npm',
      'public URL',
    ])
    expect(served.found.get('lock')?.says).toContain(`${process.pid}`)
    expect(served.found.get('public URL')?.says).toContain('leads here')
    await instance.stop()
    const stopped = await doctor(instance)
    expect(stopped).toMatchObject({ code: 0, ok: true })
    expect(stopped.found.get('public URL')?.status).toBe('skipped')
    expect(stopped.found.get('lock')?.says).toContain('no server')
    await instance.restart()
  })

  test('each thing that is wrong is found, and named', async () => {
    await using upstream = startFixtureRegistry({})
    await using instance = await Instance.start(upstream.url)
    await instance.packument('alpha')
    await instance.stop()
    const at = (path: string) => join(instance.dataDir, path)
    const wrong: [string, string, () => void, () => void][] = [
      ['data dir', 'failed', () => chmodSync(at('.'), 0o755), () => chmodSync(at('.'), 0o700)],
      [
        'keys',
        'failed',
        () => chmodSync(at('keys/log.key'), 0o644),
        () => chmodSync(at('keys/log.key'), 0o600),
      ],
      [
        'data dir',
        'failed',
        () => mkdirSync(at('restoring')),
        () => rmSync(at('restoring'), { recursive: true }),
      ],
      [
        'log',
        'failed',
        () => sql('UPDATE log_state SET size = size - 1'),
        () => sql('UPDATE log_state SET size = size + 1'),
      ],
      [
        'schema',
        'failed',
        () => sql("UPDATE migration SET tag = tag || 'x' WHERE idx = 0"),
        () => sql("UPDATE migration SET tag = rtrim(tag, 'x') WHERE idx = 0"),
      ],
      [
        'upstream npm',
        'failed',
        () => sql("UPDATE upstream SET url = 'http://127.0.0.1:9/' WHERE name = 'npm'"),
        () => sql(`UPDATE upstream SET url = '${upstream.url}' WHERE name = 'npm'`),
      ],
      [
        'upstream npm',
        'warning',
        () => sql("UPDATE upstream_key SET state = 'pending' WHERE upstream = 'npm'"),
        () => sql("UPDATE upstream_key SET state = 'approved' WHERE upstream = 'npm'"),
      ],
    ]
    function sql(text: string): void {
      // A connection that checks nothing: an edited schema is one of the faults.
      const database = new Database(at('registry.db'))
      database.run(text)
      database.close()
    }
    for (const [name, status, breakIt, mend] of wrong) {
      breakIt()
      const { code, found } = await doctor(instance)
      expect({ name, ...found.get(name) }).toMatchObject({ name, status })
      expect(code).toBe(status === 'failed' ? 1 : 0)
      mend()
    }
    expect(await doctor(instance)).toMatchObject({ code: 0 })
    await instance.restart()
  })

  test('a public URL that leads to another registry', async () => {
    await using upstream = startFixtureRegistry({})
    await using one = await Instance.start(upstream.url)
    await using two = await Instance.start(upstream.url)
    const out: string[] = []
    const code = await run(['doctor', '--data-dir', one.dataDir, '--public-url', two.url], {
      out: text => void out.push(text),
      err: () => undefined,
      errIsTty: false,
      onStop: () => undefined,
      exit: () => undefined,
    })
    expect(code).toBe(1)
    expect(out.join('')).toContain('another registry')
  })

  test('a public URL that nobody configured, of a server that was started with flags', async () => {
    await using upstream = startFixtureRegistry({})
    await using one = await Instance.start(upstream.url)
    const out: string[] = []
    const nobody = 'http://127.0.0.1:9/'
    const code = await run(['doctor', '--data-dir', one.dataDir, '--public-url', nobody], {
      out: text => void out.push(text),
      err: () => undefined,
      errIsTty: false,
      onStop: () => undefined,
      exit: () => undefined,
    })
    expect(code).toBe(0)
    expect(out.join('')).toContain('name the URL with --public-url')
  })

  test('a folder that is no data dir', async () => {
    using place = temporaryDir()
    writeFileSync(join(place.path, 'x'), '')
    const quiet = { out: () => undefined, err: () => undefined, errIsTty: false }
    const io = { ...quiet, onStop: () => undefined, exit: () => undefined }
    expect(await run(['doctor', '--data-dir', place.path], io)).toBe(2)
  })
})
