/**
 * Which registry a project installs from, as npm's own settings say.
 *
 * In npm's order: the environment, the `.npmrc` of the project (the nearest one from the lockfile
 * upwards), the user's. Only `registry` and `@scope:registry` are looked at; tokens that stand
 * beside them are never read out. In values `${NAME}` is replaced from the environment, and
 * `${NAME?}` by nothing where `NAME` is not set there.
 *
 * @module
 */
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'ini'

/** A file of settings is a page; what is larger was named so by mistake. */
const NPMRC_BYTES_MAX = 1024 * 1024
/** Against a loop of mounts: no real path is so deep. */
const DEPTH_MAX = 256

const SCOPE_KEY = /^(@[^:/\s]+):registry$/
const VARIABLE = /(?<!\\)(\\*)\$\{([^${}?]+)(\?)?\}/g

/** A registry's URL, ending in a slash, and where it was read. */
export type ConfiguredRegistry = { url: string; source: string }

export type NpmSettings = {
  registry: ConfiguredRegistry | null
  /** By scope, as `@acme`. */
  scopes: ReadonlyMap<string, ConfiguredRegistry>
}

export type NpmSettingsInput = {
  /** Where the lockfile is. */
  dir: string
  /** The user's home; null when there is none. */
  home: string | null
  /** The environment, handed in by the one who reads it. */
  env: Readonly<Record<string, string | undefined>>
}

/** A setting that names no registry; the message says where it stands. */
export class NpmrcError extends Error {
  override readonly name = 'NpmrcError'
  readonly code = 'bad-npmrc'
}

/** Reads the settings that count for a directory. Throws NpmrcError for one that is unusable. */
export async function readNpmSettings(input: NpmSettingsInput): Promise<NpmSettings> {
  const scopes = new Map<string, ConfiguredRegistry>()
  let registry: ConfiguredRegistry | null = fromEnvironment(input.env)
  for (const file of await findFiles(input)) {
    const settings = parseNpmrc(file.text, input.env)
    registry ??= readUrl(settings.get('registry'), file.path)
    for (const [key, value] of settings) {
      const scope = SCOPE_KEY.exec(key)?.[1]
      if (scope === undefined || scopes.has(scope)) continue
      const configured = readUrl(value, file.path)
      if (configured !== null) scopes.set(scope, configured)
    }
  }
  return { registry, scopes }
}

/** The settings of one file, by key: texts only, later lines win, variables replaced. */
export function parseNpmrc(text: string, env: NpmSettingsInput['env']): Map<string, string> {
  const settings = new Map<string, string>()
  for (const [key, value] of Object.entries(parse(text))) {
    if (typeof value === 'string') settings.set(expand(key, env), expand(value, env))
  }
  return settings
}

function expand(text: string, env: NpmSettingsInput['env']): string {
  return text.replace(VARIABLE, (whole, slashes: string, name: string, orNothing?: string) => {
    // An odd number of backslashes before it takes the dollar sign for itself.
    if (slashes.length % 2 === 1) return whole.slice((slashes.length + 1) / 2)
    const value = env[name] ?? (orNothing === undefined ? `\${${name}}` : '')
    return slashes.slice(slashes.length / 2) + value
  })
}

/** npm takes its settings from variables in either case, small letters first. */
function variable(env: NpmSettingsInput['env'], key: string): string | undefined {
  const name = `npm_config_${key}`
  return env[name] ?? env[name.toUpperCase()]
}

function fromEnvironment(env: NpmSettingsInput['env']): ConfiguredRegistry | null {
  return readUrl(variable(env, 'registry'), 'npm_config_registry')
}

function readUrl(text: string | undefined, source: string): ConfiguredRegistry | null {
  if (text === undefined || text.trim() === '') return null
  if (text.includes('${')) {
    throw new NpmrcError(`${source}: registry uses a variable that is not set`)
  }
  const url = URL.parse(text.trim())
  // The text is not repeated: somebody may have put a password into it.
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new NpmrcError(`${source}: registry is not an http or https URL`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new NpmrcError(`${source}: registry carries a user name or password`)
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return { url: url.href, source }
}

/** The files that count, most important first. */
async function findFiles(input: NpmSettingsInput): Promise<{ path: string; text: string }[]> {
  const files: { path: string; text: string }[] = []
  let dir = resolve(input.dir)
  for (let depth = 0; depth < DEPTH_MAX && files.length === 0; depth += 1) {
    await addFile(files, join(dir, '.npmrc'))
    if (dirname(dir) === dir) break
    dir = dirname(dir)
  }
  const home = input.home === null ? undefined : join(input.home, '.npmrc')
  const user = variable(input.env, 'userconfig') ?? home
  if (user !== undefined && files[0]?.path !== user) await addFile(files, user)
  return files
}

async function addFile(files: { path: string; text: string }[], path: string): Promise<void> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  if (bytes.byteLength > NPMRC_BYTES_MAX) throw new NpmrcError(`${path} is too large for settings`)
  files.push({ path, text: new TextDecoder().decode(bytes) })
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return ['ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR'].includes(String(error.code))
}
