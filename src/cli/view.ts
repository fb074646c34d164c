/**
 * `view add|list|show|set|remove`: the ways of reading that a token can carry, of a running server
 * or of a data dir that no server has open.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import type { View, ViewSettings } from '../registries/reading/views.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { table } from './table.ts'

/** What `add` and `set` have in common, as commander reads it; `true`: the flag without a value. */
export type ViewFlags = {
  registries?: string[] | true
  keys?: string[] | true
  mirrors?: string[]
  allRegistries?: true
  allKeys?: true
}

type Shape = { json: boolean }

export async function viewList(flags: Flags, shape: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ views }) => {
    const all = await views.list()
    io.out(shape.json ? `${JSON.stringify({ views: all })}\n` : listText(all))
    return EXIT.ok
  })
}

export async function viewShow(flags: Flags, name: string, shape: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ views }) =>
    answer(await views.show(name), shape, io),
  )
}

export async function viewAdd(
  flags: Flags,
  name: string,
  given: ViewFlags,
  shape: Shape,
  io: Io,
): Promise<number> {
  const settings = settingsOf(given)
  return await withOperations(flags, io, async ({ views }) =>
    answer(await views.add({ name, ...settings }), shape, io),
  )
}

export async function viewSet(
  flags: Flags,
  name: string,
  given: ViewFlags,
  shape: Shape,
  io: Io,
): Promise<number> {
  const settings = settingsOf(given)
  return await withOperations(flags, io, async ({ views }) =>
    answer(await views.set(name, settings), shape, io),
  )
}

export async function viewRemove(
  flags: Flags,
  name: string,
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withOperations(flags, io, async ({ views }) => {
    const view = await views.remove(name)
    const told = `${name} is removed; tokens that carry it read nothing from now on\n`
    io.out(shape.json ? `${JSON.stringify(view)}\n` : told)
    return EXIT.ok
  })
}

function settingsOf(given: ViewFlags): ViewSettings {
  const registries = wordsOf(given.registries, given.allRegistries, 'registries')
  const keys = wordsOf(given.keys, given.allKeys, 'keys')
  return {
    ...(registries !== undefined && { registries }),
    ...(keys !== undefined && { keys }),
    ...(given.mirrors !== undefined && { mirrors: mirrorsOf(given.mirrors) }),
  }
}

function wordsOf(
  words: string[] | true | undefined,
  all: true | undefined,
  flag: string,
): string[] | null | undefined {
  if (all === true && words !== undefined) {
    throw new ConfigError(`--${flag} and --all-${flag} contradict each other`)
  }
  if (all === true) return null
  return words === true ? [] : words
}

/** `npm=near,far`: the mirrors of a registry in their order; `npm=` sends clients to none. */
function mirrorsOf(given: readonly string[]): Record<string, string[]> {
  const entries = given.map((text): [string, string[]] => {
    const [, registry, list] = /^([^=]+)=(.*)$/.exec(text) ?? []
    if (registry === undefined || list === undefined) {
      throw new ConfigError('--mirrors: expected <registry>=<mirror>,<mirror>,…')
    }
    return [registry, list.split(',').filter(name => name !== '')]
  })
  return Object.fromEntries(entries)
}

function answer(view: View, shape: Shape, io: Io): number {
  io.out(shape.json ? `${JSON.stringify(view)}\n` : showText(view))
  return EXIT.ok
}

function listText(views: readonly View[]): string {
  if (views.length === 0) return 'no views\n'
  return table(
    ['name', 'registries', 'keys', 'mirrors of'],
    views.map(({ name, registries, keys, mirrors }) => [
      name,
      textOf(registries, 'all'),
      textOf(keys, 'all'),
      Object.keys(mirrors).join(' ') || '-',
    ]),
  )
}

function showText({ name, registries, keys, mirrors, created }: View): string {
  const order = Object.entries(mirrors).map(([registry, names]) => {
    return `${registry}: ${names.join(', ') || 'the registry itself'}`
  })
  const rows: [string, string][] = [
    ['name', name],
    ['registries', textOf(registries, 'all')],
    ['keys', textOf(keys, 'all that are trusted here')],
    ['mirrors', order.join('; ') || 'as for everybody'],
    ['created', created],
  ]
  return rows.map(([title, text]) => `${title.padEnd(10)}  ${text}\n`).join('')
}

function textOf(words: readonly string[] | null, all: string): string {
  return words === null ? all : words.join(' ') || 'none'
}
