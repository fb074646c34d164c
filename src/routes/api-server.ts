/**
 * `/-/api/server` and `/-/api/registries`: what this server is, and whom it trusts for what.
 * @module
 */
import { Type } from '@sinclair/typebox'
import type { TrustedParties } from '../registries/sources/trusted-parties.ts'
import { PageQuery, pageIn, pageOf } from './api-pages.ts'
import { type ApiRoute, apiRoute, None } from './api-route.ts'

const Text = Type.String()
const TextOrNull = Type.Union([Text, Type.Null()])
const ServerInfo = Type.Object(
  {
    name: Text,
    version: Text,
    publicUrl: Text,
    log: Type.Object({ vkey: Text, size: Type.Integer() }),
    cosigner: Type.String({ description: "The fingerprint of this server's own signing key." }),
  },
  { $id: 'Server' },
)
const Party = Type.Object(
  {
    name: Text,
    kind: Text,
    mirrorOf: TextOrNull,
    url: Text,
    namespace: Text,
    names: Type.Array(Text),
    mode: Text,
    signatures: TextOrNull,
    tarballs: Text,
    tarballOrigins: Type.Array(Text),
    revisions: Type.Boolean(),
    strictSince: TextOrNull,
    health: Text,
    keys: Type.Array(
      Type.Object({ keyid: Text, expires: TextOrNull, state: Text, firstSeen: Text }),
    ),
  },
  { $id: 'Registry' },
)

/** What is told. @property logSize records in the log now */
export type ServerRoutesNeeds = {
  parties: TrustedParties
  server: { version: string; publicUrl: string; vkey: string; logSize: () => number }
}

/** The routes. */
export function serverRoutes(needs: ServerRoutesNeeds): ApiRoute[] {
  return [infoRoute(needs), registriesRoute(needs)]
}

function infoRoute({ parties, server }: ServerRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'GET',
    path: '/-/api/server',
    operationId: 'getServer',
    summary: 'Read what this server is',
    description: 'Its version, its public URL, its log and its signing key.',
    tag: 'server',
    scope: 'admin:read',
    params: None,
    query: None,
    body: None,
    success: {
      status: 200,
      description: 'The server.',
      schema: ServerInfo,
      example: {
        name: 'npmx-registry',
        version: '0.1.0',
        publicUrl: 'https://npm.acme.example/',
        log: { vkey: 'npm.acme.example/log+4a2c9d01+AWtl…', size: 48_213 },
        cosigner: 'SHA256:GCDJ2XVKfoUQGmPXe6aVNt2ZiHpMwzqqJzpk6YaZ0+8',
      },
    },
    handle: async () => {
      const { version, publicUrl, vkey, logSize } = server
      const log = { vkey, size: logSize() }
      const cosigner = parties.ownKey.keyid
      return { value: { name: 'npmx-registry', version, publicUrl, log, cosigner } }
    },
  })
}

function registriesRoute({ parties }: ServerRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'GET',
    path: '/-/api/registries',
    operationId: 'listRegistries',
    summary: 'List whom this server trusts for what',
    description: 'As `/-/registries` tells everybody: registries, their mirrors, their keys.',
    tag: 'server',
    scope: 'public',
    params: None,
    query: Type.Object(PageQuery, { additionalProperties: false }),
    body: None,
    success: {
      status: 200,
      description: 'A page of them, by name.',
      schema: pageOf(Party),
      example: {
        items: [
          {
            name: 'acme',
            kind: 'registry',
            mirrorOf: null,
            url: 'https://registry.example/',
            namespace: 'registry.example',
            names: ['@acme/*'],
            mode: 'auto',
            signatures: 'signed',
            tarballs: 'redirect',
            tarballOrigins: [],
            revisions: false,
            strictSince: null,
            health: 'up',
            keys: [],
          },
        ],
      },
    },
    handle: async ({ query }) => pageIn(parties.list(), each => each.name, query),
  })
}
