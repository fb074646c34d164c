/**
 * What may be asked of people and tokens, in the form that the command line, the control socket and
 * the admin API share; and how each part of it is checked.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import { SCOPES, type Scope } from './access.ts'
import { AuthorityError, buildAuthority } from '../sources/authority.ts'
import { RegistryError } from '../errors.ts'
import { timestamp } from '../timestamp.ts'

/** Longer than any name or address of a person that is not made to be long. */
const WORD_CHARS_MAX = 200
/** passwords.ts says what a password is; this only bounds what travels. */
const PASSWORD_CHARS_MAX = 1024
/** Packages that one token names one by one; more than that is a scope. */
const PATTERNS_MAX = 200
const ORGS_MAX = 200
/** As npm has it for new names: in URLs, in file systems and in sentences it is one thing. */
const USER_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/
/** Somebody at some host: whether mail arrives is not ours to find out. */
const EMAIL = /^[^\s@\p{Cc}\p{Cf}]{1,120}@[^\s@\p{Cc}\p{Cf}]{1,120}$/u
/** A label is shown in terminals and on pages. */
const LABEL = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,200}$/u
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/

const Word = Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX })
const Password = Type.String({ minLength: 1, maxLength: PASSWORD_CHARS_MAX })
const Email = Type.Union([Word, Type.Null()])
const Role = Type.Union([Type.Literal('member'), Type.Literal('admin')])
const State = Type.Union([Type.Literal('active'), Type.Literal('disabled')])
const CLOSED = { additionalProperties: false } as const

/** A person that is to be added. `password: null`: no password opens the account. */
export const NewUserShape = Type.Object(
  {
    name: Word,
    password: Type.Union([Password, Type.Null()]),
    email: Type.Optional(Email),
    role: Type.Optional(Role),
  },
  CLOSED,
)
export type NewUser = Static<typeof NewUserShape>

/** What is to change of a person: what is not named stays. */
export const UserSettingsShape = Type.Object(
  {
    email: Type.Optional(Email),
    password: Type.Optional(Type.Union([Password, Type.Null()])),
    role: Type.Optional(Role),
    state: Type.Optional(State),
  },
  CLOSED,
)
export type UserSettings = Static<typeof UserSettingsShape>

/** A token that is to be made. Packages: `["**"]` when none are named; scopes: `["read"]`. */
export const NewTokenShape = Type.Object(
  {
    user: Type.Union([Word, Type.Null()]),
    name: Word,
    scopes: Type.Optional(
      Type.Array(Type.Union(SCOPES.map(scope => Type.Literal(scope))), {
        maxItems: SCOPES.length,
      }),
    ),
    packages: Type.Optional(Type.Array(Word, { maxItems: PATTERNS_MAX })),
    orgs: Type.Optional(Type.Union([Type.Array(Word, { maxItems: ORGS_MAX }), Type.Null()])),
    readOnly: Type.Optional(Type.Boolean()),
    cidrs: Type.Optional(Type.Array(Word)),
    expires: Type.Optional(Type.Union([Word, Type.Null()])),
    view: Type.Optional(Type.Union([Word, Type.Null()])),
  },
  CLOSED,
)
export type TokenRequest = Static<typeof NewTokenShape>

/** @throws RegistryError unprocessable: npm says of a 400 that there is no such user */
export function checkUserName(name: string): string {
  if (USER_NAME.test(name)) return name
  const why =
    'a user name has 1 to 64 of a-z, 0-9, dot, dash, underscore, and begins and ends plain'
  throw new RegistryError('unprocessable', why)
}

/** @throws RegistryError bad-request */
export function checkEmail(email: string | null): string | null {
  if (email === null || (EMAIL.test(email) && email.isWellFormed())) return email
  throw new RegistryError('bad-request', 'this is no e-mail address')
}

/** @throws RegistryError bad-request */
export function checkLabel(name: string): string {
  if (LABEL.test(name) && name.isWellFormed()) return name
  throw new RegistryError('bad-request', 'a token has a name of one line, 200 characters at most')
}

/** Those of the known scopes, in their order. */
export function checkScopes(scopes: readonly string[]): Scope[] {
  return SCOPES.filter(scope => scopes.includes(scope))
}

/** @throws RegistryError bad-request */
export function checkPatterns(patterns: readonly string[]): string[] {
  const found = [...new Set(patterns)]
  if (found.length === 0 || found.length > PATTERNS_MAX) {
    const why = `a token names 1 to ${PATTERNS_MAX} packages or scopes; '**' is all`
    throw new RegistryError('bad-request', why)
  }
  try {
    // Each for itself: that one is wider than another does no harm here.
    for (const pattern of found) buildAuthority([{ registry: 'token', patterns: [pattern] }])
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error
    throw new RegistryError('bad-request', error.message)
  }
  return found
}

/** An instant to come. @throws RegistryError bad-request */
export function checkExpiry(expires: string | null, now: Date): string | null {
  if (expires === null) return null
  const instant = INSTANT.test(expires) ? new Date(expires) : new Date(Number.NaN)
  if (Number.isNaN(instant.getTime()) || instant <= now) {
    throw new RegistryError('bad-request', 'expires: expected an instant to come, in UTC')
  }
  return timestamp(instant)
}
