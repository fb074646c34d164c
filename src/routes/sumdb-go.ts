/**
 * The log for clients of Go's checksum database, over the same tree as C2SP's paths
 * (https://go.dev/design/25530-sumdb#checksum-database, golang.org/x/mod/sumdb).
 *
 * Its paths stand beside C2SP's, and once more, with lookups, below a prefix of their own:
 *
 *     /-/sumdb/{supported,latest,tile/8/…}             beside `checkpoint`, `tile/…`
 *     /-/sumdb/go/{supported,latest,tile/8/…,lookup/…}  the base URL for a client of Go's
 *
 * A lookup ends in a signed head, and the two dialects want another one there: `/-/sumdb/lookup/`
 * gives the checkpoint, so that `/-/sumdb/go/lookup/` gives the tree note. The tiles cannot collide:
 * after `tile/8/` Go has a level in one or two digits or `data`, C2SP has three digits or `x` and
 * three digits, and a tile of C2SP's level 8 is in no tree of fewer than 2^64 leaves.
 *
 * The go command has no use for it: records are npm's, not go.sum lines, and most names of npm are
 * none of Go's (`@`, no dot). Its library, which checks everything, is another judge of the log.
 * @module
 */
import { Elysia } from 'elysia'
import { parseGoIdentity } from '../registries/identity.ts'
import type { GoRecords } from '../registries/reading/go-records.ts'
import type { Report } from './errors.ts'
import { BYTES, HEAD_CACHE_CONTROL, lasting, openly, readable, TEXT } from './open-answer.ts'
import { queryOf, rawPath } from './request.ts'

const BESIDE = '/-/sumdb'
const ALONE = '/-/sumdb/go'
const LOOKUP = `${ALONE}/lookup/`

/** What the surface needs. @property prefix path part of the public URL, without its last slash */
export type SumdbGoRoutesNeeds = { goRecords: GoRecords; prefix: string; report: Report }

/** The log surface in Go's dialect. */
export function sumdbGoRoutes(needs: SumdbGoRoutesNeeds) {
  const { goRecords } = needs
  const open = openly(needs.report)
  const supported = open(() => readable('', TEXT, HEAD_CACHE_CONTROL))
  const latest = open(() => readable(goRecords.latest(), TEXT, HEAD_CACHE_CONTROL))
  return new Elysia({ name: 'sumdb-go', detail: { 'x-scope': 'public' } })
    .get(`${BESIDE}/supported`, supported)
    .get(`${BESIDE}/latest`, latest)
    .get(
      `${BESIDE}/tile/8/*`,
      open(request => tile(request, BESIDE, needs)),
    )
    .get(`${ALONE}/supported`, supported)
    .get(`${ALONE}/latest`, latest)
    .get(
      `${ALONE}/tile/*`,
      open(request => tile(request, ALONE, needs)),
    )
    .get(
      `${LOOKUP}*`,
      open(request => lookup(request, needs)),
    )
}

function tile(request: Request, root: string, needs: SumdbGoRoutesNeeds): Response {
  const path = rawPath(request, needs.prefix).slice(`${root}/`.length)
  const { bytes, isData } = needs.goRecords.tile(path)
  return lasting(bytes, isData ? TEXT : BYTES)
}

async function lookup(request: Request, needs: SumdbGoRoutesNeeds): Promise<Response> {
  const { name, version } = parseGoIdentity(rawPath(request, needs.prefix).slice(LOOKUP.length))
  const namespace = queryOf(request).get('ns') ?? undefined
  const answer = await needs.goRecords.lookup(name, version, namespace)
  return readable(new Blob([answer]), TEXT, HEAD_CACHE_CONTROL)
}
