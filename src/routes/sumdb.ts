/**
 * The log as others read it: C2SP tlog-tiles, Go-shaped lookup, tlog-proof, the verifier key.
 *
 * https://c2sp.org/tlog-tiles: checkpoint, `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`;
 * full tiles never change, so they may be kept for ever. Open to every origin: checking needs no
 * permission. Lookup follows Go's checksum database (`<index>\n<record>\n\n<checkpoint>`), whose
 * own clients are answered by sumdb-go.ts.
 * @module
 */
import { Elysia } from 'elysia'
import { parseIdentity } from '../registries/identity.ts'
import type { Records } from '../registries/reading/records.ts'
import type { Report } from './errors.ts'
import { BYTES, HEAD_CACHE_CONTROL, lasting, openly, readable, TEXT } from './open-answer.ts'
import { queryOf, rawPath } from './request.ts'

const ROOT = '/-/sumdb'
const LOOKUP = `${ROOT}/lookup/`
const PROOF = `${ROOT}/proof/`

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type SumdbRoutesNeeds = { records: Records; prefix: string; report: Report }

/** The log surface. */
export function sumdbRoutes(needs: SumdbRoutesNeeds) {
  const open = openly(needs.report)
  return new Elysia({ name: 'sumdb', detail: { 'x-scope': 'public' } })
    .get(
      `${ROOT}/checkpoint`,
      open(() => readable(needs.records.checkpoint(), TEXT, HEAD_CACHE_CONTROL)),
    )
    .get(
      `${ROOT}/vkey`,
      open(() => readable(`${needs.records.vkey}\n`, TEXT, HEAD_CACHE_CONTROL)),
    )
    .get(
      `${ROOT}/tile/*`,
      open(request => tile(request, needs)),
    )
    .get(
      `${LOOKUP}*`,
      open(request => lookup(request, needs)),
    )
    .get(
      `${PROOF}*`,
      open(request => proof(request, needs)),
    )
}

function tile(request: Request, needs: SumdbRoutesNeeds): Response {
  const path = rawPath(request, needs.prefix).slice(`${ROOT}/`.length)
  return lasting(needs.records.tile(path), BYTES)
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
