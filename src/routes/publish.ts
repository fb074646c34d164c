/**
 * npm's writing surface below `/<name>`: publish, deprecate, owner, unpublish, as npm, pnpm, yarn 1,
 * yarn 4 and bun do it (https://github.com/npm/cli/tree/latest/workspaces/libnpmpublish).
 *
 *     PUT    /<name>                         a new version with its tarball, or deprecations
 *     PUT    /<name>/-rev/<rev>              a changed document: maintainers, fewer versions
 *     DELETE /<name>/-rev/<rev>              the whole package
 *     DELETE /<name>/-/<file>/-rev/<rev>     the tarball of a version that is gone by then
 *
 * Who may write is asked before the body is read. A handler parses, calls and answers.
 * @module
 */
import { Elysia } from 'elysia'
import { assertScope, type Identity } from '../registries/accounts/access.ts'
import { RegistryError } from '../registries/errors.ts'
import type { HostedAccess } from '../registries/hosted/hosted-access.ts'
import type { HostedChanges } from '../registries/hosted/hosted-changes.ts'
import type { Publisher, ReadBody } from '../registries/hosted/hosted-publish.ts'
import { type PackagePath, parsePackagePath } from '../registries/name.ts'
import { errorResponse, headerSafe, type Report } from './errors.ts'
import { type Asked, fresh } from './guarded.ts'
import type { Admission } from './publish-admission.ts'
import { declaredBytes, noticeOf, publishBody } from './publish-body.ts'
import { rawPath } from './request.ts'
import type { Who } from './who.ts'

/** What no package can be called: every other surface lives below it. */
const OURS = '/-/'
const REV = '/-rev/'

/** What the surface needs. @property base public URL, ends in `/` */
export type PublishRoutesNeeds = {
  who: Who
  access: HostedAccess
  publisher: Publisher
  changes: HostedChanges
  read: ReadBody
  admission: Admission
  base: string
  prefix: string
  report: Report
}

/** What a path means. @property rev as the client read it; null: the path names none */
type Target = { path: PackagePath; rev: string | null }

/** The writing surface. */
export function publishRoutes(needs: PublishRoutesNeeds) {
  const { admission } = needs
  const writing = { detail: { 'x-scope': 'publish' }, parse: 'none' } as const
  const answered = (work: (asked: Asked) => Promise<Response> | Response) => {
    return async ({ request, server }: Asked): Promise<Response> => {
      try {
        return await work({ request, server })
      } catch (error) {
        const answer = errorResponse(error, request, needs.report)
        // What is still to come of the body is not read: the connection is of no more use.
        if (!request.bodyUsed && request.body !== null) answer.headers.set('connection', 'close')
        return answer
      }
    }
  }
  return new Elysia({ name: 'publish' })
    .put(
      '/*',
      answered(asked => put(asked, needs, admission)),
      writing,
    )
    .delete(
      '/*',
      answered(asked => remove(asked, needs)),
      writing,
    )
}

async function put(
  asked: Asked,
  needs: PublishRoutesNeeds,
  admission: Admission,
): Promise<Response> {
  const { request } = asked
  const identity = writerOf(asked, needs)
  const { path, rev } = targetOf(request, needs)
  if (path.kind !== 'packument') throw nothingHere(request)
  const { name } = path
  needs.access.assertWritable(identity, name)
  const change = { identity, name, rev }
  return await admission.run(declaredBytes(request), async () => {
    const body = await publishBody(request)
    const read = await needs.read(name, body)
    if (read.kind === 'metadata') {
      needs.changes.put(change, read.document, rev !== null)
      return fresh({ ok: true, success: true })
    }
    if (rev !== null) {
      throw new RegistryError('bad-request', 'a new version is published without a revision')
    }
    const receipt = await needs.publisher.publish(change.identity, read.version, read.inside)
    const headers = { 'npm-notice': headerSafe(noticeOf(receipt, needs.base)) }
    return fresh({ ok: true, success: true }, 201, headers)
  })
}

function remove(asked: Asked, needs: PublishRoutesNeeds): Response {
  const identity = writerOf(asked, needs)
  const { path, rev } = targetOf(asked.request, needs)
  if (rev === null || path.kind === 'manifest') throw nothingHere(asked.request)
  needs.access.assertWritable(identity, path.name)
  const change = { identity, name: path.name, rev }
  if (path.kind === 'packument') needs.changes.removeAll(change)
  else needs.changes.removeTarball(change, path.file)
  return fresh({ ok: true })
}

/** Whoever asks; refused before anything else is looked at unless they may publish at all. */
function writerOf({ request, server }: Asked, { who }: PublishRoutesNeeds): Identity {
  const identity = who(request, server)
  assertScope(identity, 'publish')
  return identity
}

function targetOf(request: Request, { prefix }: PublishRoutesNeeds): Target {
  const path = rawPath(request, prefix)
  if (path.startsWith(OURS)) throw nothingHere(request)
  const at = path.lastIndexOf(REV)
  if (at < 0) return { path: parsePackagePath(path), rev: null }
  return { path: parsePackagePath(path.slice(0, at)), rev: revOf(path.slice(at + REV.length)) }
}

function revOf(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RegistryError('bad-request', 'the revision in this path cannot be read')
  }
}

function nothingHere({ method }: Request): RegistryError {
  return new RegistryError('not-found', `this server answers no ${method} here`)
}
