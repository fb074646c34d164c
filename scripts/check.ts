/**
 * The tests, in the order in which a fault is found cheapest: `bun scripts/check.ts [--fast]`.
 * `bun run check` runs types, lint and dead code before it. Every step runs also after one failed,
 * so that one run tells all; the exit code is 1 when any did. `--fast` stops after the unit tests.
 *
 * A test that needs a tool this machine lacks says "skipped" itself; which tools are missing is
 * said first and again at the end, so that a green run cannot be mistaken for a whole one. The last
 * lines name what failed, since of a run elsewhere often only the end is kept.
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { report } from './failures.ts'

const ROOT = join(import.meta.dir, '..')

/** Tests of the program as a whole run this file, and fail when it is not there. */
const BINARY = join(ROOT, 'dist/npmx-registry')

type Step = { title: string; command: string[]; folder?: string; env?: Record<string, string> }

/** `ending` and `output` (of stderr, where bun tells of tests) are for what is said of a failure. */
type Outcome = {
  title: string
  result: 'passed' | 'FAILED' | 'none yet'
  ms: number
  ending: string
  output: string
}

const BUN = process.execPath

/** Tests that start processes or real clients take their time; a hang still ends. */
const TEST_MS_MAX = 600_000
/** For what a step wrote before it ended; what it left behind may hold the pipe for ever. */
const DRAIN_MS_MAX = 2000

function tests(title: string, folder: string): Step {
  const timeout = `--timeout=${TEST_MS_MAX}`
  const env = { ...Bun.env, NPMX_REGISTRY_BINARY: BINARY }
  return { title, folder, command: [BUN, 'test', timeout, `./${folder}`], env }
}

const FAST: Step[] = [
  { title: 'architecture', command: [BUN, 'test', './test/architecture.test.ts'] },
  {
    title: 'unit',
    // Bun's own limit of 5 s is for a machine that does nothing else.
    command: [BUN, 'test', '--timeout=30000', './test/unit'],
    folder: 'test/unit',
  },
]

const SLOW: Step[] = [
  { title: 'binary, built twice', command: [BUN, 'scripts/build.ts', '--verify'] },
  tests('slow: many mutations, many sizes', 'test/slow'),
  tests('fault: kills, failing system calls', 'test/fault'),
  tests('container: the image and the unit, built and run', 'test/container'),
  tests('interop: other implementations judge the log', 'test/interop'),
  tests('e2e: real clients against the binary', 'test/e2e'),
]

/** Programs that some tests need and this machine may lack. */
const TOOLS = ['go', 'strace', 'npm', 'buildah', 'systemd-analyze']

function hasTests(folder: string): boolean {
  const found = new Bun.Glob('**/*.test.ts').scanSync({ cwd: join(ROOT, folder) })
  return existsSync(join(ROOT, folder)) && [...found].some(path => !path.includes('node_modules'))
}

async function runStep(step: Step): Promise<Outcome> {
  const started = performance.now()
  console.log(`\n━━━ ${step.title} ━━━`)
  if (step.folder !== undefined && !hasTests(step.folder)) {
    console.log(`${step.folder} holds no tests yet`)
    return { title: step.title, result: 'none yet', ms: 0, ending: '', output: '' }
  }
  const child = Bun.spawn(step.command, {
    cwd: ROOT,
    env: step.env ?? process.env,
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const stderr = passOn(child.stderr)
  const exitCode = await child.exited
  const output = await stderr.end()
  const ms = performance.now() - started
  const ending = `${child.signalCode ?? `exit code ${exitCode}`}`
  return { title: step.title, result: exitCode === 0 ? 'passed' : 'FAILED', ms, ending, output }
}

/** Shows what comes as it comes, and keeps it. */
function passOn(stream: ReadableStream<Uint8Array>): { end: () => Promise<string> } {
  const reader = stream.getReader()
  const decoder = new TextDecoder()
  let text = ''
  const read = async () => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      process.stderr.write(value)
      text += decoder.decode(value, { stream: true })
    }
  }
  const whole = read()
  return {
    end: async () => {
      await Promise.race([whole, Bun.sleep(DRAIN_MS_MAX)])
      await reader.cancel()
      return text
    },
  }
}

function summary(outcomes: readonly Outcome[], missing: readonly string[]): string {
  const rows = outcomes.map(
    ({ title, result, ms }) =>
      `${result.padEnd(8)} ${(ms / 1000).toFixed(1).padStart(7)} s  ${title}`,
  )
  return ['\n━━━ summary ━━━', ...rows, ...missingLine(missing)].join('\n')
}

function missingLine(missing: readonly string[]): string[] {
  if (missing.length === 0) return []
  return [`not on this machine: ${missing.join(', ')}; the tests that need them were skipped`]
}

const missing = TOOLS.filter(tool => Bun.which(tool) === null)
for (const line of missingLine(missing)) console.log(line)
const outcomes: Outcome[] = []
for (const step of process.argv.includes('--fast') ? FAST : [...FAST, ...SLOW]) {
  outcomes.push(await runStep(step))
}
const failed = outcomes.filter(({ result }) => result === 'FAILED')
console.log(summary(outcomes, missing))
const told = report(failed.map(({ title, ending, output }) => ({ title, outcome: ending, output })))
if (told.length > 0) console.log(['\n━━━ what failed ━━━', ...told].join('\n'))
process.exitCode = failed.length > 0 ? 1 : 0
