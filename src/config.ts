/**
 * The settings of the process: flags > environment (`NPMX_REGISTRY_*`) > `npmx-registry.toml` >
 * defaults. One table names every setting; flags, variables, keys of the file and `config dump`
 * are read off it. This is the only file that reads the environment. Upstreams, keys, policies and
 * accounts are no settings: they live in the database.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { readConfigFile, type ConfigFile } from './config-file.ts'
import {
  ConfigError,
  formatListen,
  localUrl,
  nearest,
  parseBaseUrl,
  parseAdminToken,
  parseFolder,
  parseListen,
  parseLogLevel,
  parseNetworks,
  parseRegistration,
  parseWebhookSecret,
  parseWebhookUrl,
  type Listen,
  type LogLevel,
  type Registration,
} from './config-values.ts'

export type Config = {
  listen: Listen
  /** Absolute. */
  dataDir: string
  /** What clients and links call this registry; ends in `/`. A path in it prefixes every route. */
  publicUrl: string
  /** Replaces the URL of the upstream `npm`; null: the field's own default, read at run time. */
  upstreamUrl: string | null
  logLevel: LogLevel
  /** Who may make an account by `npm login`. */
  registration: Registration
  /** Networks whose machines pass requests on, and say for whom. */
  trustedProxies: string[]
  /** Opens everything, without a person; null: there is none. */
  adminToken: string | null
  /** Told of each new incident; null: nobody is. */
  webhook: { url: string; secret: string } | null
}

/** What `config dump` shows of a setting: its value as text and where that came from. */
export type Resolved = { name: SettingName; value: string | null; origin: string }

export type LoadedConfig = {
  config: Config
  settings: Resolved[]
  /** The configuration file that was read, if there was one. */
  file: string | null
  /** Things that were passed over, each a line for people. */
  warnings: string[]
}

export type SettingName = keyof typeof SETTINGS

export type Flags = Partial<Record<SettingName | 'config', string | undefined>>

export type Environment = Readonly<Record<string, string | undefined>>

type Setting = {
  /** One line for people, in the documentation of the file and of the flags. */
  about: string
  /** Checks a text and brings it into the form that is used; `from` is where paths begin. */
  normal(text: string, from: string): string
  /** Never shown: only whether it is set. */
  secret?: true
}

/** One of the phone keypad's spellings of "npmx". */
export const DEFAULT_LISTEN = '127.0.0.1:6769'

const DEFAULT_LOG_LEVEL: LogLevel = 'info'
const DEFAULT_REGISTRATION: Registration = 'closed'

export const SETTINGS = {
  'listen': {
    about: 'address and port to listen on',
    normal: text => formatListen(parseListen(text)),
  },
  'data-dir': {
    about: 'folder of the database, the log and the keys',
    normal: parseFolder,
  },
  'public-url': {
    about: 'the URL that clients use; names the log at the first start',
    normal: parseBaseUrl,
  },
  'upstream': {
    about: "replaces the URL of the upstream 'npm'",
    normal: parseBaseUrl,
  },
  'log-level': {
    about: 'silent, error, warn, info or debug',
    normal: parseLogLevel,
  },
  'registration': {
    about: 'closed, or open: everybody may make an account',
    normal: parseRegistration,
  },
  'admin-token': {
    about: 'a token that may do everything, without a person',
    normal: parseAdminToken,
    secret: true,
  },
  'trusted-proxies': {
    about: 'networks of reverse proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,fd00::/8',
    normal: parseNetworks,
  },
  'webhook-url': {
    about: 'told of each new incident, by POST (Standard Webhooks)',
    normal: parseWebhookUrl,
    // Some services have what opens it in the path.
    secret: true,
  },
  'webhook-secret': {
    about: 'what its messages are signed with: whsec_ and base64, or 16 characters and more',
    normal: parseWebhookSecret,
    secret: true,
  },
} as const satisfies Record<string, Setting>

const ENV_PREFIX = 'NPMX_REGISTRY_'
const FILE_NAME = 'npmx-registry.toml'

/** What Kubernetes and Docker links put into the environment beside a service of our name. */
const INJECTED = /^NPMX_REGISTRY_(?:SERVICE_(?:HOST|PORT)|PORT)(?:_|$)/

/** For commands that follow other programs' variables: where npm's settings are, XDG folders. */
export function environment(): Environment {
  return process.env
}

export function loadConfig(flags: Flags = {}, env: Environment = environment()): LoadedConfig {
  const path = configPath(flags, env)
  const file = path === null ? null : readConfigFile(path)
  if (file !== null) refuseUnknownKeys(file)
  const settings = SETTING_NAMES.map(
    name => fromFlag(name, flags) ?? fromEnv(name, env) ?? fromFile(name, file) ?? absent(name),
  )
  const given = new Map(settings.map(({ name, value }) => [name, value]))
  const config = withDefaults(name => given.get(name) ?? null, env)
  return {
    config,
    settings: settings.map(setting => shown(setting, config)),
    file: file?.path ?? null,
    warnings: unknownVariables(env),
  }
}

const SETTING_NAMES = Object.keys(SETTINGS).filter(isSettingName)

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name)
}

/** Whether a setting is never shown. */
export function isSecret(name: SettingName): boolean {
  const setting: Setting = SETTINGS[name]
  return setting.secret === true
}

function variableOf(name: SettingName): string {
  return ENV_PREFIX + name.toUpperCase().replaceAll('-', '_')
}

function fromFlag(name: SettingName, flags: Flags): Resolved | null {
  const text = flags[name]
  return text === undefined ? null : resolved(name, text, `--${name}`, process.cwd())
}

/** A variable, or its `_FILE` twin that names a file with the value. An empty one is unset. */
function fromEnv(name: SettingName, env: Environment): Resolved | null {
  const variable = variableOf(name)
  const twin = `${variable}_FILE`
  const [text, path] = [env[variable] ?? '', env[twin] ?? '']
  if (text !== '' && path !== '') {
    throw new ConfigError(`${variable} and ${twin} are both set; one of them has to go`)
  }
  if (text !== '') return resolved(name, text, variable, process.cwd())
  return path === '' ? null : resolved(name, readTwin(path, twin), twin, process.cwd())
}

function readTwin(path: string, twin: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd()
  } catch (error) {
    throw new ConfigError(`${twin}: cannot be read (${String(error)})`, { cause: error })
  }
}

function fromFile(name: SettingName, file: ConfigFile | null): Resolved | null {
  const entry = file?.entries.find(({ key }) => key === name)
  if (file === null || entry === undefined) return null
  const origin = file.where(name)
  if (typeof entry.value !== 'string') {
    throw new ConfigError(`${origin}: ${name}: expected a text in quotes`)
  }
  return resolved(name, entry.value, origin, dirname(file.path))
}

function absent(name: SettingName): Resolved {
  return { name, value: null, origin: 'default' }
}

function resolved(name: SettingName, text: string, origin: string, from: string): Resolved {
  try {
    return { name, value: SETTINGS[name].normal(text, from), origin }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const place = origin.startsWith('--') || origin.startsWith(ENV_PREFIX) ? '' : ` ${name}:`
    throw new ConfigError(`${origin}:${place} ${error.message}`, { cause: error })
  }
}

function withDefaults(given: (name: SettingName) => string | null, env: Environment): Config {
  const listen = parseListen(given('listen') ?? DEFAULT_LISTEN)
  return {
    listen,
    dataDir: given('data-dir') ?? defaultDataDir(env),
    publicUrl: given('public-url') ?? localUrl(listen),
    upstreamUrl: given('upstream'),
    logLevel: parseLogLevel(given('log-level') ?? DEFAULT_LOG_LEVEL),
    registration: parseRegistration(given('registration') ?? DEFAULT_REGISTRATION),
    adminToken: given('admin-token'),
    trustedProxies: (given('trusted-proxies') ?? '').split(',').filter(each => each !== ''),
    webhook: webhookOf(given('webhook-url'), given('webhook-secret')),
  }
}

/** One is nothing without the other: an unsigned message could be anybody's. */
function webhookOf(url: string | null, secret: string | null): Config['webhook'] {
  if (url === null && secret === null) return null
  if (url === null) throw new ConfigError('webhook-secret is set, but no webhook-url')
  if (secret === null) throw new ConfigError('webhook-url is set, but no webhook-secret')
  return { url, secret }
}

function shown(setting: Resolved, config: Config): Resolved {
  const inUse = {
    'listen': formatListen(config.listen),
    'data-dir': config.dataDir,
    'public-url': config.publicUrl,
    'upstream': config.upstreamUrl,
    'log-level': config.logLevel,
    'registration': config.registration,
    'admin-token': config.adminToken === null ? null : 'set',
    'trusted-proxies': config.trustedProxies.join(',') || null,
    'webhook-url': config.webhook === null ? null : 'set',
    'webhook-secret': config.webhook === null ? null : 'set',
  } satisfies Record<SettingName, string | null>
  return { ...setting, value: inUse[setting.name] }
}

/** systemd's `StateDirectory=` (the first of several), else the XDG base directory for data. */
function defaultDataDir(env: Environment): string {
  const state = firstOf(env['STATE_DIRECTORY'])
  if (state !== null) return state
  return join(xdgFolder(env, 'XDG_DATA_HOME', '.local/share'), 'npmx-registry')
}

/** XDG base directories: a relative path in the variable is to be passed over (basedir-spec). */
function xdgFolder(env: Environment, variable: string, fallback: string): string {
  const folder = env[variable] ?? ''
  return isAbsolute(folder) ? folder : join(env['HOME'] || homedir(), fallback)
}

function firstOf(list: string | undefined): string | null {
  const first = (list ?? '').split(':')[0] ?? ''
  return isAbsolute(first) ? first : null
}

/** The file that is named, which must be there; else the first that is found at a usual place. */
function configPath(flags: Flags, env: Environment): string | null {
  const named = flags.config ?? (env[`${ENV_PREFIX}CONFIG`] || undefined)
  if (named !== undefined) return parseFolder(named, process.cwd())
  const folders = [
    firstOf(env['CONFIGURATION_DIRECTORY']),
    join(xdgFolder(env, 'XDG_CONFIG_HOME', '.config'), 'npmx-registry'),
    '/etc/npmx-registry',
  ]
  const places = folders.filter(folder => folder !== null).map(folder => join(folder, FILE_NAME))
  return places.find(place => existsSync(place)) ?? null
}

function refuseUnknownKeys(file: ConfigFile): void {
  const unknown = file.entries.find(({ key }) => !isSettingName(key))
  if (unknown === undefined) return
  const meant = nearest(unknown.key.replaceAll('_', '-').toLowerCase(), SETTING_NAMES)
  const advice =
    meant === undefined ? `known are ${SETTING_NAMES.join(', ')}` : `did you mean '${meant}'?`
  throw new ConfigError(`${file.where(unknown.key)}: unknown key '${unknown.key}'; ${advice}`)
}

/**
 * A misspelt variable is said, not refused: the environment is shared, and what a platform puts
 * there is not ours to forbid.
 */
function unknownVariables(env: Environment): string[] {
  const names = SETTING_NAMES.map(variableOf)
  const known = new Set([...names, ...names.map(name => `${name}_FILE`), `${ENV_PREFIX}CONFIG`])
  return Object.keys(env)
    .filter(name => name.startsWith(ENV_PREFIX) && !known.has(name) && !INJECTED.test(name))
    .map(name => {
      const meant = nearest(name, [...known])
      const advice = meant === undefined ? '' : `; did you mean ${meant}?`
      return `${name} is set but means nothing here${advice}`
    })
}
