/**
 * The log in Go's dialect. A whole instance on loopback is put before `judge/gosumdb`, which reads
 * it with golang.org/x/mod's own sumdb.Client, note and tlog packages: it must accept the log at
 * both places where the dialect stands, and refuse it with any one file changed on the way, by
 * another key, or as another history than the one that the client remembers.
 *
 * Names are npm's as far as Go's client can ask for them: one path element with a dot in it
 * (`example.com`, `lodash.merge`), versions without the v. Needs Go (and, once, its module proxy);
 * without Go the tests are skipped and say so.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readLogKey } from '../../src/db/keys.ts'
import { appendToEdge, edgeRoot } from '../../src/log/edge.ts'
import { signTreeNote } from '../../src/log/go-dialect.ts'
import { splitHashes } from '../../src/log/tile.ts'
import { Instance } from '../fixtures/instance.ts'
import { type FixtureRegistry, startFixtureRegistry } from '../fixtures/registry.ts'
import { flip, testKey } from '../unit/log/memory-log.ts'

/** More records than one tile holds. */
const VERSIONS = 280
/** A size at which the first tile was not full yet. */
const OLD_SIZE = 200
const LOOKUPS = [
  'example.com@1.7.0',
  'example.com@1.279.0',
  'lodash.merge@2.0.0-RC.1',
  'lodash.merge@2.0.0',
]
const PACKAGES = [
  {
    name: 'example.com',
    versions: Array.from({ length: VERSIONS }, (_, i) => ({ version: `1.${i}.0` })),
  },
  { name: 'lodash.merge', versions: [{ version: '2.0.0-RC.1' }, { version: '2.0.0' }] },
]
// The first run downloads and compiles golang.org/x/mod.
const BUILD_MS = 300_000
const JUDGE_MS = 300_000
// A judge that waits for ever is killed, which no test takes for acceptance.
const VERDICT_MS = 60_000

const go = Bun.which('go')
if (go === null) console.warn('skipped: no `go` on PATH, so no client of Go reads the log')

type Verdict = { exit: number | null; output: string }

let folder = ''
let upstream: FixtureRegistry
let instance: Instance

async function run(command: string[], timeout: number): Promise<Verdict> {
  const child = Bun.spawn(command, {
    cwd: join(import.meta.dir, 'judge'),
    env: Bun.env,
    stdout: 'pipe',
    stderr: 'pipe',
    timeout,
  })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  await child.exited
  return { exit: child.exitCode, output: out + err }
}

type Asked = { url?: string; vkey?: string; known?: string; lookups?: string[] }

async function judge({ url, vkey, known, lookups = LOOKUPS }: Asked = {}): Promise<Verdict> {
  const flags = ['-url', url ?? `${instance.url}-/sumdb/go`, '-vkey', vkey ?? instance.vkey]
  if (known !== undefined) {
    const file = join(folder, 'known')
    await Bun.write(file, known)
    flags.push('-known', file)
  }
  return run([join(folder, 'gosumdb'), ...flags, ...lookups], VERDICT_MS)
}

/** The database behind something that changes one byte of each answer to one path. */
function meddler(isMeant: (path: string) => boolean, at: (bytes: Uint8Array) => number) {
  const asked: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      const path = new URL(request.url).pathname
      asked.push(path)
      const answer = await instance.get(`-/sumdb/go${path}`)
      const bytes = await answer.bytes()
      const sent = isMeant(path) ? flip(bytes, at(bytes)) : bytes
      return new Response(new Blob([sent.slice()]), { status: answer.status })
    },
  })
  return {
    asked,
    url: server.url.origin,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const latest = async () => (await instance.get('-/sumdb/go/latest')).text()

describe.skipIf(go === null)("the log before clients of Go's checksum database", () => {
  let early = ''

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sumdb-judge-'))
    const built = await run(['go', 'build', '-o', join(folder, 'gosumdb'), './gosumdb'], BUILD_MS)
    if (built.exit !== 0) throw new Error(built.output)
    upstream = startFixtureRegistry({ packages: PACKAGES })
    instance = await Instance.start(upstream.url)
    await instance.packument('example.com')
    early = await latest()
  }, BUILD_MS)

  afterAll(async () => {
    if (folder === '') return
    await instance[Symbol.asyncDispose]()
    await upstream[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  test(
    'sumdb.Client looks up what it asks for, also what was not logged before',
    async () => {
      const { exit, output } = await judge()
      expect({ exit, output }).toMatchObject({ exit: 0 })
      for (const lookup of LOOKUPS) expect(output).toContain(`record: npm/${lookup} sha512-`)
      expect(await latest()).not.toBe(early)
    },
    JUDGE_MS,
  )

  test(
    'tiles and notes are accepted beside the paths of C2SP, too',
    async () => {
      const { exit, output } = await judge({ url: `${instance.url}-/sumdb`, lookups: [] })
      expect({ exit, output }).toMatchObject({ exit: 0 })
      // Lookups there carry the checkpoint, which is no tree note.
      const refused = await judge({ url: `${instance.url}-/sumdb` })
      expect(refused.exit).toBe(1)
      expect(refused.output).toContain('malformed tree note')
    },
    JUDGE_MS,
  )

  test(
    'a client that remembers an earlier tree goes on from it',
    async () => {
      const { exit, output } = await judge({ known: early })
      expect({ exit, output }).toMatchObject({ exit: 0 })
    },
    JUDGE_MS,
  )

  test(
    'a client that remembers a tree of long ago gets the tiles in their old width',
    async () => {
      const response = await instance.get(`-/sumdb/go/tile/8/0/000.p/${OLD_SIZE}`)
      const { edge } = appendToEdge([], splitHashes(await response.bytes()))
      const { signer } = readLogKey(instance.dataDir)
      const known = signTreeNote({ size: OLD_SIZE, root: edgeRoot(edge) }, signer)
      await using reader = meddler(
        () => false,
        () => 0,
      )
      const { exit, output } = await judge({ url: reader.url, known })
      expect({ exit, output }).toMatchObject({ exit: 0 })
      // Only that client asks for it: the tile is full by now, and not the last.
      expect(reader.asked).toContain(`/tile/8/0/000.p/${OLD_SIZE}`)
    },
    JUDGE_MS,
  )

  test(
    'a client that remembers another history says so',
    async () => {
      const { signer } = readLogKey(instance.dataDir)
      const known = signTreeNote({ size: OLD_SIZE, root: new Uint8Array(32) }, signer)
      const { exit, output } = await judge({ known })
      expect(exit).toBe(1)
      // It reads tiles of the tree it remembers first, and those do not lead to its root.
      expect(output).toContain('downloaded inconsistent tile')
    },
    JUDGE_MS,
  )

  test(
    'one byte changed on the way is refused, whichever file it is in',
    async () => {
      await using reader = meddler(
        () => false,
        () => 0,
      )
      const honest = await judge({ url: reader.url })
      expect({ ...honest }).toMatchObject({ exit: 0 })
      const paths = new Set(reader.asked.filter(path => path !== '/supported'))
      // Partial tiles of earlier widths are many and alike: the first, one within, and the last.
      const widths = [...paths].filter(
        path => path.includes('.p/') && !path.startsWith('/tile/8/1'),
      )
      const some = new Set([widths[0], widths[7], widths[20], widths.at(-1)])
      const meant = [...paths].filter(path => !widths.includes(path) || some.has(path))
      expect(meant.length).toBeGreaterThan(8)
      for (const [i, path] of meant.entries()) {
        // The last byte but one of a text is in a hash or a signature, not in white space.
        const at = (bytes: Uint8Array) =>
          path.startsWith('/tile/8/data') ? bytes.length - 3 : (i * 37 + 5) % (bytes.length - 3)
        await using changed = meddler(asked => asked === path, at)
        const { exit, output } = await judge({ url: changed.url })
        expect({ path, exit, output }).toMatchObject({ exit: 1 })
      }
    },
    JUDGE_MS,
  )

  test(
    'another key of the same name is refused',
    async () => {
      const { verifier } = testKey(readLogKey(instance.dataDir).signer.name, 'impostor')
      const { exit, output } = await judge({ vkey: verifier.vkey })
      expect(exit).toBe(1)
      expect(output).toContain('note has no verifiable signatures')
    },
    JUDGE_MS,
  )
})
