/**
 * What the rows of upstreams must be among one another, and what of a row may change when. Pure:
 * rows in, a reason out. It is asked before anything is saved, inside the transaction that would.
 * @module
 */
import type { UpstreamChange, UpstreamRow } from '../../db/upstreams.ts'
import { AuthorityError, matchesName } from '../sources/authority.ts'
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

/** Throws the reason when the rows can be read in two ways. @throws RegistryError conflict */
export function assertTable(rows: readonly UpstreamRow[]): void {
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
  for (const { name, mirrorOf } of rows) {
    const registry = rows.find(row => row.name === mirrorOf)
    if (registry?.revisions !== true) continue
    throw conflict(
      `${registry.name} re-issues bytes and does not sign them: whether other bytes of ${name} are old or false nobody could tell, so it has no mirrors`,
    )
  }
  try {
    authorityOf(rows)
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw conflict(error.message)
  }
}

/**
 * What a change is judged by. @property isRecorded whether the log has records of its namespace
 * @property housed the packages that live here, for the row that stands for them
 * @property hasSecret whether a credential is kept for its origin
 */
export type UpstreamFacts = {
  isRecorded: boolean
  housed: readonly string[]
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
  if (row.kind === 'hosted') assertForHosted(row, settings, facts.housed)
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
  housed: readonly string[],
): void {
  const [other] = Object.keys(others)
  if (other !== undefined) {
    throw new RegistryError('bad-request', `${row.name} has no ${other} to change: only its names`)
  }
  const left = housed.filter(name => !names?.some(pattern => matchesName(pattern, name)))
  if (left.length === 0) return
  const shown = left.slice(0, LEFT_SHOWN_MAX).join(', ')
  throw conflict(`these live here and stay: ${shown}: keep them, or their scopes, in the names`)
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
