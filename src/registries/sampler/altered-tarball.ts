/**
 * Bytes that are not those of the record: the incident with its evidence. A mirror that sends them
 * is not used for this package any more; when it is the registry itself, the version stays as it is,
 * since nobody gets the bytes whole.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { Mirror } from '../sources/mirror.ts'
import { BAD_MIRROR } from '../sources/mirrors.ts'
import type { FoundTarball } from '../sources/tarball-location.ts'
import { timestamp } from '../timestamp.ts'

/** Incident of a registry whose bytes do not match its own record. */
export const ALTERED_TARBALL = 'altered-tarball'

/** Who sent them. @property mirror undefined: the registry itself */
export type Sender = { url: string; mirror: Mirror | undefined }

/** Keeps the incident and sets a mirror aside. @returns the id of the incident */
export function recordAltered(
  needs: { incidents: Incidents; now: () => Date },
  { source, row }: FoundTarball,
  { url, mirror }: Sender,
  detail: string,
): string {
  const { name, version, namespace, leafIndex } = row
  const who = mirror === undefined ? 'its registry' : `mirror ${mirror.name}`
  const sentence = `${name}@${version}: ${who} sends other bytes than were recorded; none were passed on whole`
  const observed = timestamp(needs.now())
  const evidence = {
    ...(mirror !== undefined && { mirror: mirror.name }),
    record: leafIndex,
    sources: [{ url: withoutQuery(url), observed }],
    detail,
  }
  const { id } = needs.incidents.record(
    {
      code: mirror === undefined ? ALTERED_TARBALL : BAD_MIRROR,
      namespace,
      name,
      version,
      claim: detail,
      sentence,
      evidence: JSON.stringify(evidence),
    },
    observed,
  )
  if (mirror !== undefined) source.mirrors.distrust(name)
  return id
}

/** Evidence is shown to everybody, and queries can carry tokens. */
function withoutQuery(url: string): string {
  return url.split('?', 1)[0] ?? ''
}
