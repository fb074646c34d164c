/**
 * Is the manifest that a publisher sent that of the package.json inside the tarball?
 *
 * Clients install by the manifest and run what the tarball holds: where the two differ, nobody who
 * reads the one has seen the other ("manifest confusion"). Compared is what an installation acts on
 * (`manifest.ts`), after what clients honestly tidy when they publish:
 *
 * - npm: `bin` as text or list, `./` in it, `directories.bin` spelled out; `bundledDependencies`,
 *   `true` and objects for it; what is optional taken out of `dependencies`; `node_modules/.bin/` in
 *   scripts; `node-gyp rebuild` for a package with a .gyp file; repositories named in another way.
 * - bun names a `bin` of a scoped package with its scope; yarn 1 leaves `directories` out.
 *
 * (npm: `@npmcli/package-json`, lib/normalize.js, prepareSteps.) Anything else is a difference.
 *
 * @module
 */
import { posix } from 'node:path'
import {
  type JsonObject,
  LIFECYCLE_SCRIPTS,
  projectManifest,
  WHOLE_FIELDS,
} from '../packument/manifest.ts'
import { unscopedName } from '../name.ts'
import { asRecord } from './publish-json.ts'

const GYP_SCRIPT = 'node-gyp rebuild'
const BIN_FOLDER = /^(?:\.[/\\])?node_modules[/\\].bin[\\/]/
const DEPENDENCY_FIELDS = ['dependencies', 'optionalDependencies', 'peerDependencies'] as const
/** All that is looked at, in the one or the other. */
const COMPARED_FIELDS = [...WHOLE_FIELDS, 'directories', 'scripts'] as const
/** The three hosts that npm spells out when it sees `user/repo`, and their short names. */
const HOSTS: ReadonlyMap<string, string> = new Map([
  ['github.com', 'github'],
  ['gitlab.com', 'gitlab'],
  ['bitbucket.org', 'bitbucket'],
])
const SHORT = /^(?:(github|gitlab|bitbucket):)?([\w.-]+)\/([\w.-]+?)(?:\.git)?(#.*)?$/
const LONG =
  /^(?:git\+)?(?:https?|ssh|git):\/\/(?:git@)?([\w.]+)[/:]([\w.-]+)\/([\w.-]+?)(?:\.git)?(#.*)?$/

export type PublishedPair = {
  name: string
  /** The package.json inside. */
  inside: JsonObject
  /** The manifest that was sent. */
  sent: JsonObject
  /** Paths of the tarball's files. */
  files: ReadonlySet<string>
}

/** The first install-relevant field in which they differ; undefined when there is none. */
export function differingField(pair: PublishedPair): string | undefined {
  const { name, files } = pair
  // What is the same to the letter is the same when it is tidied, and needs none of it.
  if (COMPARED_FIELDS.every(each => isSame(pair.inside[each], pair.sent[each]))) return undefined
  const inside = tidy(pair.inside, name, files)
  const sent = tidy(pair.sent, name, files)
  for (const field of new Set([...inside.keys(), ...sent.keys()])) {
    if (isSame(inside.get(field), sent.get(field))) continue
    const isEqual =
      projectOne(field, inside.get(field), name) === projectOne(field, sent.get(field), name)
    if (!isEqual && !isHonest(field, pair, sent)) return field
  }
  return undefined
}

/** To the letter, and in one order: less than equal, and told at once. */
function isSame(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

// Text of one tidied field, equal for equal values.
function projectOne(field: string, value: unknown, name: string): string {
  const [whole, part] = field.split('.', 2)
  const manifest = part === undefined ? { [field]: value } : { [whole ?? '']: { [part]: value } }
  return projectManifest(manifest, name)
}

function isHonest(field: string, pair: PublishedPair, sent: Map<string, unknown>): boolean {
  const { inside, files } = pair
  if (field === 'scripts.install') {
    const scripts = asRecord(inside['scripts']) ?? {}
    const hasOwn = scripts['install'] !== undefined || scripts['preinstall'] !== undefined
    const hasGyp = [...files].some(file => /^[^/]+\.gyp$/.test(file))
    return sent.get(field) === GYP_SCRIPT && !hasOwn && hasGyp && inside['gypfile'] !== false
  }
  // The bins in the folder are compared in any case.
  return field === 'directories.bin' && sent.get(field) === undefined
}

function tidy(manifest: JsonObject, name: string, files: ReadonlySet<string>) {
  const tidied = new Map<string, unknown>()
  for (const field of WHOLE_FIELDS) tidied.set(field, manifest[field])
  for (const field of DEPENDENCY_FIELDS) tidied.set(field, tidyRanges(manifest[field]))
  const optional = asRecord(manifest['optionalDependencies']) ?? {}
  const dependencies = Object.entries(asRecord(tidied.get('dependencies')) ?? {})
  tidied.set(
    'dependencies',
    Object.fromEntries(dependencies.filter(([each]) => !Object.hasOwn(optional, each))),
  )
  tidied.delete('bundledDependencies')
  tidied.set('bundleDependencies', tidyBundled(manifest))
  for (const field of ['os', 'cpu', 'libc', 'engines']) {
    const value = manifest[field]
    tidied.set(field, typeof value === 'string' && field !== 'engines' ? [value] : value)
  }
  const folder = asRecord(manifest['directories'])?.['bin']
  const binFolder = typeof folder === 'string' && folder !== '' ? tidyPath(folder) : undefined
  // The package's own folder is empty text here, which would pass for absent.
  tidied.set('directories.bin', binFolder === '' ? '.' : binFolder)
  tidied.set('bin', tidyBin(manifest['bin'], name) ?? binsIn(binFolder, files))
  const scripts = asRecord(manifest['scripts']) ?? {}
  for (const script of LIFECYCLE_SCRIPTS) {
    const command = scripts[script]
    const isText = typeof command === 'string'
    tidied.set(`scripts.${script}`, isText ? command.replace(BIN_FOLDER, '') : undefined)
  }
  return tidied
}

function tidyRanges(value: unknown): unknown {
  const ranges = asRecord(value)
  if (ranges === undefined) return value
  const kept = Object.entries(ranges).flatMap(([name, range]): [string, string][] =>
    typeof range === 'string' ? [[name, repositoryOf(range) ?? range]] : [],
  )
  return Object.fromEntries(kept)
}

/** `github:user/repo#ref`, however it was spelled; undefined for what is no such repository. */
function repositoryOf(range: string): string | undefined {
  const short = SHORT.exec(range)
  if (short !== null) {
    const [, host = 'github', user, repository, ref = ''] = short
    return `${host}:${user}/${repository}${ref}`
  }
  const [, domain = '', user, repository, ref = ''] = LONG.exec(range) ?? []
  const host = HOSTS.get(domain)
  return host === undefined ? undefined : `${host}:${user}/${repository}${ref}`
}

function tidyBundled(manifest: JsonObject): unknown {
  const value = manifest['bundleDependencies'] ?? manifest['bundledDependencies']
  if (value === true) return Object.keys(asRecord(manifest['dependencies']) ?? {}).toSorted()
  if (Array.isArray(value)) return value.map(textOf).toSorted()
  const keyed = asRecord(value)
  return keyed === undefined ? value : Object.keys(keyed).toSorted()
}

/** Text of what should be text: anything that JSON can hold has one. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function tidyBin(bin: unknown, name: string): Record<string, string> | undefined {
  if (typeof bin === 'string') return { [unscopedName(name)]: tidyPath(bin) }
  const pairs: [string, unknown][] = Array.isArray(bin)
    ? bin.map(each => [textOf(each), each])
    : Object.entries(asRecord(bin) ?? {})
  const tidied = pairs.flatMap(([key, target]): [string, string][] =>
    typeof target === 'string' ? [[posix.basename(tidyPath(key)), tidyPath(target)]] : [],
  )
  return tidied.length === 0 ? undefined : Object.fromEntries(tidied)
}

function binsIn(folder: string | undefined, files: ReadonlySet<string>) {
  if (folder === undefined) return undefined
  const start = folder === '' ? '' : `${folder}/`
  const below = [...files].filter(file => file.startsWith(start))
  const visible = below.filter(file => !file.slice(start.length).startsWith('.'))
  return Object.fromEntries(visible.map(file => [posix.basename(file), file]))
}

// As npm makes a path stay inside the package.
function tidyPath(path: string): string {
  const unix = path.replace(/\\|:/g, '/')
  return posix.join('/', unix).slice(1).replace(/\/$/, '')
}
