/**
 * The install-relevant projection of a manifest: what the log commits to beside the tarball's hash,
 * because registry signatures do not cover it and clients act on it (they install the packument's
 * dependencies, link its bins and, some of them, run its scripts). CONTRACT, "The record".
 *
 * A projection is the RFC 8785 text of an object with these members and no others:
 *
 *     dependencies optionalDependencies peerDependencies peerDependenciesMeta
 *     bundleDependencies bin directories.bin engines os cpu libc
 *     scripts.preinstall scripts.install scripts.postinstall scripts.prepare
 *
 * - Absent, `null`, `false`, `""`, `[]` and `{}` are equal: a member with such a value is left out,
 *   and so are `scripts` and `directories` when nothing of theirs is left. Inside a member values
 *   stand as they came, of whatever type (old manifests hold `engines` as an array).
 * - `bundledDependencies` is another spelling of `bundleDependencies`; where a manifest has both and
 *   they differ, each stands under its own name.
 * - `bin` as text is `{<name without scope>: <text>}`.
 *
 * No judgement here on whether a projection is good, and no reading of tarballs.
 *
 * @module
 */
import canonicalize from 'canonicalize'
import { sha256 } from '#hash'
import { encodeText } from '../../log/text.ts'
import { unscopedName } from '../name.ts'

export type JsonObject = { readonly [key: string]: unknown }

/** Members that are projected whole, under their own name. */
export const WHOLE_FIELDS = [
  'dependencies',
  'optionalDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'bundleDependencies',
  'bundledDependencies',
  'bin',
  'engines',
  'os',
  'cpu',
  'libc',
] as const
/** Scripts that an installation runs. */
export const LIFECYCLE_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare'] as const
/** Scripts whose presence an abbreviated manifest must tell (`prepare` runs for git only). */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'] as const

/** Why a manifest has no projection: it holds text or numbers that RFC 8785 cannot write. */
export class ProjectionError extends Error {
  override readonly name = 'ProjectionError'
  readonly code = 'bad-projection'
}

/** The projection of a manifest. @param name of the package, for `bin` as text */
export function projectManifest(manifest: JsonObject, name: string): string {
  const projection = new Map<string, unknown>()
  for (const field of WHOLE_FIELDS) {
    const value = manifest[field]
    if (!isEmpty(value)) projection.set(field, value)
  }
  foldAlias(projection)
  const bin = projection.get('bin')
  if (typeof bin === 'string') projection.set('bin', { [unscopedName(name)]: bin })
  const binFolder = memberAt(manifest['directories'], 'bin')
  if (!isEmpty(binFolder)) projection.set('directories', { bin: binFolder })
  const scripts = LIFECYCLE_SCRIPTS.map((script): [string, unknown] => [
    script,
    memberAt(manifest['scripts'], script),
  ]).filter(([, command]) => !isEmpty(command))
  if (scripts.length > 0) projection.set('scripts', Object.fromEntries(scripts))
  return canonical(Object.fromEntries(projection))
}

/** `sha256-<base64>` of a projection, as records hold it. */
export function hashProjection(projection: string): string {
  return `sha256-${sha256(encodeText(projection)).toBase64()}`
}

/** What an abbreviated manifest says in `hasInstallScript`. */
export function hasInstallScript(manifest: JsonObject): boolean {
  return INSTALL_SCRIPTS.some(script => !isEmpty(memberAt(manifest['scripts'], script)))
}

/** A value that is a JSON object, or undefined. */
export function asObject(value: unknown): JsonObject | undefined {
  return isObject(value) ? value : undefined
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// Own members only: `constructor` and the like are inherited by every object.
function memberAt(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function foldAlias(projection: Map<string, unknown>): void {
  const alias = projection.get('bundledDependencies')
  if (alias === undefined) return
  const own = projection.get('bundleDependencies')
  if (own !== undefined && canonical(own) !== canonical(alias)) return
  projection.delete('bundledDependencies')
  projection.set('bundleDependencies', alias)
}

function canonical(value: unknown): string {
  let text: string | undefined
  try {
    text = canonicalize(value)
  } catch (error) {
    throw new ProjectionError(error instanceof Error ? error.message : 'not canonical', {
      cause: error,
    })
  }
  if (text === undefined) throw new ProjectionError('nothing to project')
  // The text was put together from pieces, and the runtime keeps them all, at six times its size,
  // for as long as it lives. A copy has none.
  return Buffer.from(text).toString()
}
