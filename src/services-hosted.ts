/**
 * The registry in the house: its row, what stands for it among the sources, and what publishes and
 * changes packages that live here.
 * @module
 */
import { join } from 'node:path'
import { Audit } from './db/audit.ts'
import type { Users } from './db/accounts.ts'
import { DiskBlobs } from './db/blobs.ts'
import { HostedPackages } from './db/hosted.ts'
import { HostedPages } from './db/hosted-pages.ts'
import type { Packages } from './db/packages.ts'
import type { RegistryDb } from './db/registry-db.ts'
import type { Removals } from './db/removals.ts'
import { Tarballs } from './db/tarballs.ts'
import type { Teams } from './db/teams.ts'
import type { UpstreamRow, Upstreams } from './db/upstreams.ts'
import { checkNamespace } from './log/leaf.ts'
import { LeafError } from './log/errors.ts'
import type { Log } from './log/log.ts'
import { HostedAccess } from './registries/hosted/hosted-access.ts'
import { HostedChanges } from './registries/hosted/hosted-changes.ts'
import { Publisher } from './registries/hosted/hosted-publish.ts'
import { HostedRecords } from './registries/hosted/hosted-records.ts'
import { HOSTED, HostedUpstream } from './registries/hosted/hosted-upstream.ts'
import type { OwnKeys } from './registries/keys/own-key.ts'
import { readPublish } from './registries/hosted/publish-reader.ts'
import type { SourceFactory } from './registries/sources/source-factory.ts'
import { timestamp } from './registries/timestamp.ts'

/** What the house is built from. @property origin of the log, which fixes the namespace */
export type HouseNeeds = {
  dataDir: string
  publicUrl: string
  origin: string
  db: RegistryDb
  removals: Removals
  upstreams: Upstreams
  ownKeys: OwnKeys
  now: () => Date
}

/** What is stored of packages that live here. */
export type House = ReturnType<typeof openHouse>

/** Opens it; its row is made on the first start, and follows the public URL. */
export function openHouse(needs: HouseNeeds) {
  const { db, dataDir, upstreams, removals } = needs
  settleRow(needs)
  const hosted = new HostedPackages(db)
  const pages = new HostedPages(db)
  const tarballs = new Tarballs(db, new DiskBlobs(join(dataDir, 'blobs'), removals))
  const names = () => upstreams.get(HOSTED)?.names ?? []
  return {
    hosted,
    tarballs,
    house: ({ url, namespace }: UpstreamRow) => {
      const stored = { hosted, pages, tarballs }
      const housed = new HostedUpstream({ ...needs, ...stored, url, namespace, names })
      return { upstream: housed, housed }
    },
  }
}

/** What publishing needs besides. */
export type HostingNeeds = Pick<House, 'hosted' | 'tarballs'> & {
  db: RegistryDb
  log: Log
  packages: Packages
  upstreams: Upstreams
  users: Users
  teams: Teams
  ownKeys: OwnKeys
  factory: SourceFactory
  publicUrl: string
  now: () => Date
}

/** Everything that changes packages that live here. */
export type Hosting = ReturnType<typeof buildHosting>

export function buildHosting(needs: HostingNeeds) {
  const { db, upstreams, factory, users, publicUrl: base } = needs
  const { sources } = factory
  const namespace = sources.get(HOSTED)?.namespace ?? ''
  const audit = new Audit(db)
  const access = new HostedAccess(needs)
  const records = new HostedRecords({ ...needs, namespace, base })
  // The documents of other sources stay: nothing of them can be of a name that is taken only now.
  const reload = () => void factory.reload()
  const parts = { ...needs, sources, audit, access, records }
  const publisher = new Publisher({ ...parts, upstreams, reload })
  publisher.followKey()
  const release = (integrity: string) => publisher.release(integrity)
  const isUser = (name: string) => users.get(name) !== null
  const changes = new HostedChanges({ ...parts, release, isUser })
  return { access, publisher, changes, read: readPublish }
}

/** Removes what a crash left behind, beside everything else; ends with the stack. */
export function cleanUp(
  { publisher }: Hosting,
  stack: AsyncDisposableStack,
  warn: (message: string) => void,
): void {
  const end = new AbortController()
  stack.defer(() => end.abort())
  publisher.collect(end.signal).catch((error: unknown) => {
    warn(`tarballs that no version refers to stay: ${String(error)}`)
  })
}

function settleRow({ upstreams, publicUrl, origin, now }: HouseNeeds): void {
  const known = upstreams.get(HOSTED)
  if (known === null) {
    upstreams.add({
      name: HOSTED,
      url: publicUrl,
      kind: 'hosted',
      mirrorOf: null,
      namespace: namespaceOf(origin),
      names: [],
      signatures: 'auto',
      tarballs: 'stream',
      created: timestamp(now()),
    })
  } else if (known.kind !== 'hosted') {
    throw new Error(`an upstream is called ${HOSTED}, which means the packages that live here`)
  } else if (known.url !== publicUrl) {
    upstreams.change(HOSTED, { url: publicUrl })
  }
}

/** The host in the log's origin, `npm.example.org/log`; what no record can hold is spelled out. */
function namespaceOf(origin: string): string {
  const host = origin.slice(0, origin.indexOf('/'))
  try {
    checkNamespace(host)
    return host
  } catch (error) {
    if (!(error instanceof LeafError)) throw error
    // The address of an IPv6 host: `[::1]:6769`.
    return `ip6-${host.replaceAll(/[^0-9a-z]+/g, '-').replaceAll(/^-|-$/g, '')}`
  }
}
