/**
 * Staged publishing: `npm stage`, and what pnpm and yarn 4 do like it. The wire forms are those of
 * lib/commands/stage of npm 12 and of libnpmpublish.
 *
 *     POST   /-/stage/package/<name>    the body of a publish -> {stageId}
 *     GET    /-/stage?page=&perPage=&package=
 *     GET    /-/stage/<id>
 *     GET    /-/stage/<id>/tarball
 *     POST   /-/stage/<id>/approve
 *     DELETE /-/stage/<id>
 * @module
 */
import { Elysia } from 'elysia'
import type { Identity, Scope } from '../registries/accounts/access.ts'
import { RegistryError } from '../registries/errors.ts'
import { parsePackagePath } from '../registries/name.ts'
import type { Staging } from '../registries/hosted/staging.ts'
import { headerSafe, type Report } from './errors.ts'
import { type Allowed, fresh, scoped } from './guarded.ts'
import type { Admission } from './publish-admission.ts'
import { declaredBytes, noticeOf, publishBody } from './publish-body.ts'
import { queryOf, rawPath } from './request.ts'
import type { Who } from './who.ts'

const STAGE = '/-/stage'
const PACKAGE = `${STAGE}/package/`
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What the surface needs. @property base public URL, ends in `/` */
export type StageRoutesNeeds = {
  who: Who
  staging: Staging
  admission: Admission
  base: string
  prefix: string
  report: Report
}

type OnOne = (identity: Identity, id: string) => Response | Promise<Response>

/** The surface of staged publishing. */
export function stageRoutes(needs: StageRoutesNeeds) {
  const { staging, prefix } = needs
  const route = scoped(needs)
  const onOne = (scope: Scope, work: OnOne) =>
    route(scope, ({ request, identity }) => work(identity, idIn(request, prefix)))
  const get = onOne('read', (identity, id) => fresh(staging.view(identity, id)))
  const download = onOne('read', async (identity, id) => {
    const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' }
    return new Response(new Uint8Array(await staging.tarball(identity, id)), { headers })
  })
  const approve = onOne('publish', async (identity, id) => {
    const receipt = await staging.approve(identity, id)
    const headers = { 'npm-notice': headerSafe(noticeOf(receipt, needs.base)) }
    return fresh({ ok: true }, 200, headers)
  })
  const reject = onOne('stage', (identity, id) => {
    staging.reject(identity, id)
    return new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
  })
  return new Elysia({ name: 'stage' })
    .get(STAGE, ...route('read', allowed => list(allowed, needs)))
    .post(`${PACKAGE}*`, ...route('stage', allowed => add(allowed, needs)))
    .get(`${STAGE}/:id`, ...get)
    .get(`${STAGE}/:id/tarball`, ...download)
    .post(`${STAGE}/:id/approve`, ...approve)
    .delete(`${STAGE}/:id`, ...reject)
}

function list({ request, identity }: Allowed, { staging }: StageRoutesNeeds): Response {
  const query = queryOf(request)
  const page = numberOf(query, 'page', 0)
  const perPage = numberOf(query, 'perPage', 20)
  const name = query.get('package') ?? undefined
  return fresh(staging.list(identity, name, page, perPage))
}

async function add({ request, identity }: Allowed, needs: StageRoutesNeeds): Promise<Response> {
  const { staging, admission, prefix } = needs
  const target = parsePackagePath(`/${rawPath(request, prefix).slice(PACKAGE.length)}`)
  if (target.kind !== 'packument') {
    throw new RegistryError('bad-request', 'this path names no package')
  }
  return await admission.run(declaredBytes(request), async () => {
    const staged = await staging.add(identity, target.name, await publishBody(request))
    return fresh({ ...staged, stageId: staged.id }, 201)
  })
}

function idIn(request: Request, prefix: string): string {
  const [, , , id = ''] = rawPath(request, prefix).split('/')
  if (UUID.test(id)) return id
  throw new RegistryError('not-found', 'nothing is staged under this id')
}

function numberOf(query: URLSearchParams, name: string, fallback: number): number {
  const value = Number(query.get(name) ?? fallback)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new RegistryError('bad-request', `${name} is a whole number`)
}
