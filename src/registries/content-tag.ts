/**
 * Dist-tags that name a version by its bytes: `react@sha512-<hex>` installs exactly the version
 * whose tarball has this SHA-512, in every client, for a dist-tag is all that it takes:
 *
 *     npm install react@sha512-97e4f4c5…
 *
 * No client says which dist-tag it is after (npm's `pacote-pkg-id` names the package alone), so
 * packuments of few versions list all of theirs, to whoever installs. Bytes of any package can be
 * named by content.ts. Whoever means to write a packument back never gets them.
 * @module
 */
import type { VersionSummary } from '../db/packages.ts'
import { integrityToHex } from './integrity.ts'

/**
 * Served versions of a package up to which its packument lists them by their bytes: 20 tags of 150
 * bytes are 3 KB that do not compress; those of a package with 1,000 versions would be 150 KB.
 */
const LISTED_VERSIONS_MAX = 20

const TAG = /^sha512-[0-9a-f]{128}$/

/** Is this dist-tag one of bytes? */
export function isContentTag(selector: string): boolean {
  return TAG.test(selector)
}

/** The dist-tag of a version's bytes. @throws RangeError when it is no integrity of a record */
function contentTag(integrity: string): string {
  return `sha512-${integrityToHex(integrity)}`
}

/** The dist-tags of all these versions; none when there are too many of them. */
export function addressesOf(served: readonly VersionSummary[]): [string, string][] {
  if (served.length > LISTED_VERSIONS_MAX) return []
  return served.flatMap(addressOf)
}

/** The dist-tag of a version, when it has one. */
export function addressOf({ integrity, version }: VersionSummary): [string, string][] {
  return integrity === null ? [] : [[contentTag(integrity), version]]
}
