/**
 * Whether a name may become one of a package that lives here.
 *
 * A name that a hosted pattern owns may. Any other belongs to another registry, which is asked: only
 * when it says that there is no such package can the name be taken, and it is then ours alone (one
 * name, one authority). A restricted package is never asked for: its name would be told to others.
 * @module
 */
import type { Packages } from '../../db/packages.ts'
import type { Upstreams } from '../../db/upstreams.ts'
import { AuthorityError, matchesName } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'
import { HOSTED } from './hosted-upstream.ts'
import { authorityOf } from '../sources/source-factory.ts'
import type { Sources } from '../sources/source.ts'

const NO_VALIDATORS = { etag: null, lastModified: null }

/** What a claim is decided by. */
export type ClaimNeeds = {
  sources: Sources
  upstreams: Upstreams
  packages: Pick<Packages, 'firstSeen'>
}

/** Is the name one of ours by a pattern already? */
export function isOurs({ sources }: Pick<ClaimNeeds, 'sources'>, name: string): boolean {
  return sources.find(name)?.name === HOSTED
}

/**
 * Returns when nobody else has a package of this name.
 * @throws RegistryError forbidden: somebody has, or it cannot be asked for; upstream-…: unknown
 */
export async function assertFree({ sources, packages }: ClaimNeeds, name: string): Promise<void> {
  const owner = sources.find(name)
  if (owner === undefined) return
  // Registries lose packages, some for minutes: whoever installed one must not get a stranger's.
  if (packages.firstSeen(owner.namespace, name) !== null) {
    const why = `${name} belongs to ${owner.name}: versions of it are recorded here`
    throw refused(name, `${why}. An admin can give it to this registry by name`)
  }
  const answer = await owner.upstream.fetchPackument(name, NO_VALIDATORS)
  if (answer.status === 'absent' && answer.httpStatus === 404) return
  throw refused(name, `${name} belongs to ${owner.name}, which has a package of this name`)
}

/**
 * Returns when a package of this name can be hidden: when its whole scope lives here, so that no
 * other registry is ever asked for a name of it, and one that is hidden looks like one that is
 * absent.
 * @throws RegistryError bad-request, forbidden
 */
export function assertCanHide({ upstreams }: Pick<ClaimNeeds, 'upstreams'>, name: string): void {
  if (!name.startsWith('@')) {
    const why = `${name} has no scope: only packages of a scope can be restricted`
    throw new RegistryError('bad-request', why, { package: name })
  }
  const names = upstreams.get(HOSTED)?.names ?? []
  // Everybody sees the names themselves.
  const isNamed = names.includes(name)
  if (!isNamed && names.some(pattern => matchesName(pattern, name))) return
  const scope = `${name.slice(0, name.indexOf('/'))}/*`
  throw refused(
    name,
    `${name} cannot be restricted: first \`upstream set ${HOSTED} --names ${scope}\`, ` +
      'so that no other registry is asked for it; or publish it with --access public',
  )
}

/**
 * The name is ours from now on, in the caller's transaction.
 * @throws RegistryError forbidden when the table of names cannot hold it
 */
export function claim({ upstreams }: Pick<ClaimNeeds, 'upstreams'>, name: string): void {
  const rows = upstreams.list()
  const before = rows.find(row => row.name === HOSTED)?.names ?? []
  const after = [...before, name].toSorted()
  try {
    authorityOf(rows.flatMap(row => (row.name === HOSTED ? [{ ...row, names: after }] : [row])))
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw refused(name, `${name} cannot be published here: ${error.message}`)
  }
  upstreams.change(HOSTED, { names: after })
}

function refused(name: string, why: string): RegistryError {
  return new RegistryError('forbidden', why, { package: name })
}
