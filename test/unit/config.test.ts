/**
 * Configuration: which of flags, environment, file and defaults wins, and what a mistake says.
 * @module
 */
import { afterAll, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig, type Environment, type Flags } from '../../src/config.ts'
import { readConfigFile } from '../../src/config-file.ts'
import {
  ConfigError,
  formatListen,
  localUrl,
  nearest,
  parseBaseUrl,
  parseListen,
} from '../../src/config-values.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'npmx-registry-config-'))
afterAll(() => rmSync(FOLDER, { recursive: true }))

/** An environment in which no file is found by itself. */
const BARE: Environment = { HOME: join(FOLDER, 'home'), XDG_CONFIG_HOME: join(FOLDER, 'none') }

function written(text: string, name = 'npmx-registry.toml'): string {
  const folder = mkdtempSync(join(FOLDER, 'file-'))
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

function load(flags: Flags = {}, env: Environment = {}) {
  return loadConfig(flags, { ...BARE, ...env })
}

function originOf(loaded: ReturnType<typeof load>, name: string): string | undefined {
  return loaded.settings.find(setting => setting.name === name)?.origin
}

describe('loadConfig()', () => {
  test('needs nothing', () => {
    const { config, settings, warnings, file } = load()
    expect(config).toEqual({
      listen: { host: '127.0.0.1', port: 6769 },
      dataDir: join(FOLDER, 'home', '.local/share/npmx-registry'),
      publicUrl: 'http://127.0.0.1:6769/',
      upstreamUrl: null,
      logLevel: 'info',
      registration: 'closed',
      trustedProxies: [],
      adminToken: null,
      webhook: null,
    })
    expect(settings.map(({ origin }) => origin)).toEqual(settings.map(() => 'default'))
    expect(warnings).toEqual([])
    expect(file).toBeNull()
  })

  test('takes a flag before the environment, that before the file, that before the default', () => {
    const config = written('listen = "127.0.0.1:1"\n')
    const env = { NPMX_REGISTRY_LISTEN: '127.0.0.1:2' }
    const all = load({ config, listen: '127.0.0.1:3' }, env)
    expect([all.config.listen.port, originOf(all, 'listen')]).toEqual([3, '--listen'])
    const two = load({ config }, env)
    expect([two.config.listen.port, originOf(two, 'listen')]).toEqual([2, 'NPMX_REGISTRY_LISTEN'])
    const one = load({ config })
    expect([one.config.listen.port, originOf(one, 'listen')]).toEqual([1, `${config}:1:1`])
    expect(originOf(load(), 'listen')).toBe('default')
  })

  test('takes every setting from a flag, a variable, a twin and the file alike', () => {
    const values = {
      'listen': '[::1]:80',
      'data-dir': join(FOLDER, 'data'),
      'public-url': 'https://npm.example/prefix/',
      'upstream': 'http://mirror.example/',
      'log-level': 'debug',
      'registration': 'open',
      'admin-token': 'an-admin-token-of-at-least-32-characters',
      'trusted-proxies': '10.0.0.0/8, 192.0.2.1',
      'webhook-url': 'https://hooks.example/npm',
      'webhook-secret': 'sixteen-characters-and-more',
    }
    const expected = {
      listen: { host: '::1', port: 80 },
      dataDir: join(FOLDER, 'data'),
      publicUrl: 'https://npm.example/prefix/',
      upstreamUrl: 'http://mirror.example/',
      logLevel: 'debug',
      registration: 'open',
      adminToken: 'an-admin-token-of-at-least-32-characters',
      trustedProxies: ['10.0.0.0/8', '192.0.2.1/32'],
      webhook: { url: 'https://hooks.example/npm', secret: 'sixteen-characters-and-more' },
    }
    const variables = Object.entries(values).map(([name, value]): [string, string] => [
      `NPMX_REGISTRY_${name.toUpperCase().replaceAll('-', '_')}`,
      value,
    ])
    const twins = variables.map(([name, value]): [string, string] => [
      `${name}_FILE`,
      written(`${value}\n`, 'secret'),
    ])
    const lines = Object.entries(values).map(([name, value]) => `${name} = "${value}"`)
    const file = written(lines.join('\n'))
    const ways = [
      load(values),
      load({}, Object.fromEntries(variables)),
      load({}, Object.fromEntries(twins)),
      load({ config: file }),
      load({}, { NPMX_REGISTRY_CONFIG: file }),
    ]
    for (const { config, warnings } of ways) {
      expect(JSON.stringify(config)).toBe(JSON.stringify(expected))
      expect(warnings).toEqual([])
    }
  })

  test('says of a secret only that it is set', () => {
    const token = 'an-admin-token-of-at-least-32-characters'
    const loaded = load({}, { NPMX_REGISTRY_ADMIN_TOKEN: token })
    expect(loaded.config.adminToken).toBe(token)
    expect(JSON.stringify(loaded.settings)).not.toContain(token)
    expect(originOf(loaded, 'admin-token')).toBe('NPMX_REGISTRY_ADMIN_TOKEN')
  })

  test('takes an empty variable for an unset one', () => {
    const env = { NPMX_REGISTRY_UPSTREAM: '', NPMX_REGISTRY_CONFIG: '', XDG_DATA_HOME: '' }
    expect(load({}, env).config).toEqual(load().config)
  })

  test.each<[string, Flags, Environment, string]>([
    ['a flag', { 'data-dir': 'here' }, {}, join(process.cwd(), 'here')],
    ['systemd', {}, { STATE_DIRECTORY: '/var/lib/a:/var/lib/b' }, '/var/lib/a'],
    [
      'the variable, before systemd',
      {},
      { STATE_DIRECTORY: '/var/lib/a', NPMX_REGISTRY_DATA_DIR: '/d' },
      '/d',
    ],
    ['XDG', {}, { XDG_DATA_HOME: '/xdg' }, '/xdg/npmx-registry'],
    [
      'XDG, relative and so passed over',
      {},
      { XDG_DATA_HOME: 'x' },
      '%/.local/share/npmx-registry',
    ],
  ])('finds the data dir by %s', (_, flags, env, expected) => {
    expect(load(flags, env).config.dataDir).toBe(expected.replace('%', join(FOLDER, 'home')))
  })

  test('finds the data dir without HOME', () => {
    const env = { XDG_CONFIG_HOME: join(FOLDER, 'none') }
    const expected = join(homedir(), '.local/share/npmx-registry')
    expect(loadConfig({}, env).config.dataDir).toBe(expected)
  })

  test('reads paths of the file from the folder of the file', () => {
    const config = written('data-dir = "data"\n')
    expect(load({ config }).config.dataDir).toBe(join(config, '../data'))
  })

  test('finds the file at its usual places, the service manager first', () => {
    const [service, user] = [join(FOLDER, 'service'), join(FOLDER, 'user/npmx-registry')]
    for (const folder of [service, user]) {
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'npmx-registry.toml'), 'log-level = "warn"\n')
    }
    const env = { XDG_CONFIG_HOME: join(FOLDER, 'user') }
    expect(load({}, env).file).toBe(join(user, 'npmx-registry.toml'))
    const both = { ...env, CONFIGURATION_DIRECTORY: service }
    expect(load({}, both).file).toBe(join(service, 'npmx-registry.toml'))
  })

  test('lets loopback stand for "every address" in the default public URL', () => {
    expect(load({ listen: '0.0.0.0:80' }).config.publicUrl).toBe('http://127.0.0.1/')
    expect(load({ listen: '[::]:81' }).config.publicUrl).toBe('http://[::1]:81/')
  })

  test('says which variable means nothing, and what was meant', () => {
    const { warnings } = load({}, { NPMX_REGISTRY_DATADIR: '/d', NPMX_REGISTRY_PORT_80_TCP: 'x' })
    expect(warnings).toEqual([
      'NPMX_REGISTRY_DATADIR is set but means nothing here; did you mean NPMX_REGISTRY_DATA_DIR?',
    ])
  })

  test('does not listen where PORT says: that variable is for whoever else runs here', () => {
    expect(load({}, { PORT: '3000' }).config.listen.port).toBe(6769)
  })
})

function mistake(flags: Flags, env: Environment = {}): string {
  try {
    load(flags, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(FOLDER, '')
    throw error
  }
  return 'none'
}

describe('a mistake says where it is and what was expected', () => {
  test.each([
    ['lissten = "127.0.0.1:1"', "2:1: unknown key 'lissten'; did you mean 'listen'?"],
    [
      'public_url = "https://x.example"',
      "2:1: unknown key 'public_url'; did you mean 'public-url'?",
    ],
    ['  zzz = 1', "2:3: unknown key 'zzz'; known are listen, data-dir"],
    ['[limits]\nfoo = 1', "3:1: unknown key 'limits.foo'; known are"],
    ['upstream = """\nhttps://a.example\n"""\nzzz = 1', "5:1: unknown key 'zzz'"],
    ['listen = 6769', '2:1: listen: expected a text in quotes'],
    ['listen = "6769"', '2:1: listen: expected an address and a port'],
    ['listen = ', '2:10: Invalid TOML document'],
    ['listen = "127.0.0.1:1"\nlisten = "127.0.0.1:2"', '3:1: Invalid TOML document'],
  ])('in the file: %s', (text, expected) => {
    expect(mistake({ config: written(`# settings\n${text}\n`) })).toContain(expected)
  })

  test.each<[Flags, Environment, string]>([
    [{ listen: 'x' }, {}, '--listen: expected an address and a port, as 127.0.0.1:6769'],
    [{}, { NPMX_REGISTRY_LISTEN: ':80' }, 'NPMX_REGISTRY_LISTEN: expected an address and a port'],
    [{ 'data-dir': '' }, {}, '--data-dir: expected the path of a folder'],
    [{ 'log-level': 'loud' }, {}, '--log-level: expected one of silent, error, warn, info, debug'],
    [{ upstream: 'npm.example' }, {}, '--upstream: expected a URL that begins with https://'],
    [{ config: '/nowhere/x.toml' }, {}, '/nowhere/x.toml: cannot be read'],
    [{}, { NPMX_REGISTRY_CONFIG: '/nowhere/x.toml' }, '/nowhere/x.toml: cannot be read'],
    [{}, { NPMX_REGISTRY_UPSTREAM_FILE: '/nowhere/u' }, 'NPMX_REGISTRY_UPSTREAM_FILE: cannot be'],
    [
      {},
      { NPMX_REGISTRY_UPSTREAM: 'http://a.example', NPMX_REGISTRY_UPSTREAM_FILE: '/nowhere/u' },
      'are both set',
    ],
  ])('elsewhere: %j %j', (flags, env, expected) => {
    expect(mistake(flags, env)).toContain(expected)
  })

  test('a password in a URL is refused and not repeated', () => {
    const told = mistake({ upstream: 'https://me:hunter2@mirror.example/' })
    expect(told).toContain('without a user name and password')
    expect(told).not.toContain('hunter2')
  })

  test.each(['too short for a secret', `${'x'.repeat(40)} y`, 'x'.repeat(1025)])(
    'an admin token that cannot be used is refused and not repeated: %p',
    token => {
      const told = mistake({}, { NPMX_REGISTRY_ADMIN_TOKEN: token })
      expect(told).toStartWith('NPMX_REGISTRY_ADMIN_TOKEN: expected')
      expect(told).not.toContain(token)
    },
  )

  test.each([
    [{ NPMX_REGISTRY_WEBHOOK_URL: 'https://hooks.example/' }, 'no webhook-secret'],
    [{ NPMX_REGISTRY_WEBHOOK_SECRET: 'sixteen-characters-and-more' }, 'no webhook-url'],
    [{ NPMX_REGISTRY_WEBHOOK_SECRET: 'hunter2' }, 'expected 16 to 256'],
    [{ NPMX_REGISTRY_WEBHOOK_URL: 'ftp://hooks.example/' }, 'https:// or http://'],
    [{ NPMX_REGISTRY_WEBHOOK_URL: 'https://me:hunter2@hooks.example/' }, 'without a user name'],
  ])('half a webhook, or none that can be used: %j', (env, expected) => {
    const told = mistake({}, env)
    expect(told).toContain(expected)
    expect(told).not.toContain('hunter2')
  })

  test('a file that is no settings file is not read', () => {
    expect(mistake({ config: written(`# ${'x'.repeat(70_000)}`) })).toContain('too many')
  })
})

describe('values', () => {
  test.each([
    '',
    '80',
    ':80',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    'a b:1',
    '::1:80',
    '-a:1',
  ])('parseListen() refuses %j', text => {
    expect(() => parseListen(text)).toThrow(ConfigError)
  })

  test('formatListen() and parseListen() are a pair', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())
    fc.assert(
      fc.property(host, fc.nat(65_535), (name, port) => {
        const text = formatListen({ host: name, port })
        fc.pre(URL.canParse(`http://${text}/`))
        const listen = parseListen(text)
        expect(parseListen(formatListen(listen))).toEqual(listen)
        expect(new URL(localUrl(listen)).port).toBe(port === 80 ? '' : String(port))
      }),
    )
  })

  test('parseBaseUrl() ends in a slash and changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.webUrl(), url => {
        const base = parseBaseUrl(url)
        expect(base).toEndWith('/')
        expect(parseBaseUrl(base)).toBe(base)
      }),
    )
  })

  test.each(['ftp://a.example/', 'a.example', 'http://a.example/?x', 'http://a.example/#', ''])(
    'parseBaseUrl() refuses %j',
    text => {
      expect(() => parseBaseUrl(text)).toThrow(ConfigError)
    },
  )

  test('nearest() suggests what is near and nothing else', () => {
    expect(nearest('lisen', ['listen', 'upstream'])).toBe('listen')
    expect(nearest('quux', ['listen', 'upstream'])).toBeUndefined()
  })

  test('where() names the line of every key of any file', () => {
    const key = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
    const value = fc.constantFrom('"x"', '1', '"""\n\na\n"""', '[\n  1,\n  2,\n]', 'true # c')
    fc.assert(
      fc.property(
        fc.uniqueArray(key, { maxLength: 6, minLength: 1 }),
        fc.infiniteStream(value),
        checkPlaces,
      ),
      { numRuns: 40 },
    )
  })
})

function checkPlaces(keys: string[], values: Iterable<string>): void {
  const source = values[Symbol.iterator]()
  const text = keys.map(name => `# ${name}\n${name} = ${String(source.next().value)}`).join('\n')
  const path = written(text)
  const found = readConfigFile(path)
  for (const name of keys) {
    const line = text.split('\n').findIndex(row => row.startsWith(`${name} = `)) + 1
    expect(found.where(name)).toBe(`${path}:${line}:1`)
  }
}
