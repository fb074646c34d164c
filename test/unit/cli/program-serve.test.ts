/**
 * `serve` around services that are played: what it prints, how it stops, what keeps it from
 * starting. The real services are tested through the binary.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Io, StopSignal } from '../../../src/cli/io.ts'
import { serve, type Build, type Serving } from '../../../src/cli/serve.ts'
import type { Config } from '../../../src/config.ts'
import { KeyFileError } from '../../../src/db/keys.ts'
import { LockedError } from '../../../src/db/lock.ts'
import { LogFatalError } from '../../../src/log/log.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'npmx-registry-serve-'))
afterAll(() => rmSync(FOLDER, { recursive: true }))

const CONFIG = join(FOLDER, 'npmx-registry.toml')
writeFileSync(CONFIG, '')

const FLAGS = { 'config': CONFIG, 'data-dir': FOLDER, 'listen': '127.0.0.1:6769' }

/** A shell that sends these signals as soon as the server says where it is. */
function fakeIo(signals: StopSignal[]) {
  const written = { out: '', err: '', exits: [] as number[] }
  let heard: (signal: StopSignal) => void = () => {}
  const io: Io = {
    out(text) {
      written.out += text
      for (const signal of signals) heard(signal)
    },
    err: text => void (written.err += text),
    errIsTty: false,
    onStop: listener => void (heard = listener),
    exit: code => void written.exits.push(code),
  }
  return { io, written }
}

function played(over: Partial<Serving> = {}) {
  const calls: string[] = []
  let config: Config | undefined
  const build: Build = async given => {
    config = given
    return {
      dataDirIsNew: true,
      logVkey: '127.0.0.1:6769/log+00000000+AAAA',
      logSize: 1,
      setupUrl: null,
      upstreams: [{ name: 'npm', url: 'https://registry.example/', signs: 'unknown' }],
      listen: () => void calls.push('listen'),
      [Symbol.asyncDispose]: async () => void calls.push('dispose'),
      ...over,
    }
  }
  return { build, calls, configured: () => config }
}

describe('serve', () => {
  test('prints what to paste, stops on SIGTERM and exits with 0', async () => {
    const { io, written } = fakeIo(['SIGTERM'])
    const { build, calls } = played()
    expect(await serve(FLAGS, { json: false }, io, build)).toBe(0)
    expect(calls).toEqual(['listen', 'dispose'])
    expect(written.exits).toEqual([])
    for (const line of [
      `data      ${FOLDER} (new)`,
      'log key   127.0.0.1:6769/log+00000000+AAAA',
      'upstream  npm https://registry.example/ (not asked yet)',
      'registry  http://127.0.0.1:6769/',
      'log       http://127.0.0.1:6769/-/sumdb/ (1 entry)',
      'npm config set registry http://127.0.0.1:6769/',
    ]) {
      expect(written.out).toContain(`  ${line}\n`)
    }
  })

  test('exits with 130 after SIGINT', async () => {
    const { io } = fakeIo(['SIGINT'])
    expect(await serve(FLAGS, { json: false }, io, played().build)).toBe(130)
  })

  test('--json says the same on one line', async () => {
    const { io, written } = fakeIo(['SIGTERM'])
    await serve(FLAGS, { json: true }, io, played().build)
    const told: unknown = JSON.parse(written.out)
    expect(told).toMatchObject({ registry: 'http://127.0.0.1:6769/', dataDir: FOLDER, logSize: 1 })
  })

  test('the link for the first admin is on stderr, or a field of the JSON', async () => {
    const setupUrl = 'http://127.0.0.1:6769/-/web/setup/secret'
    const text = fakeIo(['SIGTERM'])
    await serve(FLAGS, { json: false }, text.io, played({ setupUrl }).build)
    expect(text.written.err).toContain(`  ${setupUrl}\n`)
    expect(text.written.out).not.toContain(setupUrl)
    const json = fakeIo(['SIGTERM'])
    await serve(FLAGS, { json: true }, json.io, played({ setupUrl }).build)
    expect(JSON.parse(json.written.out)).toMatchObject({ setupUrl })
    expect(json.written.err).not.toContain(setupUrl)
    const none = fakeIo(['SIGTERM'])
    await serve(FLAGS, { json: false }, none.io, played().build)
    expect(none.written.err).not.toContain('no admin yet')
  })

  test('a second signal ends a stop that hangs', async () => {
    const { io, written } = fakeIo(['SIGINT', 'SIGINT'])
    const { build } = played({ [Symbol.asyncDispose]: () => new Promise(() => {}) })
    expect(await serve(FLAGS, { json: false }, io, build)).toBe(130)
    expect(written.exits).toEqual([130])
  })

  test('port 0 becomes a port that the public URL names', async () => {
    const { io } = fakeIo(['SIGTERM'])
    const { build, configured } = played()
    await serve({ ...FLAGS, listen: '127.0.0.1:0' }, { json: false }, io, build)
    const config = configured()
    expect(config?.listen.port).toBeGreaterThan(1023)
    expect(config?.publicUrl).toBe(`http://127.0.0.1:${config?.listen.port}/`)
  })

  test('what keeps it from starting exits with 2 and a sentence, and lets go of everything', async () => {
    const inUse = Object.assign(new Error('listen'), { code: 'EADDRINUSE' })
    const wrapped = new Error('no', { cause: Object.assign(new Error('x'), { code: 'EACCES' }) })
    for (const [error, sentence] of [
      [inUse, '127.0.0.1:6769 is in use'],
      [wrapped, 'not permitted'],
    ] as const) {
      const { io, written } = fakeIo([])
      const { build, calls } = played({ listen: () => Promise.reject(error) })
      expect(await serve(FLAGS, { json: false }, io, build)).toBe(2)
      expect(written.out).toBe('')
      expect(written.err).toContain(sentence)
      expect(calls).toEqual(['dispose'])
    }
  })

  test.each([
    [new LockedError(FOLDER, 4711), 2, 'pid 4711'],
    [new KeyFileError('damaged', 'keys/log.key', 'is damaged'), 2, 'keys/log.key: is damaged'],
    [new LogFatalError('contradiction', 'row 3 differs'), 4, 'row 3 differs'],
  ])('what services refuse: %s', async (refusal, code, sentence) => {
    const { io, written } = fakeIo([])
    const build: Build = () => Promise.reject(refusal)
    expect(await serve(FLAGS, { json: false }, io, build)).toBe(code)
    expect(written.err).toContain(sentence)
  })

  test('a fault of ours is not dressed as a fault of the configuration', async () => {
    const { io } = fakeIo([])
    const build: Build = () => Promise.reject(new Error('bug'))
    const result = serve(FLAGS, { json: false }, io, build)
    await expect(result).rejects.toThrow('bug')
  })
})
