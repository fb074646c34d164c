/**
 * What the rows of upstreams must be among one another, and what of a row may change when. Pure:
 * rows in, a reason out. It is asked before anything is saved, inside the transaction that would.
 * @module
 */
import type { UpstreamChange, UpstreamRow } from '../../db/upstreams.ts'
import { type Authority, AuthorityError, matchesName } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'
import { authorityOf } from '../sources/source-factory.ts'
import {
  assertForMirror,
  FIRST_UPSTREAM,
  namespaceOf,
  normalUrl,
  originsOf,
  type UpstreamSettings,
} from '../sources/upstream-request.ts'

/** Names in one sentence: a line of a terminal. */
const LEFT_SHOWN_MAX = 5

/**
 * Throws the reason when the rows can be read in two ways, or take a package that lives here away.
 * @throws RegistryError conflict
 */
export function assertTable(rows: readonly UpstreamRow[], housed: readonly string[] = []): void {
  const registries = rows.filter(({ kind }) => kind !== 'mirror')
  const owners = new Map<string, string>()
  for (const { name, namespace } of registries) {
    const owner = owners.get(namespace)
    if (owner !== undefined) {
      throw conflict(
        `the namespace ${namespace} is that of ${owner}: ${name} needs its own (--namespace)`,
      )
    }
    owners.set(namespace, name)
  }
  for (const row of rows) {
    const registry = rows.find(({ name }) => name === row.mirrorOf)
    if (registry !== undefined) assertMirror(row, registry, rows)
  }
  assertStay(ownersOf(rows), rows, housed)
}

function ownersOf(rows: readonly UpstreamRow[]): Authority {
  try {
    return authorityOf(rows)
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw conflict(error.message)
  }
}

/** A narrower pattern of another registry would send that one the names, also of private packages. */
function assertStay(
  { ownerOf }: Authority,
  rows: readonly UpstreamRow[],
  housed: readonly string[],
): void {
  const house = rows.find(({ kind }) => kind === 'hosted')?.name
  const taken = housed.filter(name => ownerOf(name) !== house)
  if (taken.length === 0) return
  const shown = taken.slice(0, LEFT_SHOWN_MAX).join(', ')
  throw conflict(`these live here and stay: ${shown}: no other registry can own them`)
}

/**
 * A mirror stands in for its registry and is compared with it and with its other mirrors: one place
 * under two names would be compared with itself, and fail when it is wanted. That a mirror of one
 * registry is another registry too is fine: many a company's server is both.
 */
function assertMirror(row: UpstreamRow, registry: UpstreamRow, rows: readonly UpstreamRow[]): void {
  const { name, mirrorOf } = row
  if (registry.revisions) {
    throw conflict(
      `${registry.name} re-issues bytes and does not sign them: whether other bytes of ${name} are old or false nobody could tell, so it has no mirrors`,
    )
  }
  const url = normalUrl(row.url)
  if (url === normalUrl(registry.url)) {
    throw conflict(
      `${name} is at the URL of ${registry.name} itself: a mirror is another place, so give it another URL or remove it`,
    )
  }
  const twin = rows.find(
    other => other.mirrorOf === mirrorOf && other.name !== name && normalUrl(other.url) === url,
  )
  if (twin === undefined) return
  const [first, second] = [name, twin.name].toSorted()
  throw conflict(`${second} is at the URL of ${first}, a mirror of ${mirrorOf} too: one is enough`)
}

/**
 * What a change is judged by. @property isRecorded whether the log has records of its namespace
 * @property housed the packages that live here, for the row that stands for them
 * @property hidden those of them that not everybody may know of
 * @property hasSecret whether a credential is kept for its origin
 */
export type UpstreamFacts = {
  isRecorded: boolean
  housed: readonly string[]
  hidden: readonly string[]
  hasSecret: boolean
  now: string
}

/** What `settings` change of `row`. @throws RegistryError */
export function changeOf(
  row: UpstreamRow,
  settings: UpstreamSettings,
  facts: UpstreamFacts,
): UpstreamChange {
  const { names, signatures, tarballs, tarballOrigins, revisions } = settings
  if (Object.keys(settings).every(field => field === 'sample')) {
    throw new RegistryError('bad-request', `say what is to change of ${row.name}`)
  }
  if (row.kind === 'mirror') assertForMirror(settings)
  if (row.kind === 'hosted') assertForHosted(row, settings, facts)
  const change: UpstreamChange = {
    ...(names !== undefined && { names }),
    ...(signatures !== undefined && { signatures }),
    ...(tarballs !== undefined && { tarballs }),
    ...(tarballOrigins !== undefined && { tarballOrigins: originsOf(tarballOrigins) }),
    ...(revisions !== undefined && revisions !== row.revisions && { revisions }),
    ...strictOf(row, settings, facts.now),
  }
  if (settings.url !== undefined) change.url = urlOf(row, settings, facts.hasSecret)
  if (settings.namespace !== undefined && settings.namespace !== row.namespace) {
    if (facts.isRecorded || row.name === FIRST_UPSTREAM) {
      throw conflict(`the log has records of ${row.namespace}: a namespace with records stays`)
    }
    change.namespace = namespaceOf(row.name, settings.namespace)
  }
  return change
}

/**
 * Whether a registry re-issues bytes is said before anything of it is recorded, and holds for its
 * namespace for ever: also when it is removed and added again. @throws RegistryError
 */
export function assertKind(
  row: Pick<UpstreamRow, 'name' | 'kind' | 'namespace' | 'signatures' | 'signsSince' | 'revisions'>,
  found: { isRecorded: boolean; isRevised: boolean; publishesKeys: boolean },
): void {
  const { name, namespace, revisions } = row
  if (row.kind !== 'registry') return
  if (revisions && name === FIRST_UPSTREAM) {
    throw conflict('the public npm registry publishes a version once: npm has no revisions')
  }
  const isSigned = row.signatures === 'require' || row.signsSince !== null
  const signs = isSigned || (found.publishesKeys && row.signatures !== 'off')
  if (revisions && !found.isRevised && signs) {
    throw conflict(
      `${name} signs its versions: what is signed is not issued again (--revisions off)`,
    )
  }
  if (revisions !== found.isRevised && found.isRecorded) {
    const [is, not] = revisions ? ['once', 'again'] : ['again', 'once']
    throw conflict(
      `the log has records of ${namespace} as of a registry that issues a version ${is}: it cannot become one that does so ${not}`,
    )
  }
}

/** Which names live here is all that can be said of it, and none that does can be given away. */
function assertForHosted(
  row: UpstreamRow,
  { names, ...others }: UpstreamSettings,
  { housed, hidden }: UpstreamFacts,
): void {
  const [other] = Object.keys(others)
  if (other !== undefined) {
    throw new RegistryError('bad-request', `${row.name} has no ${other} to change: only its names`)
  }
  const left = housed.filter(name => !names?.some(pattern => matchesName(pattern, name)))
  if (left.length === 0) return assertHidden(names ?? row.names, hidden)
  const shown = left.slice(0, LEFT_SHOWN_MAX).join(', ')
  throw conflict(`these live here and stay: ${shown}: keep them, or their scopes, in the names`)
}

/** Everybody sees the table of names; and a name next to it that is absent is asked of another. */
function assertHidden(names: readonly string[], hidden: readonly string[]): void {
  const told = hidden.find(name => names.includes(name))
  if (told === undefined) return
  const scope = `${told.slice(0, told.indexOf('/'))}/*`
  throw conflict(`${told} is private, and everybody sees these names: give ${scope} in its place`)
}

/** Turned on again, it begins anew: what was seen while it was off is checked by no promise. */
function strictOf(row: UpstreamRow, { strict }: UpstreamSettings, now: string): UpstreamChange {
  if (strict === undefined || strict === (row.strictSince !== null)) return {}
  return { strictSince: strict ? now : null }
}

function urlOf(row: UpstreamRow, settings: UpstreamSettings, hasSecret: boolean): string {
  const url = normalUrl(settings.url ?? row.url)
  if (row.name === FIRST_UPSTREAM && url !== row.url) {
    throw conflict('the URL of npm is a setting of the process: `serve --upstream URL`')
  }
  const isMoved = new URL(url).origin !== new URL(row.url).origin
  if (isMoved && hasSecret && settings.secret === undefined) {
    throw conflict(
      `the credential of ${row.name} is for ${new URL(row.url).origin} alone: give one for the new place, or --no-credential`,
    )
  }
  return url
}

function conflict(why: string): RegistryError {
  return new RegistryError('conflict', why)
}
