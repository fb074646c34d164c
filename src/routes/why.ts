/**
 * Why a version is refused: `/-/why/<id>` and `/-/blocked/<name>@<version>/<code>`.
 *
 * The second is where a tombstone's tarball points, because the URL that failed is the one thing
 * every client prints. Both answer 403: JSON with the evidence for programs, a page for people.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'
import type { Explained, Explanations, IsSeen } from '../registries/reading/explanations.ts'
import { parseIdentity } from '../registries/identity.ts'
import { REVISED } from '../registries/packument/revisions.ts'
import { errorResponse, headerSafe, type Report } from './errors.ts'
import type { Asked } from './guarded.ts'
import { page } from './page.ts'
import type { Guard } from './private.ts'
import { rawPath, wantsPage } from './request.ts'

const WHY = '/-/why/'
const BLOCKED = '/-/blocked/'

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type WhyRoutesNeeds = {
  explanations: Explanations
  guard: Guard
  prefix: string
  report: Report
}

/** The reasons surface. */
export function whyRoutes(needs: WhyRoutesNeeds) {
  const answer = ({ request, server }: Asked) => {
    try {
      const isSeen = (name: string) => needs.guard.isSeen(request, server, name)
      return explained(request, isSeen, needs)
    } catch (error) {
      return errorResponse(error, request, needs.report)
    }
  }
  return new Elysia({ name: 'why', detail: { 'x-scope': 'public' } })
    .get(`${WHY}*`, answer)
    .get(`${BLOCKED}*`, answer)
}

function explained(request: Request, isSeen: IsSeen, needs: WhyRoutesNeeds): Response {
  const path = rawPath(request, needs.prefix)
  const found = path.startsWith(WHY)
    ? needs.explanations.byId(path.slice(WHY.length), isSeen)
    : byBlockedPath(path.slice(BLOCKED.length), isSeen, needs)
  return wantsPage(request) ? explanationPage(found) : explanationJson(found)
}

function byBlockedPath(path: string, isSeen: IsSeen, needs: WhyRoutesNeeds): Explained {
  const slash = path.lastIndexOf('/')
  if (slash === -1) throw new RegistryError('not-found', 'this URL lacks the reason at its end')
  const { name, version } = parseIdentity(path.slice(0, slash))
  return needs.explanations.byVersion(name, version, path.slice(slash + 1), isSeen)
}

function explanationJson(found: Explained): Response {
  return Response.json(
    {
      error: found.sentence,
      code: 'refused',
      reason: found.code,
      package: found.name,
      version: found.version,
      namespace: found.namespace,
      firstSeen: found.created,
      lastSeen: found.lastSeen,
      count: found.count,
      evidence: found.evidence,
    },
    {
      status: 403,
      headers: { 'cache-control': 'no-store', 'npm-notice': headerSafe(found.sentence) },
    },
  )
}

function explanationPage(found: Explained): Response {
  const isOfVersion = found.version !== ''
  const what = found.code === REVISED ? 'was issued again' : 'is refused'
  const title = isOfVersion ? `${found.name}@${found.version} ${what}` : found.code
  return page(403, title, found.sentence, [
    ['reason', found.code],
    ['registry', found.namespace],
    ['first seen', found.created],
    ['last seen', found.lastSeen],
    ['evidence', JSON.stringify(found.evidence, null, 2)],
  ])
}
