/**
 * The systemd unit, judged without a running systemd: by `systemd-analyze`, and by the system calls
 * that the program makes, each of which the unit's filter has to let through.
 */
import { describe, expect, test } from 'bun:test'
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programUnderTest } from '../e2e/server.ts'
import { startFixtureRegistry } from '../fixtures/registry.ts'

const UNIT = join(import.meta.dir, '../../deploy/npmx-registry.service')
/** Of 10, in tenths: systemd itself calls up to 2 "OK" and far less than that is not to be had. */
const EXPOSURE_TENTHS_MAX = 20
const READY_TIMEOUT_MS = 60_000
/** A user that owns nothing, as DynamicUser's. */
const NOBODY = 65_534

const analyze = Bun.which('systemd-analyze')
const strace = Bun.which('strace')
const text = readFileSync(UNIT, 'utf8')

function settings(name: string): string[] {
  return [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
}

function run(command: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: 'ignore' })
  return { exitCode, said: `${stdout.toString()}${stderr.toString()}` }
}

test('lets the just-in-time compiler work, stops in time, and is not restarted in vain', () => {
  expect(settings('MemoryDenyWriteExecute')).toEqual([])
  expect(Number(settings('TimeoutStopSec')[0])).toBeGreaterThan(10)
  expect(settings('RestartPreventExitStatus')).toEqual(['2 4'])
  expect(settings('ExecStart')).toEqual(['/usr/local/bin/npmx-registry serve'])
})

describe.if(analyze !== null)('systemd-analyze', () => {
  test('verify finds no fault', () => {
    const dir = mkdtempSync(join(tmpdir(), 'npmx-registry-unit-'))
    const path = join(dir, 'npmx-registry.service')
    // It asks whether the program is there, which it is after an installation.
    writeFileSync(path, text.replaceAll('/usr/local/bin/npmx-registry', process.execPath))
    expect(run(['systemd-analyze', 'verify', path])).toEqual({ exitCode: 0, said: '' })
    rmSync(dir, { recursive: true })
  })

  test(`security: at most ${EXPOSURE_TENTHS_MAX / 10}`, () => {
    const limit = `--threshold=${EXPOSURE_TENTHS_MAX}`
    const { exitCode, said } = run(['systemd-analyze', 'security', '--offline=yes', limit, UNIT])
    console.log(/Overall exposure level.*/.exec(said)?.[0])
    expect(exitCode).toBe(0)
  })

  /** The calls of a set, with those of the sets in it. */
  function callsOf(set: string): Set<string> {
    const { said } = run(['systemd-analyze', 'syscall-filter', '--no-pager', set])
    const words = said.split('\n').flatMap(line => /^ {4}([@a-z_0-9-]+)$/.exec(line)?.[1] ?? [])
    const calls = new Set<string>()
    for (const word of words) {
      if (!word.startsWith('@')) calls.add(word)
      else for (const call of callsOf(word)) calls.add(call)
    }
    return calls
  }

  function allowed(): Set<string> {
    const calls = new Set<string>()
    for (const value of settings('SystemCallFilter')) {
      const isDenied = value.startsWith('~')
      for (const set of value.replace('~', '').split(' ')) {
        for (const call of callsOf(set)) {
          if (isDenied) calls.delete(call)
          else calls.add(call)
        }
      }
    }
    return calls
  }

  test.if(strace !== null && process.getuid?.() === 0)(
    'each system call of the program is let through',
    async () => {
      await using upstream = startFixtureRegistry({})
      const dir = mkdtempSync(join(tmpdir(), 'npmx-registry-calls-'))
      const data = join(dir, 'data')
      mkdirSync(data, { mode: 0o700 })
      chownSync(data, NOBODY, NOBODY)
      Bun.spawnSync(['chmod', '711', dir])
      const calls = await callsOfProgram(dir, data, upstream.url)
      expect(calls.size).toBeGreaterThan(30)
      const filter = allowed()
      expect([...calls].filter(call => !filter.has(call))).toEqual([])
      rmSync(dir, { recursive: true })
    },
    60_000,
  )
})

/** Serves a packument and a tarball under strace, as a user without rights, and stops. */
async function callsOfProgram(dir: string, data: string, upstream: string): Promise<Set<string>> {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  const url = `http://127.0.0.1:${port}/`
  const trace = join(dir, 'trace')
  const serve = ['serve', '--listen', `127.0.0.1:${port}`, '--data-dir', data]
  const drop = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
  const program = [...(programUnderTest() ?? []), ...serve, '--upstream', upstream]
  const child = Bun.spawn(['strace', '-f', '-qq', '-o', trace, ...drop, ...program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '' },
  })
  const giveUpAt = performance.now() + READY_TIMEOUT_MS
  while (performance.now() < giveUpAt && child.exitCode === null) {
    const ready = await fetch(`${url}-/readyz`).catch(() => null)
    await ready?.body?.cancel()
    if (ready?.ok === true) break
    await Bun.sleep(50)
  }
  expect((await fetch(`${url}alpha`)).status).toBe(200)
  expect((await fetch(`${url}-/sumdb/lookup/alpha@1.0.0`)).status).toBe(200)
  const traced = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  process.kill(Number(traced), 'SIGTERM')
  await child.exited
  const lines = readFileSync(trace, 'utf8').split('\n')
  // What comes before the program itself is setpriv's, and systemd's own business.
  const start = lines.findIndex(line => line.includes('execve(') && !line.includes('setpriv'))
  return new Set(lines.slice(start).flatMap(line => /^\d+ +([a-z_0-9]+)\(/.exec(line)?.[1] ?? []))
}

test.if(analyze === null)('is skipped: there is no systemd-analyze', () => {
  console.log('test/container/systemd.test.ts: SKIPPED: systemd-analyze is not on this machine')
  expect(analyze).toBeNull()
})
