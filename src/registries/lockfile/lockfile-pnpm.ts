/**
 * pnpm-lock.yaml, lockfileVersion 5.x, 6.x and 9.x (pnpm/spec, lockfile/{5.2,6.0,9.0}.md).
 *
 *     5.x   /react-dom/18.3.1_react@18.3.1:
 *     6.x   /react-dom@18.3.1(react@18.3.1):
 *     9.x   react-dom@18.3.1:
 *             resolution: {integrity: sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6B…}
 *
 * What does not come from a registry has `name` and `version` in the entry (5.x, 6.x) or a place
 * in its key (9.x). YAML aliases are refused: pnpm writes none. A file may hold several documents
 * (pnpm 11 keeps the package manager's own dependencies in the first): all are read.
 *
 * @module
 */
import { isAlias, isMap, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml'
import type { Document, Pair, YAMLMap } from 'yaml'
import {
  describeSource,
  LOCKFILE_TEXT_CHARS_MAX,
  LockfileError,
  notRegistryEntry,
  registryEntry,
  shown,
  splitLocator,
  unpinnedEntry,
  type Lockfile,
  type LockfileEntry,
} from './lockfile-entry.ts'
import { isVersion } from '../name.ts'

/** pnpm writes two at most. */
const DOCUMENTS_MAX = 8

type Generation = '5' | '6' | '9'
type Member = { key: string; line: number; integrityLine: number; value: Map<string, unknown> }

export function parsePnpmLockfile(text: string): Lockfile {
  const lines = new LineCounter()
  const documents = parseDocuments(text, lines)
  let version = ''
  const entries: LockfileEntry[] = []
  for (const document of documents) {
    const root = document.contents
    if (!isMap(root)) throw new LockfileError(1, 'is not a YAML map')
    version = readVersion(root)
    const generation = readGeneration(version)
    for (const member of readPackages(root, lines)) entries.push(readEntry(member, generation))
  }
  if (documents.length === 0) throw new LockfileError(1, 'is empty')
  return { format: 'pnpm', version, entries }
}

function parseDocuments(text: string, lines: LineCounter): Document[] {
  const documents = parseYaml(text, lines)
  if (documents.length > DOCUMENTS_MAX) throw new LockfileError(1, 'holds too many documents')
  for (const document of documents) {
    const [error] = document.errors
    if (error !== undefined) {
      const message = error.message.split('\n')[0] ?? ''
      throw new LockfileError(lines.linePos(error.pos[0]).line, `is not YAML: ${message}`)
    }
    visit(document, (_key, node) => {
      if (!isAlias(node)) return
      throw new LockfileError(lines.linePos(node.range?.[0] ?? 0).line, 'holds a YAML alias')
    })
  }
  return documents
}

function parseYaml(text: string, lines: LineCounter): Document[] {
  try {
    // Everything stays text: no number loses its zeros (`5.10`).
    const documents = parseAllDocuments(text, { lineCounter: lines, schema: 'failsafe' })
    return Array.isArray(documents) ? documents : []
  } catch (error) {
    // The parser is recursive: only a document that is nested far too deep makes it throw.
    throw new LockfileError(1, 'is nested too deep', error)
  }
}

function readVersion(root: YAMLMap): string {
  const version = root.get('lockfileVersion')
  return typeof version === 'string' ? version : ''
}

function readGeneration(version: string): Generation {
  const major = /^(5|6|9)\.\d{1,3}$/.exec(version)?.[1]
  if (major === '5' || major === '6' || major === '9') return major
  throw new LockfileError(1, `lockfileVersion ${shown(version)} is not 5.x, 6.x or 9.x`)
}

function readPackages(root: YAMLMap, lines: LineCounter): Member[] {
  const packages = root.get('packages')
  // A project without dependencies has none.
  if (packages === undefined || packages === null || packages === '') return []
  if (!isMap(packages)) throw new LockfileError(1, '"packages" is not a map')
  return packages.items.map(pair => readMember(pair, lines))
}

function readMember(pair: Pair, lines: LineCounter): Member {
  const { key, value } = pair
  const line = isScalar(key) ? lines.linePos(key.range?.[0] ?? 0).line : 1
  if (!isScalar(key) || typeof key.value !== 'string' || !isMap(value)) {
    throw new LockfileError(line, 'an entry of "packages" is not a map')
  }
  if (key.value.length > LOCKFILE_TEXT_CHARS_MAX) {
    throw new LockfileError(line, `a key of ${key.value.length} characters`)
  }
  const resolution = value.get('resolution')
  const integrity = isMap(resolution) ? resolution.get('integrity', true) : undefined
  const offset = isScalar(integrity) ? integrity.range?.[0] : undefined
  const integrityLine = offset === undefined ? line : lines.linePos(offset).line
  return { key: key.value, line, integrityLine, value: plainMap(value) }
}

/** Texts and the texts of maps inside, which is all that is read here. */
function plainMap(map: YAMLMap): Map<string, unknown> {
  const plain = new Map<string, unknown>()
  for (const { key, value } of map.items) {
    if (!isScalar(key) || typeof key.value !== 'string') continue
    if (isMap(value)) plain.set(key.value, plainMap(value))
    else if (isScalar(value)) plain.set(key.value, value.value)
  }
  return plain
}

function readEntry(member: Member, generation: Generation): LockfileEntry {
  const { key, line, integrityLine, value } = member
  const resolution = value.get('resolution')
  const fields = resolution instanceof Map ? resolution : new Map<string, unknown>()
  const located = locate(key, value, generation)
  if (located === undefined) throw new LockfileError(line, `${shown(key)} names no package`)
  const found = { name: located.name, version: located.version, key, line }
  if (located.place !== undefined) {
    return notRegistryEntry(found, describePlace(located.place, fields))
  }
  const integrity = textOf(fields, 'integrity')
  const pinned = { ...found, integrity, integrityLine, resolved: textOf(fields, 'tarball') }
  if (fields.has('type') || fields.has('directory') || fields.has('repo')) {
    const place = describePlace('', fields)
    return unpinnedEntry(pinned, `"resolution" ${place}, which its key does not say`)
  }
  return registryEntry(pinned)
}

type Located = { name: string; version: string; place?: string }

function locate(
  key: string,
  value: Map<string, unknown>,
  generation: Generation,
): Located | undefined {
  if (generation === '9') {
    const locator = splitLocator(withoutPeers(key))
    if (locator === undefined) return undefined
    const { name, rest } = locator
    if (isVersion(rest)) return { name, version: rest }
    return { name, version: textOf(value, 'version') ?? rest, place: rest }
  }
  const name = textOf(value, 'name')
  if (!key.startsWith('/') && (name !== undefined || /^(?:file|link):/.test(key))) {
    const version = textOf(value, 'version') ?? ''
    return { name: name ?? key, version, place: key }
  }
  // A registry other than the project's own stands before the first slash.
  const path = key.slice(key.indexOf('/') + 1)
  return generation === '6' ? locate6(path) : locate5(path)
}

function locate6(path: string): Located | undefined {
  const locator = splitLocator(withoutPeers(path))
  if (locator === undefined) return undefined
  return { name: locator.name, version: locator.rest }
}

function locate5(path: string): Located | undefined {
  const [first = '', second = '', third] = path.split('/')
  const scoped = first.startsWith('@')
  const name = scoped ? `${first}/${second}` : first
  // Peers follow the first underscore, which no version holds.
  const version = (scoped ? third : second)?.split('_')[0] ?? ''
  return version === '' ? undefined : { name, version }
}

function withoutPeers(text: string): string {
  const at = text.indexOf('(')
  return at === -1 ? text : text.slice(0, at)
}

function describePlace(place: string, resolution: Map<string, unknown>): string {
  const type = textOf(resolution, 'type')
  if (type === 'git' || resolution.has('repo')) return 'comes from git'
  if (type === 'directory') return 'is a local folder'
  const tarball = textOf(resolution, 'tarball')
  return describeSource(tarball ?? place)
}

function textOf(map: Map<string, unknown>, key: string): string | undefined {
  const value = map.get(key)
  return typeof value === 'string' && value.length <= LOCKFILE_TEXT_CHARS_MAX ? value : undefined
}
