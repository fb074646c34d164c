/**
 * The tests, in the order in which a fault is found cheapest: `bun scripts/check.ts [--fast]`.
 * `bun run check` runs types, lint and dead code before it. Every step runs also after one failed,
 * so that one run tells all; the exit code is 1 when any did. `--fast` stops after the unit tests.
 *
 * A test that needs a tool this machine lacks says "skipped" itself; which tools are missing is
 * said first and again at the end, so that a green run cannot be mistaken for a whole one.
 * @module
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dir, '..')

/** Tests of the program as a whole run this file, and fail when it is not there. */
const BINARY = join(ROOT, 'dist/npmx-registry')

type Step = { title: string; command: string[]; folder?: string; env?: Record<string, string> }

type Outcome = { title: string; result: 'passed' | 'FAILED' | 'none yet'; ms: number }

const BUN = process.execPath

/** Tests that start processes or real clients take their time; a hang still ends. */
const TEST_MS_MAX = 600_000

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
    return { title: step.title, result: 'none yet', ms: 0 }
  }
  const child = Bun.spawn(step.command, {
    cwd: ROOT,
    env: step.env ?? process.env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const exitCode = await child.exited
  const ms = performance.now() - started
  return { title: step.title, result: exitCode === 0 ? 'passed' : 'FAILED', ms }
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
console.log(summary(outcomes, missing))
process.exitCode = outcomes.some(({ result }) => result === 'FAILED') ? 1 : 0
