/**
 * The packument of a package that lives here, as text: put together from what was published, so that
 * a manifest goes out as it came, but for `dist`, `deprecated` and what a registry adds.
 *
 * The form is npm's (https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md),
 * with `_id` and `_rev`, which clients send back when they change something. Pure.
 * @module
 */
import type { HostedPackageRow, HostedTagRow } from '../../db/hosted.ts'
import type { ListedVersionRow } from '../../db/hosted-pages.ts'
import { escapeName, tarballUrl } from '../name.ts'

/** All of a package but its versions. @property base public URL, ends in `/` */
export type HostedHead = {
  row: HostedPackageRow
  tags: readonly HostedTagRow[]
  maintainers: readonly string[]
  base: string
}

/** One version as it stands in `versions`, with its key. */
export function versionMember(base: string, row: ListedVersionRow): string {
  const { name, version, manifest, publisher, deprecated } = row
  const added = {
    _id: `${name}@${version}`,
    _npmUser: personOf(publisher),
    ...(deprecated !== null && { deprecated }),
    dist: distOf(base, row),
  }
  // What was published has none of these fields: publish-document.ts and hosted-publish.ts take care.
  const fields = manifest.slice(1, -1)
  const joined = [fields, JSON.stringify(added).slice(1, -1)].filter(text => text !== '')
  return `${JSON.stringify(version)}:{${joined.join(',')}}`
}

/** The whole document. @param members of `versions` @param times when each was published */
export function documentText(
  head: HostedHead,
  members: readonly string[],
  times: readonly (readonly [string, string])[],
): string {
  const { row, tags, maintainers } = head
  const { name, rev, created, modified, description, readme } = row
  const about = {
    '_id': name,
    '_rev': rev,
    name,
    ...(description !== null && { description }),
    'dist-tags': Object.fromEntries(tags.map(({ tag, version }) => [tag, version])),
    'maintainers': maintainers.map(personOf),
    'time': { created, modified, ...Object.fromEntries(times) },
    ...(readme !== null && { readme }),
  }
  return `${JSON.stringify(about).slice(0, -1)},"versions":{${members.join(',')}}}`
}

/** Nobody's address is told to everybody; without the field npm shows `undefined`. */
function personOf(name: string): { name: string; email: string } {
  return { name, email: '' }
}

/** Where a version's attestations are; clients use the path of it alone. */
function attestationsUrl(base: string, name: string, version: string): string {
  return `${base}-/npm/v1/attestations/${escapeName(name)}@${version}`
}

function distOf(base: string, row: ListedVersionRow): Record<string, unknown> {
  const { name, version, integrity, shasum, file, fileCount, unpackedSize, keyid, sig } = row
  const { predicateType } = row
  return {
    integrity,
    shasum,
    tarball: tarballUrl(base, name, file),
    fileCount,
    unpackedSize,
    signatures: [{ keyid, sig }],
    ...(predicateType !== null && {
      attestations: {
        url: attestationsUrl(base, name, version),
        provenance: { predicateType },
      },
    }),
  }
}
