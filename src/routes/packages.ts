/**
 * npm's reading surface: packuments, manifests and tarballs under `/`.
 *
 * One catch-all over the raw path: routers decode parameters and differ from one another
 * (`/@s%2fn`, `/@s/n` and `%2e%2e` must each have one meaning everywhere). A handler parses, calls
 * and answers; what may be served is decided in registries/.
 * @module
 */
import { Elysia } from 'elysia'
import { LRUCache } from 'lru-cache'
import { atMost } from '../registries/at-most.ts'
import type { Bodies, Sendable } from '../registries/bodies.ts'
import { type ContentAddresses, isContentName } from '../registries/reading/content.ts'
import { packError, RegistryError } from '../registries/errors.ts'
import { type PackagePath, parsePackagePath } from '../registries/name.ts'
import type { ManifestAnswer, Proxy, Wanted } from '../registries/reading/proxy.ts'
import type { PackumentAnswer } from '../registries/reading/renderings.ts'
import type { Tarballs } from '../registries/reading/tarballs.ts'
import { errorResponse, type Report } from './errors.ts'
import type { Through } from './through.ts'
import type { Home } from './home.ts'
import { type Guard, markPrivate } from './private.ts'
import { parseRange } from './range.ts'
import {
  isNotModified,
  rawPath,
  typeOf,
  wantedEncoding,
  wantedForm,
  wantsFresh,
} from './request.ts'
import { Turns } from './turns.ts'
import type { AddressSource } from './who.ts'

/**
 * No client may hold an answer without asking again (a refusal must take effect at once), and every
 * client may fall back on what it holds when this server cannot be reached (no must-revalidate).
 */
const CACHE_CONTROL = 'public, max-age=0'
/** Clients that check no integrity: yarn 2 and later (it names its HTTP library), and unnamed ones. */
const CHECKS_NOTHING = /^(?:got\b|yarn\/[2-9])/
const TARBALL_HEADERS = {
  'content-type': 'application/octet-stream',
  'cache-control': 'no-store',
}
const YARN_1 = 'yarn/1.'
const NPM = 'npm/'
/** Commands of npm that resolve dist-tags; its others show packuments to people or write them back. */
const NPM_RESOLVES: ReadonlySet<string | null> = new Set([
  'install',
  'install-test',
  'update',
  'exec',
])
/** What no package can be called: every other surface lives below it. */
const OURS = '/-/'
/** Parsed paths remembered: a few large applications' worth, about 1 MB. */
const TARGETS_MAX = 4096

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type PackageRoutesNeeds = {
  proxy: Proxy
  tarballs: Tarballs
  bodies: Bodies
  content: ContentAddresses
  home: Home
  guard: Guard
  /** Answers whoever reads through a view; there where requests of everybody arrive. */
  through?: Through
  prefix: string
  report: Report
}

/** The package surface. */
export function packageRoutes(needs: PackageRoutesNeeds) {
  return new Elysia({ name: 'packages', detail: { 'x-scope': 'public' } }).get(
    '/*',
    ({ request, server }) => {
      try {
        const answer = handle(request, server, needs)
        // A fresh answer is sent without a promise; the rest fails through the same door.
        if (answer instanceof Response) return answer
        return answer.catch((error: unknown) => failed(error, request, needs))
      } catch (error) {
        return failed(error, request, needs)
      }
    },
  )
}

/** A selector that is no dist-tag: tags look like no version. */
const VERSION = /^\d+\.\d+\.\d/

/** What failed deep below does not know for which package it was asked. */
function failed(error: unknown, request: Request, needs: PackageRoutesNeeds): Response {
  const isNamed = !(error instanceof RegistryError) || error.package !== undefined
  if (isNamed || error.code === 'invalid-name') return errorResponse(error, request, needs.report)
  const target = targets.get(rawPath(request, needs.prefix))
  if (target === undefined) return errorResponse(error, request, needs.report)
  const { code, message, details } = packError(error)
  const isVersion = target.kind === 'manifest' && VERSION.test(target.selector)
  const asked = { package: target.name, ...(isVersion && { version: target.selector }) }
  const named = new RegistryError(code, message, { ...asked, ...details }, error)
  return errorResponse(named, request, needs.report)
}

function handle(
  request: Request,
  server: AddressSource | null,
  needs: PackageRoutesNeeds,
): Response | Promise<Response> {
  const seen = needs.through?.(request)
  if (seen !== undefined) return seen
  const path = rawPath(request, needs.prefix)
  if (path === '/') return needs.home(request)
  if (path.startsWith(OURS)) {
    throw new RegistryError('not-found', 'this server has nothing under this path of /-/')
  }
  const target = targetOf(path)
  const { guard, proxy } = needs
  // Of another registry, asked for by its own path, nothing of what lives here can be learnt.
  if (!guard.isPrivate(target.name) || !proxy.isHoused(target.name)) {
    return answerOf(request, target, needs)
  }
  guard.assertReadable(request, server, target.name)
  return Promise.resolve(answerOf(request, target, needs)).then(markPrivate)
}

function answerOf(
  request: Request,
  target: PackagePath,
  needs: PackageRoutesNeeds,
): Response | Promise<Response> {
  if (isContentName(target.name)) return content(request, target, needs)
  if (target.kind === 'packument') return packument(request, target.name, needs)
  if (target.kind === 'manifest') return manifest(request, target.name, target.selector, needs)
  return tarball(request, target.name, target.file, needs)
}

/** What recent paths meant. Clients ask for the same few hundred names again and again. */
const targets = new LRUCache<string, PackagePath>(atMost(TARGETS_MAX))

function targetOf(path: string): PackagePath {
  const known = targets.get(path)
  if (known !== undefined) return known
  const target = parsePackagePath(path)
  targets.set(path, target)
  return target
}

function packument(
  request: Request,
  name: string,
  needs: PackageRoutesNeeds,
): Response | Promise<Response> {
  const wanted = wantedBy(request)
  if (!wantsFresh(request)) {
    const ready = needs.proxy.peek(name, wanted)
    if (ready !== undefined) return sendPackument(request, ready, needs.bodies)
  }
  return needs.proxy
    .packument(name, wanted, wantsFresh(request))
    .then(answer => sendPackument(request, answer, needs.bodies))
}

function wantedBy(request: Request): Wanted {
  const accept = request.headers.get('accept')
  const agent = request.headers.get('user-agent') ?? ''
  return {
    form: wantedForm(accept),
    // Clients that send no Accept are those that check no integrity: their bytes come through us.
    own: accept === null,
    noTombstones: agent.startsWith(YARN_1),
    addressed: isResolving(request, agent),
  }
}

/** Is the packument for finding a version, so that it may list them by their bytes? */
function isResolving(request: Request, agent: string): boolean {
  if (request.url.includes('write=true')) return false
  return !agent.startsWith(NPM) || NPM_RESOLVES.has(request.headers.get('npm-command'))
}

function sendPackument(
  request: Request,
  answer: PackumentAnswer,
  bodies: Bodies,
): Response | Promise<Response> {
  if (isNotModified(request.headers, answer.etag, answer.modifiedMs)) {
    return new Response(null, { status: 304, headers: packumentHeaders(answer) })
  }
  const encoding = wantedEncoding(request.headers.get('accept-encoding'))
  const ready = bodies.peek(answer.body.id, encoding)
  if (ready !== undefined) return begin(ready, answer)
  return bodies.get(answer.body, encoding).then(body => begin(body, answer))
}

/** One for all connections: they share the loop and the kernel's patience. */
const turns = new Turns()

function begin(body: Sendable, answer: PackumentAnswer): Response | Promise<Response> {
  const turn = turns.enter(body.data.size)
  return turn === undefined
    ? bodyResponse(body, answer)
    : turn.then(() => bodyResponse(body, answer))
}

/** Headers of an answer by encoding, made once: building them anew is a third of a hot request. */
const madeHeaders = new WeakMap<
  PackumentAnswer,
  Map<Sendable['encoding'], Record<string, string>>
>()

function bodyResponse(body: Sendable, answer: PackumentAnswer): Response {
  const made = madeHeaders.get(answer)
  const known = made?.get(body.encoding)
  if (known !== undefined) return new Response(body.data, { headers: known })
  const headers = packumentHeaders(answer)
  if (body.encoding !== null) headers['content-encoding'] = body.encoding
  if (made === undefined) madeHeaders.set(answer, new Map([[body.encoding, headers]]))
  else made.set(body.encoding, headers)
  return new Response(body.data, { headers })
}

function packumentHeaders(answer: PackumentAnswer): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': typeOf(answer.form),
    'etag': answer.etag,
    'last-modified': new Date(answer.modifiedMs).toUTCString(),
    'vary': [
      'accept, accept-encoding',
      ...(answer.variesByAgent ? ['user-agent, npm-command'] : []),
      ...(answer.variesByToken ? ['authorization'] : []),
    ].join(', '),
    'cache-control': CACHE_CONTROL,
  }
  if (answer.stale) headers['warning'] = '110 - "Response is Stale"'
  return headers
}

async function manifest(
  request: Request,
  name: string,
  selector: string,
  needs: PackageRoutesNeeds,
): Promise<Response> {
  const wanted = wantedBy(request)
  const found = await needs.proxy.manifest(name, selector, wanted, wantsFresh(request))
  return sendManifest(request, found)
}

/** Packages that are named by their bytes. */
async function content(
  request: Request,
  target: PackagePath,
  { content: addresses }: PackageRoutesNeeds,
): Promise<Response> {
  if (target.kind === 'packument') {
    return sendManifest(request, await addresses.packument(target.name))
  }
  if (target.kind === 'manifest') {
    return sendManifest(request, await addresses.manifest(target.name, target.selector))
  }
  const why = 'the packument of these bytes says where their tarball is'
  throw new RegistryError('not-found', why, { package: target.name })
}

function sendManifest(request: Request, found: ManifestAnswer): Response {
  const headers = {
    'content-type': 'application/json',
    'etag': found.etag,
    'vary': 'accept, accept-encoding, authorization',
    'cache-control': CACHE_CONTROL,
  }
  if (isNotModified(request.headers, found.etag, Number.POSITIVE_INFINITY)) {
    return new Response(null, { status: 304, headers })
  }
  return new Response(found.data, { headers })
}

async function tarball(
  request: Request,
  name: string,
  file: string,
  needs: PackageRoutesNeeds,
): Promise<Response> {
  const found = await needs.tarballs.find(name, file)
  const agent = request.headers.get('user-agent')
  const checks = agent !== null && !CHECKS_NOTHING.test(agent)
  const answer = await needs.tarballs.answer(found, checks)
  if (answer.kind === 'redirect') {
    const headers = { 'location': answer.url, 'cache-control': 'no-store' }
    return new Response(null, { status: 302, headers })
  }
  if (answer.kind === 'whole') return part(request, answer.data)
  const headers: Record<string, string> = { ...TARBALL_HEADERS }
  if (answer.length !== null) headers['content-length'] = String(answer.length)
  // To HEAD Elysia answers the length that it counts, so that the bytes have to come here too.
  return new Response(answer.stream, { headers })
}

/** Bytes at hand: all of them, or the part that was asked for. */
function part(request: Request, data: Blob): Response {
  const headers: Record<string, string> = { ...TARBALL_HEADERS, 'accept-ranges': 'bytes' }
  const range = parseRange(request.headers.get('range'), data.size)
  if (range === 'unsatisfiable') {
    headers['content-range'] = `bytes */${data.size}`
    return new Response(null, { status: 416, headers })
  }
  if (range === undefined) {
    // The server leaves the body out of an answer to HEAD by itself, and keeps its length.
    return new Response(data, { headers })
  }
  const { start, end } = range
  headers['content-range'] = `bytes ${start}-${end}/${data.size}`
  return new Response(data.slice(start, end + 1), { status: 206, headers })
}
