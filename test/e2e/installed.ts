/**
 * What an install left behind, read in two ways that share nothing with the code under test: the
 * entries of the lockfile (name, version, hash), and the packages on disk with a digest of their
 * files. Two installs are the same when both are.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseSyml } from '@yarnpkg/parsers'
import { parse as parseJsonc } from 'jsonc-parser'
import { parse as parseYaml } from 'yaml'
import type { Client } from './clients.ts'

/** `name@version` -> integrity; yarn 4 has the checksum of its own archive there. */
export type LockEntries = Map<string, string>

/** Deeper than any client nests; a loop of links would go on for ever. */
const DEPTH_MAX = 40

export function lockEntries(client: Client, lockfile: string): LockEntries {
  switch (client) {
    case 'npm11':
    case 'npm12':
      return sorted(npmEntries(JSON.parse(lockfile)))
    case 'pnpm':
    case 'pnpm10':
      return sorted(pnpmEntries(parseYaml(lockfile)))
    case 'yarn1':
    case 'yarn4':
      return sorted(yarnEntries(parseSyml(lockfile)))
    case 'bun':
      return sorted(bunEntries(parseJsonc(lockfile, [], { allowTrailingComma: true })))
    default:
      return sorted(denoEntries(JSON.parse(lockfile)))
  }
}

/**
 * Packages that lie on disk: `name@version` -> SHA-256 over their files. Yarn 4 unpacks nothing,
 * so its archives stand for them, under their file names.
 */
export async function installedPackages(
  client: Client,
  dir: string,
  home: string,
): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  if (client === 'yarn4') await collectArchives(home, found, 0)
  else await collectPackages(join(dir, 'node_modules'), found, 0)
  return sorted(found)
}

function* npmEntries(lock: unknown): Generator<[string, string]> {
  for (const [path, entry] of entriesOf(field(lock, 'packages'))) {
    if (path === '') continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    yield [`${name}@${text(entry, 'version')}`, text(entry, 'integrity')]
  }
}

function* pnpmEntries(lock: unknown): Generator<[string, string]> {
  for (const [spec, entry] of entriesOf(field(lock, 'packages'))) {
    yield [spec, text(field(entry, 'resolution'), 'integrity')]
  }
}

function* yarnEntries(lock: unknown): Generator<[string, string]> {
  for (const [key, entry] of entriesOf(lock)) {
    const specifier = key.split(',')[0]?.trim() ?? ''
    if (key === '__metadata' || specifier.includes('@workspace:')) continue
    const name = specifier.slice(0, specifier.indexOf('@', 1))
    const hash = text(entry, field(entry, 'integrity') === undefined ? 'checksum' : 'integrity')
    yield [`${name}@${text(entry, 'version')}`, hash]
  }
}

function* bunEntries(lock: unknown): Generator<[string, string]> {
  for (const [, entry] of entriesOf(field(lock, 'packages'))) {
    if (!Array.isArray(entry)) throw new TypeError('bun.lock: a package is a list')
    yield [String(entry[0]), String(entry.at(-1))]
  }
}

function* denoEntries(lock: unknown): Generator<[string, string]> {
  for (const [spec, entry] of entriesOf(field(lock, 'npm'))) {
    yield [spec, text(entry, 'integrity')]
  }
}

async function collectArchives(dir: string, found: Map<string, string>, depth: number) {
  if (depth > DEPTH_MAX) return
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) await collectArchives(path, found, depth + 1)
    else if (entry.name.endsWith('.zip')) found.set(entry.name, digest([await readFile(path)]))
  }
}

/** Looks into node_modules folders, and into the stores that pnpm and deno keep inside them. */
async function collectPackages(dir: string, found: Map<string, string>, depth: number) {
  if (depth > DEPTH_MAX) return
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
    const path = join(dir, entry.name)
    if (!entry.isDirectory() || entry.name === '.bin') continue
    if (entry.name === '.pnpm' || entry.name === '.deno') {
      for (const each of await readdir(path)) {
        await collectPackages(join(path, each, 'node_modules'), found, depth + 1)
      }
    } else if (entry.name.startsWith('@')) await collectPackages(path, found, depth + 1)
    else await collectPackage(path, found, depth)
  }
}

async function collectPackage(path: string, found: Map<string, string>, depth: number) {
  const manifest = await readFile(join(path, 'package.json'), 'utf8').catch(() => null)
  if (manifest !== null) {
    const parsed: unknown = JSON.parse(manifest)
    const files = (await readdir(path, { withFileTypes: true, recursive: true }))
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .filter(file => !file.slice(path.length).includes('/node_modules/'))
      .toSorted()
    const parts = await Promise.all(files.map(file => readFile(file)))
    const names = Buffer.from(files.map(file => file.slice(path.length)).join('\n'))
    found.set(`${text(parsed, 'name')}@${text(parsed, 'version')}`, digest([names, ...parts]))
  }
  await collectPackages(join(path, 'node_modules'), found, depth + 1)
}

function digest(parts: Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length} `).update(part)
  return hash.digest('hex')
}

function sorted(entries: Iterable<[string, string]>): Map<string, string> {
  return new Map([...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object')
  return Object.entries(value)
}

function field(value: unknown, key: string): unknown {
  return new Map(entriesOf(value)).get(key)
}

function text(value: unknown, key: string): string {
  return String(field(value, key))
}
