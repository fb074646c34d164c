/**
 * What the tests of refusals ask of a client run, the same for every client and every reason.
 *
 * @module
 */

import { expect } from 'bun:test'
import { type Client, newProject, runClient } from './clients.ts'
import { installedPackages } from './installed.ts'

/** A page of ours that tells the reason, as clients print URLs: names may be escaped in them. */
const REASON_URL = /https?:\/\/[^\s"']+\/-\/(?:why|blocked)\/[^\s"']+/

/**
 * Asks for exactly `name@version`: it must fail, leave nothing, and tell the reason or its URL.
 * Yarn 1 picks a deprecated version for a range as well, so it is sent documents without refused
 * ones; what it says then is looked at by a test of its own (`reason: 'any'` here).
 */
export async function expectRefused(
  client: Client,
  url: string,
  name: string,
  version: string,
  reason: 'told' | 'any' = client === 'yarn1' ? 'any' : 'told',
): Promise<void> {
  await using project = await newProject({})
  const { dir } = project
  const add = `${name}@${version}`
  const run = await runClient(client, { dir, registry: url, add, noRetries: true })
  expect(run.exitCode, run.output).not.toBe(0)
  // pnpm 12 breaks lines at 80 columns, inside of URLs too.
  const output = run.output.replaceAll(/\n {2,}/g, '')
  if (reason === 'told') expect(output).toMatch(REASON_URL)
  const left = await installedPackages(client, dir, run.home)
  expect([...left.keys()].filter(key => key.includes('victim'))).toEqual([])
}

/** Installs `dependencies` and tells which versions of them the client took. */
export async function expectInstalled(
  client: Client,
  url: string,
  dependencies: Record<string, string>,
  wanted: Record<string, string>,
): Promise<void> {
  await using project = await newProject(dependencies)
  const run = await runClient(client, { dir: project.dir, registry: url, noRetries: true })
  expect(run.exitCode, run.output).toBe(0)
  const specs = Object.entries(wanted).map(([name, version]) => `${name}@${version}`)
  const found = [...(await installedPackages(client, project.dir, run.home)).keys()]
  if (client !== 'yarn4') {
    expect(found).toEqual(specs.toSorted())
    return
  }
  // Archives: `@fixture-victim-npm-1.0.0-<hash>-<cache version>.zip`.
  const starts = specs.map(spec => spec.replace('/', '-').replace(/@([^@]*)$/, '-npm-$1-'))
  expect(found).toHaveLength(starts.length)
  for (const start of starts) {
    expect(found.filter(name => name.startsWith(start))).toHaveLength(1)
  }
}
