/**
 * The command line: usage, help and the small commands, as a shell meets them.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import type { Command } from 'commander'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { healthcheck } from '../../../src/cli/healthcheck.ts'
import type { Io } from '../../../src/cli/io.ts'
import { buildProgram, run } from '../../../src/cli/program.ts'
import { version } from '../../../src/version.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'npmx-registry-cli-'))
afterAll(() => rmSync(FOLDER, { recursive: true }))

/** A file of its own keeps the settings of whoever runs the tests out. */
const CONFIG = join(FOLDER, 'npmx-registry.toml')
writeFileSync(CONFIG, 'log-level = "warn"\n')

function fakeIo() {
  const written = { out: '', err: '' }
  const io: Io = {
    out: text => void (written.out += text),
    err: text => void (written.err += text),
    errIsTty: false,
    onStop() {},
    exit() {},
  }
  return { io, written }
}

async function shell(...args: string[]) {
  const { io, written } = fakeIo()
  return { code: await run(args, io), ...written }
}

function commandsBelow(command: Command): Command[] {
  return command.commands.flatMap(child => [child, ...commandsBelow(child)])
}

describe('usage', () => {
  test.each([
    [['srve'], '(Did you mean serve?)'],
    [['serve', '--lisen', '127.0.0.1:1'], '(Did you mean --listen?)'],
    [['serve', 'here'], 'too many arguments'],
    [['verify', '--format', 'xml'], 'Allowed choices are text, json, sarif'],
    [['log', 'fsk'], '(Did you mean fsck?)'],
    [['serve', '--listen'], 'argument missing'],
    [['config', 'dump', '--listen', 'x'], '--listen: expected an address and a port'],
    [['healthcheck', '--wait', 'soon'], "--wait: expected seconds up to 3600; got 'soon'"],
    [['healthcheck', '--listen', '127.0.0.1:0'], 'names no port'],
    [[], 'Usage: npmx-registry'],
  ])('a mistake exits with 2 and says what was meant: %j', async (args, expected) => {
    const { code, out, err } = await shell(...args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(expected)
  })

  test('--help prints to stdout and exits with 0', async () => {
    const { code, out, err } = await shell('--help')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toStartWith('Examples:\n  $ npmx-registry serve\n')
    for (const name of ['serve', 'verify', 'log', 'key', 'config', 'healthcheck', 'version']) {
      expect(out).toMatch(new RegExp(`^  ${name}\\b`, 'm'))
    }
  })

  test('every group of commands shows examples first, and no line of help is too long', async () => {
    const commands = commandsBelow(buildProgram(fakeIo().io, () => {}))
    const groups = commands.filter(({ commands: below }) => below.length > 0)
    expect(groups.length).toBeGreaterThanOrEqual(7)
    for (const command of groups) {
      const { out } = await shell(command.name(), '--help')
      expect(out).toStartWith(`Examples:\n  $ npmx-registry ${command.name()} `)
    }
    const { out } = await shell('verify', '--help')
    const [, description = ''] = out.split('[lockfile...]\n')
    expect(Math.max(...description.split('\n').map(line => line.length))).toBeLessThanOrEqual(80)
    expect(out).not.toContain('default: []')
  })

  test('every command that does something shows examples first and answers in JSON', async () => {
    const commands = commandsBelow(buildProgram(fakeIo().io, () => {}))
    const doing = commands.filter(({ commands: below }) => below.length === 0)
    expect(doing.length).toBeGreaterThanOrEqual(7)
    for (const command of doing) {
      const parent = command.parent?.parent === null ? [] : [command.parent?.name() ?? '']
      const { code, out } = await shell(...parent, command.name(), '--help')
      expect(code).toBe(0)
      expect(out).toStartWith(
        `Examples:\n  $ npmx-registry ${[...parent, command.name()].join(' ')}`,
      )
      expect(out).toContain('--json')
    }
  })
})

describe('small commands', () => {
  test('version', async () => {
    expect((await shell('--version')).out).toBe(`npmx-registry ${version}\n`)
    const { code, out } = await shell('version')
    expect(code).toBe(0)
    expect(out).toMatch(/^npmx-registry \S+ \(commit \S+, bun \d+\.\d+\.\d+\)\n$/)
    const told: unknown = JSON.parse((await shell('version', '--json')).out)
    expect(told).toMatchObject({ version, bun: Bun.version })
  })

  test('config dump can be kept as the configuration file', async () => {
    const args = [
      'config',
      'dump',
      '--config',
      CONFIG,
      '--listen',
      '127.0.0.1:1',
      '--data-dir',
      FOLDER,
    ]
    const { code, out } = await shell(...args, '--show-origin')
    expect(code).toBe(0)
    expect(out).toContain('address and port to listen on; from --listen\nlisten = "127.0.0.1:1"\n')
    expect(out).toContain(`from ${CONFIG}:1:1\nlog-level = "warn"\n`)
    expect(out).toContain('from default\n# upstream is not set\n')
    const kept = join(FOLDER, 'kept.toml')
    writeFileSync(kept, out)
    const plain = (await shell(...args)).out
    expect((await shell('config', 'dump', '--config', kept)).out).toBe(plain)
    expect(plain).not.toContain('from')
  })

  test('config dump --json', async () => {
    const { out } = await shell('config', 'dump', '--config', CONFIG, '--show-origin', '--json')
    const { settings }: { settings: unknown[] } = JSON.parse(out)
    expect(settings).toContainEqual({ name: 'log-level', value: 'warn', origin: `${CONFIG}:1:1` })
    expect(settings).toContainEqual({ name: 'upstream', value: null, origin: 'default' })
  })
})

describe('healthcheck', () => {
  const asked = { url: undefined, wait: '0', json: false }

  test('asks the configured address, below the path of the public URL', async () => {
    const seen: string[] = []
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch(request) {
        seen.push(new URL(request.url).pathname)
        return seen.length === 1 ? new Response('starting', { status: 503 }) : new Response('{}')
      },
    })
    const flags = { 'listen': `127.0.0.1:${server.port}`, 'public-url': 'https://x.example/npm' }
    const { io, written } = fakeIo()
    try {
      expect(await healthcheck(flags, asked, io)).toBe(1)
      expect(await healthcheck(flags, asked, io)).toBe(0)
      expect(await healthcheck({}, { ...asked, json: true, url: server.url.href }, io)).toBe(0)
    } finally {
      await server.stop(true)
    }
    expect(seen).toEqual(['/npm/-/readyz', '/npm/-/readyz', '/-/readyz'])
    expect(written.out).toStartWith('not ready: starting\nready\n{"status":"ready","url":')
    expect(await healthcheck(flags, asked, io)).toBe(3)
  })

  test('--wait asks until it is ready', async () => {
    let asks = 0
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () => new Response('', { status: ++asks < 3 ? 503 : 200 }),
    })
    const { io, written } = fakeIo()
    try {
      const flags = { listen: `127.0.0.1:${server.port}` }
      expect(await healthcheck(flags, { ...asked, wait: '5' }, io)).toBe(0)
    } finally {
      await server.stop(true)
    }
    expect(asks).toBe(3)
    expect(written.out).toBe('ready\n')
  })
})
