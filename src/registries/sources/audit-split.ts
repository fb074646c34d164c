/**
 * npm's audits, cut into one question per registry: a registry is asked about the names that it
 * owns and is told no other, and what it says of others is not heard.
 *
 * Two forms exist: `{"<name>": ["<version>", ...]}` (npm 7 and later, pnpm) and the older tree of a
 * lockfile (yarn 1, older pnpm). In a tree, what belongs to another registry is taken out and its
 * own dependencies move up, so paths in an answer may be shorter than in the project.
 *
 * Pure: it asks nobody (passing.ts).
 * @module
 */
import { RegistryError } from '../errors.ts'

/** JSON objects as they come: null prototypes, for names are keys here. */
type Json = Map<string, unknown>

/** Deeper than any lockfile; a tree made to overflow the stack is deeper. */
const DEPTH_MAX = 200

/** What npm 6 and yarn 1 read of an answer's metadata. */
const NO_COUNTS: readonly [string, number][] = [
  ['dependencies', 0],
  ['devDependencies', 0],
  ['optionalDependencies', 0],
  ['totalDependencies', 0],
]
const SEVERITIES = ['info', 'low', 'moderate', 'high', 'critical']

/** The parts of an audit by the name of the registry to ask; '' for names that nobody owns. */
export type AuditParts = ReadonlyMap<string, string>

/** Cuts the question. @param ownerOf the registry of a name @throws RegistryError bad-request */
export function splitAudit(
  form: 'bulk' | 'tree',
  text: string,
  ownerOf: (name: string) => string,
): AuditParts {
  const question = parse(text)
  if (form === 'bulk') return splitBulk(question, ownerOf)
  const owners = new Set<string>()
  collectOwners(question, ownerOf, owners, 0)
  const parts = new Map<string, string>()
  for (const owner of owners) {
    parts.set(owner, JSON.stringify(plain(treeOf(question, name => ownerOf(name) === owner))))
  }
  return parts
}

/** Puts the answers of bulk audits together. @param owns whether a registry owns a name */
export function joinBulk(
  answers: ReadonlyMap<string, string>,
  owns: (registry: string, name: string) => boolean,
): string {
  const joined: Json = new Map()
  for (const [registry, text] of answers) {
    for (const [name, advisories] of parseAnswer(registry, text)) {
      if (owns(registry, name)) joined.set(name, advisories)
    }
  }
  return JSON.stringify(Object.fromEntries(joined))
}

/** Puts the answers of tree audits together: lists one after the other, counts added up. */
export function joinTrees(
  answers: ReadonlyMap<string, string>,
  owns: (registry: string, name: string) => boolean,
): string {
  const actions: unknown[] = []
  const muted: unknown[] = []
  const advisories: Json = new Map()
  const metadata: Json = new Map(NO_COUNTS)
  metadata.set('vulnerabilities', new Map(SEVERITIES.map(severity => [severity, 0])))
  for (const [registry, text] of answers) {
    const answer = parseAnswer(registry, text)
    for (const action of listOf(answer.get('actions'))) {
      if (owns(registry, textOf(asJson(action)?.get('module')))) actions.push(action)
    }
    muted.push(...listOf(answer.get('muted')))
    for (const [id, advisory] of asJson(answer.get('advisories')) ?? new Map()) {
      const name = textOf(asJson(advisory)?.get('module_name'))
      // Ids are each registry's own: the first one keeps its place, a second gets another.
      if (owns(registry, name))
        advisories.set(advisories.has(id) ? `${registry}:${id}` : id, advisory)
    }
    addCounts(metadata, asJson(answer.get('metadata')) ?? new Map())
  }
  return JSON.stringify({
    actions,
    advisories: Object.fromEntries(advisories),
    muted,
    metadata: plain(metadata),
  })
}

function splitBulk(question: Json, ownerOf: (name: string) => string): AuditParts {
  const parts = new Map<string, Json>()
  for (const [name, versions] of question) {
    const owner = ownerOf(name)
    const part = parts.get(owner) ?? new Map<string, unknown>()
    part.set(name, versions)
    parts.set(owner, part)
  }
  return new Map([...parts].map(([owner, part]) => [owner, JSON.stringify(plain(part))]))
}

function collectOwners(
  node: Json,
  ownerOf: (name: string) => string,
  owners: Set<string>,
  depth: number,
): void {
  assertDepth(depth)
  for (const [name, child] of asJson(node.get('dependencies')) ?? new Map()) {
    owners.add(ownerOf(name))
    const below = asJson(child)
    if (below !== undefined) collectOwners(below, ownerOf, owners, depth + 1)
  }
}

/** The tree of one registry. The project's own name and version go along only when it owns them. */
function treeOf(question: Json, isOwn: (name: string) => boolean): Json {
  const tree: Json = new Map(question)
  const name = question.get('name')
  if (typeof name === 'string' && !isOwn(name)) {
    tree.delete('name')
    tree.delete('version')
  }
  tree.set('requires', requiresOf(question.get('requires'), isOwn))
  for (const list of ['install', 'remove']) {
    if (!tree.has(list)) continue
    tree.set(
      list,
      listOf(tree.get(list)).filter(spec => isOwn(nameOfSpec(textOf(spec)))),
    )
  }
  const dependencies: Json = new Map()
  place(dependencies, question, isOwn, 0)
  tree.set('dependencies', dependencies)
  return tree
}

/** Puts the own dependencies of `node` into `into`; those of a foreign one move up beside them. */
function place(into: Json, node: Json, isOwn: (name: string) => boolean, depth: number): void {
  assertDepth(depth)
  for (const [name, child] of asJson(node.get('dependencies')) ?? new Map()) {
    const below = asJson(child) ?? new Map<string, unknown>()
    if (!isOwn(name)) {
      place(into, below, isOwn, depth + 1)
      continue
    }
    const kept: Json = new Map(below)
    if (kept.has('requires')) kept.set('requires', requiresOf(kept.get('requires'), isOwn))
    kept.delete('dependencies')
    const nested: Json = new Map()
    place(nested, below, isOwn, depth + 1)
    if (nested.size > 0) kept.set('dependencies', nested)
    put(into, name, kept)
  }
}

/** Two versions of one name that moved to the same place: the second goes below the first. */
function put(into: Json, name: string, node: Json): void {
  let level = into
  for (let at = level.get(name); at instanceof Map; at = level.get(name)) {
    const below: Json = at.get('dependencies') instanceof Map ? at.get('dependencies') : new Map()
    at.set('dependencies', below)
    level = below
  }
  level.set(name, node)
}

function requiresOf(requires: unknown, isOwn: (name: string) => boolean): unknown {
  const names = asJson(requires)
  if (names === undefined) return typeof requires === 'boolean' ? requires : new Map()
  return new Map([...names].filter(([name]) => isOwn(name)))
}

function addCounts(into: Json, counts: Json): void {
  for (const [key, value] of counts) {
    const before = into.get(key)
    const below = asJson(value)
    if (below !== undefined) {
      const sum: Json = before instanceof Map ? before : new Map()
      into.set(key, sum)
      // Severities: one level.
      for (const [name, count] of below) sum.set(name, numberOf(sum.get(name)) + numberOf(count))
    } else if (typeof value === 'number') into.set(key, numberOf(before) + value)
  }
}

function parse(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new RegistryError('bad-request', 'the audit is not JSON')
  }
  const object = asJson(value)
  if (object === undefined) throw new RegistryError('bad-request', 'the audit is no JSON object')
  return object
}

function parseAnswer(registry: string, text: string): Json {
  try {
    return parse(text)
  } catch (error) {
    const sentence = `${registry} answers an audit with something else`
    throw new RegistryError('upstream-bad-answer', sentence, {}, error)
  }
}

function asJson(value: unknown): Json | undefined {
  if (value instanceof Map) return value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return new Map<string, unknown>(Object.entries(value))
}

/** Maps as objects again, all the way down; what was never taken apart stays as it is. */
function plain(value: unknown): unknown {
  if (!(value instanceof Map)) return value
  return Object.fromEntries([...value].map(([key, below]) => [key, plain(below)]))
}

function nameOfSpec(spec: string): string {
  const at = spec.indexOf('@', 1)
  return at === -1 ? spec : spec.slice(0, at)
}

function assertDepth(depth: number): void {
  if (depth > DEPTH_MAX) throw new RegistryError('bad-request', 'the audit is nested too deeply')
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}
