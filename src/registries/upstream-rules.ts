/**
 * What the rows of upstreams must be among one another, and what of a row may change when. Pure:
 * rows in, a reason out. It is asked before anything is saved, inside the transaction that would.
 * @module
 */
import type { UpstreamChange, UpstreamRow } from '../db/upstreams.ts'
import { AuthorityError } from './authority.ts'
import { RegistryError } from './errors.ts'
import { authorityOf } from './source-factory.ts'
import {
  assertForMirror,
  FIRST_UPSTREAM,
  namespaceOf,
  normalUrl,
  type UpstreamSettings,
} from './upstream-request.ts'

/** Throws the reason when the rows can be read in two ways. @throws RegistryError conflict */
export function assertTable(rows: readonly UpstreamRow[]): void {
  const registries = rows.filter(({ kind }) => kind === 'registry')
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
  try {
    authorityOf(rows)
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw conflict(error.message)
  }
}

/**
 * What `settings` change of `row`. @property isRecorded whether the log has records of its namespace
 * @property hasSecret whether a credential is kept for its origin
 * @throws RegistryError
 */
export function changeOf(
  row: UpstreamRow,
  settings: UpstreamSettings,
  facts: { isRecorded: boolean; hasSecret: boolean },
): UpstreamChange {
  const { names, signatures, tarballs } = settings
  if (Object.keys(settings).every(field => field === 'sample')) {
    throw new RegistryError('bad-request', `say what is to change of ${row.name}`)
  }
  if (row.kind === 'mirror') assertForMirror(settings)
  const change: UpstreamChange = {
    ...(names !== undefined && { names }),
    ...(signatures !== undefined && { signatures }),
    ...(tarballs !== undefined && { tarballs }),
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
