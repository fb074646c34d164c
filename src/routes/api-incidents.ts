/**
 * `/-/api/incidents`, `/-/api/disputes` and `/-/api/audit`: what was refused and why, with the whole
 * evidence, and who changed what. All of it is read only, but for an operator's word on an
 * incident.
 * @module
 */
import { Type } from '@sinclair/typebox'
import type { Audit } from '../db/audit.ts'
import type { Disputes } from '../db/disputes.ts'
import type { IncidentPages } from '../db/incident-pages.ts'
import type { Resolutions } from '../db/resolutions.ts'
import { RegistryError } from '../registries/errors.ts'
import {
  IncidentDetailShape,
  type IncidentOperations,
  IncidentViewShape,
  ReasonShape,
  viewOf,
} from '../registries/operator/operator-incidents.ts'
import { pageAnswer, pageOf, PageQuery, rowsFor } from './api-pages.ts'
import { type ApiRoute, apiRoute, None, PathWord } from './api-route.ts'

/** Names of packages, versions and codes are shorter. */
const FILTER_CHARS_MAX = 256

const ID = '5f0c7a8e2b9d4c61a3e8f7d2c4b6a190'
/** Ids of the audit trail are counted up from 1. */
const AUDIT_ID = /^[1-9]\d{0,14}$/

const Text = Type.String()
const IncidentLine = Type.Object(IncidentViewShape.properties, { $id: 'IncidentLine' })
const Incident = Type.Object(IncidentDetailShape.properties, {
  $id: 'Incident',
  description: 'With the evidence: all that a stranger needs to check it.',
})
const Resolution = Type.Object(
  { reason: ReasonShape },
  { additionalProperties: false, $id: 'Resolution' },
)
const Dispute = Type.Object(
  {
    namespace: Text,
    name: Text,
    version: Text,
    detail: Text,
    incident: Type.String({ description: 'The id of the incident with both sides.' }),
    created: Text,
  },
  { $id: 'Dispute' },
)
const AuditEntry = Type.Object(
  {
    id: Type.Integer(),
    time: Text,
    actor: Text,
    action: Text,
    target: Text,
    before: Type.Unknown({ description: 'What stood there; null for nothing.' }),
    after: Type.Unknown({ description: 'What stands there now; null for nothing.' }),
  },
  { $id: 'AuditEntry' },
)
const filter = Type.Optional(Type.String({ minLength: 1, maxLength: FILTER_CHARS_MAX }))

const lineExample = {
  id: ID,
  code: 'conflict',
  namespace: 'registry.example',
  package: '@acme/widget',
  version: '2.0.0',
  sentence: '@acme/widget@2.0.0 has other bytes than the log holds of it',
  created: '2026-11-22T08:31:07Z',
  lastSeen: '2026-11-22T09:02:44Z',
  count: 3,
  state: 'open',
  resolution: null,
}
const disputeExample = {
  namespace: 'registry.example',
  name: '@acme/widget',
  version: '2.0.0',
  detail: 'a mirror shows other bytes with a valid signature',
  incident: ID,
  created: '2026-11-22T08:31:07Z',
}
const auditExample = {
  id: 17,
  time: '2026-11-22T08:31:07Z',
  actor: 'user:ada',
  action: 'upstream.add',
  target: 'acme',
  before: null,
  after: { name: 'acme', url: 'https://registry.example/' },
}

/** What the routes read. */
export type IncidentRoutesNeeds = {
  pages: IncidentPages
  resolutions: Resolutions
  disputes: Disputes
  incidentAdmin: { as(actor: string): IncidentOperations }
  audit: Audit
}

/** The routes. */
export function incidentRoutes(needs: IncidentRoutesNeeds): ApiRoute[] {
  return [...readingRoutes(needs), resolveRoute(needs), disputesRoute(needs), auditRoute(needs)]
}

function readingRoutes(needs: IncidentRoutesNeeds): ApiRoute[] {
  const { pages, resolutions, disputes, incidentAdmin } = needs
  const query = Type.Object(
    { ...PageQuery, code: filter, namespace: filter, package: filter, version: filter },
    { additionalProperties: false },
  )
  return [
    apiRoute({
      method: 'GET',
      path: '/-/api/incidents',
      operationId: 'listIncidents',
      summary: 'List refusals and changes',
      description: 'The first seen last, without their evidence. Each filter is an exact value.',
      tag: 'incidents',
      scope: 'admin:read',
      params: None,
      query,
      body: None,
      success: {
        status: 200,
        description: 'A page of them.',
        schema: pageOf(IncidentLine),
        example: { items: [lineExample] },
      },
      handle: async ({ query: { limit, after, package: name, ...wanted } }) => {
        const filters = { ...wanted, ...(name !== undefined && { name }) }
        const found = pages.incidents(filters, rowsFor(limit), after)
        if (found === null) throw noSuchPlace()
        const settled = resolutions.of(found.map(({ id }) => id))
        const shown = found.map(row => viewOf(row, settled.get(row.id) ?? null, disputes))
        return pageAnswer(shown, each => each.id, limit)
      },
    }),
    apiRoute({
      method: 'GET',
      path: '/-/api/incidents/:id',
      operationId: 'getIncident',
      summary: 'Read a refusal with its evidence',
      description: 'Documents, signatures and headers of every source, as they came.',
      tag: 'incidents',
      scope: 'admin:read',
      params: Type.Object({ id: PathWord }),
      query: None,
      body: None,
      examples: { id: ID },
      problems: [404],
      success: {
        status: 200,
        description: 'The incident.',
        schema: Incident,
        example: { ...lineExample, evidence: { sources: [] } },
      },
      handle: async ({ params, identity }) => ({
        value: await incidentAdmin.as(identity.actor).show(params.id),
      }),
    }),
  ]
}

function resolveRoute({ incidentAdmin }: IncidentRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: '/-/api/incidents/:id/resolution',
    operationId: 'resolveIncident',
    summary: 'Settle an incident',
    description:
      'A dispute: the version is served as it was logged. A bad mirror: it may stand in again. ' +
      'Anything else is acknowledged. The evidence stays.',
    tag: 'incidents',
    scope: 'admin:write',
    params: Type.Object({ id: PathWord }),
    query: None,
    body: Resolution,
    bodyExample: { reason: 'the mirror was restored from a wrong backup' },
    examples: { id: ID },
    problems: [404, 409],
    success: {
      status: 200,
      description: 'The incident as it is now.',
      schema: IncidentLine,
      example: { ...lineExample, state: 'resolved' },
    },
    handle: async ({ params, body, identity }) => ({
      value: await incidentAdmin.as(identity.actor).resolve(params.id, body.reason),
    }),
  })
}

function disputesRoute({ pages }: IncidentRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'GET',
    path: '/-/api/disputes',
    operationId: 'listDisputes',
    summary: 'List versions that sources disagree about',
    description: 'Each is refused until somebody decides. The newest first.',
    tag: 'incidents',
    scope: 'admin:read',
    params: None,
    query: Type.Object(PageQuery, { additionalProperties: false }),
    body: None,
    success: {
      status: 200,
      description: 'A page of them.',
      schema: pageOf(Dispute),
      example: { items: [disputeExample] },
    },
    handle: async ({ query: { limit, after } }) => {
      const found = pages.disputes(rowsFor(limit), after)
      if (found === null) throw noSuchPlace()
      return pageAnswer(found, each => each.incident, limit)
    },
  })
}

function auditRoute({ audit }: IncidentRoutesNeeds): ApiRoute {
  return apiRoute({
    method: 'GET',
    path: '/-/api/audit',
    operationId: 'listAudit',
    summary: 'Read the audit trail',
    description: 'Who changed what, from what to what, the newest first. Nothing can change it.',
    tag: 'audit',
    scope: 'admin:read',
    params: None,
    query: Type.Object(PageQuery, { additionalProperties: false }),
    body: None,
    success: {
      status: 200,
      description: 'A page of it.',
      schema: pageOf(AuditEntry),
      example: { items: [auditExample] },
    },
    handle: async ({ query: { limit, after } }) => {
      if (after !== undefined && !AUDIT_ID.test(after)) throw noSuchPlace()
      const rows = audit.page(rowsFor(limit), after === undefined ? undefined : Number(after))
      const entries = rows.map(({ id, time, actor, action, target, before, after: now }) => {
        return { id, time, actor, action, target, before: parsed(before), after: parsed(now) }
      })
      return pageAnswer(entries, each => String(each.id), limit)
    },
  })
}

function parsed(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

function noSuchPlace(): RegistryError {
  return new RegistryError('bad-request', '`after` is not where a page of this list ends')
}
