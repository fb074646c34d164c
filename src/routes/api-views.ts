/**
 * `/-/api/views`: what a token may carry, its own registries, keys and mirrors. The operations are
 * those of the command line (registries/reading/views.ts).
 * @module
 */
import { Type } from '@sinclair/typebox'
import {
  NewViewShape,
  type ViewOperations,
  ViewSettingsShape,
  ViewShape,
} from '../registries/reading/views.ts'
import { PageQuery, pageIn, pageOf } from './api-pages.ts'
import { type ApiRoute, apiRoute, None, PathWord } from './api-route.ts'

/** A thousand registries with a thousand mirrors would not fit; what people make fits many times. */
const VIEW_BODY_BYTES_MAX = 1024 * 1024

const PATH = '/-/api/views'
const CLOSED = { additionalProperties: false } as const

const View = Type.Object(ViewShape.properties, { $id: 'View' })
const NewView = Type.Object(NewViewShape.properties, { ...CLOSED, $id: 'NewView' })
const ViewSettings = Type.Object(ViewSettingsShape.properties, { ...CLOSED, $id: 'ViewSettings' })
const Name = Type.Object({ name: PathWord })

const example = {
  name: 'careful',
  registries: ['npm', 'acme'],
  keys: null,
  mirrors: { npm: ['eu'] },
  created: '2026-11-22T08:31:07Z',
}
const examples = { name: 'careful' }

/** What the routes work on. @property as the operations in somebody's name */
export type ViewRoutesNeeds = { viewAdmin: { as(actor: string): ViewOperations } }

/** The routes. */
export function viewRoutes({ viewAdmin }: ViewRoutesNeeds): ApiRoute[] {
  return [
    ...readingRoutes(viewAdmin),
    createRoute(viewAdmin),
    changeRoute(viewAdmin),
    deleteRoute(viewAdmin),
  ]
}

function readingRoutes(admin: ViewRoutesNeeds['viewAdmin']): ApiRoute[] {
  return [
    apiRoute({
      method: 'GET',
      path: PATH,
      operationId: 'listViews',
      summary: 'List views',
      description: 'In the order of their names.',
      tag: 'views',
      scope: 'admin:read',
      params: None,
      query: Type.Object(PageQuery, CLOSED),
      body: None,
      success: {
        status: 200,
        description: 'A page of them.',
        schema: pageOf(View),
        example: { items: [example] },
      },
      handle: async ({ query, identity }) =>
        pageIn(await admin.as(identity.actor).list(), each => each.name, query),
    }),
    apiRoute({
      method: 'GET',
      path: `${PATH}/:name`,
      operationId: 'getView',
      summary: 'Read a view',
      description: 'Null stands for all that is trusted here.',
      tag: 'views',
      scope: 'admin:read',
      params: Name,
      query: None,
      body: None,
      examples,
      problems: [404],
      success: { status: 200, description: 'The view.', schema: View, example },
      handle: async ({ params, identity }) => ({
        value: await admin.as(identity.actor).show(params.name),
      }),
    }),
  ]
}

function createRoute(admin: ViewRoutesNeeds['viewAdmin']): ApiRoute {
  return apiRoute({
    method: 'POST',
    path: PATH,
    operationId: 'createView',
    summary: 'Add a view',
    description: 'It changes which sources are asked, never the bytes of a version.',
    tag: 'views',
    scope: 'admin:write',
    params: None,
    query: None,
    body: NewView,
    bodyBytesMax: VIEW_BODY_BYTES_MAX,
    bodyExample: { name: 'careful', registries: ['npm'] },
    problems: [404, 409],
    success: { status: 201, description: 'The view.', schema: View, example },
    handle: async ({ body, identity }) => {
      const value = await admin.as(identity.actor).add(body)
      return { value, location: `-/api/views/${encodeURIComponent(value.name)}` }
    },
  })
}

function changeRoute(admin: ViewRoutesNeeds['viewAdmin']): ApiRoute {
  return apiRoute({
    method: 'PATCH',
    path: `${PATH}/:name`,
    operationId: 'changeView',
    summary: 'Change a view',
    description: 'What is absent stays.',
    tag: 'views',
    scope: 'admin:write',
    params: Name,
    query: None,
    body: ViewSettings,
    bodyBytesMax: VIEW_BODY_BYTES_MAX,
    bodyExample: { registries: null },
    examples,
    problems: [404, 409],
    success: { status: 200, description: 'The view now.', schema: View, example },
    current: ({ params, identity }) => admin.as(identity.actor).show(params.name),
    handle: async ({ params, body, identity }) => ({
      value: await admin.as(identity.actor).set(params.name, body),
    }),
  })
}

function deleteRoute(admin: ViewRoutesNeeds['viewAdmin']): ApiRoute {
  return apiRoute({
    method: 'DELETE',
    path: `${PATH}/:name`,
    operationId: 'deleteView',
    summary: 'Remove a view',
    description: 'Tokens that carry it read nothing from then on.',
    tag: 'views',
    scope: 'admin:write',
    params: Name,
    query: None,
    body: None,
    examples,
    problems: [404, 409],
    success: { status: 204, description: 'It is removed.' },
    current: ({ params, identity }) => admin.as(identity.actor).show(params.name),
    handle: async ({ params, identity }) => {
      await admin.as(identity.actor).remove(params.name)
      return {}
    },
  })
}
