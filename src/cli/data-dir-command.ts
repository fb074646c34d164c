/**
 * The commands that keep a data dir, or bring one back: `backup`, `restore`, `doctor`.
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
} from './command-parts.ts'
import type { Io } from './io.ts'

export function addDataDir(program: Command, io: Io, settle: Settle): void {
  addBackup(program, io, settle)
  addRestore(program, io, settle)
  addDoctor(program, io, settle)
}

function addBackup(program: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(program.command('backup'))
    .summary('copy a data dir, also while it is served')
    .description(
      'Copies the database, the log and the tarballs of a data dir as they are at one moment.\n' +
        'The copy is a tar file, or a folder where TARGET ends in a slash, or - for stdout.',
    )
    .argument('<target>', 'a file that is not there yet, a folder, or -')
    .option('--with-keys', 'put the private keys into it as well')
    .option('--json', 'print what was made as JSON')
    .action(async (target: string, given: ConfigFlags & Json & { withKeys?: true }) => {
      const { backup } = await import('./backup.ts')
      const shape = { withKeys: given.withKeys === true, json: given.json === true }
      settle(await backup(flagsOf(given), target, shape, io))
    })
  examples(command, [
    'backup registry.tar',
    'backup registry.tar --with-keys --data-dir ./data',
    'backup - | zstd > registry.tar.zst',
  ])
}

type RestoreGiven = ConfigFlags &
  Json & { keys?: string; seen: string[]; acceptRollback?: true; newLog?: true }

function addRestore(program: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(program.command('restore'))
    .summary('make a data dir from a backup')
    .description(
      'Fills an empty data dir from a backup, after it was found whole and its log sound.\n' +
        'A log that others saw further than the backup goes does not go on with its key.',
    )
    .argument('<backup>', 'a tar file, a folder, or - for stdin')
    .option('--keys <dir>', 'the folder with the key files, for a backup without them')
    .option(
      '--seen <url or file>',
      'the newest checkpoint of this log that is known outside: a registry, a checkpoint, or the ' +
        'state file of verify; repeatable',
      (seen: string, before: string[]) => [...before, seen],
      [],
    )
    .option('--accept-rollback', 'nobody has seen a later checkpoint than the backup holds')
    .option('--new-log', 'begin a new log with the same leaves, under a new name and key')
    .option('--json', 'print what was restored as JSON')
    .action(async (source: string, given: RestoreGiven) => {
      const { restore } = await import('./restore.ts')
      const shape = {
        keys: given.keys,
        seen: given.seen,
        acceptRollback: given.acceptRollback === true,
        newLog: given.newLog === true,
        json: given.json === true,
      }
      settle(await restore(flagsOf(given), source, shape, io))
    })
  examples(command, [
    'restore registry.tar --data-dir ./data --seen https://npm.example.org/',
    'restore registry.tar --data-dir ./data --keys ./keys --seen ~/.local/state/npmx-registry/logs.json',
    'restore registry.tar --data-dir ./data --new-log',
  ])
}

function addDoctor(program: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(program.command('doctor'))
    .option('--public-url <url>', 'the URL that clients use, when it is not configured')
    .summary('look for what is wrong around a registry')
    .description(
      'Looks at the data dir, its keys, room, lock and schema, the state of the log, the clock,\n' +
        'the public URL and every upstream. It repairs nothing. Exit code 1 when something failed.',
    )
    .option('--json', 'print the checks as JSON')
    .action(async (given: ConfigFlags & Json) => {
      const { doctor } = await import('./doctor.ts')
      settle(await doctor(flagsOf(given), { json: given.json === true }, io))
    })
  examples(command, ['doctor', 'doctor --data-dir ./data --json'])
}
