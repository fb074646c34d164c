/**
 * Images without a container engine: buildah builds the Dockerfile as root, in a chroot, into a
 * storage of its own. No base image can be pulled on a test machine, so each is stood in for by an
 * image of the same name that holds the same programs, copied from this machine.
 *
 * What it cannot show: that the published base image holds them too.
 * @module
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

export const ROOT = join(import.meta.dir, '..', '..')

/** What the build stage calls, besides bun itself. */
const BUILD_TOOLS = ['sh', 'cp', 'mkdir', 'chmod', 'grep', 'bash', 'cat', 'ldd']

/** Why the image cannot be built here, or null when it can. */
export function whyNoImages(): string | null {
  if (process.platform !== 'linux') return 'SKIPPED: images are built on Linux'
  if (process.getuid?.() !== 0) return 'SKIPPED: only root can build and run images here'
  const missing = ['buildah', 'unshare', 'setpriv', 'chroot', 'ldd'].filter(
    tool => Bun.which(tool) === null,
  )
  return missing.length === 0 ? null : `SKIPPED: not on this machine: ${missing.join(', ')}`
}

const ConfigShape = Type.Object({
  User: Type.String(),
  Env: Type.Array(Type.String()),
  Entrypoint: Type.Array(Type.String()),
  Cmd: Type.Array(Type.String()),
  WorkingDir: Type.String(),
  StopSignal: Type.String(),
  Labels: Type.Record(Type.String(), Type.String()),
  ExposedPorts: Type.Record(Type.String(), Type.Unknown()),
  Volumes: Type.Record(Type.String(), Type.Unknown()),
  Healthcheck: Type.Object({ Test: Type.Array(Type.String()) }),
})
const InspectShape = Type.Object({ Docker: Type.Object({ config: ConfigShape }) })
const ManifestShape = Type.Object({
  layers: Type.Array(Type.Object({ size: Type.Number(), mediaType: Type.String() })),
})

/** A storage of images and containers that is gone with the test. */
export class Images implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'npmx-registry-images-'))
  readonly #mounted: string[] = []

  /** Builds the Dockerfile of this tree under this name. */
  build(name: string, baseName: string, args: Record<string, string>): void {
    this.#standIn(baseName)
    const cache = process.env['BUN_INSTALL_CACHE_DIR'] ?? join(homedir(), '.bun/install/cache')
    mkdirSync(cache, { recursive: true })
    // The format has to be Docker's: an OCI image has no health check.
    this.#buildah([
      'bud',
      '--format=docker',
      '--isolation=chroot',
      '--pull=never',
      `--volume=${cache}:/cache`,
      ...Object.entries(args).map(([key, value]) => `--build-arg=${key}=${value}`),
      `--tag=${name}`,
      ROOT,
    ])
  }

  config(name: string) {
    const text = this.#buildah(['inspect', '--type=image', name])
    return Value.Parse(InspectShape, JSON.parse(text)).Docker.config
  }

  /** The sizes of the layers as they travel, gzip'd by buildah's default. */
  layerBytes(name: string): number[] {
    const out = join(this.dir, 'pushed')
    this.#buildah(['push', '--format=v2s2', name, `dir:${out}`])
    const manifest: unknown = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))
    return Value.Parse(ManifestShape, manifest).layers.map(({ size, mediaType }) => {
      if (mediaType.endsWith('gzip')) return size
      throw new Error(`a layer of type ${mediaType} says nothing about its size on the wire`)
    })
  }

  /** The files of an image, as a folder. */
  files(name: string): string {
    const container = this.#buildah(['from', '--pull=never', name]).trim()
    this.#mounted.push(container)
    return this.#buildah(['mount', container]).trim()
  }

  [Symbol.dispose](): void {
    for (const container of this.#mounted) this.#buildah(['umount', container])
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** Programs of this machine with the libraries that they load, under the name of an image. */
  #standIn(name: string): void {
    const folder = join(this.dir, 'stand-in')
    const programs = BUILD_TOOLS.map(tool => ({ from: Bun.which(tool) ?? tool, as: tool }))
    const bun = { from: process.execPath, as: 'bun' }
    for (const { from, as } of [...programs, bun]) copyProgram(from, folder, as)
    // The tools look for themselves in one folder or the other, as on a merged /usr.
    run(['ln', '-s', 'usr/bin', join(folder, 'bin')])
    mkdirSync(join(folder, 'tmp'), { mode: 0o777 })
    const container = this.#buildah(['from', 'scratch']).trim()
    this.#buildah(['copy', '--quiet', container, folder, '/'])
    this.#buildah([
      'config',
      '--env=PATH=/usr/bin',
      '--env=BUN_INSTALL_CACHE_DIR=/cache',
      container,
    ])
    this.#buildah(['commit', '--quiet', '--rm', container, `docker.io/${name}`])
    rmSync(folder, { recursive: true })
  }

  #buildah(args: string[]): string {
    const storage = [
      `--root=${join(this.dir, 'root')}`,
      `--runroot=${join(this.dir, 'run')}`,
      '--storage-driver=vfs',
    ]
    return run(['buildah', ...storage, ...args])
  }
}

function copyProgram(from: string, folder: string, as: string): void {
  const to = join(folder, 'usr/bin', as)
  mkdirSync(dirname(to), { recursive: true })
  run(['cp', '--dereference', from, to])
  const listed = Bun.spawnSync(['ldd', from]).stdout.toString()
  for (const [library] of listed.matchAll(/\/[^ ]+/g)) {
    if (existsSync(library)) run(['cp', '--parents', '--dereference', library, folder])
  }
}

/** Runs a program to its end. @throws Error with what it said when it fails */
export function run(command: string[], cwd = ROOT): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd, stdin: 'ignore' })
  if (exitCode === 0) return stdout.toString()
  const said = `${stdout.toString()}\n${stderr.toString()}`.trim().slice(-2_000)
  throw new Error(`${basename(command[0] ?? '')} ended with ${exitCode}: ${said}`)
}
