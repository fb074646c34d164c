/**
 * Organisations and teams, as npm's `org`, `team` and `access` commands manage them.
 *
 * An organisation is for the scope of its name: only its members make packages there, its owners and
 * admins may change all of them, its teams reach the packages that they were given. Making one is
 * for admins of the server, since it closes a scope to everybody else. Who is no member is told of
 * an organisation what is told of one that does not exist. Every change stands in the audit trail.
 * @module
 */
import type { Audit } from '../../db/audit.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { OrgRole, TeamPermission, Teams } from '../../db/teams.ts'
import { assertScope, type Identity, reachesPackage } from '../accounts/access.ts'
import { checkUserName } from '../accounts/accounts-request.ts'
import { RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import { timestamp } from '../timestamp.ts'

/** A sentence about what a team does. */
const DESCRIPTION_CHARS_MAX = 250
/** Against a script: each is a row that every list of them reads. */
const TEAMS_MAX = 1000
const MEMBERS_MAX = 10_000

/**
 * What organisations work with. @property reachesOrg whether the token may manage this one
 * @property retireMaintainer takes a person out of the maintainers of packages that begin so
 */
export type OrganisationsNeeds = {
  db: RegistryDb
  teams: Teams
  audit: Audit
  access: HostedAccess
  isUser: (name: string) => boolean
  isHosted: (name: string) => boolean
  reachesOrg: (identity: Identity, org: string) => boolean
  retireMaintainer: (user: string, start: string) => void
  now: () => Date
}

/** A member as npm shows one that was just set. */
export type Membership = { org: { name: string; size: number }; user: string; role: OrgRole }

/** Manages organisations. All throw RegistryError. */
export class Organisations {
  readonly #needs: OrganisationsNeeds

  constructor(needs: OrganisationsNeeds) {
    this.#needs = needs
  }

  /** Its members and what they are. */
  roster(identity: Identity, org: string): Record<string, OrgRole> {
    this.#assertSeen(identity, org)
    const members = this.#needs.teams.members(org)
    return Object.fromEntries(members.map(({ user, role }) => [user, role]))
  }

  /** Takes somebody in or gives another role; an admin of the server makes an organisation so. */
  setMember(identity: Identity, org: string, user: string, role: OrgRole): Membership {
    const { teams, isUser } = this.#needs
    if (teams.org(org) === null) this.#assertMayMake(identity, org)
    else this.#assertManages(identity, org, role === 'owner' || this.#isOwner(org, user))
    if (!isUser(user)) throw new RegistryError('not-found', `there is no user ${user} here`)
    this.#change(identity, 'org.member', org, () => {
      if (teams.org(org) === null) teams.addOrg({ name: checkUserName(org), created: this.#now() })
      if (role !== 'owner') this.#assertOtherOwner(org, user)
      if (teams.members(org).length >= MEMBERS_MAX) throw full(`${org} has ${MEMBERS_MAX} members`)
      teams.putMember({ org, user, role })
    })
    return { org: { name: org, size: teams.members(org).length }, user, role }
  }

  removeMember(identity: Identity, org: string, user: string): void {
    const { teams } = this.#needs
    // Whoever wants to leave may.
    if (identity.user !== user || teams.roleOf(org, user) === null) {
      this.#assertManages(identity, org, this.#isOwner(org, user))
    } else {
      assertScope(identity, 'team')
      this.#assertReached(identity, org)
    }
    this.#change(identity, 'org.member', org, () => {
      this.#assertOtherOwner(org, user)
      if (!teams.removeMember(org, user)) {
        throw new RegistryError('not-found', `${user} is no member of ${org}`)
      }
      // What they made there is the organisation's: its owners and teams have it.
      this.#needs.retireMaintainer(user, `@${org}/`)
    })
  }

  /** Its teams, as `org:team`. */
  teams(identity: Identity, org: string): string[] {
    this.#assertSeen(identity, org)
    return this.#needs.teams.teams(org).map(({ name }) => `${org}:${name}`)
  }

  addTeam(identity: Identity, org: string, name: string, description: string): void {
    const { teams } = this.#needs
    this.#assertManages(identity, org, false)
    checkUserName(name)
    if (description.length > DESCRIPTION_CHARS_MAX) {
      const why = `the description of a team has at most ${DESCRIPTION_CHARS_MAX} characters`
      throw new RegistryError('bad-request', why)
    }
    this.#change(identity, 'org.team', org, () => {
      if (teams.team(org, name) !== null) {
        throw new RegistryError('conflict', `${org} has a team ${name} already`)
      }
      if (teams.teams(org).length >= TEAMS_MAX) throw full(`${org} has ${TEAMS_MAX} teams`)
      teams.addTeam({ org, name, description, created: this.#now() })
    })
  }

  removeTeam(identity: Identity, org: string, name: string): void {
    this.#assertManages(identity, org, false)
    this.#assertTeam(org, name)
    this.#change(identity, 'org.team', org, () => void this.#needs.teams.removeTeam(org, name))
  }

  teamMembers(identity: Identity, org: string, name: string): string[] {
    this.#assertSeen(identity, org)
    this.#assertTeam(org, name)
    return this.#needs.teams.teamMembers(org, name)
  }

  addTeamMember(identity: Identity, org: string, name: string, user: string): void {
    const { teams } = this.#needs
    this.#assertManages(identity, org, false)
    this.#assertTeam(org, name)
    if (teams.roleOf(org, user) === null) {
      const why = `${user} is no member of ${org}: first \`npm org set ${org} ${user}\``
      throw new RegistryError('unprocessable', why)
    }
    this.#change(identity, 'team.member', `${org}:${name}`, () => {
      teams.addTeamMember(org, name, user)
    })
  }

  removeTeamMember(identity: Identity, org: string, name: string, user: string): void {
    this.#assertManages(identity, org, false)
    this.#assertTeam(org, name)
    this.#change(identity, 'team.member', `${org}:${name}`, () => {
      if (this.#needs.teams.removeTeamMember(org, name, user)) return
      throw new RegistryError('not-found', `${user} is not in the team ${org}:${name}`)
    })
  }

  /** The packages of a team that whoever asks may read, and what it may do with each. */
  teamPackages(identity: Identity, org: string, name: string): Map<string, TeamPermission> {
    this.#assertSeen(identity, org)
    this.#assertTeam(org, name)
    const { teams, access } = this.#needs
    const rows = teams.packagesOfTeam(org, name)
    const shown = rows.filter(row => access.permissionOf(identity, row.package) !== 'none')
    return new Map(shown.map(row => [row.package, row.permission]))
  }

  /** Gives a package of the organisation's scope to a team. */
  grant(
    identity: Identity,
    org: string,
    name: string,
    pkg: string,
    permission: TeamPermission,
  ): void {
    this.#assertMayGive(identity, org, name, pkg)
    this.#change(identity, 'team.package', `${org}:${name}`, () => {
      this.#needs.teams.putPackage({ org, team: name, package: pkg, permission })
    })
  }

  revoke(identity: Identity, org: string, name: string, pkg: string): void {
    this.#assertMayGive(identity, org, name, pkg)
    this.#change(identity, 'team.package', `${org}:${name}`, () => {
      if (this.#needs.teams.removePackage(org, name, pkg)) return
      throw new RegistryError('not-found', `${org}:${name} was not given ${pkg}`)
    })
  }

  /** @throws RegistryError not-found, as for one that does not exist */
  #assertSeen(identity: Identity, org: string): void {
    assertScope(identity, 'read')
    const { teams, reachesOrg } = this.#needs
    const isMember = identity.user !== null && teams.roleOf(org, identity.user) !== null
    const mayKnow = identity.role === 'admin' || isMember
    if (teams.org(org) !== null && mayKnow && reachesOrg(identity, org)) return
    throw noOrg(org)
  }

  /** @param forOwners what only an owner may do: admins of an organisation are made by owners */
  #assertManages(identity: Identity, org: string, forOwners: boolean): void {
    assertScope(identity, 'team')
    const { teams } = this.#needs
    const role = identity.user === null ? null : teams.roleOf(org, identity.user)
    if (teams.org(org) === null || (role === null && identity.role !== 'admin')) throw noOrg(org)
    this.#assertReached(identity, org)
    if (identity.role === 'admin' || role === 'owner' || (role === 'admin' && !forOwners)) return
    throw refused(`${identity.user} is no ${forOwners ? 'owner' : 'admin'} of ${org}`)
  }

  #assertReached(identity: Identity, org: string): void {
    if (this.#needs.reachesOrg(identity, org)) return
    throw refused(`this token does not reach ${org}`)
  }

  #assertMayMake(identity: Identity, org: string): void {
    assertScope(identity, 'team')
    if (identity.role !== 'admin') throw noOrg(org)
    checkUserName(org)
  }

  #assertMayGive(identity: Identity, org: string, name: string, pkg: string): void {
    this.#assertManages(identity, org, false)
    this.#assertTeam(org, name)
    if (!reachesPackage(identity, pkg)) throw refused(`this token does not reach ${pkg}`)
    if (!pkg.startsWith(`@${org}/`)) {
      throw new RegistryError('unprocessable', `${pkg} is not in the scope of ${org}`)
    }
    const { access, isHosted } = this.#needs
    if (!isHosted(pkg)) throw new RegistryError('not-found', `there is no package ${pkg} here`)
    access.assertWritable({ ...identity, grant: null }, pkg)
  }

  #assertTeam(org: string, name: string): void {
    if (this.#needs.teams.team(org, name) !== null) return
    throw new RegistryError('not-found', `${org} has no team ${name}`)
  }

  #assertOtherOwner(org: string, user: string): void {
    if (!this.#isOwner(org, user)) return
    const owners = this.#needs.teams.members(org).filter(({ role }) => role === 'owner')
    if (owners.length === 1)
      throw refused(`${user} is the last owner of ${org}: name another first`)
  }

  #isOwner(org: string, user: string): boolean {
    return this.#needs.teams.roleOf(org, user) === 'owner'
  }

  #change(identity: Identity, action: string, target: string, make: () => void): void {
    const { db, audit } = this.#needs
    const [org = '', team = ''] = target.split(':')
    db.transaction(() => {
      const before = this.#shown(org, team)
      make()
      const after = this.#shown(org, team)
      audit.append({ time: this.#now(), actor: identity.actor, action, target, before, after })
    })
  }

  /** As the audit trail keeps it. */
  #shown(org: string, team: string): string | null {
    const { teams } = this.#needs
    if (teams.org(org) === null) return null
    if (team === '') {
      const members = teams.members(org).map(({ user, role }) => [user, role])
      return JSON.stringify({ members, teams: teams.teams(org).map(({ name }) => name) })
    }
    const packages = teams.packagesOfTeam(org, team).map(row => [row.package, row.permission])
    return JSON.stringify({ members: teams.teamMembers(org, team), packages })
  }

  #now(): string {
    return timestamp(this.#needs.now())
  }
}

function noOrg(org: string): RegistryError {
  return new RegistryError('not-found', `there is no organisation ${org} that you are in`)
}

function refused(why: string): RegistryError {
  return new RegistryError('forbidden', why)
}

function full(why: string): RegistryError {
  return new RegistryError('unprocessable', `${why}, and that is the most`)
}
