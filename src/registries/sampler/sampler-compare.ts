/**
 * Is a package.json that of the manifest that was recorded? Differences that registries and
 * publishing programs make in good faith do not count:
 *
 * - `bin` tidied (`./x` to `x`, a text to an object, `directories.bin` to the files in it);
 * - optional dependencies copied into `dependencies`, `bundleDependencies: true` written out;
 * - `owner/repository` and `github:owner/repository` for the same thing;
 * - `install: node-gyp rebuild` where there is a binding.gyp: npm runs that by itself;
 * - `prepare`, which no client runs for a tarball of a registry;
 * - one operating system or processor as a text, the version with a `v` before it.
 *
 * Whatever else of the install-relevant projection (manifest.ts) differs is a difference: another
 * dependency, another script that runs. Everything outside of the projection is none. Both sides
 * are tidied alike, so that no honest habit of one can hide something from the other.
 * @module
 */
import { posix } from 'node:path'
import canonicalize from 'canonicalize'
import semver from 'semver'
import {
  asObject,
  type JsonObject,
  projectManifest,
  ProjectionError,
} from '../packument/manifest.ts'
import type { PackageInside } from './sampler-reader.ts'

/** The word on a manifest, and which fields differ. */
export type Comparison = { manifest: 'same' | 'honest' | 'different'; detail: string }

/** What a version is recorded as. @property projection its RFC 8785 text */
export type Claim = { name: string; version: string; projection: string }

/** Compares what is inside a tarball with what was recorded of it. */
export function compareInside(
  { name, version, projection }: Claim,
  inside: PackageInside,
): Comparison {
  const { manifest, paths } = inside
  const own = manifest['version']
  if (manifest['name'] !== name || (own !== version && cleaned(own) !== version)) {
    const said = `${String(manifest['name'])}@${String(own)}`.slice(0, 100)
    return { manifest: 'different', detail: `the package.json inside is that of ${said}` }
  }
  let found: string
  try {
    found = projectManifest(manifest, name)
  } catch (error) {
    if (!(error instanceof ProjectionError)) throw error
    return { manifest: 'different', detail: `the package.json inside: ${error.message}` }
  }
  if (found === projection) return { manifest: 'same', detail: '' }
  const [ours, theirs] = [tidied(projection, paths), tidied(found, paths)]
  const fields = [...new Set([...ours.keys(), ...theirs.keys()])].filter(
    field => ours.get(field) !== theirs.get(field),
  )
  if (fields.length === 0) return { manifest: 'honest', detail: '' }
  const which = fields.toSorted().join(', ')
  return { manifest: 'different', detail: `the package.json inside has other ${which}` }
}

function cleaned(version: unknown): string | null {
  return typeof version === 'string' ? semver.clean(version, true) : null
}

/** The fields of a projection in one form, as texts that can be compared. */
function tidied(projection: string, paths: ReadonlySet<string>): Map<string, string> {
  const fields = asObject(JSON.parse(projection)) ?? {}
  const optional = specs(fields['optionalDependencies'])
  const dependencies = { ...specs(fields['dependencies']), ...optional }
  const tidy = new Map<string, unknown>(Object.entries(fields))
  tidy.set('dependencies', dependencies)
  tidy.set('optionalDependencies', optional)
  tidy.set('peerDependencies', specs(fields['peerDependencies']))
  tidy.set('bundleDependencies', bundled(fields['bundleDependencies'], dependencies))
  tidy.set('bin', bins(fields, paths))
  tidy.delete('directories')
  tidy.set('os', list(fields['os']))
  tidy.set('cpu', list(fields['cpu']))
  tidy.set('libc', list(fields['libc']))
  tidy.set('scripts', scripts(asObject(fields['scripts']) ?? {}, paths))
  const texts = [...tidy].map(([field, value]): [string, string] => [
    field,
    canonicalize(value) ?? '',
  ])
  return new Map(texts.filter(([, text]) => text !== '' && text !== '{}' && text !== '[]'))
}

function specs(value: unknown): Record<string, unknown> {
  const entries = Object.entries(asObject(value) ?? {})
  return Object.fromEntries(entries.map(([name, spec]) => [name, tidySpec(spec)]))
}

function tidySpec(spec: unknown): unknown {
  return typeof spec === 'string' ? spec.trim().replace(/^github:/, '') : spec
}

function bundled(value: unknown, dependencies: JsonObject): unknown {
  if (value === true) return Object.keys(dependencies).toSorted()
  return Array.isArray(value) ? value.map(String).toSorted() : value
}

/** As npm-normalize-package-bin does it: names without folders, paths from the package's root. */
function bins(fields: JsonObject, paths: ReadonlySet<string>): Record<string, unknown> {
  const given = asObject(fields['bin'])
  if (given === undefined) return binsOfFolder(fields, paths)
  const entries = Object.entries(given).map(([name, path]): [string, unknown] => [
    name.replaceAll(/[\\:]/g, '/').replace(/^.*\//, ''),
    typeof path === 'string' ? rooted(path) : path,
  ])
  return Object.fromEntries(entries)
}

function binsOfFolder(fields: JsonObject, paths: ReadonlySet<string>): Record<string, unknown> {
  const folder = asObject(fields['directories'])?.['bin']
  if (typeof folder !== 'string') return {}
  const start = `${rooted(folder)}/`
  const below = [...paths].filter(path => path.startsWith(start) && !path.endsWith('/'))
  return Object.fromEntries(below.map(path => [path.replace(/^.*\//, ''), path]))
}

function rooted(path: string): string {
  return posix.join('/', path.replaceAll('\\', '/')).replace(/^\/+/, '').replace(/\/+$/, '')
}

function list(value: unknown): unknown {
  return typeof value === 'string' ? [value] : value
}

function scripts(given: JsonObject, paths: ReadonlySet<string>): Record<string, unknown> {
  const isImplied = given['install'] === 'node-gyp rebuild' && paths.has('binding.gyp')
  const kept = Object.entries(given).filter(
    ([name]) => name !== 'prepare' && !(name === 'install' && isImplied),
  )
  return Object.fromEntries(kept)
}
