/**
 * Trusted publishing, built over the accounts and the hosted packages of an instance.
 * @module
 */
import { Audit } from './db/audit.ts'
import type { HostedPackages } from './db/hosted.ts'
import type { RegistryDb } from './db/registry-db.ts'
import { TrustedPublishers } from './db/trusted-publishers.ts'
import type { Accounts } from './registries/accounts/accounts.ts'
import type { Fetcher } from './registries/fetch/fetcher.ts'
import type { HostedAccess } from './registries/hosted/hosted-access.ts'
import { IssuerKeys } from './registries/accounts/oidc-keys.ts'
import { audiencesOf, TrustedPublishing } from './registries/hosted/oidc.ts'

/** The parts. @property base public URL */
export type OidcParts = {
  db: RegistryDb
  hosted: HostedPackages
  access: HostedAccess
  accounts: Accounts
  fetcher: Fetcher
  base: string
  now: () => Date
}

/** What the surface needs. */
export function makeOidc(parts: OidcParts) {
  const { db, fetcher, base, now } = parts
  const trustedPublishing = new TrustedPublishing({
    ...parts,
    publishers: new TrustedPublishers(db),
    audit: new Audit(db),
    keys: new IssuerKeys(fetcher, now),
    audiences: audiencesOf(base),
  })
  return { trustedPublishing }
}
