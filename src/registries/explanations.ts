/**
 * The kept reasons of refusals, as the pages and clients read them. Makes none (ledger.ts does).
 * @module
 */
import type { IncidentRow, Incidents } from '../db/incidents.ts'
import { RegistryError } from './errors.ts'
import type { Sources } from './source.ts'

/** An id as incidents.ts makes them; anything else is not looked up. */
const ID = /^[0-9a-f]{8,64}$/

/** One refusal with its evidence, parsed. */
export type Explained = Omit<IncidentRow, 'evidence'> & { evidence: unknown }

/** Reads what was kept. */
export class Explanations {
  readonly #incidents: Incidents
  readonly #sources: Sources

  constructor(incidents: Incidents, sources: Sources) {
    this.#incidents = incidents
    this.#sources = sources
  }

  /** By the id in `/-/why/<id>`. @throws RegistryError not-found */
  byId(id: string): Explained {
    const row = ID.test(id) ? this.#incidents.get(id) : null
    if (row === null) throw new RegistryError('not-found', 'no refusal is kept under this id')
    return explained(row)
  }

  /** The newest one of a version for this reason. @throws RegistryError not-found */
  byVersion(name: string, version: string, code: string): Explained {
    const { namespace } = this.#sources.ownerOf(name)
    const row = this.#incidents
      .ofVersion(namespace, name, version)
      .find(incident => incident.code === code)
    if (row === undefined) {
      throw new RegistryError('not-found', `${name}@${version} is not refused as ${code}`, {
        package: name,
        version,
      })
    }
    return explained(row)
  }
}

function explained(row: IncidentRow): Explained {
  const evidence: unknown = JSON.parse(row.evidence)
  return { ...row, evidence }
}
