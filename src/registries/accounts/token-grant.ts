/**
 * What npm asks of a token (`npm token create`), in the words of this registry.
 *
 * npm 12 says which packages, scopes and organisations, and what may be done with them; before it,
 * a token was read-only or not. What cannot be kept as it was asked is refused: a token must never
 * reach farther than its maker thinks.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { Scope } from './access.ts'
import type { TokenRequest } from './accounts-request.ts'
import { RegistryError } from '../errors.ts'

const DAY_MS = 86_400_000
/** Ten years: beyond that "never" was meant, and is said by leaving it out. */
const DAYS_MAX = 3650
const EVERY_PACKAGE = '**'

const Names = Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()]))
const Permission = Type.Optional(Type.Union([Type.String(), Type.Null()]))

/** The body of `POST /-/npm/v1/tokens`, of npm 12 and of those before it. */
export const NpmTokenShape = Type.Object({
  password: Type.String(),
  name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  readonly: Type.Optional(Type.Boolean()),
  packages: Names,
  packages_all: Type.Optional(Type.Boolean()),
  scopes: Names,
  orgs: Names,
  packages_and_scopes_permission: Permission,
  orgs_permission: Permission,
  expires: Type.Optional(
    Type.Union([Type.Integer({ minimum: 1, maximum: DAYS_MAX }), Type.Null()]),
  ),
  cidr_whitelist: Names,
})
export type NpmToken = Static<typeof NpmTokenShape>

/** The token that is asked for. @throws RegistryError unprocessable, with what cannot be kept */
export function tokenRequestOf(
  asked: NpmToken,
  owner: { user: string; view: string | null },
  now: Date,
): TokenRequest {
  const days = asked.expires ?? null
  return {
    ...(isGranular(asked) ? granularOf(asked) : classicOf(asked)),
    user: owner.user,
    view: owner.view,
    name: asked.name ?? `token of ${now.toISOString().slice(0, 10)}`,
    cidrs: asked.cidr_whitelist ?? [],
    expires: days === null ? null : new Date(now.getTime() + days * DAY_MS).toISOString(),
  }
}

type Reach = Required<Pick<TokenRequest, 'scopes' | 'packages' | 'readOnly' | 'orgs'>>

function isGranular(asked: NpmToken): boolean {
  return (
    (asked.packages_and_scopes_permission ?? null) !== null ||
    (asked.orgs_permission ?? null) !== null ||
    asked.packages_all === true ||
    [asked.packages, asked.scopes, asked.orgs].some(names => (names ?? []).length > 0)
  )
}

/** A token as npm made them before: all that its person may do but to administer, or only reading. */
function classicOf(asked: NpmToken): Reach {
  const scopes: Scope[] =
    asked.readonly === true ? ['read'] : ['read', 'publish', 'account', 'team']
  return { scopes, packages: [EVERY_PACKAGE], readOnly: asked.readonly === true, orgs: null }
}

function granularOf(asked: NpmToken): Reach {
  const packages = asked.packages_all === true ? [EVERY_PACKAGE] : patternsOf(asked)
  const onPackages = permission(asked.packages_and_scopes_permission, packages.length > 0)
  const onOrgs = permission(asked.orgs_permission, false)
  const scopes: Scope[] = []
  if (onPackages !== 'no-access') scopes.push('read')
  if (onPackages === 'read-write') scopes.push('publish')
  if (onPackages === 'read-write-stage-only') scopes.push('stage')
  if (onOrgs === 'read-write') scopes.push('team')
  if (onPackages !== 'no-access' && packages.length === 0) {
    throw refused('name the packages or scopes of this token, or ask for all packages')
  }
  if (onOrgs === 'read-write' && (asked.orgs ?? []).length === 0) {
    throw refused('name the organisations of this token')
  }
  if (scopes.length === 0) throw refused('this token could do nothing')
  return {
    scopes,
    packages: onPackages === 'no-access' ? [EVERY_PACKAGE] : packages,
    readOnly: !scopes.some(scope => scope !== 'read'),
    orgs: asked.orgs ?? [],
  }
}

function patternsOf(asked: NpmToken): string[] {
  const scopes = (asked.scopes ?? []).map(scope => {
    const name = scope.startsWith('@') ? scope : `@${scope}`
    return name.endsWith('/*') ? name : `${name}/*`
  })
  return [...(asked.packages ?? []), ...scopes]
}

type Allowed = 'no-access' | 'read-only' | 'read-write' | 'read-write-stage-only'

/** @param isNamed something was named: then the least that makes sense is reading it */
function permission(text: string | null | undefined, isNamed: boolean): Allowed {
  switch (text ?? null) {
    case null:
      return isNamed ? 'read-only' : 'no-access'
    case 'no-access':
      return 'no-access'
    case 'read-only':
      return 'read-only'
    case 'read-write':
      return 'read-write'
    case 'read-write-stage-only':
      return 'read-write-stage-only'
    default:
      throw refused('a token has no-access, read-only, read-write or read-write-stage-only here')
  }
}

function refused(why: string): RegistryError {
  return new RegistryError('unprocessable', why)
}
