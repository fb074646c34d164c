/**
 * Makes the sources in use from the configured upstreams: one place that knows how a row becomes
 * something to ask, so that the operator can change rows while the server runs.
 * @module
 */
import type { RegistryDb } from '../db/registry-db.ts'
import type { UpstreamRow, Upstreams } from '../db/upstreams.ts'
import type { Log } from '../log/log.ts'
import { buildAuthority } from './authority.ts'
import type { Fetcher } from './fetcher.ts'
import { type Source, Sources } from './source.ts'
import { Trust } from './trust.ts'
import { Upstream } from './upstream.ts'

/** What sources are made with. */
export type SourceFactoryNeeds = {
  db: RegistryDb
  log: Log
  upstreams: Upstreams
  fetcher: Fetcher
  now: () => Date
  warn: (message: string) => void
}

/** The sources of all configured registries. @throws AuthorityError when their names collide */
export function makeSources(needs: SourceFactoryNeeds): Sources {
  const rows = needs.upstreams.list().filter(row => row.kind === 'registry')
  const authority = buildAuthority(rows.map(row => ({ registry: row.name, patterns: row.names })))
  const sources = rows.map(row => makeSource(row, needs))
  return new Sources(authority, sources)
}

function makeSource(row: UpstreamRow, needs: SourceFactoryNeeds): Source {
  const { name, namespace, url } = row
  const upstream = new Upstream({ name, url, namespace }, needs.fetcher)
  const mode = row.signatures
  const trust = new Trust({ ...needs, name, namespace, mode, upstream, store: needs.upstreams })
  return { name, namespace, canonical: row.tarballs === 'canonical', upstream, trust }
}
