/**
 * What an operator decides while the server runs: rules, incidents and keys, over the parts of a
 * data dir. With a server the next question is answered by it; without one there is nobody to tell.
 * @module
 */
import { Audit } from './db/audit.ts'
import { IncidentPages } from './db/incident-pages.ts'
import type { RegistryDb } from './db/registry-db.ts'
import type { LogKey } from './db/keys.ts'
import { IncidentAdmin, type IncidentAdminNeeds } from './registries/operator/operator-incidents.ts'
import { KeyAdmin, type KeyAdminNeeds } from './registries/operator/operator-keys.ts'
import { PolicyAdmin, type PolicyAdminNeeds } from './registries/operator/policy-admin.ts'

type Made = 'audit' | 'incidentPages' | 'origin'

/** What the operations are made of. */
export type OperatorParts = Omit<PolicyAdminNeeds, Made> &
  Omit<IncidentAdminNeeds, Made> &
  Omit<KeyAdminNeeds, Made> & { db: RegistryDb; logKey: LogKey }

/** Nobody serves: nothing is held that could be old, and nobody can be asked. */
export const NOBODY_SERVES = {
  replan: () => undefined,
  recheck: () => undefined,
  ensureRecent: async () => undefined,
}

/** The operations. @param actor who is written into the audit trail */
export function makeOperator(parts: OperatorParts, actor: string) {
  const audit = new Audit(parts.db)
  const incidentPages = new IncidentPages(parts.db)
  const origin = parts.logKey.signer.name
  return {
    policy: new PolicyAdmin({ ...parts, audit }, actor),
    incidents: new IncidentAdmin({ ...parts, audit, incidentPages }, actor),
    keys: new KeyAdmin({ ...parts, audit, origin }, actor),
  }
}
