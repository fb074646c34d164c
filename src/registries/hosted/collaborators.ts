/**
 * Who works on which hosted package, as `npm access list` shows it: maintainers, and whoever a team
 * lets. Maintainers stand in the packument for everybody; teams are for those who may change the
 * package. A list holds no package that whoever asks may not read. Changes nothing.
 * @module
 */
import type { HostedPackages } from '../../db/hosted.ts'
import type { TeamPermission, Teams } from '../../db/teams.ts'
import { assertScope, type Identity } from '../accounts/access.ts'
import { absentError, RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import { HOSTED } from './hosted-upstream.ts'

/** What it is read from. */
export type CollaboratorsNeeds = {
  hosted: HostedPackages
  teams: Teams
  access: HostedAccess
  reachesOrg: (identity: Identity, org: string) => boolean
  isUser: (name: string) => boolean
}

type Permissions = Map<string, TeamPermission>

/** Answers who may do what. All throw RegistryError. */
export class Collaborators {
  readonly #needs: CollaboratorsNeeds

  constructor(needs: CollaboratorsNeeds) {
    this.#needs = needs
  }

  /** The people of a package. */
  ofPackage(identity: Identity, name: string): Permissions {
    assertScope(identity, 'read')
    this.#assertThere(identity, name)
    const { hosted, teams, access } = this.#needs
    const people: Permissions = new Map(hosted.maintainers(name).map(user => [user, 'read-write']))
    if (access.permissionOf(identity, name) !== 'write') return people
    for (const { org, team, permission } of teams.teamsOfPackage(name)) {
      for (const user of teams.teamMembers(org, team)) {
        if (people.get(user) !== 'read-write') people.set(user, permission)
      }
    }
    return people
  }

  /** May everybody see it? */
  isPublic(identity: Identity, name: string): boolean {
    this.#assertThere(identity, name)
    return this.#needs.hosted.accessOf(name) === 'public'
  }

  /** The packages of an organisation's scope, with what whoever asks may do with each. */
  ofOrganisation(identity: Identity, org: string): Permissions {
    assertScope(identity, 'read')
    const { teams, reachesOrg } = this.#needs
    const isMember = identity.user !== null && teams.roleOf(org, identity.user) !== null
    const mayKnow = (isMember || identity.role === 'admin') && reachesOrg(identity, org)
    if (teams.org(org) === null || !mayKnow) {
      throw new RegistryError('not-found', `there is no organisation ${org} that you are in`)
    }
    return this.#readable(identity, name => name.startsWith(`@${org}/`))
  }

  /** The packages that a person maintains or reaches through a team. */
  ofPerson(identity: Identity, user: string): Permissions {
    assertScope(identity, 'read')
    const { hosted, teams, isUser } = this.#needs
    if (!isUser(user)) throw new RegistryError('not-found', `there is no user ${user} here`)
    const isOwn = identity.user === user || identity.role === 'admin'
    const given = new Map(
      isOwn ? teams.packagesOfUser(user).map(row => [row.package, row.permission]) : [],
    )
    const own = new Set(hosted.maintainedBy(user))
    const readable = this.#readable(identity, name => own.has(name) || given.has(name))
    for (const name of readable.keys()) {
      readable.set(name, own.has(name) ? 'read-write' : (given.get(name) ?? 'read-only'))
    }
    return readable
  }

  #readable(identity: Identity, isMeant: (name: string) => boolean): Permissions {
    const { hosted, access } = this.#needs
    const found: Permissions = new Map()
    for (const name of hosted.names()) {
      if (!isMeant(name) || hosted.rev(name) === null) continue
      const may = access.permissionOf(identity, name)
      if (may !== 'none') found.set(name, may === 'write' ? 'read-write' : 'read-only')
    }
    return found
  }

  #assertThere(identity: Identity, name: string): void {
    this.#needs.access.assertReadable(identity, name)
    if (this.#needs.hosted.rev(name) === null) throw absentError(name, HOSTED, 404)
  }
}
