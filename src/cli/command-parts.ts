/**
 * What the definitions of commands have in common: the flags that name a data dir, the examples
 * that stand first in a help text, and how a command ends.
 * @module
 */
import type { Command } from 'commander'
import type { Flags } from '../config.ts'

/** Ends with the exit code of a command. */
export type Settle = (code: number) => void

/** What commander makes of the flags that configure the process. */
export type ConfigFlags = {
  config?: string
  listen?: string
  dataDir?: string
  publicUrl?: string
  upstream?: string
  logLevel?: string
}

/** `--json`. */
export type Json = { json?: true }

/** How a command answers. */
export function shapeOf(given: Json): { json: boolean } {
  return { json: given.json === true }
}

/** Examples stand first in a help text: most readers need nothing after them. */
export function examples(command: Command, lines: readonly string[]): void {
  const shown = lines.map(line => `  $ npmx-registry ${line}`).join('\n')
  command.addHelpText('before', `Examples:\n${shown}\n`)
}

/** The flags of every command that works on a data dir. */
export function addConfigFlags(command: Command): Command {
  return command
    .option('--data-dir <dir>', 'folder of the database, the log and the keys')
    .option('--config <file>', 'configuration file, in place of the usual places')
}

/** The flags of a command as the settings take them. */
export function flagsOf(given: ConfigFlags): Flags {
  return {
    'config': given.config,
    'listen': given.listen,
    'data-dir': given.dataDir,
    'public-url': given.publicUrl,
    'upstream': given.upstream,
    'log-level': given.logLevel,
  }
}
