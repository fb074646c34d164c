/**
 * The report of `verify` for people: the log, each entry that needs a look, and one line of verdict
 * at the end. In a GitHub workflow each finding is an annotation of its line as well
 * (https://docs.github.com/en/actions, "Workflow commands").
 *
 *     log registry.example/log at https://registry.example/: 20852163 records
 *     package-lock.json (npm, lockfileVersion 3): 1192 entries
 *       DIFFERENT    left-pad@1.3.0  package-lock.json:812
 *                    lockfile  sha512-Zz98…
 *                    log       sha512-Ab12…  (record 81234, npm)
 *     FAILED: 1 of 1192 entries differs from the log: do not install
 *
 * Text from lockfiles and servers is shown without control characters.
 *
 * @module
 */
import { isElsewhere, isFinding, type Report, type Result, type Status } from './verify-report.ts'

const LABEL: Record<Status, string> = {
  'verified': 'in the log',
  'different': 'DIFFERENT',
  'revision': 'REVISION',
  'missing': 'MISSING',
  'refused': 'REFUSED',
  'unpinned': 'UNPINNED',
  'not-checked': 'not checked',
  'failed': 'COULD NOT CHECK',
}
const LABEL_CHARS = 17
const INDENT = ' '.repeat(LABEL_CHARS + 2)
/** The worst first. */
const ORDER: Status[] = [
  'different',
  'revision',
  'unpinned',
  'refused',
  'missing',
  'failed',
  'verified',
  'not-checked',
]

export function formatText(report: Report): string {
  const lines = [...logLines(report)]
  for (const { path, format, version, entries } of report.lockfiles) {
    lines.push(`${plain(path)} (${format}, lockfile version ${version}): ${countOf(entries)}`)
  }
  lines.push(...aloneLines(report))
  for (const status of ORDER) {
    const shown = report.entries.filter(entry => entry.status === status && isShown(entry))
    lines.push(...shown.flatMap(entryLines))
  }
  lines.push(...countLines(report), verdictLine(report))
  return `${lines.join('\n')}\n`
}

/** One annotation for each finding. */
export function formatAnnotations(report: Report): string {
  const lines = report.entries.filter(isFinding).map(entry => {
    const file = property(entry.lockfile)
    const text = plain(`${entry.name}@${entry.version}: ${explain(entry)}`)
    return `::error file=${file},line=${entry.line},title=npmx-registry::${data(text)}\n`
  })
  return lines.join('')
}

/** What is wrong with an entry, in one sentence with both hashes. */
export function explain(entry: Result): string {
  if (entry.status !== 'different' || isElsewhere(entry)) return entry.reason + against(entry)
  const other =
    entry.fetchedIntegrity === null
      ? `the lockfile says ${entry.lockfileIntegrity ?? 'nothing'}`
      : `what was downloaded has ${entry.fetchedIntegrity}`
  const why = entry.reason === '' ? '' : ` (${entry.reason})`
  return `${other}, record ${entry.index} of the log says ${entry.logIntegrity}${why}${against(entry)}`
}

/** Which registry alone was asked. */
function against({ upstream, namespace }: Result): string {
  const isAsked = upstream !== null && namespace !== null
  return isAsked ? `; checked against ${upstream} alone (${namespace}), as the settings say` : ''
}

// Verified and compared entries are counted, not listed: nobody reads a thousand good lines.
function isShown(entry: Result): boolean {
  return entry.status !== 'verified' || !entry.compared
}

function logLines(report: Report): string[] {
  const { log } = report
  if (log === null) return []
  const remembered =
    log.rememberedSize === null ? '' : `, consistent with the ${log.rememberedSize} of the last run`
  const lines = [`log ${plain(log.origin)} at ${report.url}: ${log.size} records${remembered}`]
  if (log.keyFrom === 'first-use') {
    lines.push(
      'key taken from the server on first use and remembered; to pin it:',
      `  --key '${plain(log.vkey)}'`,
    )
  }
  return lines
}

/** Which registries alone were asked, for how many entries. */
function aloneLines({ entries }: Report): string[] {
  const counts = new Map<string, number>()
  for (const { upstream, namespace } of entries) {
    if (upstream === null || namespace === null) continue
    const which = `${upstream} alone (${namespace})`
    counts.set(which, (counts.get(which) ?? 0) + 1)
  }
  return [...counts].map(
    ([which, count]) => `${countOf(count)} checked against ${plain(which)}, as the settings say`,
  )
}

function entryLines(entry: Result): string[] {
  const label = labelOf(entry).padEnd(LABEL_CHARS)
  const identity = entry.version === '' ? entry.name : `${entry.name}@${entry.version}`
  const lines = [`  ${label}${plain(identity)}  ${plain(entry.lockfile)}:${entry.line}`]
  if (entry.status === 'different' && !isElsewhere(entry)) {
    const found = entry.fetchedIntegrity ?? entry.lockfileIntegrity ?? 'no SHA-512'
    const from = entry.fetchedIntegrity === null ? 'lockfile' : 'fetched '
    lines.push(
      `${INDENT}${from}  ${plain(found)}`,
      `${INDENT}log       ${entry.logIntegrity}  (record ${entry.index}, ${entry.namespace})`,
    )
  }
  if (entry.reason !== '') lines.push(`${INDENT}${plain(entry.reason)}`)
  return lines
}

function labelOf({ status, allowed }: Result): string {
  if (!allowed) return LABEL[status]
  return status === 'revision' ? 'a revision' : 'missing, allowed'
}

function countLines({ counts }: Report): string[] {
  const parts: [number, string][] = [
    [counts.verified, 'verified'],
    [counts.different, 'different'],
    [counts.revision, counts.revision === 1 ? 'a revision' : 'revisions'],
    [counts.unpinned, 'unpinned'],
    [counts.refused, 'refused'],
    [counts.missing, 'missing from the log'],
    [counts.failed, 'could not be checked'],
    [counts.notChecked, 'not checked'],
  ]
  const shown = parts.filter(([number], at) => number > 0 || at === 0)
  const line = shown.map(([number, what]) => `${number} ${what}`).join(', ')
  if (counts.uncompared === 0) return [line]
  return [
    line,
    `${counts.uncompared} of the verified are in the log, but the lockfile holds no ` +
      'comparable hash: --fetch downloads and compares them',
  ]
}

function verdictLine(report: Report): string {
  const { counts, misbehaviour } = report
  if (misbehaviour !== null) {
    return (
      `THE LOG MISBEHAVED: ${plain(misbehaviour.message)}. ` +
      `Do not install; the evidence is in ${plain(misbehaviour.evidence)}`
    )
  }
  if (report.error !== null) return `COULD NOT CHECK: ${plain(report.error)}`
  if (counts.failed > 0) return `COULD NOT CHECK: ${countOf(counts.failed)} could not be asked for`
  const findings = report.entries.filter(isFinding).length
  const all = countOf(report.entries.length)
  const elsewhere = report.entries.filter(isElsewhere).length
  const other = counts.different - elsewhere
  if (other > 0) return `FAILED: ${other} of ${all} not the logged content: do not install`
  if (elsewhere > 0)
    return `FAILED: ${elsewhere} of ${all} from another registry than the settings name: do not install`
  if (findings > 0) return `FAILED: ${findings} of ${all} could not be verified`
  const more = counts.revision === 0 ? '' : `, ${counts.revision} as allowed revisions`
  return `OK: ${counts.verified + counts.revision} of ${all} verified against the log${more}`
}

function countOf(number: number): string {
  return number === 1 ? '1 entry' : `${number} entries`
}

/** Without anything that moves a terminal's cursor or changes its colours. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '\uFFFD')
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
