/**
 * What happens to every request of `/-/api`, in this order: who asks, may they (401, 403), is it
 * meant (CSRF), the body (415, 413, 400), is it a repetition, is its precondition met (412), then
 * the operation, and its answer with an ETag (RFC 9110 sections 13.1.1 and 13.1.2).
 * @module
 */
import { createHash } from 'node:crypto'
import { assertScope, type Identity } from '../registries/accounts/access.ts'
import { RegistryError } from '../registries/errors.ts'
import { parseBody, queryParts, readText } from './api-body.ts'
import { type ProblemNeeds, problemResponse } from './api-problem.ts'
import type { Finished, Repeats } from './api-repeat.ts'
import { type Answer, type ApiRoute, None, type RawCall } from './api-route.ts'
import type { BrowserSessions } from './api-session-cookie.ts'
import { isNotModified } from './request.ts'
import type { AddressSource, Who } from './who.ts'

/** Characters of an ETag: 132 bits of the hash. */
const ETAG_CHARS = 22
/** Methods that change nothing. */
const SAFE = new Set(['GET', 'HEAD'])

/** What the surface works with. */
export type ApiNeeds = ProblemNeeds & {
  who: Who
  browserSessions: BrowserSessions
  repeats: Repeats
  turns: ResourceTurns
}

/** A request as the router hands it on. */
export type Incoming = { request: Request; server: AddressSource | null; params: unknown }

/** Answers one request. */
export async function answerApi(
  route: ApiRoute,
  incoming: Incoming,
  needs: ApiNeeds,
): Promise<Response> {
  const { request } = incoming
  try {
    const identity = identityOf(route, incoming, needs)
    assertScope(identity, route.scope)
    const text = route.body === None ? null : await readText(request, route.bodyBytesMax)
    const call: RawCall = {
      params: incoming.params,
      query: queryParts(request),
      body: text === null ? {} : parseBody(text),
      identity,
      request,
      address: needs.who.addressOf(request, incoming.server),
    }
    return await carryOut(route, call, text ?? '', needs)
  } catch (error) {
    return problemResponse(error, request, needs)
  }
}

/** A token wins over a session: a program that sends one means it. */
function identityOf(route: ApiRoute, { request, server }: Incoming, needs: ApiNeeds): Identity {
  if (request.headers.has('authorization')) return needs.who(request, server)
  const isChange = !SAFE.has(request.method) && route.scope !== 'public'
  return needs.browserSessions.identify(request, needs.who.addressOf(request, server), isChange)
}

async function carryOut(
  route: ApiRoute,
  call: RawCall,
  text: string,
  needs: ApiNeeds,
): Promise<Response> {
  const { request } = call
  if (SAFE.has(request.method)) {
    const answer = await route.run(call)
    const finished = finish(route, answer)
    if (finished.etag !== null && isNotModified(request.headers, finished.etag, Infinity)) {
      return new Response(null, { status: 304, headers: headersOf(finished, answer, needs, call) })
    }
    return send(finished, answer, needs, call)
  }
  // Without the host: by whichever name this server is asked, it is the same thing.
  const path = new URL(request.url).pathname
  let answer: Answer = {}
  const change = async () => {
    await assertCurrent(route, call)
    answer = await route.run(call)
    return finish(route, answer)
  }
  // One change of a thing at a time: the ETag that was compared is that of what is changed.
  const work = () => (route.current === null ? change() : needs.turns.run(path, change))
  const key = request.headers.get('idempotency-key')
  const isRepeatable = route.method === 'POST' && route.isRepeatable !== false
  const scope = `${call.identity.actor} ${path}`
  const finished =
    key === null || !isRepeatable
      ? await work()
      : await needs.repeats.once({ scope, key, body: text }, work)
  return send(finished, answer, needs, call)
}

/** @throws RegistryError precondition-failed when If-Match names another state than the present */
async function assertCurrent(route: ApiRoute, call: RawCall): Promise<void> {
  const wanted = call.request.headers.get('if-match')
  if (wanted === null || route.current === null) return
  const etag = etagOf(JSON.stringify(await route.current(call)))
  const tags = new Set(wanted.split(',').map(tag => tag.trim()))
  if (tags.has('*') || tags.has(etag)) return
  const why = 'it is not in the state that If-Match names any more; nothing was changed'
  throw new RegistryError('precondition-failed', why)
}

function finish(route: ApiRoute, answer: Answer): Finished {
  const text = answer.value === undefined ? null : JSON.stringify(answer.value)
  return {
    status: route.success.status,
    text,
    etag: text === null || answer.isSecret === true ? null : etagOf(text),
    location: answer.location ?? null,
    isSecret: answer.isSecret === true,
  }
}

function etagOf(text: string): string {
  return `"${createHash('sha256').update(text).digest('base64url').slice(0, ETAG_CHARS)}"`
}

function send(finished: Finished, answer: Answer, needs: ApiNeeds, call: RawCall): Response {
  const headers = headersOf(finished, answer, needs, call)
  if (finished.text !== null) headers['content-type'] = 'application/json'
  return new Response(finished.text, { status: finished.status, headers })
}

function headersOf(
  finished: Finished,
  answer: Answer,
  { base }: ApiNeeds,
  { request }: RawCall,
): Record<string, string> {
  const { etag, location, isSecret } = finished
  const headers: Record<string, string> = {
    'cache-control': isSecret ? 'no-store' : 'private, no-cache',
    'vary': 'authorization, cookie',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  }
  if (etag !== null) headers['etag'] = etag
  if (location !== null) headers['location'] = `${base}${location}`
  if (answer.next !== undefined) headers['link'] = nextLink(request, base, answer.next)
  return headers
}

/** RFC 8288: the same question, from where this page ends. */
function nextLink(request: Request, base: string, after: string): string {
  const { pathname, searchParams } = new URL(request.url)
  searchParams.set('after', after)
  return `<${new URL(base).origin}${pathname}?${searchParams}>; rel="next"`
}

/** Changes of one path, one after the other. */
export class ResourceTurns {
  readonly #last = new Map<string, Promise<unknown>>()

  async run<T>(path: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(path) ?? Promise.resolve()
    const mine = before.then(work, work)
    // Whoever comes next waits for the end, however it ends.
    const ended = mine.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(path, ended)
    try {
      return await mine
    } finally {
      if (this.#last.get(path) === ended) this.#last.delete(path)
    }
  }
}
