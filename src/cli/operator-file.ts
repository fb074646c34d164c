/**
 * A file of what an operator wants, in TOML (https://toml.io/en/v1.0.0) or JSON, from a path or
 * from stdin: read, checked against a shape, and every fault told with its line and column. What
 * it means is the caller's.
 * @module
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Static, type TSchema, type TObject, TypeGuard } from '@sinclair/typebox'
import { Value, type ValueError } from '@sinclair/typebox/value'
import { findNodeAtLocation, parseTree } from 'jsonc-parser'
import { parse, TomlDate, TomlError } from 'smol-toml'
import { ConfigError, nearest } from '../config-values.ts'
import type { Input } from './upstream-input.ts'

/** A thousand rules and the upstreams of a large company fit many times. */
const FILE_BYTES_MAX = 4 * 1024 * 1024
/** Names stdin where a file is asked for. */
const STDIN = '-'
/** What a JSON text can begin with and a TOML text cannot. */
const JSON_START = /^\s*(?:\{|\[\s*(?:\{|\]))/

/** Where something stands: keys of tables, and places in arrays from 0. */
export type At = readonly (string | number)[]

/** A file that was read. @property folder what relative paths in it begin at */
export type OperatorFile = {
  value: unknown
  folder: string
  /** `path:line:column`. */
  where: (at: At) => string
}

/** Reads and parses. @throws ConfigError with path, line and column */
export async function readOperatorFile(path: string, input: Input): Promise<OperatorFile> {
  const text = path === STDIN ? await input.readAll() : readText(path)
  const name = path === STDIN ? 'stdin' : path
  const folder = path === STDIN ? process.cwd() : dirname(path)
  const isJson = JSON_START.test(text)
  const value = isJson ? parseJson(text, name) : parseToml(text, name)
  const offsetOf = isJson ? offsetInJson : offsetInToml
  return { value, folder, where: at => `${name}:${lineAndColumn(text, offsetOf(text, at))}` }
}

/** Checks a table or a list of a file. @throws ConfigError that names the line */
export function checked<Shape extends TSchema>(
  file: OperatorFile,
  shape: Shape,
  value: unknown,
  at: At = [],
): Static<Shape> {
  if (Value.Check(shape, value)) return value
  const [fault] = Value.Errors(shape, value)
  const inside = (fault?.path ?? '').split('/').slice(1).map(stepOf)
  const key = typeof inside.at(-1) === 'string' ? `${inside.at(-1)}: ` : ''
  throw new ConfigError(`${file.where([...at, ...inside])}: ${key}${faultText(fault)}`)
}

/** What is expected: of a choice of words, the words, and which of them was meant. */
function faultText(fault: ValueError | undefined): string {
  if (fault === undefined) return 'is not right'
  const { schema, value, message } = fault
  const words = TypeGuard.IsUnion(schema)
    ? schema.anyOf.flatMap(each => (TypeGuard.IsLiteralString(each) ? [each.const] : []))
    : []
  if (words.length === 0) return message
  const meant = typeof value === 'string' ? nearest(value, words) : undefined
  const hint = meant === undefined ? '' : `; did you mean '${meant}'?`
  return `expected ${words.join(', ')}${hint}`
}

/** Refuses keys that the shape does not have. @throws ConfigError with what may have been meant */
export function checkKeys(file: OperatorFile, shape: TObject, value: unknown, at: At): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(`${file.where(at)}: expected a table`)
  }
  const known = Object.keys(shape.properties)
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue
    const meant = nearest(key, known)
    const hint =
      meant === undefined ? `; known are ${known.join(', ')}` : `; did you mean '${meant}'?`
    throw new ConfigError(`${file.where([...at, key])}: unknown key '${key}'${hint}`)
  }
}

function readText(path: string): string {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) throw new ConfigError(`${path}: too large`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${path}: cannot be read (${String(error)})`, { cause: error })
  }
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ConfigError(`${name}: is not JSON (${String(error)})`, { cause: error })
  }
}

function parseToml(text: string, name: string): unknown {
  try {
    return withoutDates(parse(text))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.replace(/\n\n/, '\n').trimEnd()
    throw new ConfigError(`${name}:${error.line}:${error.column}: ${reason}`, { cause: error })
  }
}

/** Dates as the text that JSON has in their place. */
function withoutDates(value: unknown): unknown {
  if (value instanceof TomlDate) {
    const isInstant = value.isDateTime() && !value.isLocal()
    return isInstant ? new Date(value.getTime()).toISOString() : value.toISOString()
  }
  if (Array.isArray(value)) return value.map(withoutDates)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutDates(each)]))
}

function stepOf(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text
}

function offsetInJson(text: string, at: At): number {
  const root = parseTree(text)
  if (root === undefined) return 0
  for (let length = at.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(root, at.slice(0, length))
    if (node === undefined) continue
    return node.parent?.type === 'property' ? node.parent.offset : node.offset
  }
  return root.offset
}

/**
 * Where a key of the n-th `[[table]]` stands. What is written in other ways (inline, dotted) is
 * found as its table, or as the first line that has the word.
 */
function offsetInToml(text: string, at: At): number {
  const [table = '', place, key] = at
  const headers = [...text.matchAll(/^[ \t]*\[\[[ \t]*([\w-]+)[ \t]*\]\]/gm)]
  const header = headers.filter(each => each[1] === table)[typeof place === 'number' ? place : 0]
  const start = header?.index ?? 0
  const end = headers.find(each => each.index > start)?.index ?? text.length
  const word = String(key ?? (header === undefined ? table : ''))
  if (word === '') return start
  const escaped = word.replaceAll(/[^\w-]/g, String.raw`\$&`)
  const line = new RegExp(`^[ \\t]*(?:\\[+[ \\t]*)?["']?${escaped}["']?[ \\t]*[=.\\]]`, 'm')
  const found = line.exec(text.slice(start, end))
  return found === null ? start : start + found.index
}

function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset)
  const indent = /^[ \t]*/.exec(text.slice(offset))?.[0].length ?? 0
  const column = offset - before.lastIndexOf('\n') + indent
  return `${before.split('\n').length}:${column}`
}
