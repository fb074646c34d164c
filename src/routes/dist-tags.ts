/**
 * npm's dist-tags of packages that live here:
 * https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md.
 *
 *     GET    /-/package/<name>/dist-tags
 *     PUT    /-/package/<name>/dist-tags/<tag>      body: a version as a JSON string
 *     DELETE /-/package/<name>/dist-tags/<tag>
 *
 * The name is one segment (`@scope%2fname`), or two where something decoded it on the way. Only
 * those of packages that live here can be changed. Through a view the list is that of the view.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import { TagVersionShape } from '../registries/hosted/hosted-changes.ts'
import { parsePackagePath } from '../registries/name.ts'
import { servedTags, tagList, type TagListNeeds } from '../registries/reading/tag-list.ts'
import type { Report } from './errors.ts'
import { type Allowed, type Asked, fresh, guarded, scoped } from './guarded.ts'
import type { Guard } from './private.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Through } from './through.ts'
import type { Who } from './who.ts'

const PACKAGE = '/-/package/'
const PATHS = ['/-/package/:package/dist-tags', '/-/package/:package/:rest/dist-tags'] as const
const TAGS = /^(.+)\/dist-tags(?:\/([^/]+))?\/?$/

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type DistTagRoutesNeeds = TagListNeeds & {
  who: Who
  prefix: string
  report: Report
  through: Through
}

/** What reading a list needs in a view, or of one registry alone. */
export type TagReadingNeeds = Pick<TagListNeeds, 'proxy' | 'bodies'> & {
  guard: Guard
  prefix: string
  report: Report
}

/** The dist-tag surface. */
export function distTagRoutes(needs: DistTagRoutesNeeds) {
  const route = scoped(needs)
  const app = new Elysia({ name: 'dist-tags' })
  for (const path of PATHS) {
    app.get(path, ...route('public', allowed => list(allowed, needs)))
    app.put(`${path}/:tag`, ...route('publish', allowed => set(allowed, needs)))
    app.delete(`${path}/:tag`, ...route('publish', allowed => remove(allowed, needs)))
  }
  return app
}

/** The list alone. */
export function tagReadingRoutes(needs: TagReadingNeeds) {
  const work = guarded(needs.report)
  const app = new Elysia({ name: 'dist-tags to read' })
  for (const path of PATHS) {
    const detail = { 'x-scope': 'public' } as const
    app.get(
      path,
      work(asked => read(asked, needs)),
      { detail },
    )
  }
  return app
}

async function read({ request, server }: Asked, needs: TagReadingNeeds): Promise<Response> {
  const { name } = targetOf(request, needs)
  const { guard, proxy } = needs
  // As packages.ts: of another registry nothing of what lives here can be learnt.
  if (guard.isPrivate(name) && proxy.isHoused(name)) guard.assertReadable(request, server, name)
  return fresh(await servedTags(needs, name))
}

async function list({ request, identity }: Allowed, needs: DistTagRoutesNeeds): Promise<Response> {
  const seen = needs.through(request)
  if (seen !== undefined) return await seen
  const { name } = targetOf(request, needs)
  return fresh(await tagList(needs, identity, name))
}

async function set({ request, identity }: Allowed, needs: DistTagRoutesNeeds): Promise<Response> {
  const { name, tag } = targetOf(request, needs)
  const version = await jsonBody(request, TagVersionShape)
  needs.changes.setTag({ identity, name, rev: null }, tag, version)
  return fresh({ ok: true })
}

function remove({ request, identity }: Allowed, needs: DistTagRoutesNeeds): Response {
  const { name, tag } = targetOf(request, needs)
  needs.changes.removeTag({ identity, name, rev: null }, tag)
  return fresh({ ok: true })
}

function targetOf(
  request: Request,
  { prefix }: Pick<DistTagRoutesNeeds, 'prefix'>,
): { name: string; tag: string } {
  const [, raw = '', rawTag = ''] = TAGS.exec(rawPath(request, prefix).slice(PACKAGE.length)) ?? []
  const path = parsePackagePath(`/${raw}`)
  if (path.kind !== 'packument') throw new RegistryError('bad-request', 'this names no package')
  try {
    return { name: path.name, tag: decodeURIComponent(rawTag) }
  } catch {
    throw new RegistryError('bad-request', 'the dist-tag in this path cannot be read')
  }
}
