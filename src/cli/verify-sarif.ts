/**
 * The report of `verify` as SARIF 2.1.0, for code scanning
 * (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html): one result for each finding,
 * at the line of the lockfile. A run that could not ask the log, or that caught it lying, is an
 * execution that did not succeed.
 *
 * @module
 */
import { version } from '../version.ts'
import { isElsewhere, isFinding, type Report, type Result } from './verify-report.ts'
import { explain, plain } from './verify-text.ts'

const SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json'

const RULES = {
  different: 'The lockfile pins other content than the log holds',
  elsewhere: 'The lockfile names another registry than the settings',
  unpinned: 'Nothing in the lockfile binds what is installed to the log',
  missing: 'The version is not in the log',
  revision: 'The registry has issued the version more than once',
  refused: 'The registry refuses the version',
} as const

type RuleId = keyof typeof RULES

export function formatSarif(report: Report): string {
  const { misbehaviour, error } = report
  const problem = misbehaviour?.message ?? error
  const run = {
    tool: { driver: { name: 'npmx-registry', semanticVersion: version, rules: rules() } },
    invocations: [
      {
        executionSuccessful: report.exitCode <= 1,
        exitCode: report.exitCode,
        ...(problem === null ? {} : { toolExecutionNotifications: [notification(problem)] }),
      },
    ],
    results: report.entries.filter(isFinding).map(toResult),
  }
  return `${JSON.stringify({ $schema: SCHEMA, version: '2.1.0', runs: [run] }, undefined, 2)}\n`
}

function rules() {
  return Object.entries(RULES).map(([id, text]) => ({ id, shortDescription: { text } }))
}

function notification(problem: string) {
  return { level: 'error', message: { text: plain(problem) } }
}

function toResult(entry: Result) {
  return {
    ruleId: ruleOf(entry),
    level: 'error',
    message: { text: plain(`${entry.name}@${entry.version}: ${explain(entry)}`) },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: entry.lockfile.split('/').map(encodeURIComponent).join('/') },
          region: { startLine: entry.line },
        },
      },
    ],
  }
}

function ruleOf(entry: Result): RuleId {
  const { status } = entry
  if (isElsewhere(entry)) return 'elsewhere'
  if (status === 'different' || status === 'unpinned' || status === 'refused') return status
  if (status === 'revision') return status
  return 'missing'
}
