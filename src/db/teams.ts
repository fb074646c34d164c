/**
 * Organisations, their members and teams, and what each team may do with which package: rows in,
 * rows out. Who may change them is decided by whoever calls.
 * @module
 */
import { and, asc, eq, type InferSelectModel } from 'drizzle-orm'
import type { RegistryDb } from './registry-db.ts'
import { org, orgMember, team, teamMember, teamPackage } from './schema-accounts.ts'

export type OrgRow = InferSelectModel<typeof org>
export type OrgMemberRow = InferSelectModel<typeof orgMember>
export type TeamRow = InferSelectModel<typeof team>
export type TeamPackageRow = InferSelectModel<typeof teamPackage>
export type OrgRole = OrgMemberRow['role']
export type TeamPermission = TeamPackageRow['permission']

export class Teams {
  readonly #db: RegistryDb
  /** Asked for every publish. */
  readonly #prepared: ReturnType<typeof prepareFor>

  constructor(db: RegistryDb) {
    this.#db = db
    this.#prepared = prepareFor(db)
  }

  org(name: string): OrgRow | null {
    return this.#prepared.org.get(name) ?? null
  }

  orgs(): OrgRow[] {
    return this.#db.orm.select().from(org).orderBy(asc(org.name)).all()
  }

  /** Adds an organisation; throws when the name is taken. */
  addOrg(row: OrgRow): void {
    this.#db.orm.insert(org).values(row).run()
  }

  members(of: string): OrgMemberRow[] {
    const rows = this.#db.orm.select().from(orgMember).where(eq(orgMember.org, of))
    return rows.orderBy(asc(orgMember.user)).all()
  }

  /** What a person is in an organisation; null: nothing. */
  roleOf(of: string, user: string): OrgRole | null {
    return this.#prepared.member.get(of, user)?.role ?? null
  }

  /** Takes somebody in, or gives another role. */
  putMember(row: OrgMemberRow): void {
    this.#db.orm
      .insert(orgMember)
      .values(row)
      .onConflictDoUpdate({ target: [orgMember.org, orgMember.user], set: { role: row.role } })
      .run()
  }

  /** Takes a person out of an organisation and of all its teams. True when there was something. */
  removeMember(of: string, user: string): boolean {
    const { orm } = this.#db
    return this.#db.transaction(() => {
      const inTeams = and(eq(teamMember.org, of), eq(teamMember.user, user))
      orm.delete(teamMember).where(inTeams).run()
      const where = and(eq(orgMember.org, of), eq(orgMember.user, user))
      return orm.delete(orgMember).where(where).returning().all().length === 1
    })
  }

  teams(of: string): TeamRow[] {
    return this.#db.orm.select().from(team).where(eq(team.org, of)).orderBy(asc(team.name)).all()
  }

  team(of: string, name: string): TeamRow | null {
    const where = and(eq(team.org, of), eq(team.name, name))
    return this.#db.orm.select().from(team).where(where).get() ?? null
  }

  /** Adds a team; throws when the name is taken. */
  addTeam(row: TeamRow): void {
    this.#db.orm.insert(team).values(row).run()
  }

  /** Removes a team with its members and permissions. */
  removeTeam(of: string, name: string): boolean {
    const { orm } = this.#db
    return this.#db.transaction(() => {
      orm
        .delete(teamMember)
        .where(and(eq(teamMember.org, of), eq(teamMember.team, name)))
        .run()
      orm
        .delete(teamPackage)
        .where(and(eq(teamPackage.org, of), eq(teamPackage.team, name)))
        .run()
      const where = and(eq(team.org, of), eq(team.name, name))
      return orm.delete(team).where(where).returning().all().length === 1
    })
  }

  teamMembers(of: string, name: string): string[] {
    const where = and(eq(teamMember.org, of), eq(teamMember.team, name))
    const rows = this.#db.orm.select().from(teamMember).where(where).orderBy(asc(teamMember.user))
    return rows.all().map(({ user }) => user)
  }

  /** True when they were not in it before. */
  addTeamMember(of: string, name: string, user: string): boolean {
    const row = { org: of, team: name, user }
    const added = this.#db.orm.insert(teamMember).values(row).onConflictDoNothing()
    return added.returning().all().length === 1
  }

  removeTeamMember(of: string, name: string, user: string): boolean {
    const where = and(eq(teamMember.org, of), eq(teamMember.team, name), eq(teamMember.user, user))
    return this.#db.orm.delete(teamMember).where(where).returning().all().length === 1
  }

  /** The packages of a team, by name. */
  packagesOfTeam(of: string, name: string): TeamPackageRow[] {
    const where = and(eq(teamPackage.org, of), eq(teamPackage.team, name))
    const rows = this.#db.orm.select().from(teamPackage).where(where)
    return rows.orderBy(asc(teamPackage.package)).all()
  }

  /** The teams that a package was given to. */
  teamsOfPackage(name: string): TeamPackageRow[] {
    const rows = this.#db.orm.select().from(teamPackage).where(eq(teamPackage.package, name))
    return rows.orderBy(asc(teamPackage.org), asc(teamPackage.team)).all()
  }

  /** Gives a package to a team, or changes what the team may do with it. */
  putPackage(row: TeamPackageRow): void {
    const target = [teamPackage.org, teamPackage.team, teamPackage.package]
    const set = { permission: row.permission }
    this.#db.orm.insert(teamPackage).values(row).onConflictDoUpdate({ target, set }).run()
  }

  removePackage(of: string, name: string, from: string): boolean {
    const where = and(
      eq(teamPackage.org, of),
      eq(teamPackage.team, name),
      eq(teamPackage.package, from),
    )
    return this.#db.orm.delete(teamPackage).where(where).returning().all().length === 1
  }

  /** What the teams of a person allow with a package: the most that one of them does. */
  permissionOf(user: string, name: string): TeamPermission | null {
    const found = this.#prepared.permissions.all(name, user)
    if (found.some(({ permission }) => permission === 'read-write')) return 'read-write'
    return found.length === 0 ? null : 'read-only'
  }

  /** Every package that the teams of a person reach, and how. */
  packagesOfUser(user: string): { package: string; permission: TeamPermission }[] {
    const sameTeam = and(eq(teamMember.org, teamPackage.org), eq(teamMember.team, teamPackage.team))
    return this.#db.orm
      .select({ package: teamPackage.package, permission: teamPackage.permission })
      .from(teamPackage)
      .innerJoin(teamMember, sameTeam)
      .where(eq(teamMember.user, user))
      .orderBy(asc(teamPackage.package))
      .all()
  }
}

/** By hand: drizzle's builder costs up to ten times the question itself. */
function prepareFor({ database }: RegistryDb) {
  return {
    org: database.prepare<OrgRow, [string]>('SELECT name, created FROM org WHERE name = ?'),
    member: database.prepare<Pick<OrgMemberRow, 'role'>, [string, string]>(
      'SELECT role FROM org_member WHERE org = ? AND user = ?',
    ),
    permissions: database.prepare<Pick<TeamPackageRow, 'permission'>, [string, string]>(
      `SELECT p.permission FROM team_package AS p
       JOIN team_member AS m ON m.org = p.org AND m.team = p.team
       WHERE p.package = ? AND m.user = ?`,
    ),
  }
}
