/**
 * The configuration file, `npmx-registry.toml` (TOML 1.0, https://toml.io/en/v1.0.0): reads it and
 * says where in it a key stands. Keys of a table are named with a dot: `[limits] a = 1` is
 * `limits.a`. It knows no setting: what the keys mean is `config.ts`'s part.
 * @module
 */
import { readFileSync, statSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { ConfigError } from './config-values.ts'

/** A settings file is a screen or two; more than this is not one. */
const FILE_BYTES_MAX = 64 * 1024

export type FileEntry = { key: string; value: unknown }

export type ConfigFile = {
  path: string
  entries: FileEntry[]
  /** `path:line:column` of a key. */
  where(key: string): string
}

/** Reads and parses; throws a ConfigError with path, line and column. */
export function readConfigFile(path: string): ConfigFile {
  const text = readText(path)
  const entries = parseEntries(text, path)
  return { path, entries, where: key => `${path}:${locate(text, key)}` }
}

function readText(path: string): string {
  try {
    const { size } = statSync(path)
    if (size > FILE_BYTES_MAX) {
      throw new ConfigError(`${path}: ${size} bytes are too many for a configuration file`)
    }
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${path}: cannot be read (${String(error)})`, { cause: error })
  }
}

function parseEntries(text: string, path: string): FileEntry[] {
  try {
    return flatten(parse(text), '')
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.replace(/\n\n/, '\n').trimEnd()
    throw new ConfigError(`${path}:${error.line}:${error.column}: ${reason}`, { cause: error })
  }
}

function flatten(table: object, prefix: string): FileEntry[] {
  return Object.entries(table).flatMap(([key, value]: [string, unknown]) =>
    isTable(value) ? flatten(value, `${prefix}${key}.`) : [{ key: `${prefix}${key}`, value }],
  )
}

function isTable(value: unknown): value is object {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

/**
 * `line:column` of a key of a text that is known to parse: the first line with which the text up
 * to there holds the key. A prefix that does not parse ends inside a value of several lines.
 */
function locate(text: string, key: string): string {
  const lines = text.split('\n')
  let first = 0
  for (let end = 1; end <= lines.length; end++) {
    const prefix = parsedPrefix(lines.slice(0, end).join('\n'))
    if (prefix === null) continue
    if (prefix.some(entry => entry.key === key)) {
      const word = key.slice(key.lastIndexOf('.') + 1)
      return `${first + 1}:${Math.max((lines[first] ?? '').indexOf(word), 0) + 1}`
    }
    first = end
  }
  return '1:1'
}

function parsedPrefix(text: string): FileEntry[] | null {
  try {
    return flatten(parse(text), '')
  } catch (error) {
    if (error instanceof TomlError) return null
    throw error
  }
}
