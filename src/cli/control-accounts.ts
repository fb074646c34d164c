/**
 * The operations on people and tokens of a running server, through its control socket.
 * @module
 */
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import type { AccountOperations } from '../registries/accounts/accounts-admin.ts'
import {
  IssuedTokenShape,
  TokenViewShape,
  UserViewShape,
} from '../registries/accounts/accounts-view.ts'

/** Carries one operation out, and checks the form of the answer. */
export type Call = <Shape extends TSchema>(
  operation: string,
  args: object,
  shape: Shape,
) => Promise<Static<Shape>>

export function accountClient(call: Call): AccountOperations {
  return {
    users: () => call('account/users', {}, Type.Array(UserViewShape)),
    user: name => call('account/user', { name }, UserViewShape),
    addUser: asked => call('account/add-user', asked, UserViewShape),
    setUser: (name, settings) => call('account/set-user', { name, settings }, UserViewShape),
    tokens: user =>
      call('account/tokens', user === undefined ? {} : { user }, Type.Array(TokenViewShape)),
    createToken: asked => call('account/create-token', asked, IssuedTokenShape),
    revokeToken: id => call('account/revoke-token', { id }, TokenViewShape),
  }
}
