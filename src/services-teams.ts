/**
 * What people ask of packages that live here besides publishing: organisations and teams, who works
 * on what, search, and what waits for approval.
 * @module
 */
import { join } from 'node:path'
import { Audit } from './db/audit.ts'
import { DiskBlobs } from './db/blobs.ts'
import { HostedSearch } from './db/hosted-search.ts'
import type { HostedPackages } from './db/hosted.ts'
import type { RegistryDb } from './db/registry-db.ts'
import type { Removals } from './db/removals.ts'
import { Stages } from './db/stages.ts'
import type { Teams } from './db/teams.ts'
import type { Users } from './db/accounts.ts'
import type { Identity } from './registries/accounts/access.ts'
import { Collaborators } from './registries/hosted/collaborators.ts'
import type { HostedAccess } from './registries/hosted/hosted-access.ts'
import type { Publisher, ReadBody } from './registries/hosted/hosted-publish.ts'
import { Organisations } from './registries/hosted/organisations.ts'
import type { Passing } from './registries/sources/passing.ts'
import { Search } from './registries/hosted/search.ts'
import { Staging } from './registries/hosted/staging.ts'

/** What they are made of. */
export type PeopleNeeds = {
  db: RegistryDb
  removals: Removals
  users: Users
  teams: Teams
  hosted: HostedPackages
  access: HostedAccess
  passing: Passing
  publisher: Publisher
  read: ReadBody
  dataDir: string
  reachesOrg: (identity: Identity, org: string) => boolean
  now: () => Date
  warn: (message: string) => void
}

export function makePeople(needs: PeopleNeeds) {
  const { db, users, hosted } = needs
  const isUser = (name: string) => users.get(name) !== null
  const isHosted = (name: string) => hosted.accessOf(name) !== null
  const audit = new Audit(db)
  const retireMaintainer = (user: string, start: string) => {
    for (const name of hosted.maintainedBy(user)) {
      if (!name.startsWith(start)) continue
      hosted.setMaintainers(
        name,
        hosted.maintainers(name).filter(each => each !== user),
      )
      hosted.touch(name, needs.now().toISOString())
    }
  }
  const bodies = new DiskBlobs(join(needs.dataDir, 'staged'), needs.removals)
  const staging = new Staging({ ...needs, audit, bodies, stages: new Stages(db) })
  staging.collect()
  return {
    organisations: new Organisations({ ...needs, audit, isUser, isHosted, retireMaintainer }),
    collaborators: new Collaborators({ ...needs, isUser }),
    staging,
    search: new Search({ ...needs, index: new HostedSearch(db) }),
  }
}
