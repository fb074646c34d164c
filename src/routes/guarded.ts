/**
 * How the surfaces of accounts run a handler: errors become npm's answers, nothing is kept by a
 * cache, and a path that holds a secret is not told to the log of errors.
 * @module
 */
import { assertScope, type Identity, type Scope } from '../registries/accounts/access.ts'
import { RegistryError } from '../registries/errors.ts'
import { errorResponse, type Report } from './errors.ts'
import type { AddressSource, Who } from './who.ts'

/** What the framework hands to a handler, as far as it is used here. */
export type Asked = { request: Request; server: AddressSource | null }

/** @param shownPath what errors say in place of a path that holds a secret */
export function guarded(report: Report, shownPath?: string) {
  return (work: (asked: Asked) => Response | Promise<Response>) => {
    return async ({ request, server }: Asked): Promise<Response> => {
      try {
        return await work({ request, server })
      } catch (error) {
        const shown = shownPath === undefined ? request : disguised(request, shownPath)
        const answer = errorResponse(error, shown, report)
        // What is still to come of the body is not read: the connection is of no more use.
        if (error instanceof RegistryError && error.code === 'body-too-large') {
          answer.headers.set('connection', 'close')
        }
        return answer
      }
    }
  }
}

/**
 * As `guarded`, for a route that takes a password: npm reads out of the challenge whether it should
 * say "wrong password" or "log in again", and shows nothing else of a 401.
 */
export function guardedByPassword(report: Report) {
  const run = guarded(report)
  return (work: (asked: Asked) => Response | Promise<Response>) => {
    const answerTo = run(work)
    return async (asked: Asked): Promise<Response> => {
      const answer = await answerTo(asked)
      if (answer.status === 401) answer.headers.set('www-authenticate', 'Basic')
      return answer
    }
  }
}

/** What a handler of a scoped route is given. */
export type Allowed = Asked & { identity: Identity }

/**
 * As `guarded`, for a route of one scope: the handler and its options, so that what the table of
 * routes declares is what is asked for, before anything of the request is looked at.
 */
export function scoped({ who, report }: { who: Who; report: Report }) {
  const run = guarded(report)
  return (scope: Scope, work: (allowed: Allowed) => Response | Promise<Response>) => {
    const handler = run(({ request, server }) => {
      const identity = who(request, server)
      assertScope(identity, scope)
      return work({ request, server, identity })
    })
    return [handler, { detail: { 'x-scope': scope }, parse: 'none' }] as const
  }
}

/** An answer of a few fields that no cache keeps. */
export function fresh(value: unknown, status = 200, headers: Record<string, string> = {}) {
  return Response.json(value, { status, headers: { 'cache-control': 'no-store', ...headers } })
}

function disguised(request: Request, path: string): Request {
  return new Request(`http://localhost${path}`, { headers: request.headers })
}
