/**
 * `/-/api/policy`, the retirement and rotation of keys: what an operator decides while the server
 * runs. The operations are those of the command line (registries/operator/policy-admin.ts,
 * operator-keys.ts).
 * @module
 */
import { Type } from '@sinclair/typebox'
import { type KeyOperations, RotationShape } from '../registries/operator/operator-keys.ts'
import {
  type PolicyOperations,
  PolicyQuestionShape,
  PolicyTestShape,
  PolicyViewShape,
} from '../registries/operator/policy-admin.ts'
import { RulesShape } from '../registries/policy/policy-rule.ts'
import { KeyViewShape } from '../registries/operator/upstream-view.ts'
import { type ApiRoute, apiRoute, None, PathWord } from './api-route.ts'

/** A thousand rules with their reasons. */
const RULES_BODY_BYTES_MAX = 1024 * 1024

const KEYID = 'SHA256:GCDJ2XVKfoUQGmPXe6aVNt2ZiHpMwzqqJzpk6YaZ0+8'
const CLOSED = { additionalProperties: false } as const

const Key = Type.Object(KeyViewShape.properties, { $id: 'Key' })
const Rotation = Type.Object(RotationShape.properties, { $id: 'Rotation' })
const PolicyRules = Type.Object(PolicyViewShape.properties, { $id: 'Policy' })
const PolicyTest = Type.Object(PolicyTestShape.properties, { $id: 'PolicyTest' })
const PolicyQuestion = Type.Object(PolicyQuestionShape.properties, {
  ...CLOSED,
  $id: 'PolicyQuestion',
})
const NewRules = Type.Object({ rules: RulesShape }, { ...CLOSED, $id: 'NewPolicy' })
const View = Type.Object({ name: PathWord })

const ruleExample = { match: 'left-pad@<1.3.0', action: 'deny', reason: 'broken' }
const policyExample = {
  view: null,
  revision: '0f1e2d3c4b5a6978',
  rules: [{ ...ruleExample, place: 1, since: '2026-11-22T08:31:07Z' }],
}
const testExample = {
  name: 'left-pad',
  namespace: 'npm',
  versions: [
    {
      version: '1.2.0',
      outcome: 'refused',
      code: 'denied',
      by: 'rule',
      place: 1,
      match: 'left-pad@<1.3.0',
      why: 'broken',
      until: null,
    },
  ],
  more: 0,
}

/** What the routes work on. @property as the operations in somebody's name */
export type OperatorRoutesNeeds = {
  policyAdmin: { as(actor: string): PolicyOperations }
  keyAdmin: { as(actor: string): KeyOperations }
}

/** The routes. */
export function operatorRoutes({ policyAdmin, keyAdmin }: OperatorRoutesNeeds): ApiRoute[] {
  return [
    ...commonPolicy(policyAdmin),
    ...viewPolicy(policyAdmin),
    testRoute(policyAdmin),
    ...keyRoutes(keyAdmin),
  ]
}

const POLICY = {
  tag: 'policy',
  query: None,
  success: {
    status: 200,
    description: 'The rules now.',
    schema: PolicyRules,
    example: policyExample,
  },
} as const
const NEW_POLICY = {
  body: NewRules,
  bodyBytesMax: RULES_BODY_BYTES_MAX,
  bodyExample: { rules: [ruleExample] },
}

function commonPolicy(admin: OperatorRoutesNeeds['policyAdmin']): ApiRoute[] {
  return [
    apiRoute({
      ...POLICY,
      method: 'GET',
      path: '/-/api/policy',
      operationId: 'getPolicy',
      summary: 'Read the rules for everybody',
      description: 'In their order: the first that is about a version decides.',
      scope: 'admin:read',
      params: None,
      body: None,
      handle: async ({ identity }) => ({ value: await admin.as(identity.actor).list(null) }),
    }),
    apiRoute({
      ...POLICY,
      ...NEW_POLICY,
      method: 'PUT',
      path: '/-/api/policy',
      operationId: 'setPolicy',
      summary: 'Replace the rules for everybody',
      description: 'All of them, in this order. The next request is answered by them.',
      scope: 'admin:write',
      params: None,
      current: ({ identity }) => admin.as(identity.actor).list(null),
      handle: async ({ body, identity }) => ({
        value: await admin.as(identity.actor).set(null, body.rules),
      }),
    }),
  ]
}

function viewPolicy(admin: OperatorRoutesNeeds['policyAdmin']): ApiRoute[] {
  const examples = { name: 'careful' }
  return [
    apiRoute({
      ...POLICY,
      method: 'GET',
      path: '/-/api/views/:name/policy',
      operationId: 'getViewPolicy',
      summary: 'Read the rules of a view',
      description: 'What holds for tokens that carry it, besides the rules for everybody.',
      scope: 'admin:read',
      params: View,
      body: None,
      examples,
      problems: [404],
      handle: async ({ params, identity }) => ({
        value: await admin.as(identity.actor).list(params.name),
      }),
    }),
    apiRoute({
      ...POLICY,
      ...NEW_POLICY,
      method: 'PUT',
      path: '/-/api/views/:name/policy',
      operationId: 'setViewPolicy',
      summary: 'Replace the rules of a view',
      description: 'All of them, in this order.',
      scope: 'admin:write',
      params: View,
      examples,
      problems: [404],
      current: ({ params, identity }) => admin.as(identity.actor).list(params.name),
      handle: async ({ params, body, identity }) => ({
        value: await admin.as(identity.actor).set(params.name, body.rules),
      }),
    }),
  ]
}

function testRoute(admin: OperatorRoutesNeeds['policyAdmin']): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: '/-/api/policy/tests',
    operationId: 'testPolicy',
    summary: 'Try rules on a package',
    description: 'Those in force, or `rules` in their place. Says of each version what decides.',
    tag: 'policy',
    scope: 'admin:read',
    params: None,
    query: None,
    body: PolicyQuestion,
    bodyBytesMax: RULES_BODY_BYTES_MAX,
    bodyExample: { name: 'left-pad', range: '^1.0.0' },
    problems: [404, 409, 422, 503],
    success: {
      status: 200,
      description: 'The versions, the newest first.',
      schema: PolicyTest,
      example: testExample,
    },
    handle: async ({ body, identity }) => ({
      value: await admin.as(identity.actor).test(body),
    }),
  })
}

function keyRoutes(admin: OperatorRoutesNeeds['keyAdmin']): ApiRoute[] {
  return [
    apiRoute({
      method: 'POST',
      path: '/-/api/upstreams/:name/keys/:keyid/retirement',
      operationId: 'retireUpstreamKey',
      summary: 'Retire a key of a registry',
      description: 'It vouches for nothing new and never comes back; the log records it.',
      tag: 'upstreams',
      scope: 'admin:write',
      params: Type.Object({ name: PathWord, keyid: PathWord }),
      query: None,
      body: None,
      examples: { name: 'acme', keyid: KEYID },
      problems: [404, 409],
      success: {
        status: 200,
        description: 'The key as it is now.',
        schema: Key,
        example: {
          keyid: KEYID,
          state: 'retired',
          expires: null,
          firstSeen: '2026-11-22T08:31:07Z',
          leaf: 12,
        },
      },
      handle: async ({ params, identity }) => ({
        value: await admin.as(identity.actor).retire(params.name, params.keyid),
      }),
    }),
    apiRoute({
      method: 'POST',
      path: '/-/api/server/key-rotations',
      operationId: 'rotateServerKey',
      summary: "Replace this server's signing key",
      description: 'Another key signs from now on; what the old one signed stays good.',
      tag: 'server',
      scope: 'admin:write',
      params: None,
      query: None,
      body: None,
      problems: [409],
      success: {
        status: 200,
        description: 'The new key and its record.',
        schema: Rotation,
        example: { keyid: KEYID, replaced: 'SHA256:…', leaf: 48_214 },
      },
      handle: async ({ identity }) => ({ value: await admin.as(identity.actor).rotate() }),
    }),
  ]
}
