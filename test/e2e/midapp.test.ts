/**
 * A real application of 421 packages (vite, react, eslint, typescript, vitest and what they pull
 * in: apps/midapp/package.json) from the public npm registry, through the server with no
 * configuration: the same packages, versions and hashes as without it, and a lockfile that
 * `verify` accepts. Needs a network that reaches that registry, and says so when there is none.
 *
 * @module
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Client, LOCKFILES, newProject, type Project, runClient } from './clients.ts'
import { installedPackages, lockEntries } from './installed.ts'
import { clientsAndServerReady } from './ready.ts'
import { runCommand, type ServerProcess, startServer } from './server.ts'

const TEST_TIMEOUT_MS = 300_000
const CLIENT_TIMEOUT_MS = 120_000
const PACKAGES_MIN = 300
/**
 * npm asks for full packuments, the other two for abbreviated ones. Yarn and deno want metadata of
 * the optional packages of every platform, of which the registry may not have all at hand here.
 */
const CLIENTS_TRIED: Client[] = ['npm11', 'pnpm', 'bun']
/** pnpm 11 and later exit 1 while an install script waits for the project's decision. */
const PNPM_BUILDS = 'allowBuilds:\n  esbuild: true\n'

const ready = (await clientsAndServerReady()) && (await publicRegistryReady())

describe.skipIf(!ready)('a real application', () => {
  let server: ServerProcess

  beforeAll(async () => {
    server = await startServer({ upstream: null })
  }, TEST_TIMEOUT_MS)
  afterAll(() => server[Symbol.asyncDispose]())

  test.each(CLIENTS_TRIED)(
    'is installed by %s as without the server, and verified',
    async client => {
      await using one = await newApplication()
      await using other = await newApplication()
      const direct = await install(client, one, null)
      const proxied = await install(client, other, server.url)
      expect(proxied.locked.size).toBeGreaterThan(PACKAGES_MIN)
      expect([...proxied.locked]).toEqual([...direct.locked])
      expect([...proxied.packages]).toEqual([...direct.packages])
      const args = ['verify', LOCKFILES[client], '--url', server.url]
      const verified = await runCommand(args, other.dir)
      expect(verified.exitCode, verified.output).toBe(0)
    },
    TEST_TIMEOUT_MS,
  )
})

async function newApplication(): Promise<Project> {
  const project = await newProject({})
  const source = Bun.file(join(import.meta.dir, 'apps', 'midapp', 'package.json'))
  await Bun.write(join(project.dir, 'package.json'), source)
  await Bun.write(join(project.dir, 'pnpm-workspace.yaml'), PNPM_BUILDS)
  return project
}

async function install(client: Client, project: Project, registry: string | null) {
  const { dir } = project
  const run = await runClient(client, { dir, registry, timeoutMs: CLIENT_TIMEOUT_MS })
  expect(run.exitCode, run.output).toBe(0)
  const packages = await installedPackages(client, dir, run.home)
  return { locked: lockEntries(client, run.lockfile ?? ''), packages }
}

/** One small install without the server tells whether the public registry can be reached. */
async function publicRegistryReady(): Promise<boolean> {
  await using project = await newProject({})
  const run = await runClient('bun', { dir: project.dir, registry: null, add: 'isexe@3.1.1' })
  if (run.exitCode !== 0) console.error('SKIPPED: the public npm registry cannot be reached here')
  return run.exitCode === 0
}
