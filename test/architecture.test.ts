/**
 * The house stays as DESIGN says: each rule of `architecture-rules.ts` finds nothing in the tree,
 * and finds what it is there for in a source made to break it.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as rules from './architecture-rules.ts'

const ROOT = join(import.meta.dir, '..')

/** Everything that is or could be committed; without git, everything that is not made or fetched. */
function filesOfTree(): string[] {
  const git = Bun.spawnSync(['git', 'ls-files', '-co', '--exclude-standard', '-z'], { cwd: ROOT })
  const names =
    git.exitCode === 0
      ? git.stdout.toString().split('\0')
      : [...new Bun.Glob('**/*').scanSync({ cwd: ROOT, dot: true })]
  return names.filter(
    name => name !== '' && !/(?:^|\/)(?:node_modules|dist|\.git)\//.test(name) && isFile(name),
  )
}

function isFile(name: string): boolean {
  const path = join(ROOT, name)
  return existsSync(path) && statSync(path).isFile()
}

const FILES: rules.Sources = new Map(
  filesOfTree().map(name => [name, readFileSync(join(ROOT, name), 'utf8')]),
)

function filesIn(pattern: RegExp): rules.Sources {
  return new Map([...FILES].filter(([path]) => pattern.test(path)))
}

const SRC = filesIn(/^src\/.*\.tsx?$/)
const TESTS = filesIn(/^test\/.*\.ts$/)
const CODE = filesIn(/^(?:src|test|bench|scripts|drizzle)\/.*(?<!\.d)\.tsx?$/)

/** A tree of one file. */
function planted(path: string, text: string): rules.Sources {
  return new Map([[path, text]])
}

describe('rooms', () => {
  test('the tree has files in it', () => {
    expect(SRC.size).toBeGreaterThan(20)
    expect(TESTS.size).toBeGreaterThan(10)
  })

  test('imports point right: routes -> registries -> db -> log', () => {
    expect(rules.wrongImports(SRC)).toEqual([])
  })

  test.each([
    ['src/log/leaf.ts', "import { open } from '../db/open.ts'"],
    ['src/log/leaf.ts', "import type { Row } from '../db/open.ts'"],
    ['src/log/leaf.ts', "import { readFileSync } from 'node:fs'"],
    ['src/log/leaf.ts', "const open = await import('../db/open.ts')"],
    ['src/db/open.ts', "import {\n  proxy,\n  other,\n} from '../registries/proxy.ts'"],
    ['src/db/open.ts', "import { Elysia } from 'elysia'"],
    ['src/registries/reading/proxy.ts', "import { app } from '../../routes/app.ts'"],
    ['src/registries/reading/proxy.ts', "import { loadConfig } from '../../config.ts'"],
    ['src/registries/reading/proxy.ts', "import { Database } from 'bun:sqlite'"],
    ['src/routes/app.ts', "import '../main.ts'"],
    ['src/routes/app.ts', "import { request } from 'node:http'"],
    ['src/routes/app.ts', "import { eq } from 'drizzle-orm'"],
    ['src/web/page.ts', "import { proxy } from '../registries/proxy.ts'"],
  ])('an arrow that points left is seen: %s %s', (path, text) => {
    expect(rules.wrongImports(planted(path, text))).toHaveLength(1)
  })

  test.each([
    ['src/routes/app.ts', "import { leaf } from '../log/leaf.ts'"],
    ['src/log/tree.ts', "import { sha256 } from '#hash'"],
    ['src/log/tree.ts', "/** import { x } from 'node:fs' */\n// import { x } from 'node:fs'"],
    ['src/db/open.ts', "import first from '../../drizzle/cache/0000_init.sql'"],
    ['src/cli/serve.ts', "import { app } from '../routes/app.ts'"],
  ])('an arrow that points right is none: %s %s', (path, text) => {
    expect(rules.wrongImports(planted(path, text))).toEqual([])
  })

  test('nothing stands beside the rooms', () => {
    expect(rules.strangers(SRC)).toEqual([])
    expect(rules.strangers(planted('src/misc/a.ts', ''))).toHaveLength(1)
    expect(rules.strangers(planted('src/a.ts', ''))).toHaveLength(1)
  })

  test('the folders of registries/ are one way', () => {
    expect(rules.wrongFolders(SRC)).toEqual([])
    const up = "import { proxy } from '../reading/proxy.ts'"
    expect(rules.wrongFolders(planted('src/registries/keys/keys.ts', up))).toHaveLength(1)
    expect(
      rules.wrongFolders(planted('src/registries/name.ts', up.replace('..', '.'))),
    ).toHaveLength(1)
    expect(rules.wrongFolders(planted('src/registries/stray/a.ts', ''))).toHaveLength(1)
    const down = "import { keyidOf } from '../keys/keys.ts'"
    expect(rules.wrongFolders(planted('src/registries/reading/proxy.ts', down))).toEqual([])
  })

  test('no circles among files', () => {
    expect(rules.circles(CODE)).toEqual([])
    const circle = new Map([
      ['src/log/a.ts', "import { b } from './b.ts'"],
      ['src/log/b.ts', "import { c } from './c.ts'"],
      ['src/log/c.ts', "import type { A } from './a.ts'"],
    ])
    expect(rules.circles(circle)).toEqual([
      'src/log/a.ts -> src/log/b.ts -> src/log/c.ts -> src/log/a.ts',
    ])
  })
})

describe('files', () => {
  test('none is longer than 400 lines', () => {
    expect(rules.tooLong(CODE)).toEqual([])
    expect(rules.tooLong(planted('src/log/a.ts', 'x\n'.repeat(401)))).toHaveLength(1)
    expect(rules.tooLong(planted('src/log/a.ts', 'x\n'.repeat(400)))).toEqual([])
  })

  test('no drawers, no barrels', () => {
    expect(rules.drawers(CODE)).toEqual([])
    expect(rules.drawers(planted('src/log/tree-utils.ts', ''))).toHaveLength(1)
    expect(rules.drawers(planted('src/helpers/tree.ts', ''))).toHaveLength(1)
    expect(rules.drawers(planted('src/log/all.ts', "export * from './tree.ts'"))).toHaveLength(1)
    expect(rules.drawers(planted('src/log/all.ts', "export { a } from './tree.ts'"))).toHaveLength(
      1,
    )
  })

  test('each begins by saying what it is', () => {
    expect(rules.unintroduced(CODE)).toEqual([])
    expect(rules.unintroduced(planted('src/log/a.ts', "import 'x'"))).toHaveLength(1)
  })

  test('no way around the compiler or the linter', () => {
    expect(rules.waysAround(CODE)).toEqual([])
    for (const words of [
      ['// @ts-', 'ignore'],
      ['// oxlint-', 'disable'],
      ['x as ', 'any'],
    ]) {
      expect(rules.waysAround(planted('src/log/a.ts', words.join('')))).toHaveLength(1)
    }
  })

  test('migrations: the journal names the files of its folder', () => {
    for (const folder of ['registry', 'cache']) {
      const path = join(ROOT, 'drizzle', folder)
      const journal: unknown = JSON.parse(readFileSync(join(path, 'meta/_journal.json'), 'utf8'))
      expect(rules.journalGaps(tagsOf(journal), readdirSync(path))).toEqual([])
    }
    expect(rules.journalGaps(['0000_init'], ['0001_more.sql', 'meta'])).toHaveLength(2)
  })
})

function tagsOf(journal: unknown): string[] {
  if (typeof journal !== 'object' || journal === null || !('entries' in journal)) return []
  const entries: unknown[] = Array.isArray(journal.entries) ? journal.entries : []
  return entries.map(entry =>
    typeof entry === 'object' && entry !== null && 'tag' in entry ? String(entry.tag) : '',
  )
}

describe('habits', () => {
  test('no bare expect, no test left out', () => {
    expect(rules.emptyTests(TESTS)).toEqual([])
    const bare = ['  ', 'expect', "(f(')', [1, 2]))\n"].join('')
    const alone = ['test.', "only('x', () => {})"].join('')
    expect(rules.emptyTests(planted('test/a.test.ts', bare))).toHaveLength(1)
    expect(rules.emptyTests(planted('test/a.test.ts', alone))).toHaveLength(1)
  })

  test('only config.ts reads the environment', () => {
    expect(rules.environmentReaders(SRC)).toEqual([])
    const reader = 'const home = process.env.HOME'
    expect(rules.environmentReaders(planted('src/db/open.ts', reader))).toHaveLength(1)
  })

  test.each([
    'const answer = await fetch(url)',
    'return fetch(url)',
    'const ask = (): Promise<Response> => fetch(url)',
    'const ask = globalThis.fetch',
  ])('only the fetchers fetch; seen: %s', text => {
    expect(rules.strayFetches(SRC)).toEqual([])
    expect(rules.strayFetches(planted('src/registries/sources/upstream.ts', text))).toHaveLength(1)
    expect(rules.strayFetches(planted('src/registries/fetch/fetcher.ts', text))).toEqual([])
  })

  test('the log is pure', () => {
    expect(rules.impureLog(SRC)).toEqual([])
    expect(rules.impureLog(planted('src/log/a.ts', 'const now = Date.now()'))).toHaveLength(1)
    expect(rules.impureLog(planted('src/log/a.ts', 'await read()'))).toHaveLength(1)
    expect(rules.impureLog(planted('src/log/client.ts', 'await read()'))).toEqual([])
  })
})

describe('what only a machine knows', () => {
  const require = createRequire(import.meta.url)
  const defaults: unknown = require('npm-registry-fetch/lib/default-opts.js')
  const url =
    typeof defaults === 'object' && defaults !== null && 'registry' in defaults
      ? String(defaults.registry)
      : ''

  test('no file names the host of the public registry', () => {
    const host = new URL(url).host
    expect(host).toContain('.')
    expect(rules.holding(FILES, [host])).toEqual([])
    expect(rules.holding(planted('README.md', `see ${url}`), [host])).toHaveLength(1)
  })

  test('no file names a path of this machine', () => {
    // Folders that every machine has are no secret and no mistake.
    const everywhere = new Set(['/', '/tmp', '/home', '/opt', '/srv', tmpdir()])
    const here = [ROOT, dirname(ROOT), homedir()].filter(path => !everywhere.has(path))
    const words = here.map(path => `${path}/`)
    expect(rules.holding(FILES, words)).toEqual([])
    expect(rules.holding(planted('README.md', `cd ${ROOT}/src`), [`${ROOT}/`])).toHaveLength(1)
  })
})
