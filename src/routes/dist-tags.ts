/**
 * npm's dist-tags of packages that live here:
 * https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md.
 *
 *     GET    /-/package/<name>/dist-tags
 *     PUT    /-/package/<name>/dist-tags/<tag>      body: a version as a JSON string
 *     DELETE /-/package/<name>/dist-tags/<tag>
 *
 * The name is one segment (`@scope%2fname`), or two where something decoded it on the way. Only those
 * of packages that live here can be changed.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import { TagVersionShape } from '../registries/hosted/hosted-changes.ts'
import { parsePackagePath } from '../registries/name.ts'
import { tagList, type TagListNeeds } from '../registries/reading/tag-list.ts'
import type { Report } from './errors.ts'
import { type Allowed, fresh, scoped } from './guarded.ts'
import { rawPath } from './request.ts'
import { jsonBody } from './small-body.ts'
import type { Who } from './who.ts'

const PACKAGE = '/-/package/'
const PATHS = ['/-/package/:package/dist-tags', '/-/package/:package/:rest/dist-tags'] as const
const TAGS = /^(.+)\/dist-tags(?:\/([^/]+))?\/?$/

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type DistTagRoutesNeeds = TagListNeeds & {
  who: Who
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

async function list({ request, identity }: Allowed, needs: DistTagRoutesNeeds): Promise<Response> {
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

function targetOf(request: Request, { prefix }: DistTagRoutesNeeds): { name: string; tag: string } {
  const [, raw = '', rawTag = ''] = TAGS.exec(rawPath(request, prefix).slice(PACKAGE.length)) ?? []
  const path = parsePackagePath(`/${raw}`)
  if (path.kind !== 'packument') throw new RegistryError('bad-request', 'this names no package')
  try {
    return { name: path.name, tag: decodeURIComponent(rawTag) }
  } catch {
    throw new RegistryError('bad-request', 'the dist-tag in this path cannot be read')
  }
}
