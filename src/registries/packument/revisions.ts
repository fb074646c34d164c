/**
 * Registries that re-issue bytes: the tarball of a version is made anew, and the version stays what
 * it is called. It is declared for such a registry when it is added (`--revisions on`), holds for
 * all its names and for ever, and for no other registry; elsewhere other bytes are a conflict.
 *
 * The first content of a version that this log sees is recorded as everywhere. Each later one has a
 * record of its own, under a version that says which content it is:
 *
 *     registry.example/@scope/name@1.0.0+revision.0123456789abcdef0123456789abcdef sha512-…
 *
 * So a record is one content for ever here too, and whoever has an integrity knows which record to
 * ask for. npm allows no two versions that differ in build metadata alone; a registry of this kind
 * that lists one with `revision` in it is not believed.
 *
 * Nothing is decided, stored or asked here.
 * @module
 */
import { integrityToHex } from '../integrity.ts'
import { isVersion, tarballFile } from '../name.ts'

/** Incident of a version that its registry has re-issued: a note, nothing is refused for it. */
export const REVISED = 'revised'

const WORD = 'revision'
/**
 * 128 bits of the hash. It is no check: whoever made two contents of one version that begin alike
 * would get a conflict for the second, since the record holds the whole hash.
 */
const HASH_HEX_DIGITS = 32
/** The file of a revision, whichever it is. */
const REVISION_FILE = new RegExp(String.raw`[+.]${WORD}\.[0-9a-f]{${HASH_HEX_DIGITS}}\.tgz$`)

/** The version under which a later content is recorded. @throws RangeError unless a sha512 integrity */
export function revisionOf(version: string, integrity: string): string {
  const hash = integrityToHex(integrity).slice(0, HASH_HEX_DIGITS)
  return `${version}${version.includes('+') ? '.' : '+'}${WORD}.${hash}`
}

/** Could this text be that of a revision? Then no registry of this kind may list it. */
export function isReserved(version: string): boolean {
  const at = version.indexOf('+')
  return (
    at !== -1 &&
    version
      .slice(at + 1)
      .split('.')
      .includes(WORD)
  )
}

/** The file name of a revision. */
export function revisionFile(name: string, version: string, integrity: string): string {
  return tarballFile(name, revisionOf(version, integrity))
}

/** A file name that the registry gave, unless it is one of those that revisions have. */
export function ownFile(name: string, version: string, file: string): string {
  if (isReserved(version)) return ''
  return REVISION_FILE.test(file) ? tarballFile(name, version) : file
}

/** The revision that a lockfile entry may be of; undefined when there can be none. */
export function revisionAsked(version: string, integrity: string): string | undefined {
  if (isReserved(version)) return undefined
  const text = revisionOf(version, integrity)
  return isVersion(text) ? text : undefined
}
