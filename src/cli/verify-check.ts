/**
 * Checks the entries of lockfiles against a log: each name and version is looked up once, and what
 * the lockfile pins is compared with the proven record.
 *
 * An entry whose hash cannot be compared is never called equal. It is `verified` without a
 * comparison only where the package manager itself keeps no hash that a registry knows (yarn
 * berry) and takes the bytes from the registry; in all other lockfiles a missing hash is a finding
 * (`unpinned`), because removing it is how a changed `resolved` would pass.
 *
 * Other content than the record's may be a later one of a registry that re-issues bytes; then it
 * has a record of its own, of the same namespace, and the entry is a `revision`: a finding all the
 * same, unless it was said that this registry does so. Whoever runs a log could record a swap as a
 * revision; the public npm registry has none.
 *
 * Where the settings name one registry of the server alone, its records count and no others, and an
 * entry whose URL in the lockfile names another one is `different`, whatever its hash.
 *
 * @module
 */
import pLimit from 'p-limit'
import { LogUnreachable, type FoundRecord } from '../log/client.ts'
import { parseLeaf, type VersionLeaf } from '../log/leaf.ts'
import type { LockfileEntry, LockfileFormat } from '../registries/lockfile/lockfile-entry.ts'
import { CONTENT_SCOPE } from '../registries/name.ts'
import { revisionAsked } from '../registries/packument/revisions.ts'
import { LogHttpError, type TarballHashes } from './log-http.ts'
import { lensUrl, type Origin } from './verify-lens.ts'
import type { Result, Status } from './verify-report.ts'

/** Enough to hide the latency of a far server, few enough not to be a burden for it. */
const LOOKUPS_AT_ONCE = 16
/** Tarballs are large: more at once would only share the line. */
const TARBALLS_AT_ONCE = 6
/** So many failures with no answer between them: the server is gone. */
const FAILURES_MAX = 32
/** The namespace of the public npm registry, which publishes a version once. */
const NPM = 'npm'

/** What the sentence of a server cannot know: that nobody looks for a registry here. */
const NO_RECORD_OF_BYTES =
  `a name of ${CONTENT_SCOPE} is the hash of bytes and no version of a registry, so that the ` +
  `log has no record of it; --allow-missing '${CONTENT_SCOPE}*' lets such names pass unchecked`

export type Checked = {
  lockfile: string
  format: LockfileFormat
  entry: LockfileEntry
  origin: Origin
}

export type CheckNeeds = {
  /** @param namespace of the one registry that is meant, if one is */
  lookup: (name: string, version: string, namespace?: string) => Promise<FoundRecord>
  /** Present when what cannot be compared is to be downloaded. */
  hashTarball: HashTarball | undefined
  /** Where tarballs come from unless an entry says otherwise. */
  url: string
  /** Of the registries that the server lists, by upstream. */
  namespaces: ReadonlyMap<string, string>
  isAllowed: (name: string, version: string) => boolean
  /** Whether the registry of this name is known to re-issue bytes. */
  mayRevise: (name: string, version: string) => boolean
  /** Called once for each entry that is done. */
  advance: () => void
}

type HashTarball = (checked: Checked) => Promise<TarballHashes>
type Answer =
  | { outcome: 'found'; index: number; leaf: VersionLeaf }
  | { outcome: 'missing' | 'refused' | 'failed'; reason: string }
type Found = Extract<Answer, { outcome: 'found' }>
type Ask = (origin: Origin, name: string, version: string) => Promise<Answer>

/** Results in the order of the entries. Throws LogMisbehaviour once the log is seen to lie. */
export async function checkEntries(
  entries: readonly Checked[],
  needs: CheckNeeds,
): Promise<Result[]> {
  const ask = askOnce(needs)
  const tarballs = pLimit(TARBALLS_AT_ONCE)
  try {
    return await Promise.all(
      entries.map(async checked => {
        const { entry, origin } = checked
        const result =
          entry.kind === 'not-registry'
            ? makeResult(checked, 'not-checked', { reason: entry.reason ?? '' })
            : await judgeRevision(
                checked,
                await judge(checked, await ask(origin, entry.name, entry.version), needs, tarballs),
                needs,
                ask,
              )
        needs.advance()
        return judgeOrigin(checked, result, needs)
      }),
    )
  } finally {
    // After a failure nothing more is asked.
    ask.stop()
    tarballs.clearQueue()
  }
}

function askOnce({ lookup, namespaces, url }: CheckNeeds) {
  const limit = pLimit(LOOKUPS_AT_ONCE)
  const asked = new Map<string, Promise<Answer>>()
  let failures = 0
  const answerOf = async (name: string, version: string, namespace?: string): Promise<Answer> => {
    if (failures >= FAILURES_MAX) return { outcome: 'failed', reason: 'the registry is gone' }
    const answer = await readAnswer(() => lookup(name, version, namespace), name)
    failures = answer.outcome === 'failed' ? failures + 1 : 0
    return answer
  }
  const ask: Ask = async ({ upstream }, name, version) => {
    const namespace = upstream === null ? undefined : namespaces.get(upstream)
    if (upstream !== null && namespace === undefined) {
      const reason = `the settings name ${lensUrl(url, upstream)}, but this server lists no registry ${upstream}`
      return { outcome: 'failed', reason }
    }
    const identity = `${namespace ?? ''}/${name}@${version}`
    const answer = asked.get(identity) ?? limit(() => answerOf(name, version, namespace))
    asked.set(identity, answer)
    return answer
  }
  return Object.assign(ask, { stop: () => limit.clearQueue() })
}

async function readAnswer(lookup: () => Promise<FoundRecord>, name: string): Promise<Answer> {
  try {
    const { index, leaf } = await lookup()
    const record = parseLeaf(leaf)
    if (record.kind !== 'version') throw new TypeError('the client answered another record')
    return { outcome: 'found', index, leaf: record }
  } catch (error) {
    if (error instanceof LogUnreachable) {
      return { outcome: 'failed', reason: describeUnreachable(error) }
    }
    if (!(error instanceof LogHttpError)) throw error
    const outcome = error.code === 'unreachable' ? 'failed' : error.code
    const isOfBytes = outcome === 'missing' && name.startsWith(CONTENT_SCOPE)
    return { outcome, reason: isOfBytes ? NO_RECORD_OF_BYTES : error.message }
  }
}

async function judge(
  checked: Checked,
  answer: Answer,
  needs: CheckNeeds,
  tarballs: ReturnType<typeof pLimit>,
): Promise<Result> {
  const { entry, format } = checked
  if (answer.outcome !== 'found') {
    const allowed = answer.outcome !== 'failed' && needs.isAllowed(entry.name, entry.version)
    return makeResult(checked, answer.outcome, { reason: answer.reason, allowed })
  }
  const known = knownFields(answer)
  if (entry.kind === 'registry') {
    const status = entry.integrity === answer.leaf.integrity ? 'verified' : 'different'
    return makeResult(checked, status, { ...known, compared: true })
  }
  const isBerry = format === 'yarn-berry'
  const hashTarball = needs.hashTarball
  // Bytes that the registry serves say nothing of an entry that nothing binds to them.
  if (hashTarball !== undefined && (isBerry || entry.sha1 !== undefined)) {
    return tarballs(() => compareTarball(checked, answer, hashTarball))
  }
  const reason = entry.reason ?? ''
  if (isBerry && (entry.archive === undefined || isOurs(checked, entry.archive, needs.url))) {
    return makeResult(checked, 'verified', {
      ...known,
      reason: `in the log as record ${answer.index}; ${reason}`,
    })
  }
  return makeResult(checked, 'unpinned', {
    ...known,
    reason: entry.archive === undefined ? reason : `yarn would take it from ${entry.archive}`,
  })
}

/** What differs may have a record of its own. */
async function judgeRevision(
  checked: Checked,
  result: Result,
  needs: CheckNeeds,
  ask: Ask,
): Promise<Result> {
  const { name, version, namespace, fetchedIntegrity, lockfileIntegrity, reason } = result
  const integrity = fetchedIntegrity ?? lockfileIntegrity
  if (result.status !== 'different' || namespace === NPM || integrity === null) return result
  // With a reason, it is something else that differs.
  const text = reason === '' ? revisionAsked(version, integrity) : undefined
  const answer = text === undefined ? undefined : await ask(checked.origin, name, text)
  if (answer?.outcome === 'failed') return makeResult(checked, 'failed', { reason: answer.reason })
  if (answer?.outcome !== 'found' || answer.leaf.namespace !== namespace) return result
  if (answer.leaf.integrity !== integrity) return result
  const allowed = needs.mayRevise(name, version)
  const why = `its registry has issued it more than once; the lockfile has that of record ${answer.index}, the first is record ${result.index}`
  const hint = allowed ? '' : '. If this registry is known to do so: --allow-revisions'
  return { ...result, ...knownFields(answer), status: 'revision', allowed, reason: why + hint }
}

/**
 * The registry alone that the lockfile's URL names must be the one that the settings name, or, where
 * they name none alone, the one whose record it was checked against.
 */
function judgeOrigin(checked: Checked, result: Result, needs: CheckNeeds): Result {
  const { setting, upstream, lockfileUpstream } = checked.origin
  const isAlone = upstream !== null
  const asked = isAlone ? (needs.namespaces.get(upstream) ?? null) : null
  const told = { ...result, upstream, namespace: result.namespace ?? asked }
  if (result.status === 'failed' || lockfileUpstream === null) return told
  const found = needs.namespaces.get(lockfileUpstream)
  const isRecords = found !== undefined && found === result.namespace
  if (isAlone ? lockfileUpstream === upstream : isRecords) return told
  const why = `the settings name ${setting ?? 'no registry'}, the lockfile ${lensUrl(needs.url, lockfileUpstream)}`
  const reason = result.reason === '' ? why : `${why}; ${result.reason}`
  return { ...told, status: 'different', allowed: false, lockfileUpstream, reason }
}

async function compareTarball(
  checked: Checked,
  answer: Found,
  hashTarball: HashTarball,
): Promise<Result> {
  const { entry } = checked
  const known = knownFields(answer)
  try {
    const { sha512, sha1 } = await hashTarball(checked)
    const fields = { ...known, compared: true, fetchedIntegrity: sha512 }
    const isOther = sha512 !== answer.leaf.integrity
    if (entry.sha1 === undefined || entry.sha1 === sha1) {
      return makeResult(checked, isOther ? 'different' : 'verified', fields)
    }
    const what = isOther ? 'what was downloaded' : 'the logged content'
    const reason = `the lockfile's SHA-1 ${entry.sha1} is not that of ${what}, ${sha1}`
    return makeResult(checked, 'different', { ...fields, reason })
  } catch (error) {
    if (!(error instanceof LogHttpError)) throw error
    const reason = `the tarball cannot be had: ${error.message}`
    return makeResult(checked, 'failed', { ...known, reason })
  }
}

function knownFields({ index, leaf }: Found) {
  return { index, namespace: leaf.namespace, logIntegrity: leaf.integrity }
}

function makeResult(checked: Checked, status: Status, fields: Partial<Result>): Result {
  const { lockfile, entry } = checked
  return {
    lockfile,
    line: entry.line,
    key: entry.key,
    name: entry.name,
    version: entry.version,
    status,
    compared: false,
    allowed: false,
    lockfileIntegrity: entry.integrity,
    fetchedIntegrity: null,
    logIntegrity: null,
    namespace: null,
    upstream: null,
    lockfileUpstream: null,
    index: null,
    reason: '',
    ...fields,
  }
}

/** The sentence of an error and of what caused it. */
export function describeUnreachable(error: LogUnreachable): string {
  const { cause } = error
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message
}

/** Whether an archive comes from this server, and from the one registry of it that is meant. */
function isOurs({ origin }: Checked, archive: string, url: string): boolean {
  const { upstream, lockfileUpstream } = origin
  if (upstream !== null && lockfileUpstream !== upstream) return false
  return URL.canParse(archive) && new URL(archive).origin === new URL(url).origin
}
