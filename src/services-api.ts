/**
 * What the admin API and its page are made of, over the parts of a running instance.
 * @module
 */
import { Audit } from './db/audit.ts'
import { Idempotency } from './db/idempotency.ts'
import type { Disputes } from './db/disputes.ts'
import { IncidentPages } from './db/incident-pages.ts'
import type { Resolutions } from './db/resolutions.ts'
import type { RegistryDb } from './db/registry-db.ts'
import type { AccountAdmin } from './registries/accounts/accounts-admin.ts'
import type { Accounts } from './registries/accounts/accounts.ts'
import type { Login } from './registries/accounts/login.ts'
import type { TrustedParties } from './registries/sources/trusted-parties.ts'
import type { UpstreamAdmin } from './registries/operator/upstream-admin.ts'
import type { ViewAdmin } from './registries/reading/views.ts'
import { ResourceTurns } from './routes/api-answer.ts'
import { Repeats } from './routes/api-repeat.ts'
import { BrowserSessions } from './routes/api-session-cookie.ts'
import type { ApiRoutesNeeds } from './routes/api.ts'
import type { Report } from './routes/errors.ts'
import type { Who } from './routes/who.ts'
import type { makeOperator } from './services-operator.ts'
import { version } from './version.ts'

/** The parts. @property base public URL, ends in `/` */
export type ApiParts = {
  base: string
  db: RegistryDb
  log: { readonly size: number }
  vkey: string
  who: Who
  accounts: Accounts
  accountAdmin: AccountAdmin
  login: Login
  upstreams: UpstreamAdmin
  parties: TrustedParties
  disputes: Disputes
  resolutions: Resolutions
  operator: ReturnType<typeof makeOperator>
  viewAdmin: ViewAdmin
  report: Report
  now: () => Date
}

/** The needs of the surface. */
export function makeApi(parts: ApiParts): ApiRoutesNeeds {
  const { base, db, log, vkey, accounts, accountAdmin, operator, now } = parts
  return {
    ...parts,
    admin: accountAdmin,
    incidentAdmin: operator.incidents,
    keyAdmin: operator.keys,
    policyAdmin: operator.policy,
    browserSessions: new BrowserSessions({ accounts, base }),
    repeats: new Repeats(new Idempotency(db), now),
    turns: new ResourceTurns(),
    pages: new IncidentPages(db),
    audit: new Audit(db),
    server: { version, publicUrl: base, vkey, logSize: () => log.size },
  }
}
