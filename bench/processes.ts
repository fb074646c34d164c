/**
 * The processes that the bench starts: each with a folder and a home of its own, waited for until
 * it answers, and ended by its id.
 * @module
 */
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A server that is not ready by then never will be; Verdaccio needs a few seconds. */
const READY_MS_MAX = 60_000
/** Between two looks whether a server is ready: well below what is measured. */
const READY_POLL_MS = 1
/** A server gets this long to stop in order. */
const STOP_MS_MAX = 15_000

/** Settings that would reach into what is measured. */
const FOREIGN_SETTINGS = /^(?:npm_|NPM_|NPMX_REGISTRY_|BUN_|XDG_|STATE_DIRECTORY$|NODE_OPTIONS$)/

/** A server under measurement. */
export type Server = AsyncDisposable & { pid: number; url: string; readyMs: number }

/** The environment of a child: this one's, with an empty home and no settings of package managers. */
export function environment(home: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !FOREIGN_SETTINGS.test(name))
  const plain = kept.flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  )
  return { ...Object.fromEntries(plain), HOME: home, TMPDIR: home, CI: '1' }
}

/** Where Linux keeps a file system in memory, and how much of it must be free to be used. */
const MEMORY_FOLDER = '/dev/shm'
const MEMORY_BYTES_MIN = 4 * 1024 ** 3
/** f_type of tmpfs, statfs(2). */
const TMPFS = 0x01021994

/** A folder whose files stay in memory; null where there is none. */
export function memoryFolder(): string | null {
  if (!existsSync(MEMORY_FOLDER)) return null
  const { type, bavail, bsize } = statfsSync(MEMORY_FOLDER)
  return type === TMPFS && bavail * bsize >= MEMORY_BYTES_MIN ? MEMORY_FOLDER : null
}

/** What is there to be ended and removed when the bench itself is stopped. */
const children = new Set<Bun.Subprocess>()
const folders = new Set<string>()

/** Counts a child among those that do not outlive the bench. */
export function adopt<Child extends Bun.Subprocess>(child: Child): Child {
  children.add(child)
  void child.exited.then(() => children.delete(child))
  return child
}

/** Exit codes of a process ended by a signal: 128 and its number. */
const STOPPED = { SIGINT: 130, SIGTERM: 143 } as const

/** A bench that is stopped halfway leaves no server and no folder behind. */
export function cleanUpWhenStopped(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      for (const child of children) child.kill('SIGKILL')
      for (const folder of folders) rmSync(folder, { recursive: true, force: true })
      process.exit(STOPPED[signal])
    })
  }
}

/** A folder that goes when its scope ends. */
export function temporaryFolder(label: string, parent = tmpdir()): Disposable & { path: string } {
  const path = mkdtempSync(join(parent, `npmx-registry-bench-${label}-`))
  folders.add(path)
  return {
    path,
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true })
      folders.delete(path)
    },
  }
}

/** A port that was free a moment ago. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}

/** How to start a server, and where it answers 200 once it is ready. */
export type Launch = { command: string[]; home: string; url: string; readyPath: string }

export async function launch({ command, home, url, readyPath }: Launch): Promise<Server> {
  const started = performance.now()
  const child = adopt(
    Bun.spawn(command, {
      cwd: home,
      env: environment(home),
      stdio: ['ignore', 'ignore', 'pipe'],
    }),
  )
  const complaints = new Response(child.stderr).text()
  while (!(await answers(url + readyPath))) {
    if (child.exitCode !== null || performance.now() - started > READY_MS_MAX) {
      child.kill('SIGKILL')
      throw new Error(`${command[0]} did not start: ${(await complaints).trim()}`)
    }
    await Bun.sleep(READY_POLL_MS)
  }
  const readyMs = performance.now() - started
  return { pid: child.pid, url, readyMs, [Symbol.asyncDispose]: () => stop(child) }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { keepalive: false })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false // nobody listens yet
  }
}

async function stop(child: Bun.Subprocess): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await child.exited
  clearTimeout(timer)
}

/** What it takes to start ours. @property binary path of the built program */
export type OursNeeds = { binary: string; home: string; dataDir: string; upstream: string }

export function launchOurs({ binary, home, dataDir, upstream }: OursNeeds): Promise<Server> {
  const port = freePort()
  const listen = ['--listen', `127.0.0.1:${port}`]
  const command = [binary, 'serve', ...listen, '--data-dir', dataDir, '--upstream', upstream]
  return launch({ command, home, url: `http://127.0.0.1:${port}`, readyPath: '/-/readyz' })
}
