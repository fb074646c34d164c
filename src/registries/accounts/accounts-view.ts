/**
 * People and tokens as operators see them: no hash, no secret, but once the secret of a token that
 * was just made.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { TokenRow, UserRow } from '../../db/accounts.ts'

const Maybe = Type.Union([Type.String(), Type.Null()])

export const UserViewShape = Type.Object({
  name: Type.String(),
  email: Maybe,
  role: Type.Union([Type.Literal('member'), Type.Literal('admin')]),
  state: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
  /** Whether a password opens the account. */
  hasPassword: Type.Boolean(),
  created: Type.String(),
})
export type UserView = Static<typeof UserViewShape>

export const TokenViewShape = Type.Object({
  id: Type.String(),
  user: Maybe,
  kind: Type.Union([
    Type.Literal('login'),
    Type.Literal('granular'),
    Type.Literal('session'),
    Type.Literal('oidc'),
  ]),
  name: Type.String(),
  scopes: Type.Array(Type.String()),
  packages: Type.Array(Type.String()),
  orgs: Type.Union([Type.Array(Type.String()), Type.Null()]),
  readOnly: Type.Boolean(),
  cidrs: Type.Array(Type.String()),
  view: Maybe,
  created: Type.String(),
  expires: Maybe,
  lastUsed: Maybe,
  revoked: Maybe,
})
export type TokenView = Static<typeof TokenViewShape>

/** A token that was just made, with its secret: it is told this once. */
export const IssuedTokenShape = Type.Object({ token: TokenViewShape, secret: Type.String() })
export type IssuedTokenView = Static<typeof IssuedTokenShape>

export function userView(row: UserRow): UserView {
  const { name, email, role, state, password, created } = row
  return { name, email, role, state, hasPassword: password !== null, created }
}

export function tokenView(row: TokenRow): TokenView {
  const { hash: _, ...shown } = row
  return shown
}
