/**
 * The reasons of refusals, as the pages and clients read them: those that were kept with their
 * evidence (ledger.ts makes them), those of the rules in force, and of strict mode, told as they are
 * now.
 * @module
 */
import type { IncidentRow, Incidents } from '../../db/incidents.ts'
import type { Packages } from '../../db/packages.ts'
import { RegistryError } from '../errors.ts'
import type { Policy, PolicyReader } from '../policy/policy.ts'
import { refusalSentence } from '../packument/refusal.ts'
import type { Source, Sources } from '../sources/source.ts'
import type { Strict } from '../sampler/strict.ts'

/** An id as incidents.ts makes them; anything else is not looked up. */
const ID = /^[0-9a-f]{8,64}$/
/** What a blocked URL ends in when the refusal ends by itself. */
const UNTIL = /-until-\d{4}-\d{2}-\d{2}$/

/** One refusal with its evidence, parsed. */
export type Explained = Pick<
  IncidentRow,
  'code' | 'namespace' | 'name' | 'version' | 'sentence' | 'created' | 'lastSeen'
> & {
  /** How often it was seen; null for a rule, which is no event. */
  count: number | null
  evidence: unknown
}

/** May whoever asks know that there is a package of this name? */
export type IsSeen = (name: string) => boolean

/** What reasons are read from. @property reader by whose rules */
export type ExplanationsNeeds = {
  incidents: Incidents
  sources: Sources
  packages: Packages
  policy: Policy
  strict: Pick<Strict, 'refusalOf'>
  reader: PolicyReader
}

/** Reads what was kept. */
export class Explanations {
  readonly #needs: ExplanationsNeeds

  constructor(needs: ExplanationsNeeds) {
    this.#needs = needs
  }

  /** By the id in `/-/why/<id>`. @param isSeen as in `byVersion` @throws RegistryError not-found */
  byId(id: string, isSeen: IsSeen): Explained {
    const row = ID.test(id) ? this.#needs.incidents.get(id) : null
    if (row !== null && isSeen(row.name)) return explained(row)
    throw new RegistryError('not-found', 'no refusal is kept under this id')
  }

  /**
   * Why a version is refused for this reason: by a rule now, else the newest kept incident.
   * @param reason a code, with the day on which it ends when that is known
   * @param isSeen whether whoever asks may know of a package: else there is no reason either
   * @throws RegistryError not-found
   */
  byVersion(name: string, version: string, reason: string, isSeen: IsSeen): Explained {
    const source = this.#needs.sources.ownerOf(name)
    const code = reason.replace(UNTIL, '')
    const found = isSeen(name) ? this.#find(source, name, version, code) : undefined
    if (found !== undefined) return found
    const sentence = UNTIL.test(reason)
      ? `${name}@${version} is not refused as ${code} any more: ask for it again`
      : `${name}@${version} is not refused as ${code}`
    throw new RegistryError('not-found', sentence, { package: name, version })
  }

  #find(source: Source, name: string, version: string, code: string): Explained | undefined {
    const { namespace } = source
    const row = this.#needs.incidents
      .ofVersion(namespace, name, version)
      .find(incident => incident.code === code)
    return (
      this.#byRule(namespace, name, version, code) ??
      (row === undefined ? this.#byStrict(source, name, version, code) : explained(row))
    )
  }

  #byRule(namespace: string, name: string, version: string, code: string): Explained | undefined {
    const { packages, policy, reader } = this.#needs
    const row = packages.get(namespace, name, version)
    const found = row === null ? null : policy.reasonOf(row, reader)
    if (found === null || found.code !== code) return undefined
    const { sentence, since, evidence } = found
    const times = { created: since, lastSeen: since, count: null }
    return { code, namespace, name, version, sentence, ...times, evidence }
  }

  /** A version that strict mode has not looked into yet: nothing is kept of that. */
  #byStrict(source: Source, name: string, version: string, code: string): Explained | undefined {
    const { packages, strict, reader } = this.#needs
    const { namespace } = source
    const row = packages.get(namespace, name, version)
    const found = row === null ? undefined : strict.refusalOf(source, row)
    if (row === null || found?.code !== code) return undefined
    const { firstSeen: created, tarball } = row
    const sentence = refusalSentence(reader.base, { ...found, name, version })
    const about = { code, namespace, name, version, sentence, created, lastSeen: created }
    return { ...about, count: null, evidence: { detail: found.detail, tarball } }
  }
}

function explained(row: IncidentRow): Explained {
  const evidence: unknown = JSON.parse(row.evidence)
  return { ...row, evidence }
}
