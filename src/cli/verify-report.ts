/**
 * What `verify` found, and its JSON form, which is stable: fields are added, never renamed, and
 * readers ignore those they do not know.
 *
 *     {
 *       "version": 1,
 *       "verdict": "ok" | "findings" | "unreachable" | "misbehaved",
 *       "exitCode": 0 | 1 | 3 | 4,
 *       "url": "https://registry.example/",
 *       "log": {                       null when the log could not be asked
 *         "origin": "registry.example/log",
 *         "size": 20852163,            leaves in the newest checkpoint seen
 *         "vkey": "registry.example/log+c74f20a3+AeEy…",
 *         "keyFrom": "option" | "state" | "first-use",
 *         "rememberedSize": 20852000   head of the last run, shown to be consistent; or null
 *       },
 *       "lockfiles": [
 *         { "path": "package-lock.json", "format": "npm", "version": "3", "entries": 1192 }
 *       ],
 *       "counts": { "verified": 1176, "uncompared": 0, "different": 0, "missing": 4, "refused": 0,
 *                   "unpinned": 0, "notChecked": 12, "failed": 0, "allowed": 4, "revision": 0 },
 *       "entries": [{
 *         "lockfile": "package-lock.json", "line": 812, "key": "node_modules/left-pad",
 *         "name": "left-pad", "version": "1.3.0",
 *         "status": "verified" | "different" | "revision" | "missing" | "refused" | "unpinned" |
 *                   "not-checked" | "failed",
 *         "compared": true,            a hash of its content was compared with the log's
 *         "allowed": false,            missing or refused, and --allow-missing names it, or a
 *                                      revision, and --allow-revisions does
 *         "lockfileIntegrity": "sha512-…" | null,
 *         "fetchedIntegrity": "sha512-…" | null,   with --fetch
 *         "logIntegrity": "sha512-…" | null,
 *         "namespace": "npm" | null,   of the record, or the one that was asked for
 *         "upstream": "acme" | null,   the settings name this registry alone (/~/acme/) for it
 *         "lockfileUpstream": "other" | null,      the lockfile names this one instead
 *         "index": 81234 | null,       its leaf in the log
 *         "reason": ""                 a sentence for people unless verified and compared
 *       }],
 *       "misbehaviour": { "code": "fork", "message": "…", "evidence": "<path of the file>" } | null,
 *       "error": "…" | null            why the log could not be asked
 *     }
 *
 * `uncompared` entries are `verified` too: they stand in the log, but the lockfile holds no hash
 * that could be compared. `allowed` ones count under `missing`, `refused` or `revision` as well.
 *
 * @module
 */
import type { LockfileFormat } from '../registries/lockfile/lockfile-entry.ts'
import { EXIT } from './io.ts'

export type Status =
  | 'verified'
  /** its content is not the logged one, or it would come from another registry than is said */
  | 'different'
  /** a content of its own record: its registry has issued the version more than once */
  | 'revision'
  /** the authority of its name does not have it */
  | 'missing'
  /** the registry refuses to log it */
  | 'refused'
  /** in the log, but nothing in the lockfile binds what is installed to it */
  | 'unpinned'
  /** comes from no registry */
  | 'not-checked'
  /** could not be asked */
  | 'failed'

export type Result = {
  lockfile: string
  line: number
  key: string
  name: string
  version: string
  status: Status
  compared: boolean
  allowed: boolean
  lockfileIntegrity: string | null
  fetchedIntegrity: string | null
  logIntegrity: string | null
  namespace: string | null
  upstream: string | null
  lockfileUpstream: string | null
  index: number | null
  reason: string
}

export type LogSeen = {
  origin: string
  size: number
  vkey: string
  keyFrom: 'option' | 'state' | 'first-use'
  rememberedSize: number | null
}

export type Misbehaviour = { code: string; message: string; evidence: string }

export type Counts = {
  verified: number
  uncompared: number
  different: number
  revision: number
  missing: number
  refused: number
  unpinned: number
  notChecked: number
  failed: number
  allowed: number
}

export type Findings = {
  url: string
  log: LogSeen | null
  lockfiles: { path: string; format: LockfileFormat; version: string; entries: number }[]
  entries: Result[]
  misbehaviour: Misbehaviour | null
  error: string | null
}

export type Report = Findings & {
  version: 1
  verdict: 'ok' | 'findings' | 'unreachable' | 'misbehaved'
  exitCode: number
  counts: Counts
}

export function makeReport(findings: Findings): Report {
  const verdict = judge(findings)
  const exitCode = {
    ok: EXIT.ok,
    findings: EXIT.findings,
    unreachable: EXIT.unreachable,
    misbehaved: EXIT.misbehaved,
  }[verdict]
  return { version: 1, verdict, exitCode, ...findings, counts: count(findings.entries) }
}

/** Whether an entry makes the run fail. */
export function isFinding(result: Result): boolean {
  if (result.status === 'different' || result.status === 'unpinned') return true
  const mayBeAllowed = ['missing', 'refused', 'revision'].includes(result.status)
  return mayBeAllowed && !result.allowed
}

/** Whether all that differs is the registry that it would come from. */
export function isElsewhere(result: Result): boolean {
  if (result.status !== 'different' || result.lockfileUpstream === null) return false
  const integrity = result.fetchedIntegrity ?? result.lockfileIntegrity
  return !result.compared || integrity === result.logIntegrity
}

// A log that lies outweighs one that cannot be asked, and that outweighs what was found so far.
function judge(findings: Findings): Report['verdict'] {
  if (findings.misbehaviour !== null) return 'misbehaved'
  const isPartial = findings.entries.some(entry => entry.status === 'failed')
  if (findings.error !== null || isPartial) return 'unreachable'
  return findings.entries.some(isFinding) ? 'findings' : 'ok'
}

function count(entries: readonly Result[]): Counts {
  const of = (status: Status) => entries.filter(entry => entry.status === status).length
  return {
    verified: of('verified'),
    uncompared: entries.filter(entry => entry.status === 'verified' && !entry.compared).length,
    different: of('different'),
    revision: of('revision'),
    missing: of('missing'),
    refused: of('refused'),
    unpinned: of('unpinned'),
    notChecked: of('not-checked'),
    failed: of('failed'),
    allowed: entries.filter(entry => entry.allowed).length,
  }
}
