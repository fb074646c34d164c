/**
 * The rules of the house as functions: sources in, violations out, each a line that names the file
 * and what is wrong. `architecture.test.ts` runs each over the tree, which must be clean, and over
 * a source made to break it, which must be seen.
 *
 * They read text, not syntax trees: the formatter keeps imports and comments in one shape. They
 * take `import type` for an import, since a type from the wrong room is a wrong arrow as well.
 * @module
 */
import { dirname, join, normalize } from 'node:path/posix'

/** Path from the root, with `/`, and text. */
export type Sources = ReadonlyMap<string, string>

/** Rooms from left to right: a room may import itself and any room to its right. */
const ROOMS = ['web', 'routes', 'registries', 'db', 'log'] as const

type Room = (typeof ROOMS)[number]

/**
 * The folders of registries/, from left to right, as the rooms are; last what stands in none of
 * them: names, times, errors, JSON.
 */
const REGISTRIES_FOLDERS = [
  'metrics',
  'operator',
  'reading',
  'hosted',
  'publish',
  'sampler',
  'policy',
  'accounts',
  'lockfile',
  'sources',
  'packument',
  'keys',
  'fetch',
  '',
] as const

/** What stands above the rooms, as paths below src/; nothing in a room may import these. */
const ABOVE = /^(?:main|version|config(?:-[a-z]+)?|services(?:-[a-z]+)?)\.ts$|^cli\/[a-z-]+\.ts$/

/** The web pages run in browsers: of all rooms they may reach the log alone. */
const WEB_ROOMS: ReadonlySet<Room> = new Set(['web', 'log'])

/** Packages from outside that a room may import, besides `node:` and `bun` where it says so. */
const FOREIGN: Record<Room, readonly string[]> = {
  web: [],
  routes: [
    '@elysiajs/swagger',
    '@sinclair/typebox',
    'elysia',
    'lru-cache',
    'negotiator',
    'pino',
    'swagger-ui-dist',
  ],
  registries: [
    '@sinclair/typebox',
    '@yarnpkg/parsers',
    'canonicalize',
    'ini',
    'ipaddr.js',
    'jose',
    'jsonc-parser',
    'lru-cache',
    'npm-registry-fetch',
    'p-limit',
    'prom-client',
    'semver',
    'smol-toml',
    'ssri',
    'tar',
    'validate-npm-package-name',
    'yaml',
  ],
  db: ['drizzle-orm', 'lru-cache'],
  log: ['@noble/curves', '@noble/hashes'],
}

/** Parts of the runtime that a room may import. */
const RUNTIME: Record<Room, RegExp> = {
  web: /^$/,
  routes: /^node:(?:crypto|path|stream|util|zlib)$/,
  registries:
    /^(?:bun|node:(?:buffer|crypto|dns\/promises|dns|net|path|stream|util|worker_threads|zlib))$/,
  db: /^(?:bun:sqlite|node:(?:crypto|fs|fs\/promises|path|stream|stream\/promises|zlib))$/,
  log: /^$/,
}

/** Single files that may import more than their room. */
const SEAMS = new Map<string, RegExp>([
  // Where log/ meets native crypto; browsers get hash-noble.ts.
  ['src/log/hash-native.ts', /^(?:bun|node:crypto)$/],
  // The settings of a project, for `verify`.
  ['src/registries/lockfile/npmrc.ts', /^node:fs\/promises$/],
  // bun:sqlite has no online backup.
  ['src/db/backup-snapshot.ts', /^node:sqlite$/],
  // What joins a change belongs to one request, and to none that runs beside it.
  ['src/db/audit.ts', /^node:async_hooks$/],
])

/** Files of log/ that wait: for the caller's reader, through an interface. */
const WAITING = new Set(['src/log/client.ts', 'src/log/fsck.ts', 'src/log/tile-cache.ts'])

const LINES_MAX = 400

/** The only files that may open a connection to somebody else. */
const FETCHERS = new Set(['src/registries/fetch/fetcher.ts', 'src/cli/log-http.ts'])

const DRAWERS = /(?:^|[/-])(?:utils?|helpers?|commons?|misc|shared)(?:[/.-]|$)/i

export type Import = { specifier: string; target: string | null }

/** Every import, re-export and dynamic import; `target` is the file for a relative one. */
export function importsOf(path: string, text: string): Import[] {
  const found = withoutComments(text).matchAll(
    /\b(?:(?:from|import)\s+|import\s*\(\s*)['"]([^'"]+)['"]/g,
  )
  return [...found].map(([, specifier = '']) => ({
    specifier,
    target: targetOf(path, specifier),
  }))
}

function targetOf(path: string, specifier: string): string | null {
  if (specifier === '#hash') return 'src/log/hash-native.ts'
  return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : null
}

/** Comments as the formatter leaves them: at the start of a line, or after a space to its end. */
export function withoutComments(text: string): string {
  return text.replaceAll(/^[ \t]*\/\*[\s\S]*?\*\//gm, '').replaceAll(/(^|\s)\/\/ .*$/gm, '$1')
}

function roomOf(path: string): Room | null {
  return ROOMS.find(room => path.startsWith(`src/${room}/`)) ?? null
}

/** S1: imports point to the right, and packages from outside stay in the rooms they belong to. */
export function wrongImports(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const room = roomOf(path)
    if (room === null) return []
    return importsOf(path, text)
      .filter(found => !mayImport(path, room, found))
      .map(({ specifier }) => `${path}: ${room}/ may not import ${specifier}`)
  })
}

function mayImport(path: string, room: Room, { specifier, target }: Import): boolean {
  if (target !== null) return mayReach(room, target)
  if (SEAMS.get(path)?.test(specifier) === true) return true
  if (RUNTIME[room].test(specifier)) return true
  return FOREIGN[room].some(name => specifier === name || specifier.startsWith(`${name}/`))
}

function mayReach(room: Room, target: string): boolean {
  // Migrations are text that the database room embeds.
  if (room === 'db' && target.startsWith('drizzle/')) return true
  const reached = roomOf(target)
  if (reached === null) return false
  if (room === 'web') return WEB_ROOMS.has(reached)
  return ROOMS.indexOf(reached) >= ROOMS.indexOf(room)
}

/** The house has these rooms and nothing beside them. */
export function strangers(sources: Sources): string[] {
  return [...sources.keys()]
    .filter(path => path.startsWith('src/') && roomOf(path) === null)
    .filter(path => !ABOVE.test(path.slice('src/'.length)))
    .map(path => `${path}: stands in no room`)
}

/** What a path below registries/ stands in: a folder, or `''` for what all of them build on. */
function folderOf(path: string): string | null {
  const [, folder] = /^src\/registries\/(?:([a-z-]+)\/)?[^/]+$/.exec(path) ?? [null, undefined]
  return path.startsWith('src/registries/') ? (folder ?? '') : null
}

/** The folders of registries/ are one way too, and each is in the list. */
export function wrongFolders(sources: Sources): string[] {
  const order: readonly string[] = REGISTRIES_FOLDERS
  return [...sources].flatMap(([path, text]) => {
    const from = folderOf(path)
    if (from === null) return []
    if (!order.includes(from)) return [`${path}: ${from}/ is no folder of registries/`]
    return importsOf(path, text).flatMap(({ target }) => {
      const to = target === null ? null : folderOf(target)
      if (to === null || order.indexOf(to) >= order.indexOf(from)) return []
      return [`${path}: registries/${from}/ may not import ${target}`]
    })
  })
}

/** Circles, each once, by a walk that remembers the way it came. */
export function circles(sources: Sources): string[] {
  const done = new Set<string>()
  const found: string[] = []
  const walk = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path)
    if (at !== -1) found.push([...way.slice(at), path].join(' -> '))
    if (at !== -1 || done.has(path)) return
    const text = sources.get(path)
    if (text === undefined) return
    for (const { target } of importsOf(path, text)) {
      if (target !== null) walk(target, [...way, path])
    }
    done.add(path)
  }
  for (const path of sources.keys()) walk(path, [])
  return found
}

export function tooLong(sources: Sources): string[] {
  return [...sources]
    .map(([path, text]) => ({ path, count: text.trimEnd().split('\n').length }))
    .filter(({ count }) => count > LINES_MAX)
    .map(({ path, count }) => `${path}: ${count} lines, ${LINES_MAX} are allowed`)
}

/** Files that hold whatever had no place, and files that only pass on what others export. */
export function drawers(sources: Sources): string[] {
  const named = [...sources.keys()].filter(path => DRAWERS.test(path))
  const barrels = [...sources].filter(([, text]) =>
    /^export\s+(?:type\s+)?(?:\*|\{[^}]*\})[^;\n]*\sfrom\s/m.test(withoutComments(text)),
  )
  return [
    ...named.map(path => `${path}: a drawer without an owner`),
    ...barrels.map(([path]) => `${path}: passes on the exports of another file`),
  ]
}

/** Each file says at its top what it is; what a test is, its name and its tests say. */
export function unintroduced(sources: Sources): string[] {
  return [...sources]
    .filter(([path]) => !path.endsWith('.test.ts'))
    .filter(([, text]) => !/^(?:#![^\n]*\n)?\/\*\*[\s\S]*?@module[\s\S]*?\*\//.test(text))
    .map(([path]) => `${path}: does not begin with a comment that ends in @module`)
}

/** Ways around the compiler and the linter, spelt so that this file does not hold them. */
const WAYS_AROUND = /@ts-(?:ignore|expect-error|nocheck)|(?:ox|es)lint-disabl[e]|\bas an[y]\b/

export function waysAround(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const found = WAYS_AROUND.exec(text)
    return found === null ? [] : [`${path}: ${found[0]}`]
  })
}

/** `expect(x)` alone checks nothing, and a test that is left out or runs alone hides the others. */
export function emptyTests(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) => {
    const code = withoutComments(text)
    const bare = [...code.matchAll(/\bexpect\(/g)].filter(({ index }) => !hasMatcher(code, index))
    const left = [...code.matchAll(/\b(?:test|it|describe)\.(?:skip|only|todo)\(/g)]
    return bare
      .concat(left)
      .map(({ 0: word, index }) => `${path}:${lineAt(code, index)}: ${word}) checks nothing`)
  })
}

/** Whether a dot follows the parenthesis that closes the one after `expect`. */
function hasMatcher(code: string, start: number): boolean {
  let depth = 0
  for (let at = start + 'expect'.length; at < code.length; at++) {
    const char = code[at] ?? ''
    if (char === '\\') at += 1
    else if (`'"\``.includes(char)) at = closingQuote(code, at)
    else if ('(['.includes(char) || char === '{') depth += 1
    else if (')]'.includes(char) || char === '}') depth -= 1
    if (depth === 0) return /^\s*\./.test(code.slice(at + 1))
  }
  return false
}

/** Where a string ends; an apostrophe in a regular expression begins none, and stays where it is. */
function closingQuote(code: string, start: number): number {
  for (let at = start + 1; at < code.length; at++) {
    if (code[at] === '\\') at += 1
    else if (code[at] === code[start]) return at
    else if (code[at] === '\n' && code[start] !== '`') return start
  }
  return start
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}

/** One reader of the environment, so that `config dump` tells the whole truth. */
export function environmentReaders(sources: Sources): string[] {
  return lines(sources, /\b(?:process|Bun|import\.meta)\.env\b/, path => path === 'src/config.ts')
}

/** A call of the global `fetch`, not a method of that name. */
const FETCH = /(?:globalThis\.fetch\b|(?:\bawait|\breturn|\bvoid|=>|[=(:?!,])\s*fetch\s*\()/

/** Outbound requests go through the files that hold the limits. */
export function strayFetches(sources: Sources): string[] {
  return lines(sources, FETCH, path => FETCHERS.has(path))
}

const IMPURE =
  /\b(?:Bun|process|performance)\.|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval)\b|\bconsole\./

/** The log knows no clock, no environment, no chance; only its client waits for anything. */
export function impureLog(sources: Sources): string[] {
  const log = new Map([...sources].filter(([path]) => path.startsWith('src/log/')))
  return [
    ...lines(log, IMPURE, path => SEAMS.has(path)),
    ...lines(log, /\bawait\b/, path => WAITING.has(path)),
  ]
}

function lines(sources: Sources, what: RegExp, allowed: (path: string) => boolean): string[] {
  return [...sources]
    .filter(([path]) => path.startsWith('src/') && !allowed(path))
    .flatMap(([path, text]) =>
      withoutComments(text)
        .split('\n')
        .filter(line => what.test(line))
        .map(line => `${path}: ${line.trim()}`),
    )
}

/** Words that must stand in no file: host names and paths that are known only at run time. */
export function holding(sources: Sources, words: readonly string[]): string[] {
  return [...sources].flatMap(([path, text]) =>
    words.filter(word => text.includes(word)).map(word => `${path}: holds ${word}`),
  )
}

/** A migration that the journal does not name is never applied, and one without a file breaks. */
export function journalGaps(tags: readonly string[], files: readonly string[]): string[] {
  const sql = files.filter(file => file.endsWith('.sql')).map(file => file.slice(0, -'.sql'.length))
  return [
    ...tags.filter(tag => !sql.includes(tag)).map(tag => `${tag}: in the journal, without a file`),
    ...sql.filter(tag => !tags.includes(tag)).map(tag => `${tag}.sql: not in the journal`),
  ]
}
