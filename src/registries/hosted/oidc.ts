/**
 * Publishing from CI without a stored token ("trusted publishing"): a job shows an id token of its
 * CI system and gets a token of ours for some minutes, one package and nothing but publishing.
 *
 * https://docs.npmjs.com/trusted-publishers: the audience is `npm:<host of the registry>`. A token
 * is taken when its issuer is on the operator's list, the package names a publisher of that issuer,
 * the signature is good and the claims are those of that publisher; and once for each package.
 * Whoever is refused learns nothing of whether the package exists.
 *
 * @module
 */
import { createHash, randomUUID } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { Audit } from '../../db/audit.ts'
import type { HostedPackages } from '../../db/hosted.ts'
import type {
  IssuerRow,
  TrustedPublisherRow,
  TrustedPublishers,
} from '../../db/trusted-publishers.ts'
import { assertScope, type Identity } from '../accounts/access.ts'
import type { Accounts } from '../accounts/accounts.ts'
import { absentError, RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import { HOSTED } from './hosted-upstream.ts'
import {
  isJobOf,
  issuerOf,
  type IssuerType,
  pinnedOf,
  type TrustRequest,
} from '../accounts/oidc-claims.ts'
import { type Audiences, type IssuerKeys, readClaims } from '../accounts/oidc-keys.ts'
import { timestamp } from '../timestamp.ts'

/** A publish of 100 MB over a slow line ends within it. */
const TOKEN_MS = 15 * 60_000
/** What a job was given is in the audit trail; its dead token is kept a while for whoever looks. */
const TOKEN_KEPT_MS = 30 * 24 * 3_600_000
/** A package with more of them has nobody who knows who can publish it. */
const PUBLISHERS_MAX = 10
/** Longer than any token is good for, whatever its `exp` says. */
const USE_KEPT_SECONDS = 25 * 3600
/** Hosts that may be spoken to without TLS: this machine, in tests. */
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost'])
/** What of a job is written into the audit trail, where a token has it. */
const NOTED = [
  'repository',
  'workflow_ref',
  'project_path',
  'ci_config_ref_uri',
  'run_id',
  'job_id',
]

/** What trusted publishing works with. @property audiences see `audiencesOf` */
export type TrustedPublishingNeeds = {
  publishers: TrustedPublishers
  hosted: Pick<HostedPackages, 'rev'>
  access: HostedAccess
  accounts: Accounts
  audit: Audit
  keys: IssuerKeys
  audiences: Audiences
  now: () => Date
}

export type ExchangedToken = { token: string; created: string; expires: string }
/** A trusted publisher as npm's clients show it. */
export type TrustView = {
  id: string
  type: IssuerType
  issuer: string
  claims: Record<string, unknown>
  permissions: ['createPackage']
}

/** What clients ask tokens for: npm and pnpm name the host, yarn 4 its port too. */
export function audiencesOf(publicUrl: string): Audiences {
  const { host, hostname } = new URL(publicUrl)
  return [...new Set([hostname, host])].map(name => `npm:${name}`)
}

export class TrustedPublishing {
  readonly #needs: TrustedPublishingNeeds

  constructor(needs: TrustedPublishingNeeds) {
    this.#needs = needs
  }

  /** A token for publishing `name`, in exchange for the token of a job. */
  async exchange(name: string, idToken: string): Promise<ExchangedToken> {
    const { publishers, hosted, keys, audiences } = this.#needs
    const claimed = await readClaims(idToken)
    const { iss } = claimed
    const isAsked = (each: TrustedPublisherRow) => each.issuer === iss && this.#isAllowed(each)
    // Before anybody is asked: nobody makes this server fetch what nobody here named. Which package
    // names the issuer is not looked at yet: a token of nobody's would learn whether there is one.
    if (iss === undefined || !this.#isNamed(iss)) throw noPublisher(name, claimed)
    const claims = await keys.verify(idToken, iss, audiences)
    return publishers.transaction(() => {
      // Asked again: the issuer took its time, and nothing may have been taken back meanwhile.
      const now = publishers.of(name).filter(isAsked)
      const publisher = now.find(each => isJobOf(each, claims))
      if (publisher === undefined || hosted.rev(name) === null) throw noPublisher(name, claims)
      return this.#issue(publisher, claims, idToken)
    })
  }

  /** The trusted publishers of a package. */
  list(identity: Identity, name: string): TrustView[] {
    this.#assertOwner(identity, name)
    return this.#needs.publishers.of(name).map(viewOf)
  }

  /** Adds trusted publishers, all or none. */
  add(identity: Identity, name: string, asked: readonly TrustRequest[]): TrustView[] {
    this.#assertOwner(identity, name)
    const { publishers, now } = this.#needs
    return publishers.transaction(() => {
      if (publishers.of(name).length + asked.length > PUBLISHERS_MAX) {
        throw new RegistryError('conflict', `a package has at most ${PUBLISHERS_MAX} publishers`)
      }
      return asked.map(request => {
        const row = this.#rowOf(request, name, identity.actor, timestamp(now()))
        publishers.add(row)
        this.#note(identity.actor, 'trust.add', name, null, viewOf(row))
        return viewOf(row)
      })
    })
  }

  /** Takes trust back, with the tokens that were issued for it. */
  remove(identity: Identity, name: string, id: string): void {
    this.#assertOwner(identity, name)
    const { publishers, accounts, now } = this.#needs
    publishers.transaction(() => {
      const row = publishers.of(name).find(each => each.id === id)
      if (row === undefined) {
        throw new RegistryError('not-found', `${name} has no trusted publisher of that id`)
      }
      publishers.remove(id, timestamp(now()))
      this.#note(identity.actor, 'trust.remove', name, viewOf(row), null)
    })
    accounts.forget()
  }

  issuers(identity: Identity): IssuerRow[] {
    assertScope(identity, 'admin:read')
    return this.#needs.publishers.issuers()
  }

  /** Allows an issuer, and says what its claims are called. */
  addIssuer(identity: Identity, issuer: string, type: IssuerType): IssuerRow {
    assertScope(identity, 'admin:write')
    checkIssuer(issuer)
    const { publishers, now } = this.#needs
    const row = { issuer, type, created: timestamp(now()) }
    publishers.transaction(() => {
      if (publishers.issuers().some(each => each.issuer === issuer)) {
        throw new RegistryError('conflict', `${issuer} is on the list already`)
      }
      publishers.addIssuer(row)
      this.#note(identity.actor, 'oidc.issuer.add', issuer, null, row)
    })
    return row
  }

  /** From now on no token of it is exchanged; what was exchanged ends by itself. */
  removeIssuer(identity: Identity, issuer: string): void {
    assertScope(identity, 'admin:write')
    const { publishers } = this.#needs
    publishers.transaction(() => {
      const row = publishers.issuers().find(each => each.issuer === issuer)
      if (row === undefined) throw new RegistryError('not-found', 'no such issuer is on the list')
      publishers.removeIssuer(issuer)
      this.#note(identity.actor, 'oidc.issuer.remove', issuer, row, null)
    })
  }

  #issue(publisher: TrustedPublisherRow, claims: JWTPayload, idToken: string): ExchangedToken {
    const { publishers, accounts } = this.#needs
    const name = publisher.package
    const now = this.#needs.now()
    const seconds = now.getTime() / 1000
    const { jti } = claims
    const used = JSON.stringify([publisher.issuer, jti ?? idToken, jti !== undefined, name])
    const id = createHash('sha256').update(used).digest('base64url')
    if (!publishers.use(id, seconds + USE_KEPT_SECONDS, seconds)) {
      throw new RegistryError('unauthorized', `this id token was exchanged for ${name} before`)
    }
    if (publisher.pinned === null) publishers.pin(publisher.id, pinnedOf(publisher, claims))
    publishers.forgetTokens(timestamp(new Date(now.getTime() - TOKEN_KEPT_MS)))
    const expires = timestamp(new Date(now.getTime() + TOKEN_MS))
    const { secret, row } = accounts.issue({
      user: null,
      kind: 'oidc',
      name: publishers.tokenNameOf(publisher),
      scopes: ['publish'],
      packages: [name],
      expires,
    })
    const noted = NOTED.filter(key => typeof claims[key] === 'string').map(key => [
      key,
      claims[key],
    ])
    const job = { trust: publisher.id, issuer: publisher.issuer, sub: claims.sub }
    const after = { ...job, ...Object.fromEntries(noted), token: row.id }
    this.#note(`token:${row.id}`, 'trust.exchange', name, null, after)
    return { token: secret, created: row.created, expires }
  }

  /** Does the operator allow it, and any package trust it? */
  #isNamed(issuer: string): boolean {
    const { publishers } = this.#needs
    const rows = publishers.issuers().filter(row => covers(row, issuer))
    return rows.some(({ type }) => publishers.isTrusted(issuer, type))
  }

  #isAllowed({ issuer, type }: Pick<TrustedPublisherRow, 'issuer' | 'type'>): boolean {
    return this.#needs.publishers.issuers().some(row => row.type === type && covers(row, issuer))
  }

  #rowOf(asked: TrustRequest, name: string, creator: string, created: string) {
    const { type, claims, permissions = ['createPackage'] } = asked
    const issuer = issuerOf(asked)
    if (!permissions.includes('createPackage')) {
      const why = 'only publishing can be allowed: ask for createPackage (--allow-publish)'
      throw new RegistryError('unprocessable', why)
    }
    if (!this.#isAllowed({ issuer, type })) {
      const why = `id tokens of ${issuer} are not taken here as those of ${type}: ask the admin`
      throw new RegistryError('unprocessable', why)
    }
    const id = randomUUID()
    return { id, package: name, issuer, type, claims, pinned: null, creator, created }
  }

  /**
   * Who may say who publishes: somebody who may, in person, with a token that could make others. A
   * job may not, or it would stay for ever what it was for minutes.
   */
  #assertOwner(identity: Identity, name: string): void {
    assertScope(identity, 'account')
    const { access, hosted } = this.#needs
    access.assertWritable(identity, name)
    if (hosted.rev(name) === null) throw absentError(name, HOSTED, 404)
    if (identity.user !== null || identity.role === 'admin') return
    throw new RegistryError('forbidden', 'a person is needed to trust a publisher')
  }

  #note(actor: string, action: string, target: string, before: unknown, after: unknown): void {
    const time = timestamp(this.#needs.now())
    const entry = { time, actor, action, target, before: textOf(before), after: textOf(after) }
    this.#needs.audit.append(entry)
  }
}

function textOf(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value)
}

function viewOf({ id, type, issuer, claims }: TrustedPublisherRow): TrustView {
  return { id, type, issuer, claims, permissions: ['createPackage'] }
}

/** Does a row of the list stand for this issuer? */
function covers({ issuer: listed }: IssuerRow, issuer: string): boolean {
  if (!listed.endsWith('/*')) return listed === issuer
  const folder = listed.slice(0, -1)
  return issuer.startsWith(folder) && /^[\w-]+$/.test(issuer.slice(folder.length))
}

function checkIssuer(issuer: string): void {
  const url = URL.parse(issuer)
  const isSafe = url?.protocol === 'https:' || LOOPBACK.has(url?.hostname ?? '')
  const isPlain = url?.username === '' && url.password === '' && !/[?#]/.test(issuer)
  if (url !== null && isSafe && isPlain && /^https?:$/.test(url.protocol)) return
  throw new RegistryError('unprocessable', 'an issuer is an https URL without a query')
}

/** The same for a package that has none, that has another, and that does not exist. */
function noPublisher(name: string, claims: JWTPayload): RegistryError {
  const shownCharsMax = 60
  const said = claims['repository'] ?? claims['project_path'] ?? claims.sub
  const who = typeof said === 'string' ? ` (${JSON.stringify(said.slice(0, shownCharsMax))})` : ''
  const why = `no trusted publisher of ${name} is the job that this id token is of${who}`
  return new RegistryError('forbidden', why, { package: name })
}
