/**
 * `/-/api/users` and `/-/api/tokens`: people and what they log in with. The operations are those of
 * the command line (registries/accounts/accounts-admin.ts).
 * @module
 */
import { Type } from '@sinclair/typebox'
import type { AccountOperations } from '../registries/accounts/accounts-admin.ts'
import {
  NewTokenShape,
  NewUserShape,
  UserSettingsShape,
} from '../registries/accounts/accounts-request.ts'
import {
  IssuedTokenShape,
  TokenViewShape,
  UserViewShape,
} from '../registries/accounts/accounts-view.ts'
import { RegistryError } from '../registries/errors.ts'
import { PageQuery, pageIn, pageOf } from './api-pages.ts'
import { type ApiRoute, apiRoute, None, PathWord } from './api-route.ts'

const USERS = '/-/api/users'
const TOKENS = '/-/api/tokens'

const CLOSED = { additionalProperties: false } as const
const User = Type.Object(UserViewShape.properties, { $id: 'User' })
const Token = Type.Object(TokenViewShape.properties, { $id: 'Token' })
const IssuedToken = Type.Object(
  { token: Token, secret: IssuedTokenShape.properties.secret },
  { $id: 'IssuedToken', description: 'The secret is told this once.' },
)
const NewUser = Type.Object(NewUserShape.properties, { ...CLOSED, $id: 'NewUser' })
const UserSettings = Type.Object(UserSettingsShape.properties, { ...CLOSED, $id: 'UserSettings' })
const NewToken = Type.Object(NewTokenShape.properties, { ...CLOSED, $id: 'NewToken' })
const Name = Type.Object({ name: PathWord })
const Id = Type.Object({ id: PathWord })

const userExample = {
  name: 'ada',
  email: 'ada@acme.example',
  role: 'member',
  state: 'active',
  hasPassword: true,
  created: '2026-11-22T08:31:07Z',
}
const tokenExample = {
  id: '0a1b2c3d4e5f607182',
  user: 'ada',
  kind: 'granular',
  name: 'build machine',
  scopes: ['read'],
  packages: ['@acme/*'],
  orgs: null,
  readOnly: true,
  cidrs: [],
  view: null,
  created: '2026-11-22T08:31:07Z',
  expires: null,
  lastUsed: null,
  revoked: null,
}

/** What the routes work on. @property as the operations in somebody's name */
export type AccountRoutesNeeds = { accountAdmin: { as(actor: string): AccountOperations } }

type Admin = AccountRoutesNeeds['accountAdmin']

/** The routes. */
export function accountApiRoutes({ accountAdmin }: AccountRoutesNeeds): ApiRoute[] {
  return [
    ...userRoutes(accountAdmin),
    createUserRoute(accountAdmin),
    changeUserRoute(accountAdmin),
    ...tokenRoutes(accountAdmin),
    ...tokenChanges(accountAdmin),
  ]
}

function userRoutes(admin: Admin): ApiRoute[] {
  return [
    apiRoute({
      method: 'GET',
      path: USERS,
      operationId: 'listUsers',
      summary: 'List people',
      description: 'In the order of their names, disabled ones too.',
      tag: 'accounts',
      scope: 'admin:read',
      params: None,
      query: Type.Object(PageQuery, CLOSED),
      body: None,
      success: {
        status: 200,
        description: 'A page of them.',
        schema: pageOf(User),
        example: { items: [userExample] },
      },
      handle: async ({ query, identity }) =>
        pageIn(await admin.as(identity.actor).users(), each => each.name, query),
    }),
    apiRoute({
      method: 'GET',
      path: `${USERS}/:name`,
      operationId: 'getUser',
      summary: 'Read a person',
      description: 'Never a password nor what was made of it.',
      tag: 'accounts',
      scope: 'admin:read',
      params: Name,
      query: None,
      body: None,
      examples: { name: 'ada' },
      problems: [404],
      success: { status: 200, description: 'The person.', schema: User, example: userExample },
      handle: async ({ params, identity }) => ({
        value: await admin.as(identity.actor).user(params.name),
      }),
    }),
  ]
}

function createUserRoute(admin: Admin): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: USERS,
    operationId: 'createUser',
    summary: 'Add a person',
    description: '`password: null`: no password opens the account, only tokens made for it.',
    tag: 'accounts',
    scope: 'admin:write',
    params: None,
    query: None,
    body: NewUser,
    bodyExample: { name: 'ada', password: 'correct horse battery staple', role: 'member' },
    problems: [409, 503],
    success: { status: 201, description: 'The person.', schema: User, example: userExample },
    handle: async ({ body, identity }) => {
      const value = await admin.as(identity.actor).addUser(body)
      return { value, location: `-/api/users/${encodeURIComponent(value.name)}` }
    },
  })
}

function changeUserRoute(admin: Admin): ApiRoute {
  return apiRoute({
    method: 'PATCH',
    path: `${USERS}/:name`,
    operationId: 'changeUser',
    summary: 'Change or disable a person',
    description:
      'What is absent stays. Another password, and `state: disabled`, end every login of theirs.',
    tag: 'accounts',
    scope: 'admin:write',
    params: Name,
    query: None,
    body: UserSettings,
    bodyExample: { state: 'disabled' },
    examples: { name: 'ada' },
    problems: [404, 409, 503],
    success: { status: 200, description: 'The person now.', schema: User, example: userExample },
    current: ({ params, identity }) => admin.as(identity.actor).user(params.name),
    handle: async ({ params, body, identity }) => ({
      value: await admin.as(identity.actor).setUser(params.name, body),
    }),
  })
}

async function findToken(admin: Admin, actor: string, id: string) {
  const found = (await admin.as(actor).tokens()).find(each => each.id === id)
  if (found !== undefined) return found
  throw new RegistryError('not-found', 'there is no live token of that id')
}

function tokenRoutes(admin: Admin): ApiRoute[] {
  return [
    apiRoute({
      method: 'GET',
      path: TOKENS,
      operationId: 'listTokens',
      summary: 'List tokens',
      description: 'Those that were not revoked, by id; sessions of browsers too.',
      tag: 'accounts',
      scope: 'admin:read',
      params: None,
      query: Type.Object({ ...PageQuery, user: Type.Optional(PathWord) }, CLOSED),
      body: None,
      problems: [404],
      success: {
        status: 200,
        description: 'A page of them.',
        schema: pageOf(Token),
        example: { items: [tokenExample] },
      },
      handle: async ({ query, identity }) =>
        pageIn(await admin.as(identity.actor).tokens(query.user), each => each.id, query),
    }),
    apiRoute({
      method: 'GET',
      path: `${TOKENS}/:id`,
      operationId: 'getToken',
      summary: 'Read a token',
      description: 'What it allows and when it was used last; never its secret.',
      tag: 'accounts',
      scope: 'admin:read',
      params: Id,
      query: None,
      body: None,
      examples: { id: tokenExample.id },
      problems: [404],
      success: { status: 200, description: 'The token.', schema: Token, example: tokenExample },
      handle: async ({ params, identity }) => ({
        value: await findToken(admin, identity.actor, params.id),
      }),
    }),
  ]
}

function tokenChanges(admin: Admin): ApiRoute[] {
  return [
    apiRoute({
      method: 'POST',
      path: TOKENS,
      operationId: 'createToken',
      summary: 'Make a token',
      description:
        'For a person, or with `user: null` for a machine. Its secret is in this answer and ' +
        'nowhere else: a repetition under the same Idempotency-Key answers 409.',
      tag: 'accounts',
      scope: 'admin:write',
      params: None,
      query: None,
      body: NewToken,
      bodyExample: { user: 'ada', name: 'build machine', scopes: ['read'], readOnly: true },
      problems: [404],
      success: {
        status: 201,
        description: 'The token and its secret.',
        schema: IssuedToken,
        example: { token: tokenExample, secret: 'npmx_…' },
      },
      handle: async ({ body, identity }) => {
        const value = await admin.as(identity.actor).createToken(body)
        return { value, isSecret: true, location: `-/api/tokens/${value.token.id}` }
      },
    }),
    apiRoute({
      method: 'DELETE',
      path: `${TOKENS}/:id`,
      operationId: 'revokeToken',
      summary: 'Revoke a token',
      description: 'It is nobody from the next request on, and never comes back.',
      tag: 'accounts',
      scope: 'admin:write',
      params: Id,
      query: None,
      body: None,
      examples: { id: tokenExample.id },
      problems: [404, 410],
      success: { status: 204, description: 'It is revoked.' },
      current: ({ params, identity }) => findToken(admin, identity.actor, params.id),
      handle: async ({ params, identity }) => {
        await admin.as(identity.actor).revokeToken(params.id)
        return {}
      },
    }),
  ]
}
