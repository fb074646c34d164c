/**
 * Projects on disk for the tests of `verify`, and the command run over them as a person would.
 * @module
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verify, type VerifyOptions } from '../../../src/cli/verify.ts'
import { MemoryLog } from '../log/memory-log.ts'
import { FIXTURES, hashOf, record, tarballOf } from './verify-server.ts'

const made: string[] = []

/** To be called after all tests of a file. */
export function removeProjects(): void {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
}

export const NPM = 'npm-3/package-lock.json'
export const BERRY = 'yarn-4/yarn.lock'
const LEFT = 'node_modules/left'
export const GOOD = hashOf(tarballOf('left', '1.0.0'))

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'verify-'))
  made.push(path)
  return path
}

/** A folder with one fixture in it. */
export function project(fixture: string): string {
  const path = folder()
  cpSync(join(FIXTURES, fixture), join(path, fixture.split('/')[1] ?? ''))
  return path
}

/** A folder with a package-lock.json of one package. */
export function smallProject(entry: Record<string, unknown>): string {
  const path = folder()
  const packages = { '': {}, [LEFT]: { version: '1.0.0', ...entry } }
  writeFileSync(join(path, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }))
  return path
}

export function smallLog(): MemoryLog {
  return new MemoryLog([record('left', '1.0.0', GOOD)])
}

export async function run(
  cwd: string,
  options: Partial<VerifyOptions>,
  env: Record<string, string | undefined> = {},
) {
  let stdout = ''
  let stderr = ''
  const code = await verify(
    { lockfiles: [], ...options },
    {
      stdout: text => (stdout += text),
      stderr: text => (stderr += text),
      env: { HOME: join(cwd, '.home'), XDG_STATE_HOME: join(cwd, '.state'), ...env },
      cwd,
      tty: false,
      pace: { pauseFirstMs: 1, pauseMaxMs: 5 },
    },
  )
  return { code, stdout, stderr }
}

export async function runJson(cwd: string, options: Partial<VerifyOptions>) {
  const result = await run(cwd, { ...options, json: true })
  return { ...result, report: JSON.parse(result.stdout) }
}
