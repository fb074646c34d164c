/**
 * Makes the one binary, `dist/npmx-registry`: `bun scripts/build.ts [--verify]`.
 *
 * The same clean tree gives the same bytes, in any folder: the entry points are named relative to
 * the root, the outfile keeps its name, and the only thing embedded besides the sources is the
 * commit. `--verify` builds twice, in two folders, and compares. Nothing of the folder in which
 * the binary is started is loaded (.env, bunfig.toml).
 * @module
 */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dir, '..')
const NAME = 'npmx-registry'

/** The program, and what it starts as Workers: each is an entry of its own inside the binary. */
const ENTRIES = [
  'src/main.ts',
  'src/registries/packument/packument-worker.ts',
  'src/registries/hosted/publish-worker.ts',
]

function output(command: string[]): string | null {
  const { exitCode, stdout } = Bun.spawnSync(command, { cwd: ROOT, stderr: 'ignore' })
  return exitCode === 0 ? stdout.toString().trim() : null
}

/** Empty where there is no git or no commit yet: the build then says "unknown". */
function commitOfTree(): string {
  const commit = output(['git', 'rev-parse', '--verify', 'HEAD'])
  if (commit === null) return ''
  const changed = output(['git', 'status', '--porcelain', '--untracked-files=no'])
  return changed === '' ? commit : `${commit}+modified`
}

function build(outfile: string, commit: string): void {
  const { exitCode } = Bun.spawnSync(
    [
      process.execPath,
      'build',
      '--compile',
      '--minify',
      '--bytecode',
      '--format=esm',
      // One chunk for each lazy import: in a single file a start would also make the functions of
      // every command and of what nobody asked for yet (3 MB), and each Worker would have a copy.
      '--splitting',
      '--no-compile-autoload-dotenv',
      '--no-compile-autoload-bunfig',
      `--define=BUILD_COMMIT=${JSON.stringify(commit)}`,
      ...ENTRIES,
      '--outfile',
      outfile,
    ],
    { cwd: ROOT, stdout: 'ignore', stderr: 'inherit' },
  )
  if (exitCode !== 0) process.exit(1)
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

// Where the sources lie without their git, as in an image, whoever builds says which commit it is.
const commit = Bun.env['BUILD_COMMIT'] ?? commitOfTree()
const outfile = join(ROOT, 'dist', NAME)
mkdirSync(join(ROOT, 'dist'), { recursive: true })
build(outfile, commit)
const sum = sha256(outfile)
console.log(`dist/${NAME}  ${(Bun.file(outfile).size / 1e6).toFixed(1)} MB  sha256 ${sum}`)

if (process.argv.includes('--verify')) {
  const folder = mkdtempSync(join(tmpdir(), 'npmx-registry-build-'))
  try {
    build(join(folder, NAME), commit)
    if (sha256(join(folder, NAME)) !== sum) {
      console.error('a second build gave other bytes: the build is not reproducible')
      process.exit(1)
    }
    console.log('a second build, in another folder, gave the same bytes')
  } finally {
    rmSync(folder, { recursive: true })
  }
}
