/**
 * `/-/api/upstreams`: registries and mirrors, their keys, and looking at one before it is trusted.
 * The operations are those of the command line (registries/operator/upstream-admin.ts).
 * @module
 */
import { Type } from '@sinclair/typebox'
import type { UpstreamOperations } from '../registries/operator/upstream-admin.ts'
import {
  ConfirmShape,
  NewUpstreamShape,
  UpstreamSettingsShape,
} from '../registries/sources/upstream-request.ts'
import {
  KeyViewShape,
  ProbeViewShape,
  UpstreamViewShape,
} from '../registries/operator/upstream-view.ts'
import { PageQuery, pageIn, pageOf } from './api-pages.ts'
import { type ApiRoute, apiRoute, None, PathWord } from './api-route.ts'

/** Certificates and a table of ten thousand names fit many times. */
const UPSTREAM_BODY_BYTES_MAX = 8 * 1024 * 1024

const TAG = 'upstreams'
const PATH = '/-/api/upstreams'
const KEYID = 'SHA256:GCDJ2XVKfoUQGmPXe6aVNt2ZiHpMwzqqJzpk6YaZ0+8'

const Key = Type.Object(KeyViewShape.properties, { $id: 'Key' })
const Upstream = Type.Object(UpstreamViewShape.properties, { $id: 'Upstream' })
const Probe = Type.Object(ProbeViewShape.properties, { $id: 'Probe' })
const Confirm = Type.Optional(
  Type.Array(ConfirmShape.items, {
    maxItems: ConfirmShape.maxItems ?? 0,
    description: 'The fingerprints that a probe showed and somebody agreed to.',
  }),
)
const NewUpstreamBody = Type.Object(
  { ...NewUpstreamShape.properties, confirm: Confirm },
  { additionalProperties: false, $id: 'NewUpstream' },
)
const ProbeBody = Type.Object(NewUpstreamShape.properties, {
  additionalProperties: false,
  $id: 'ProbeQuestion',
})
const SettingsBody = Type.Object(
  { ...UpstreamSettingsShape.properties, confirm: Confirm },
  { additionalProperties: false, $id: 'UpstreamSettings' },
)
const ChangeProbe = Type.Object(
  {
    probe: Type.Union([Probe, Type.Null()]),
  },
  { description: 'Null when the change leads to no other place and no other credential.' },
)
const Name = Type.Object({ name: PathWord })
const KeyName = Type.Object({ name: PathWord, keyid: PathWord })

const keyExample = {
  keyid: KEYID,
  state: 'approved',
  expires: null,
  firstSeen: '2026-11-22T08:31:07Z',
  leaf: 12,
}
const newExample = {
  name: 'acme',
  url: 'https://registry.example/',
  names: ['@acme/*'],
  confirm: [KEYID],
}
const upstreamExample = {
  name: 'acme',
  kind: 'registry',
  of: null,
  url: 'https://registry.example/',
  namespace: 'registry.example',
  names: ['@acme/*'],
  signatures: 'auto',
  tarballs: 'redirect',
  signsSince: '2026-11-22T08:31:07Z',
  created: '2026-11-22T08:31:07Z',
  credential: null,
  keys: [keyExample],
  health: 'up',
}
const probeExample = {
  url: 'https://registry.example/',
  signatures: 'signed',
  keys: [{ keyid: KEYID, expires: null }],
  refusedKeys: [],
  bindings: [],
  sample: null,
}
const examples = { name: 'acme', keyid: KEYID }

/** What the routes work on. @property as the operations in somebody's name */
export type UpstreamRoutesNeeds = { upstreams: { as(actor: string): UpstreamOperations } }

/** The routes. */
export function upstreamRoutes({ upstreams }: UpstreamRoutesNeeds): ApiRoute[] {
  return [
    ...readingRoutes(upstreams),
    probeRoute(upstreams),
    changeProbeRoute(upstreams),
    createRoute(upstreams),
    changeRoute(upstreams),
    deleteRoute(upstreams),
    ...keyRoutes(upstreams),
  ]
}

type Upstreams = UpstreamRoutesNeeds['upstreams']

function readingRoutes(upstreams: Upstreams): ApiRoute[] {
  return [
    apiRoute({
      method: 'GET',
      path: PATH,
      operationId: 'listUpstreams',
      summary: 'List registries and mirrors',
      description: 'In the order of their names. No secret is part of any answer.',
      tag: TAG,
      scope: 'admin:read',
      params: None,
      query: Type.Object(PageQuery, { additionalProperties: false }),
      body: None,
      success: {
        status: 200,
        description: 'A page of them.',
        schema: pageOf(Upstream),
        example: { items: [upstreamExample] },
      },
      handle: async ({ query, identity }) =>
        pageIn(await upstreams.as(identity.actor).list(), each => each.name, query),
    }),
    apiRoute({
      method: 'GET',
      path: `${PATH}/:name`,
      operationId: 'getUpstream',
      summary: 'Read a registry or mirror',
      description: 'Its settings, its keys, which parts its credential has, and how it does.',
      tag: TAG,
      scope: 'admin:read',
      params: Name,
      query: None,
      body: None,
      examples,
      problems: [404],
      success: {
        status: 200,
        description: 'The upstream.',
        schema: Upstream,
        example: upstreamExample,
      },
      handle: async ({ params, identity }) => ({
        value: await upstreams.as(identity.actor).show(params.name),
      }),
    }),
  ]
}

function probeRoute(upstreams: Upstreams): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: '/-/api/probes',
    operationId: 'probeUpstream',
    summary: 'Look at a registry before it is added',
    description:
      'Asks for its keys, and with `sample` for a package, which is compared with what the log ' +
      'has of that name. Saves nothing. The fingerprints are what `confirm` of the creation wants.',
    tag: TAG,
    scope: 'admin:write',
    params: None,
    query: None,
    body: ProbeBody,
    bodyBytesMax: UPSTREAM_BODY_BYTES_MAX,
    bodyExample: { name: 'acme', url: 'https://registry.example/', names: ['@acme/*'] },
    problems: [404, 409, 422],
    success: {
      status: 200,
      description: 'What was found.',
      schema: Probe,
      example: probeExample,
    },
    handle: async ({ body, identity }) => ({
      value: await upstreams.as(identity.actor).probe(body),
    }),
  })
}

function changeProbeRoute(upstreams: Upstreams): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: `${PATH}/:name/probes`,
    operationId: 'probeUpstreamChange',
    summary: 'Look at what a change leads to',
    description: 'As for a new one: another URL or credential, or a sample. Saves nothing.',
    tag: TAG,
    scope: 'admin:write',
    params: Name,
    query: None,
    body: UpstreamSettingsShape,
    bodyBytesMax: UPSTREAM_BODY_BYTES_MAX,
    bodyExample: { url: 'https://new.registry.example/' },
    examples,
    problems: [404, 409, 422],
    success: {
      status: 200,
      description: 'What was found.',
      schema: ChangeProbe,
      example: { probe: probeExample },
    },
    handle: async ({ params, body, identity }) => ({
      value: { probe: await upstreams.as(identity.actor).probeChange(params.name, body) },
    }),
  })
}

function createRoute(upstreams: Upstreams): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: PATH,
    operationId: 'createUpstream',
    summary: 'Add a registry or mirror',
    description:
      'It is probed again, and saved with its keys when these are exactly the ones in ' +
      '`confirm`; none for a registry that publishes no keys.',
    tag: TAG,
    scope: 'admin:write',
    params: None,
    query: None,
    body: NewUpstreamBody,
    bodyBytesMax: UPSTREAM_BODY_BYTES_MAX,
    bodyExample: newExample,
    problems: [404, 409, 422],
    success: {
      status: 201,
      description: 'It serves from now on.',
      schema: Upstream,
      example: upstreamExample,
    },
    handle: async ({ body, identity }) => {
      const { confirm = [], ...asked } = body
      const value = await upstreams.as(identity.actor).add(asked, confirm)
      return { value, location: `-/api/upstreams/${encodeURIComponent(value.name)}` }
    },
  })
}

function changeRoute(upstreams: Upstreams): ApiRoute {
  return apiRoute({
    method: 'PATCH',
    path: `${PATH}/:name`,
    operationId: 'changeUpstream',
    summary: 'Change a registry or mirror',
    description:
      'What is absent stays. `secret: null` takes the credential away. Another URL or ' +
      'credential is probed, and its fingerprints have to be in `confirm`.',
    tag: TAG,
    scope: 'admin:write',
    params: Name,
    query: None,
    body: SettingsBody,
    bodyBytesMax: UPSTREAM_BODY_BYTES_MAX,
    bodyExample: { names: ['@acme/*', '@acme-labs/*'] },
    examples,
    problems: [404, 409, 422],
    success: {
      status: 200,
      description: 'The upstream as it is now.',
      schema: Upstream,
      example: upstreamExample,
    },
    current: ({ params, identity }) => upstreams.as(identity.actor).show(params.name),
    handle: async ({ params, body, identity }) => {
      const { confirm = [], ...settings } = body
      return { value: await upstreams.as(identity.actor).set(params.name, settings, confirm) }
    },
  })
}

function deleteRoute(upstreams: Upstreams): ApiRoute {
  return apiRoute({
    method: 'DELETE',
    path: `${PATH}/:name`,
    operationId: 'deleteUpstream',
    summary: 'Remove a registry or mirror',
    description: 'With its keys and its credential. What was logged through it stays.',
    tag: TAG,
    scope: 'admin:write',
    params: Name,
    query: None,
    body: None,
    examples,
    problems: [404, 409],
    success: { status: 204, description: 'It is removed.' },
    current: ({ params, identity }) => upstreams.as(identity.actor).show(params.name),
    handle: async ({ params, identity }) => {
      await upstreams.as(identity.actor).remove(params.name)
      return {}
    },
  })
}

function keyRoutes(upstreams: Upstreams): ApiRoute[] {
  return [
    apiRoute({
      method: 'GET',
      path: `${PATH}/:name/keys`,
      operationId: 'listUpstreamKeys',
      summary: 'List the keys of a registry',
      description: 'Also those that wait for approval, and retired ones.',
      tag: TAG,
      scope: 'admin:read',
      params: Name,
      query: Type.Object(PageQuery, { additionalProperties: false }),
      body: None,
      examples,
      problems: [404],
      success: {
        status: 200,
        description: 'A page of them, by fingerprint.',
        schema: pageOf(Key),
        example: { items: [keyExample] },
      },
      handle: async ({ params, query, identity }) => {
        const keys = await upstreams.as(identity.actor).keys(params.name)
        return pageIn(keys, each => each.keyid, query)
      },
    }),
    apiRoute({
      method: 'POST',
      path: `${PATH}/:name/keys/:keyid/approval`,
      operationId: 'approveUpstreamKey',
      summary: 'Trust a key that waits',
      description: 'From now on it vouches for the names of its registry; the log records it.',
      tag: TAG,
      scope: 'admin:write',
      params: KeyName,
      query: None,
      body: None,
      examples,
      problems: [404, 409],
      success: {
        status: 200,
        description: 'The key as it is now.',
        schema: Key,
        example: keyExample,
      },
      handle: async ({ params, identity }) => ({
        value: await upstreams.as(identity.actor).approveKey(params.name, params.keyid),
      }),
    }),
  ]
}
