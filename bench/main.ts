/**
 * What the performance table of the README is made with: `bun run bench`.
 *
 * Builds the binary and measures it beside others on the same machine in the same minutes, because
 * absolute figures of one machine mean little on another. It judges nothing: exit code 0 whatever
 * the figures are, 2 for a mistake in the command line.
 * @module
 */
import { closeSync, copyFileSync, fsyncSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { chooseGenerator } from './generator.ts'
import { goalsOf } from './goals.ts'
import { measureHot } from './hot.ts'
import { measureInstalls } from './install.ts'
import { machineLine } from './machine.ts'
import { cleanUpWhenStopped, temporaryFolder } from './processes.ts'
import { measurePublish } from './publish.ts'
import { formatReport, type Report, writeReadme } from './report.ts'
import { measureStart } from './start.ts'
import { configuredRegistry, freshnessNote, startUpstream } from './upstream.ts'
import { preparePeer } from './verdaccio.ts'

const USAGE = `bun run bench
bun run bench --quick --only hot

  --quick          3 rounds in place of 5 (start: 5 in place of 9)
  --only PART      hot, start, publish or install
  --binary PATH    measures this program and builds none
  --json           everything as JSON on stdout
  --write-readme   puts the tables between the bench marks of README.md
`

const PARTS = new Set(['hot', 'start', 'publish', 'install'])
const ROOT = join(import.meta.dir, '..')

type Options = {
  quick: boolean
  only: string | undefined
  binary: string | undefined
  json: boolean
  writeReadme: boolean
}

function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      'quick': { type: 'boolean', default: false },
      'only': { type: 'string' },
      'binary': { type: 'string' },
      'json': { type: 'boolean', default: false },
      'write-readme': { type: 'boolean', default: false },
      'help': { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    process.exit(0)
  }
  const { quick, only, binary, json } = values
  if (only !== undefined && !PARTS.has(only)) throw new Error(`--only ${only}: no such part`)
  return { quick, only, binary, json, writeReadme: values['write-readme'] }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** A copy of the program: a build by somebody else must not change what is measured halfway. */
function programIn(folder: string, given: string | undefined): string {
  if (given === undefined) {
    const { exitCode } = Bun.spawnSync([process.execPath, 'scripts/build.ts'], {
      cwd: ROOT,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (exitCode !== 0) throw new Error('the binary could not be built')
  }
  const program = join(folder, 'npmx-registry')
  copyFileSync(given ?? join(ROOT, 'dist/npmx-registry'), program)
  // Pages of a file not yet on disk would count as memory that the process wrote.
  const file = openSync(program, 'r')
  fsyncSync(file)
  closeSync(file)
  return program
}

async function measure({ quick, only, binary: given }: Options): Promise<Report> {
  using folder = temporaryFolder('program')
  const wanted = (part: string): boolean => only === undefined || only === part
  const binary = programIn(folder.path, given)
  const registry = configuredRegistry()
  using upstream = await startUpstream(registry)
  const generator = chooseGenerator()
  const peer = wanted('hot') || wanted('publish') ? preparePeer() : { missing: '' }
  const rounds = quick ? 3 : 5
  const report: Report = {
    machine: machineLine(generator.name),
    rounds,
    startRounds: quick ? 5 : 9,
    date: new Date().toISOString().slice(0, 10),
    notes: 'missing' in peer && peer.missing !== '' ? [peer.missing] : [],
    hot: null,
    start: null,
    publish: null,
    installs: null,
  }
  /** A part that cannot be measured costs no other part its figures. */
  const part = async <Result>(name: string, run: () => Promise<Result>): Promise<Result | null> => {
    if (!wanted(name)) return null
    try {
      return await run()
    } catch (error) {
      report.notes.push(`${name} was not measured: ${String(error)}`)
      return null
    }
  }
  const starts = report.startRounds
  report.start = await part('start', () => measureStart({ binary, upstream, rounds: starts, say }))
  report.hot = await part('hot', () =>
    measureHot({ binary, upstream, peer, generator, rounds, say }),
  )
  report.publish = await part('publish', () =>
    measurePublish({ binary, upstream, peer, rounds, say }),
  )
  report.installs = await part('install', () => measureInstalls({ binary, registry, rounds, say }))
  const note = report.installs === null ? null : await freshnessNote(registry)
  if (note !== null) report.notes.push(note)
  return report
}

async function main(): Promise<void> {
  let options: Options
  try {
    options = parseOptions(process.argv.slice(2))
  } catch (error) {
    say(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    process.exitCode = 2
    return
  }
  cleanUpWhenStopped()
  const report = await measure(options)
  const text = formatReport(report)
  const answer = options.json
    ? JSON.stringify({ ...report, goals: goalsOf(report) }, null, 2)
    : text
  process.stdout.write(`${answer}\n`)
  if (options.writeReadme && !(await writeReadme(text))) say('README.md has no bench marks')
}

await main()
