/**
 * The definitions of the `view` commands: their flags, help and examples. What they do is in
 * view.ts, which is imported when one of them is asked for.
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
import type { ViewFlags } from './view.ts'

type Given = ConfigFlags & Json

/** Adds `view` and everything below it. */
export function addView(program: Command, io: Io, settle: Settle): void {
  const view = program.command('view').description('ways of reading that a token can carry')
  addAdd(view, io, settle)
  addSet(view, io, settle)
  addList(view, io, settle)
  addShow(view, io, settle)
  addRemove(view, io, settle)
}

function addSettingFlags(command: Command): Command {
  return addConfigFlags(command)
    .option('--registries [name...]', 'registries whose names can be had')
    .option('--all-registries', 'all of them')
    .option('--keys [keyid...]', 'keys that vouch for a version')
    .option('--all-keys', 'all that are trusted here')
    .option('--mirrors <registry=mirror,...>', 'its mirrors in their order; repeatable', collect)
    .option('--json', 'print the view as JSON')
}

function collect(text: string, before: string[] = []): string[] {
  return [...before, text]
}

function addAdd(view: Command, io: Io, settle: Settle): void {
  const command = addSettingFlags(view.command('add'))
    .summary('add a view')
    .description('What is not named is as for everybody. A view takes away and adds nothing.')
    .argument('<name>')
    .action(async (name: string, given: Given & ViewFlags) => {
      const { viewAdd } = await import('./view.ts')
      settle(await viewAdd(flagsOf(given), name, given, shapeOf(given), io))
    })
  examples(command, [
    'view add build --registries npm acme',
    'view add office --mirrors npm=near,far',
  ])
}

function addSet(view: Command, io: Io, settle: Settle): void {
  const command = addSettingFlags(view.command('set'))
    .summary('change a view')
    .description('Changes what is named and leaves the rest.')
    .argument('<name>')
    .action(async (name: string, given: Given & ViewFlags) => {
      const { viewSet } = await import('./view.ts')
      settle(await viewSet(flagsOf(given), name, given, shapeOf(given), io))
    })
  examples(command, ['view set build --all-keys', 'view set office --mirrors npm='])
}

function addList(view: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(view.command('list'))
    .summary('list the views')
    .description('Lists the views and the registries that each trusts.')
    .option('--json', 'print as JSON')
    .action(async (given: Given) => {
      const { viewList } = await import('./view.ts')
      settle(await viewList(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['view list', 'view list --json'])
}

function addShow(view: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(view.command('show'))
    .summary('show one view')
    .description('Shows what it trusts and where it sends clients.')
    .argument('<name>')
    .option('--json', 'print as JSON')
    .action(async (name: string, given: Given) => {
      const { viewShow } = await import('./view.ts')
      settle(await viewShow(flagsOf(given), name, shapeOf(given), io))
    })
  examples(command, ['view show build'])
}

function addRemove(view: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(view.command('remove'))
    .summary('remove a view')
    .description('Removes it. Tokens that carry it read nothing from then on.')
    .argument('<name>')
    .option('--json', 'print what was removed as JSON')
    .action(async (name: string, given: Given) => {
      const { viewRemove } = await import('./view.ts')
      settle(await viewRemove(flagsOf(given), name, shapeOf(given), io))
    })
  examples(command, ['view remove build'])
}
