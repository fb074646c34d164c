/**
 * A registry on loopback for the tests of `verify`: the log of `test/unit/log/memory-log.ts` under
 * `/-/sumdb/`, tarballs, refusals; it lies, fails and delays where a test says so.
 * @module
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeLeaf } from '../../../src/log/leaf.ts'
import type { LockfileEntry } from '../../../src/registries/lockfile/lockfile-entry.ts'
import { parseLockfile } from '../../../src/registries/lockfile/lockfile.ts'
import { MemoryLog, testKey } from '../log/memory-log.ts'

export const VKEY = testKey().verifier.vkey
export const FIXTURES = join(import.meta.dir, '../../fixtures/lockfiles')

export function record(name: string, version: string, integrity: string): Uint8Array {
  return encodeLeaf({
    kind: 'version',
    namespace: 'npm',
    name,
    version,
    integrity,
    manifest: `sha256-${Buffer.alloc(32).toString('base64')}`,
    seen: '2026-11-22T08:31:07Z',
  })
}

/** The entries of a fixture that a log can hold. */
export function fixtureEntries(path: string): LockfileEntry[] {
  const lockfile = parseLockfile(path.split('/')[1] ?? '', readFileSync(join(FIXTURES, path)))
  return lockfile.entries.filter(entry => entry.kind !== 'not-registry')
}

const ALL = ['npm-3/package-lock.json', 'yarn-1/yarn.lock', 'yarn-4/yarn.lock']

/** A log with all versions of these fixtures; one without a hash gets that of its tarball. */
export function fixtureLog(paths: readonly string[] = ALL): MemoryLog {
  const integrities = new Map<string, string>()
  for (const entry of paths.flatMap(fixtureEntries)) {
    const identity = `${entry.name}@${entry.version}`
    if (integrities.has(identity)) continue
    integrities.set(identity, entry.integrity ?? hashOf(tarballOf(entry.name, entry.version)))
  }
  const log = new MemoryLog()
  for (const [identity, integrity] of integrities) {
    const at = identity.lastIndexOf('@')
    log.append(record(identity.slice(0, at), identity.slice(at + 1), integrity))
  }
  return log
}

export function tarballOf(name: string, version: string): Uint8Array {
  return Buffer.from(`the tarball of ${name}@${version}`)
}

export function hashOf(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`
}

export type Handler = (path: string) => Response | undefined

/** @param intercept answers first, where it answers */
export function serveLog(log: MemoryLog, intercept: Handler = () => undefined) {
  const asked: string[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const path = new URL(request.url).pathname
      asked.push(path)
      return intercept(path) ?? answer(log, path)
    },
  })
  return {
    asked,
    url: `http://127.0.0.1:${server.port}/`,
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

function answer(log: MemoryLog, path: string): Response {
  const [, file] = /^\/-\/sumdb\/(.*)$/.exec(path) ?? []
  if (file === 'checkpoint') return new Response(log.note())
  if (file === 'vkey') return new Response(`${VKEY}\n`)
  if (file?.startsWith('tile/') === true) return bytesOf(log.read(file))
  if (file?.startsWith('lookup/') === true) {
    const identity = decodeURIComponent(file.slice('lookup/'.length))
    const at = identity.lastIndexOf('@')
    const index = log.find(identity.slice(0, at), identity.slice(at + 1))
    return index === -1 ? failure(404, `${identity} not found`) : bytesOf(log.answer(index))
  }
  const [, name, version] = /^\/(.+)\/-\/[^/]*?-(\d[^/]*)\.tgz$/.exec(path) ?? []
  if (name === undefined || version === undefined) return failure(404, 'no such path')
  return bytesOf(tarballOf(name, version))
}

export function failure(status: number, error: string, headers = {}): Response {
  return Response.json({ error, code: 'x' }, { status, headers })
}

/** An answer with these bytes. */
export function bytesOf(bytes: Uint8Array): Response {
  return new Response(new Uint8Array(bytes))
}
