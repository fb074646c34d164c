/**
 * What operators may settle of incidents: that the log is right where sources of one registry
 * disagree, and that a mirror may stand in for a package again. Everything else that an incident
 * tells of mends itself when its registry does, or is acknowledged.
 *
 * The record, the incident and its evidence stay as they are: what is written is a word on them,
 * with who said it and why, and a line of the audit trail. The version of a settled dispute is
 * served as it was logged. A mirror that is caught again is set aside again.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { Audit } from '../../db/audit.ts'
import type { Disputes } from '../../db/disputes.ts'
import type { IncidentLine, IncidentPages } from '../../db/incident-pages.ts'
import type { Incidents } from '../../db/incidents.ts'
import type { Packages, VersionRow } from '../../db/packages.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { ResolutionRow, Resolutions } from '../../db/resolutions.ts'
import { RegistryError } from '../errors.ts'
import { BAD_MIRROR } from '../sources/mirrors.ts'
import { RESTORED_STATE } from '../reading/plan.ts'
import { isRefusalCode } from '../packument/refusal.ts'
import type { Sources } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'

/** A screen of a terminal, many times over. */
const LIST_MAX = 500
/** Pages looked through for open ones: after this, whoever looks gives the name of a package. */
const PAGES_MAX = 40
/** One line for people. */
const REASON_CHARS_MAX = 500

export const ReasonShape = Type.String({ minLength: 1, maxLength: REASON_CHARS_MAX })

/** An incident and what was settled of it. `returned`: it was seen again since. */
export const IncidentViewShape = Type.Object({
  id: Type.String(),
  code: Type.String(),
  namespace: Type.String(),
  package: Type.String(),
  version: Type.String(),
  sentence: Type.String(),
  created: Type.String(),
  lastSeen: Type.String(),
  count: Type.Integer(),
  state: Type.Union([Type.Literal('open'), Type.Literal('resolved'), Type.Literal('returned')]),
  resolution: Type.Union([
    Type.Object({ actor: Type.String(), reason: Type.String(), created: Type.String() }),
    Type.Null(),
  ]),
})
export type IncidentView = Static<typeof IncidentViewShape>

/** With its evidence. */
export const IncidentDetailShape = Type.Composite([
  IncidentViewShape,
  Type.Object({ evidence: Type.Unknown() }),
])
export type IncidentDetail = Static<typeof IncidentDetailShape>

/** Which are wanted. @property all those too that are settled */
export const IncidentQuestionShape = Type.Object(
  { package: Type.Optional(Type.String({ maxLength: 214 })), all: Type.Optional(Type.Boolean()) },
  { additionalProperties: false },
)
export type IncidentQuestion = Static<typeof IncidentQuestionShape>

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface IncidentOperations {
  /** The newest first. */
  list(question: IncidentQuestion): Promise<IncidentView[]>
  show(id: string): Promise<IncidentDetail>
  resolve(id: string, reason: string): Promise<IncidentView>
}

/** What the operations work on. @property recheck told of a package whose rows changed */
export type IncidentAdminNeeds = {
  db: RegistryDb
  incidents: Incidents
  incidentPages: IncidentPages
  disputes: Disputes
  resolutions: Resolutions
  packages: Packages
  audit: Audit
  factory: { readonly sources: Sources }
  recheck: (name: string) => void
  now: () => Date
}

/** The operations on this data dir. */
export class IncidentAdmin implements IncidentOperations {
  readonly #needs: IncidentAdminNeeds
  readonly #actor: string

  /** @param actor who is written down as having settled it */
  constructor(needs: IncidentAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): IncidentAdmin {
    return new IncidentAdmin(this.#needs, actor)
  }

  async list({ package: name, all = false }: IncidentQuestion): Promise<IncidentView[]> {
    const { incidentPages, resolutions, disputes } = this.#needs
    const filter = name === undefined ? {} : { name }
    const found: IncidentView[] = []
    let after: string | undefined
    for (let pages = 0; pages < PAGES_MAX && found.length < LIST_MAX; pages += 1) {
      const page: IncidentLine[] = incidentPages.incidents(filter, LIST_MAX, after) ?? []
      const settled = resolutions.of(page.map(({ id }) => id))
      const views = page.map(row => viewOf(row, settled.get(row.id) ?? null, disputes))
      found.push(...views.filter(({ state }) => all || state !== 'resolved'))
      if (page.length < LIST_MAX) break
      after = page.at(-1)?.id
      await new Promise(resolve => setImmediate(resolve))
    }
    return found.slice(0, LIST_MAX)
  }

  async show(id: string): Promise<IncidentDetail> {
    const row = this.#row(id)
    const evidence: unknown = JSON.parse(row.evidence)
    const { resolutions, disputes } = this.#needs
    return { ...viewOf(row, resolutions.get(id), disputes), evidence }
  }

  async resolve(id: string, reason: string): Promise<IncidentView> {
    if (/[\p{C}\p{Zl}\p{Zp}]/u.test(reason) || reason.trim() === '') {
      throw new RegistryError('bad-request', 'the reason is not one line of text')
    }
    const { db, resolutions, audit } = this.#needs
    const created = timestamp(this.#needs.now())
    const row = this.#row(id)
    const { name, namespace, version, code, count } = row
    const before = resolutions.get(id)
    db.transaction(() => {
      this.#settle(id, code, this.#needs.packages.get(namespace, name, version))
      resolutions.put({ incident: id, actor: this.#actor, reason, created, count })
      audit.append({
        time: created,
        actor: this.#actor,
        action: 'incident.resolve',
        target: `${namespace}/${name}@${version}`,
        before: before === null ? null : JSON.stringify(before),
        after: JSON.stringify({ incident: id, code, reason }),
      })
    })
    const source = this.#needs.factory.sources.find(name)
    if (code === BAD_MIRROR && source?.namespace === namespace) source.mirrors.distrust(name)
    this.#needs.recheck(name)
    return viewOf(row, resolutions.get(id), this.#needs.disputes)
  }

  /** What the word does to the version; in the caller's transaction. */
  #settle(id: string, code: string, version: VersionRow | null): void {
    if (code === BAD_MIRROR || version?.incident !== id || !isRefusalCode(version.state)) return
    if (this.#needs.disputes.ofIncident(id) === null) {
      const why = `${version.name}@${version.version} is refused as ${version.state} by what its registry itself sends: it is served again when that is right, and nobody's word here makes it so`
      throw new RegistryError('conflict', why, { package: version.name, version: version.version })
    }
    // As it was logged, whatever the document at hand says.
    const served = { ...version, state: RESTORED_STATE, detail: '', incident: null }
    this.#needs.packages.upsert([served])
  }

  #row(id: string) {
    const row = this.#needs.incidents.get(id)
    if (row === null) throw new RegistryError('not-found', `there is no incident ${id}`)
    return row
  }
}

export function viewOf(
  row: IncidentLine,
  resolution: ResolutionRow | null,
  disputes: Disputes,
): IncidentView {
  const { id, code, namespace, name, version, sentence, created, lastSeen, count } = row
  const shown = { id, code, namespace, package: name, version, sentence, created, lastSeen, count }
  if (resolution === null) return { ...shown, state: 'open', resolution: null }
  // A settled dispute stays settled, whoever repeats what it was about.
  const isBack = count > resolution.count && disputes.ofIncident(id) === null
  const { actor, reason, created: at } = resolution
  const said = { actor, reason, created: at }
  return { ...shown, state: isBack ? 'returned' : 'resolved', resolution: said }
}
