/**
 * What failed, read from what `bun test` printed and told in few lines: a record of a run often
 * keeps no more than its end. Pure. It knows the output of the Bun that runs it; a step that says
 * something else is told by its last lines.
 * @module
 */

/** A test that failed; `lines` are those of its error. */
export type Failure = { file: string; name: string; lines: string[] }

/** A step that failed; `outcome` says how it ended, `output` what it wrote to stderr. */
export type FailedStep = { title: string; outcome: string; output: string }

/** Of the whole: what still fits a screen, and the tail of a record. */
const LINES_MAX = 60
/** Of one error: what was expected, what was received, and a difference of a few lines. */
const ERROR_LINES_MAX = 12
/** Somebody's whole document may be what was received. */
const LINE_CHARS_MAX = 240

const FILE = /^(?:::group::)?(\S+\.test\.tsx?):$/
const RESULT = /^\((pass|fail|skip|todo)\) (.*)$/
const MILLISECONDS = / \[[\d.]+m?s\]$/
/** Under a failed test: that it took too long. */
const REMARK = /^ {2}\^ /
/** Bun's list of what it has already told, when there was much of it. */
const REPEATED = /^\d+ tests? failed:$/
const BETWEEN_TESTS = '# Unhandled error between tests'
const RULE = /^-{10,}$/
const EXCERPT = /^\s*\d+ \| /
const POINTER = /^\s*\^$/
const ERROR = /^(?:error|[A-Za-z]*Error)\b/
const STACK = /^\s+at /

/** The failed tests, in the order in which they ran. */
export function failuresIn(output: string): Failure[] {
  const failures: Failure[] = []
  let file = ''
  let block: string[] = []
  let rules = Number.POSITIVE_INFINITY
  for (const line of Bun.stripANSI(output).split(/\r?\n/)) {
    if (REPEATED.test(line)) break
    const [, result, title = ''] = RESULT.exec(line) ?? []
    if (result === 'fail') {
      failures.push({ file, name: title.replace(MILLISECONDS, ''), lines: errorLines(block) })
    }
    if (line === BETWEEN_TESTS) rules = 0
    else if (RULE.test(line)) rules += 1
    const isBetweenOver = rules === 2
    if (isBetweenOver) {
      failures.push({ file, name: 'between tests', lines: errorLines(block) })
      rules = Number.POSITIVE_INFINITY
    }
    if (REMARK.test(line) && block.length === 0) failures.at(-1)?.lines.push(line.trim())
    file = FILE.exec(line)?.[1] ?? file
    if (result !== undefined || isBetweenOver || FILE.test(line)) block = []
    else block.push(line)
  }
  return failures
}

/** What is said of all failed steps; nothing of none. The more failed, the less is said of each. */
export function report(steps: readonly FailedStep[]): string[] {
  const found = steps.map(step => ({ step, failures: failuresIn(step.output) }))
  const told = (errorLinesMax: number) =>
    found.flatMap(({ step, failures }) => stepLines(step, failures, errorLinesMax))
  let lines = told(ERROR_LINES_MAX)
  for (let max = ERROR_LINES_MAX - 1; max >= 0 && lines.length > LINES_MAX; max--) lines = told(max)
  const shown = lines.slice(0, lines.length > LINES_MAX ? LINES_MAX - 1 : LINES_MAX)
  const rest = lines.length - shown.length
  return [...shown.map(shortened), ...(rest > 0 ? [`… and ${rest} lines more`] : [])]
}

function stepLines(step: FailedStep, failures: readonly Failure[], errorLinesMax: number) {
  const lines = [`FAILED ${step.title} (${step.outcome})`]
  if (failures.length === 0) lines.push(...lastLines(step.output, errorLinesMax))
  for (const { file, name, lines: error } of failures) {
    lines.push(`  ${file}: ${name}`)
    for (const line of error.slice(0, errorLinesMax)) lines.push(`    ${line}`)
  }
  return lines
}

/**
 * What the errors of a test say, without the source around them. An error begins under the pointer
 * of an excerpt; where there is no excerpt, at a line that looks like one.
 */
function errorLines(block: readonly string[]): string[] {
  const hasPointer = block.some(line => POINTER.test(line))
  const lines: string[] = []
  let isError = false
  for (const [i, line] of block.entries()) {
    if (EXCERPT.test(line) || POINTER.test(line)) isError = false
    else if (hasPointer) isError ||= POINTER.test(block[i - 1] ?? '')
    else isError ||= ERROR.test(line)
    if (isError && line.trim() !== '' && !RULE.test(line)) lines.push(line)
    if (STACK.test(line)) isError = false
  }
  return lines
}

function lastLines(output: string, count: number): string[] {
  const said = Bun.stripANSI(output).split(/\r?\n/)
  const lines = said.filter(line => line.trim() !== '')
  return count === 0 ? [] : lines.slice(-count).map(line => `    ${line}`)
}

function shortened(line: string): string {
  return line.length <= LINE_CHARS_MAX ? line : `${line.slice(0, LINE_CHARS_MAX - 1)}…`
}
