/**
 * Which fields an abbreviated packument has (npm registry documentation, "package metadata";
 * media type `application/vnd.npm.install-v1+json`), and the few more that clients read from it:
 * `libc`, `bundledDependencies` and `_npmUser` per version (pnpm), `time` at the top (the release
 * age gates of pnpm, yarn and bun).
 *
 * @module
 */

const DOCUMENT_FIELDS: ReadonlySet<string> = new Set([
  'name',
  'dist-tags',
  'modified',
  'versions',
  'time',
])

const VERSION_FIELDS: ReadonlySet<string> = new Set([
  'name',
  'version',
  'deprecated',
  'dependencies',
  'acceptDependencies',
  'optionalDependencies',
  'devDependencies',
  'bundleDependencies',
  'bundledDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'bin',
  'directories',
  'dist',
  'engines',
  'os',
  'cpu',
  'libc',
  'funding',
  'hasInstallScript',
  '_hasShrinkwrap',
  '_npmUser',
])

export function isAbbreviatedDocumentField(key: string): boolean {
  return DOCUMENT_FIELDS.has(key)
}

export function isAbbreviatedVersionField(key: string): boolean {
  return VERSION_FIELDS.has(key)
}
