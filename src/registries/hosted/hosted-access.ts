/**
 * Who may do what with a package that lives here.
 *
 * Everybody reads a public package; a restricted one is, for who may not read it, not there: the
 * answer is that for a package that does not exist, to the letter. Maintainers write, and whoever a
 * team of theirs lets, and admins; a token never allows more than its person may. Default deny.
 * @module
 */
import type { HostedPackages } from '../../db/hosted.ts'
import type { Teams } from '../../db/teams.ts'
import { assertScope, hasScope, type Identity, reachesPackage } from '../accounts/access.ts'
import { absentError, RegistryError } from '../errors.ts'
import { HOSTED } from './hosted-upstream.ts'

export type Permission = 'none' | 'read' | 'write'

/** What permissions are read from. */
export type HostedAccessNeeds = {
  hosted: HostedPackages
  teams: Pick<Teams, 'org' | 'roleOf' | 'permissionOf'>
}

/** Permissions. */
export class HostedAccess {
  readonly #needs: HostedAccessNeeds
  /** The restricted packages: what every request for a public one looks into, and no more. */
  readonly #private: Set<string>

  constructor(needs: HostedAccessNeeds) {
    this.#needs = needs
    this.#private = new Set(needs.hosted.restricted())
  }

  /** Is this a package that not everybody may know of? */
  isPrivate(name: string): boolean {
    return this.#private.has(name)
  }

  /** Told after a change of a package was committed. */
  changed(name: string): void {
    if (this.#needs.hosted.accessOf(name) === 'restricted') this.#private.add(name)
    else this.#private.delete(name)
  }

  /** What `identity` may do with a package, whether it exists or not. */
  permissionOf(identity: Identity, name: string): Permission {
    const least = this.isPrivate(name) ? 'none' : 'read'
    if (identity.role === 'anonymous' || !reachesPackage(identity, name)) return least
    const most = this.#permissionOfPerson(identity, name, least)
    if (most === 'write' && hasScope(identity, 'publish')) return 'write'
    if (most === 'none') return 'none'
    const isReader = hasScope(identity, 'read') || hasScope(identity, 'publish')
    return isReader ? 'read' : least
  }

  #permissionOfPerson(identity: Identity, name: string, least: Permission): Permission {
    const { user, role } = identity
    if (role === 'admin') return 'write'
    // A token of a job: what it reaches is all that it is for.
    if (user === null) return 'write'
    if (this.#needs.hosted.isMaintainer(name, user)) return 'write'
    const { teams } = this.#needs
    const ofTeam = teams.permissionOf(user, name)
    if (ofTeam === 'read-write' || this.#isOverScope(user, name)) return 'write'
    return ofTeam === 'read-only' ? 'read' : least
  }

  /** Owners and admins of an organisation may do everything with the packages of its scope. */
  #isOverScope(user: string, name: string): boolean {
    const scope = scopeOf(name)
    const role = scope === null ? null : this.#needs.teams.roleOf(scope, user)
    return role === 'owner' || role === 'admin'
  }

  /** @throws RegistryError not-found, exactly as for a package that does not exist */
  assertReadable(identity: Identity, name: string): void {
    if (this.isPrivate(name) && this.permissionOf(identity, name) === 'none') {
      throw absentError(name, HOSTED, 404)
    }
  }

  /**
   * May `identity` change this package, or make it when there is none?
   * @throws RegistryError unauthorized, forbidden, not-found
   */
  assertWritable(identity: Identity, name: string): void {
    assertScope(identity, 'publish')
    const who = identity.user ?? identity.actor
    if (!reachesPackage(identity, name)) {
      throw refused(`this token of ${who} does not reach ${name}`, name)
    }
    const permission = this.permissionOf(identity, name)
    // Whoever may not know of it is told what would be said if there were none.
    const isAbsent = permission === 'none' || this.#needs.hosted.accessOf(name) === null
    if (isAbsent) this.#assertMayMake(identity, name)
    if (permission === 'none') throw absentError(name, HOSTED, 404)
    if (!isAbsent && permission !== 'write') {
      throw refused(`${who} is no maintainer of ${name}, nor does a team allow it`, name)
    }
  }

  /** A scope of an organisation is for its members alone. */
  #assertMayMake({ user, role }: Identity, name: string): void {
    const scope = scopeOf(name)
    const { teams } = this.#needs
    if (role === 'admin' || user === null || scope === null || teams.org(scope) === null) return
    if (teams.roleOf(scope, user) !== null) return
    throw refused(`${name} cannot be made by ${user}, who is no member of ${scope}`, name)
  }
}

function scopeOf(name: string): string | null {
  return name.startsWith('@') ? name.slice(1, name.indexOf('/')) : null
}

function refused(why: string, name: string): RegistryError {
  return new RegistryError('forbidden', why, { package: name })
}
