/**
 * Runs what an image says in the way an engine would with `--read-only --cap-drop ALL
 * --security-opt no-new-privileges`: namespaces of its own for mounts and processes, the image's
 * files read-only, one volume, its user, its environment and nothing of ours. The network is this
 * machine's, so that a test can ask it on loopback.
 * @module
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** What an image says about how it is run. */
export type ImageConfig = {
  User: string
  Env: string[]
  WorkingDir: string
}

/** A program that runs inside. */
export class Contained implements AsyncDisposable {
  readonly child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>

  constructor(child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>) {
    this.child = child
  }

  /** Process 1 of the inside, by its number outside: `unshare` itself hears no SIGTERM. */
  get pid(): number {
    const { pid } = this.child
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
  }

  /** What the kernel says of it. */
  status(field: string): string {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trimEnd() ?? ''
  }

  /** Ends it as an engine does; returns its exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
    process.kill(this.pid, signal)
    return await this.child.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // With it goes all that is inside.
    this.child.kill('SIGKILL')
    await this.child.exited
  }
}

/** The folder of a volume, filled as an engine fills a new one: with the image's mode and owner. */
export function newVolume(files: string, path: string, folder: string): string {
  const { uid, gid, mode } = statSync(join(files, path))
  mkdirSync(folder)
  const made = Bun.spawnSync(['chown', `${uid}:${gid}`, folder]).exitCode
  const set = Bun.spawnSync(['chmod', (mode & 0o7777).toString(8), folder]).exitCode
  if (made + set !== 0) throw new Error(`${folder}: cannot be given to ${uid}`)
  return folder
}

/** Mounts are private to the new namespace; what follows the first four words is the command. */
const SCRIPT = `
set -e
files=$0 volume=$1 path=$2
shift 2
mount --bind "$files" "$files"
mount --bind "$volume" "$files$path"
mount -t proc proc "$files/proc"
mount -o remount,bind,ro "$files"
exec "$@"
`

/** Starts a command inside, as process 1. */
export function contain(
  files: string,
  volume: { folder: string; path: string },
  image: ImageConfig,
  env: Record<string, string>,
  command: readonly string[],
): Contained {
  mkdirSync(join(files, 'proc'), { recursive: true })
  const [uid = '', gid = ''] = image.User.split(':')
  const variables = [...image.Env, ...Object.entries(env).map(pair => pair.join('='))]
  const place = ['sh', '-c', SCRIPT, files, volume.folder, volume.path]
  const plain = ['/usr/bin/setpriv', '--no-new-privs', '--clear-groups']
  // The last step before the image's own program: a user without any capability.
  const inside = ['/usr/bin/unshare', `--root=${files}`, `--wd=${image.WorkingDir}`]
  const user = [`--setgid=${gid}`, `--setuid=${uid}`]
  const outside = ['unshare', '--mount', '--pid', '--fork', '--kill-child=SIGKILL', ...place]
  const words = [...outside, 'env', '-i', ...variables, ...plain, ...inside, ...user, ...command]
  const child = Bun.spawn(words, { stdio: ['ignore', 'pipe', 'pipe'] })
  return new Contained(child)
}
