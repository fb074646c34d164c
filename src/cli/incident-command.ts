/**
 * The definitions of the `incident` commands: their flags, help and examples.
 * @module
 */
import type { Command } from 'commander'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
  shapeOf,
} from './command-parts.ts'
import type { Io } from './io.ts'

/** Adds `incident` and everything below it. */
export function addIncident(program: Command, io: Io, settle: Settle): void {
  const incident = program
    .command('incident')
    .description('what was found to be wrong, with its evidence')
  addList(incident, io, settle)
  addShow(incident, io, settle)
  addResolve(incident, io, settle)
}

function addList(incident: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(incident.command('list'))
    .summary('list the incidents')
    .description('Lists those that nobody settled, the newest first.')
    .option('--package <name>', 'of one package only')
    .option('--all', 'those too that are settled')
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json & { package?: string; all?: true }) => {
      const { incidentList } = await import('./incident.ts')
      const wanted = { package: given.package, all: given.all === true }
      settle(await incidentList(flagsOf(given), wanted, shapeOf(given), io))
    })
  examples(command, ['incident list', 'incident list --package lodash --all --json'])
}

function addShow(incident: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(incident.command('show'))
    .summary('show one incident')
    .description('Shows it with its evidence.')
    .argument('<id>')
    .option('--json', 'print as JSON')
    .action(async (id: string, given: ConfigFlags & Json) => {
      const { incidentShow } = await import('./incident.ts')
      settle(await incidentShow(flagsOf(given), id, shapeOf(given), io))
    })
  examples(command, ['incident show 0123456789abcdef0123456789abcdef'])
}

function addResolve(incident: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(incident.command('resolve'))
    .summary('settle an incident')
    .description(
      'Of a conflict between sources: the log is right, and the version is served as it was\n' +
        'logged. Of a bad mirror: it may stand in for the package again. The record and the evidence\n' +
        'stay; who said so and why is in the audit trail.',
    )
    .argument('<id>')
    .option('--reason <text>', 'why, on one line')
    .option('--json', 'print as JSON')
    .action(async (id: string, given: ConfigFlags & Json & { reason?: string }) => {
      const { incidentResolve } = await import('./incident.ts')
      settle(await incidentResolve(flagsOf(given), id, given.reason, shapeOf(given), io))
    })
  examples(command, [
    "incident resolve 0123456789abcdef0123456789abcdef --reason 'the mirror was restored'",
  ])
}
