/**
 * The log as others read it: C2SP tlog-tiles, Go-shaped lookup, tlog-proof, the verifier key.
 *
 * https://c2sp.org/tlog-tiles: checkpoint, `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`;
 * full tiles never change, so they may be kept for ever. Open to every origin: checking needs no
 * permission. Lookup follows Go's checksum database (`<index>\n<record>\n\n<checkpoint>`).
 * @module
 */
import { Elysia } from 'elysia'
import { parseIdentity } from '../registries/identity.ts'
import type { Records } from '../registries/records.ts'
import { errorResponse, type Report } from './errors.ts'
import { queryOf, rawPath } from './request.ts'

const ROOT = '/-/sumdb'
const LOOKUP = `${ROOT}/lookup/`
const PROOF = `${ROOT}/proof/`

const TEXT = 'text/plain; charset=utf-8'
const FOR_EVER = 'public, max-age=31536000, immutable'
/** A checkpoint is old when the next record lands; this only spares bursts of readers. */
const HEAD_CACHE_CONTROL = 'public, max-age=1'

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type SumdbRoutesNeeds = { records: Records; prefix: string; report: Report }

/** The log surface. */
export function sumdbRoutes(needs: SumdbRoutesNeeds) {
  const guarded = (work: (request: Request) => Response | Promise<Response>) => {
    return async ({ request }: { request: Request }) => {
      try {
        return await work(request)
      } catch (error) {
        const failed = errorResponse(error, request, needs.report)
        failed.headers.set('access-control-allow-origin', '*')
        return failed
      }
    }
  }
  return new Elysia({ name: 'sumdb' })
    .get(
      `${ROOT}/checkpoint`,
      guarded(() => readable(needs.records.checkpoint(), TEXT, HEAD_CACHE_CONTROL)),
    )
    .get(
      `${ROOT}/vkey`,
      guarded(() => readable(`${needs.records.vkey}\n`, TEXT, HEAD_CACHE_CONTROL)),
    )
    .get(
      `${ROOT}/tile/*`,
      guarded(request => tile(request, needs)),
    )
    .get(
      `${LOOKUP}*`,
      guarded(request => lookup(request, needs)),
    )
    .get(
      `${PROOF}*`,
      guarded(request => proof(request, needs)),
    )
}

function tile(request: Request, needs: SumdbRoutesNeeds): Response {
  const path = rawPath(request, needs.prefix).slice(`${ROOT}/`.length)
  const bytes = needs.records.tile(path)
  // A Blob is held once; plain bytes would be copied again for a slow reader.
  return readable(new Blob([new Uint8Array(bytes)]), 'application/octet-stream', FOR_EVER)
}

async function lookup(request: Request, needs: SumdbRoutesNeeds): Promise<Response> {
  const { name, version } = parseIdentity(rawPath(request, needs.prefix).slice(LOOKUP.length))
  const namespace = queryOf(request).get('ns') ?? undefined
  const answer = await needs.records.lookup(name, version, namespace)
  return readable(new Blob([answer]), TEXT, HEAD_CACHE_CONTROL)
}

async function proof(request: Request, needs: SumdbRoutesNeeds): Promise<Response> {
  const { name, version } = parseIdentity(rawPath(request, needs.prefix).slice(PROOF.length))
  const namespace = queryOf(request).get('ns') ?? undefined
  return readable(await needs.records.proof(name, version, namespace), TEXT, HEAD_CACHE_CONTROL)
}

function readable(body: string | Blob, type: string, cacheControl: string): Response {
  return new Response(body, {
    headers: {
      'content-type': type,
      'cache-control': cacheControl,
      'access-control-allow-origin': '*',
      'x-content-type-options': 'nosniff',
    },
  })
}
