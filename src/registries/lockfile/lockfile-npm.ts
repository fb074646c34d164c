/**
 * package-lock.json and npm-shrinkwrap.json, lockfileVersion 1, 2 and 3
 * (npm/cli, docs/lib/content/configuring-npm/package-lock-json.md).
 *
 *     "node_modules/ms": {
 *       "version": "2.1.3",
 *       "resolved": "https://registry.example/ms/-/ms-2.1.3.tgz",
 *       "integrity": "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9x…"
 *     }
 *
 * Version 2 holds the tree twice, `packages` for npm 7 and later and `dependencies` for npm 6: an
 * entry of the second that is not in the first is read as well, since somebody installs it.
 *
 * @module
 */
import {
  asksRegistry,
  describeSource,
  LockfileError,
  notRegistryEntry,
  readAlias,
  registryEntry,
  unpinnedEntry,
  type Lockfile,
  type LockfileEntry,
} from './lockfile-entry.ts'
import { parseJsonDocument, type JsonMember, type JsonValue } from './lockfile-json.ts'

/** npm nests no deeper in practice; version 1 is a tree, and this reads it by recursion. */
const DEPTH_MAX = 200
const BUNDLED = 'is bundled inside its parent, whose hash covers it'
const MODULES = 'node_modules/'
const DEPENDENCY_FIELDS = [
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'peerDependencies',
]

export function parseNpmLockfile(text: string): Lockfile {
  const root = parseJsonDocument(text, false)
  const version = root.get('lockfileVersion')?.number()
  if (version !== 1 && version !== 2 && version !== 3) {
    throw new LockfileError(root.get('lockfileVersion')?.line ?? 1, 'lockfileVersion is not 1 to 3')
  }
  const packages = root.get('packages')
  const dependencies = root.get('dependencies')
  const entries = version === 1 || packages === undefined ? [] : readPackages(packages)
  if (version !== 3 && dependencies !== undefined) addTree(entries, readTree(dependencies, '', 0))
  if (version !== 1 && packages === undefined) throw new LockfileError(1, 'has no "packages"')
  return { format: 'npm', version: String(version), entries }
}

function readPackages(packages: JsonValue): LockfileEntry[] {
  if (!packages.isObject) throw new LockfileError(packages.line, '"packages" is not an object')
  const members = packages.members()
  const asked = collectSpecifications(members)
  const entries: LockfileEntry[] = []
  for (const member of members) {
    const at = member.key.lastIndexOf(MODULES)
    // The project itself, its workspaces and local folders: their links have entries of their own.
    if (at === -1 || (at !== 0 && member.key[at - 1] !== '/')) continue
    const installed = member.key.slice(at + MODULES.length)
    entries.push(readPackage(member, installed, asked.get(installed) ?? new Set()))
  }
  return entries
}

/** Everything that any package in the file asks for, by the name it is installed under. */
function collectSpecifications(members: JsonMember[]): Map<string, Set<string>> {
  const asked = new Map<string, Set<string>>()
  for (const { value } of members) {
    for (const field of DEPENDENCY_FIELDS) {
      for (const dependency of value.get(field)?.members() ?? []) {
        const before = asked.get(dependency.key) ?? new Set()
        before.add(dependency.value.string() ?? '')
        asked.set(dependency.key, before)
      }
    }
  }
  return asked
}

function readPackage(
  member: JsonMember,
  installed: string,
  asked: ReadonlySet<string>,
): LockfileEntry {
  const { key, line, value } = member
  if (!value.isObject) throw new LockfileError(line, 'an entry is not an object')
  const name = value.get('name')?.string() ?? installed
  const resolved = value.get('resolved')?.string() ?? ''
  const version = value.get('version')?.string() ?? ''
  const found = { name, version, key, line }
  if (value.get('link')?.isTrue() === true) return notRegistryEntry(found, 'is a link')
  const integrity = value.get('integrity')
  // What the project itself bundles is fetched like everything else.
  const isNested = key.lastIndexOf(MODULES) !== key.indexOf(MODULES)
  if (isNested && integrity === undefined && value.get('inBundle')?.isTrue() === true) {
    return notRegistryEntry(found, BUNDLED)
  }
  const pinned = { ...found, integrity: integrity?.string(), integrityLine: integrity?.line }
  const isWeb = /^https?:/.test(resolved)
  const isPlace = resolved !== '' && (!isWeb || asked.has(resolved))
  if (!isPlace) return registryEntry({ ...pinned, resolved })
  // A place that nothing in the file asks for was put there by hand: npm would install it.
  if ([...asked].every(asksRegistry)) {
    return unpinnedEntry(pinned, `"resolved" ${describeSource(resolved)}, which nothing asks for`)
  }
  return notRegistryEntry(found, describeSource(resolved))
}

function readTree(tree: JsonValue, path: string, depth: number): LockfileEntry[] {
  if (depth > DEPTH_MAX) throw new LockfileError(tree.line, 'is nested too deep')
  if (!tree.isObject) throw new LockfileError(tree.line, '"dependencies" is not an object')
  const entries: LockfileEntry[] = []
  for (const member of tree.members()) {
    const key = path === '' ? member.key : `${path} > ${member.key}`
    entries.push(readDependency({ ...member, key }, member.key))
    const inner = member.value.get('dependencies')
    if (inner !== undefined) entries.push(...readTree(inner, key, depth + 1))
  }
  return entries
}

function readDependency(member: JsonMember, installed: string): LockfileEntry {
  const { key, line, value } = member
  if (!value.isObject) throw new LockfileError(line, 'an entry is not an object')
  const text = value.get('version')?.string() ?? ''
  const alias = readAlias(text)
  const name = alias?.name ?? installed
  const version = alias?.rest ?? text
  const found = { name, version, key, line }
  const integrity = value.get('integrity')
  const isNested = key !== installed
  if (isNested && integrity === undefined && value.get('bundled')?.isTrue() === true) {
    return notRegistryEntry(found, BUNDLED)
  }
  if (!asksRegistry(version)) return notRegistryEntry(found, describeSource(version))
  return registryEntry({
    ...found,
    integrity: integrity?.string(),
    integrityLine: integrity?.line,
    resolved: value.get('resolved')?.string(),
  })
}

/** Adds what the second section holds and the first does not. */
function addTree(entries: LockfileEntry[], tree: LockfileEntry[]): void {
  const isTwofold = entries.length > 0
  const known = new Set(entries.map(identity))
  for (const entry of tree) {
    // Links and places are spelled in another way there, and are told once.
    if (isTwofold && (entry.kind === 'not-registry' || known.has(identity(entry)))) continue
    entries.push(entry)
  }
}

function identity(entry: LockfileEntry): string {
  const { name, version, integrity, sha1, resolved } = entry
  return `${name}@${version} ${integrity ?? sha1 ?? ''} ${resolved ?? ''}`
}
