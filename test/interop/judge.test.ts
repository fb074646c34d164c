/**
 * The log as others read it. Logs of several sizes are written as plain files with the functions of
 * `src/log/`, served on loopback, and put before two judges that share no code with us:
 *
 * - `judge/`, over golang.org/x/mod's note and tlog packages;
 * - `fsck` of github.com/transparency-dev/tessera, as it is released.
 *
 * Both must accept each log, and refuse it with any byte of any file changed. Needs Go (and, once,
 * its module proxy); without Go the tests are skipped and say so.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { NoteError } from '../../src/log/errors.ts'
import { openNote, signNote } from '../../src/log/note.ts'
import { entriesPath, newTiles, tilePath } from '../../src/log/tile.ts'
import { MemoryLog, flip, testKey, testLeaf } from '../unit/log/memory-log.ts'

const SIZES = [1, 2, 255, 256, 257, 1000, 70_000] as const
const SIZE_MAX = 70_000
/** Changed notes that Go and we have to agree on. */
const NOTES = 10_000
const FSCK = 'github.com/transparency-dev/tessera/cmd/fsck@v1.0.4'
// The first run downloads and compiles fsck's dependencies.
const BUILD_MS = 300_000
const JUDGE_MS = 300_000
// A judge that waits for ever is killed, which no test takes for acceptance.
const VERDICT_MS = 60_000

const go = Bun.which('go')
if (go === null) console.warn('skipped: no `go` on PATH, so no judge of the log that is not ours')

const log = new MemoryLog(Array.from({ length: SIZE_MAX }, (_, i) => testLeaf(i)))
let folder = ''
let fsckMissing = ''

type Verdict = { accepted: boolean; output: string }

async function run(
  command: string[],
  timeout: number = VERDICT_MS,
  env: Record<string, string> = {},
): Promise<Verdict> {
  const child = Bun.spawn(command, {
    cwd: join(import.meta.dir, 'judge'),
    env: { ...Bun.env, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
    timeout,
  })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { accepted: (await child.exited) === 0, output: out + err }
}

/** All files of the log at one size: checkpoint, tiles and bundles, the partial ones too. */
async function writeLog(size: number): Promise<{ folder: string; paths: string[] }> {
  const target = join(folder, `log-${size}`)
  const tiles = newTiles(0, size)
  const bundles = tiles.filter(tile => tile.level === 0)
  const paths = [
    ...tiles.map(tilePath),
    ...bundles.map(({ index, width }) => entriesPath(index, width)),
  ]
  await mkdir(target, { recursive: true })
  await Bun.write(join(target, 'checkpoint'), log.note(size))
  for (const path of paths) {
    await mkdir(dirname(join(target, path)), { recursive: true })
    await Bun.write(join(target, path), log.read(path))
  }
  return { folder: target, paths: ['checkpoint', ...paths] }
}

/** Serves a folder, with a byte changed in one file. */
function serve(root: string, changed?: { path: string; bytes: Uint8Array }) {
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      const path = new URL(request.url).pathname.slice(1)
      if (changed?.path === path) return new Response(changed.bytes.slice())
      const file = Bun.file(join(root, path))
      return (await file.exists()) ? new Response(file) : new Response('', { status: 404 })
    },
  })
}

async function judgeWithMod(url: string): Promise<Verdict> {
  return run([join(folder, 'judge'), '-url', url, '-vkey', log.verifier.vkey])
}

async function judgeWithFsck(url: string): Promise<Verdict> {
  const key = join(folder, 'vkey')
  await Bun.write(key, log.verifier.vkey)
  // It exits 0 whatever it finds, so what it says is the verdict; and a worker that finds something
  // wrong is gone, so with one worker (the default) it would wait for ever.
  const flags = [`--storage_url=${url}/`, `--public_key=${key}`, '--ui=false', '-N=16']
  const { accepted, output } = await run([join(folder, 'fsck'), ...flags])
  const clean = output.includes("Successfully fsck'd log") && !output.includes('fsck failed')
  return { accepted: accepted && clean, output }
}

const judges = [
  ['x/mod', judgeWithMod],
  ['tessera fsck', judgeWithFsck],
] as const

function skips(judge: string): boolean {
  if (judge !== 'tessera fsck' || fsckMissing === '') return false
  console.warn(`skipped: ${FSCK} cannot be built here: ${fsckMissing}`)
  return true
}

describe.skipIf(go === null)('the log before judges', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'log-judge-'))
    const built = await run(['go', 'build', '-o', join(folder, 'judge'), '.'], BUILD_MS)
    if (!built.accepted) throw new Error(built.output)
    const fsck = await run(['go', 'install', FSCK], BUILD_MS, {
      GOBIN: folder,
      GOFLAGS: '-mod=mod',
    })
    if (!fsck.accepted) fsckMissing = fsck.output.trim().split('\n').at(-1) ?? 'unknown'
  }, BUILD_MS)

  afterAll(async () => {
    if (folder !== '') await rm(folder, { recursive: true, force: true })
  })

  describe.each(SIZES)('of %d leaves', size => {
    test.each(judges)(
      '%s accepts it',
      async (judge, decide) => {
        if (skips(judge)) return
        const written = await writeLog(size)
        await using server = serve(written.folder)
        const { accepted, output } = await decide(server.url.origin)
        expect(accepted, output).toBe(true)
      },
      JUDGE_MS,
    )

    test.each(judges)(
      '%s refuses it with one byte changed, whichever file it is in',
      async (judge, decide) => {
        if (skips(judge)) return
        const written = await writeLog(size)
        const last = written.paths.length - 1
        // All files of small logs, some of each kind of the large one.
        const some = [0, 1, 2, 100, 273, 274, 275, 276, 277, 278, 279, 400, last - 1, last]
        const paths = last < 14 ? written.paths : some.map(i => written.paths[i] ?? '')
        for (const [i, path] of paths.entries()) {
          const bytes = await Bun.file(join(written.folder, path)).bytes()
          // Bytes 0 and 1 of a bundle are a length: with those changed nobody could go on anyway.
          const at = 2 + ((i * 31) % (bytes.length - 3))
          await using server = serve(written.folder, { path, bytes: flip(bytes, at) })
          const { accepted, output } = await decide(server.url.origin)
          expect(accepted, `${path} byte ${at}: ${output}`).toBe(false)
        }
      },
      JUDGE_MS,
    )
  })

  test.each(judges)('%s refuses it by another key', async (judge, decide) => {
    if (skips(judge)) return
    const written = await writeLog(257)
    const note = log.note(257)
    // The same text signed by a key of the same name.
    const impostor = testKey(log.signer.name, 'impostor').signer
    const text = note.slice(0, note.indexOf('\n\n') + 1)
    const bytes = new TextEncoder().encode(signNote(text, impostor))
    await using server = serve(written.folder, { path: 'checkpoint', bytes })
    expect((await decide(server.url.origin)).accepted).toBe(false)
  })

  test('x/mod opens no note otherwise than we do', async () => {
    const text = 'Two lines,\n\nand a blank one.\n'
    const good = `${signNote(text, log.signer)}— witness.example AAAAAAAAAAAA\n`
    const notes = [good, ...mutations(good, NOTES)]
    const input = join(folder, 'notes')
    await Bun.write(input, notes.map(note => JSON.stringify(note)).join('\n'))
    const child = Bun.spawn([join(folder, 'judge'), '-notes', '-vkey', log.verifier.vkey], {
      stdin: Bun.file(input),
      stdout: 'pipe',
      timeout: VERDICT_MS,
    })
    const lines = (await new Response(child.stdout).text()).trimEnd().split('\n')
    expect(lines).toHaveLength(notes.length)
    let agreed = 0
    notes.forEach((note, i) => {
      const opened: unknown = JSON.parse(lines[i] ?? '')
      const theirs = typeof opened === 'string' ? opened : null
      const ours = openedText(note)
      // Go reads base64 with spare bits set as well: we take one spelling of a signature only.
      if (ours === null && theirs !== null) expect(hasSpareBits(note), note).toBe(true)
      else expect(ours, note).toBe(theirs)
      if (ours !== null) agreed++
    })
    expect(agreed).toBeGreaterThan(1000)
  })
})

function openedText(note: string): string | null {
  try {
    return openNote(note, [log.verifier]).text
  } catch (error) {
    if (error instanceof NoteError) return null
    throw error
  }
}

function hasSpareBits(note: string): boolean {
  const signatures = note.slice(note.lastIndexOf('\n\n') + 2).match(/\S+(?=\n)/g) ?? []
  return signatures.some(text => Buffer.from(text, 'base64').toString('base64') !== text)
}

// Pieces that matter to a parser of notes, put in, over or in place of characters of a good one.
const PIECES = [
  '',
  '\n',
  '\n\n',
  ' ',
  '— ',
  '—',
  '+',
  '=',
  '\r',
  '\t',
  '\0',
  '\u00a0',
  'A',
  'B',
  'é',
]

function mutations(note: string, count: number): string[] {
  // A fixed sequence (Numerical Recipes' generator): the same notes every day.
  let state = 1
  const next = (below: number) => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return Math.floor((state / 2 ** 32) * below)
  }
  const line = note.slice(note.lastIndexOf('\n', note.length - 2) + 1)
  return Array.from({ length: count }, () => {
    if (next(20) === 0) return note + line.replace('AAAA', 'BAAA').repeat(next(120))
    // Most of the time near the signatures, where there is something to get wrong.
    const at = next(2) === 0 ? next(note.length) : note.length - 1 - next(60)
    return note.slice(0, at) + (PIECES[next(PIECES.length)] ?? '') + note.slice(at + next(3))
  })
}
