/**
 * What must be true of a data dir that was restored from a backup: its log is sound, exactly the
 * tarballs that its versions refer to are there and are what they are named for, a server starts on it, and
 * each package is in one of the states in which it can have been (publish-history.ts).
 * @module
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { blobFiles, checkTarballRows } from '../../src/db/backup-contents.ts'
import { SqliteLogStore } from '../../src/db/log-store.ts'
import { openRegistryReadonly } from '../../src/db/open.ts'
import { tarballOf } from '../fixtures/publishing.ts'
import type { Package, State } from './publish-history.ts'
import type { Mark } from './publish-load.ts'

const VersionShape = Type.Object({
  dist: Type.Object({ integrity: Type.String() }),
  deprecated: Type.Optional(Type.String()),
})
const PackumentShape = Type.Object({
  'versions': Type.Record(Type.String(), VersionShape),
  'dist-tags': Type.Record(Type.String(), Type.String()),
})
const StagedShape = Type.Object({
  items: Type.Array(Type.Object({ id: Type.String(), version: Type.String() })),
})

const CONTENT_TAG = /^sha512-[0-9a-f]{128}$/

/** The files of tarballs and staged bodies, as paths of the data dir. */
export function storedFiles(dataDir: string): string[] {
  return ['blobs', 'staged'].flatMap(folder => {
    const path = join(dataDir, folder)
    if (!existsSync(path)) return []
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(({ name }) => `${folder}/${name.slice(0, 2)}/${name}`)
  })
}

/** The files that its rows refer to. */
export function neededFiles(dataDir: string): string[] {
  using db = openRegistryReadonly(dataDir)
  return blobFiles(db)
}

/** What is wrong with the files and rows of a restored data dir that no server has opened yet. */
export function faultsOnDisk(dataDir: string, { records }: Mark): string[] {
  const stored = storedFiles(dataDir)
  const needed = neededFiles(dataDir)
  const damaged = stored.filter(path => {
    const found = createHash('sha512')
      .update(readFileSync(join(dataDir, path)))
      .digest('hex')
    return !path.endsWith(found)
  })
  using db = openRegistryReadonly(dataDir)
  checkTarballRows(db)
  const unneeded = db.database
    .query<{ integrity: string }, []>(
      `SELECT integrity FROM hosted_tarball WHERE integrity NOT IN
         (SELECT integrity FROM hosted_version WHERE unpublished IS NULL)`,
    )
    .all()
  const store = new SqliteLogStore(db, dataDir)
  const size = store.readState()?.size ?? 0
  const lost = [...records].filter(([, { index, text }]) => {
    const [leaf] = index < size ? store.readLeaves(index, index + 1) : []
    return new TextDecoder().decode(leaf) !== text
  })
  return [
    ...needed.filter(path => !stored.includes(path)).map(path => `${path}: missing`),
    ...stored.filter(path => !needed.includes(path)).map(path => `${path}: of nothing`),
    ...unneeded.map(({ integrity }) => `row of ${integrity}: of nothing`),
    ...damaged.map(path => `${path}: damaged`),
    ...lost.map(([name, { index }]) => `${name}: not at ${index} of ${size}`),
  ]
}

/** What is wrong with what a server says. @param authorization of somebody who may read it all */
export async function faultsServed(
  url: string,
  authorization: string,
  mark: Mark,
): Promise<string[]> {
  const get = (path: string, as = authorization) =>
    fetch(`${url}${path}`, { headers: { authorization: as }, redirect: 'manual' })
  const faults: string[] = []
  for (const [each, span] of mark.spans) {
    const { state, notes } = await seen(each, get)
    faults.push(...notes)
    const possible = each.within(span)
    if (possible.some(one => Bun.deepEquals(one, state))) continue
    faults.push(`${each.name}: ${JSON.stringify(state)} is none of ${JSON.stringify(possible)}`)
  }
  for (const { id, authorization: as } of mark.working) {
    const { status } = await get('-/whoami', as)
    if (status !== 200) faults.push(`token ${id}: ${status}`)
  }
  for (const { id, authorization: as } of mark.revoked) {
    const { status } = await get('-/whoami', as)
    if (status !== 401) faults.push(`revoked token ${id}: ${status}`)
  }
  return faults
}

type Get = (path: string) => Promise<Response>

/** A package as this server has it; what its parts contradict each other in is noted. */
async function seen(each: Package, get: Get): Promise<{ state: State; notes: string[] }> {
  const { name } = each
  const answer = await get(name)
  const text = await answer.text()
  if (answer.status !== 200 && answer.status !== 404) {
    return { state: emptyState(), notes: [`${name}: ${answer.status} ${text}`] }
  }
  const state = emptyState()
  const notes: string[] = []
  if (answer.status === 200) {
    const packument = Value.Parse(PackumentShape, JSON.parse(text))
    // Beside those that people gave is one for the content of each version.
    const given = Object.entries(packument['dist-tags']).filter(([tag]) => !CONTENT_TAG.test(tag))
    state.tags = Object.fromEntries(given)
    for (const [version, { dist, deprecated = null }] of Object.entries(packument.versions)) {
      state.versions[version] = { integrity: dist.integrity, deprecated }
    }
  }
  for (const version of each.versions) {
    const file = `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`
    const tarball = await get(`${name}/-/${file}`)
    const bytes = new Uint8Array(await tarball.arrayBuffer())
    if (tarball.status === 410) state.gone.push(version)
    const isThere = tarball.status === 200 && isOf(each, version, bytes)
    if (isThere === version in state.versions) continue
    notes.push(`${name}@${version}: tarball ${tarball.status}, ${bytes.length} bytes`)
  }
  const page = await (await get(`-/stage?package=${encodeURIComponent(name)}&perPage=100`)).json()
  for (const { id, version } of Value.Parse(StagedShape, page).items) {
    state.staged.push(version)
    const tarball = await get(`-/stage/${id}/tarball`)
    const bytes = new Uint8Array(await tarball.arrayBuffer())
    if (tarball.status === 200 && isOf(each, version, bytes)) continue
    notes.push(`${name}@${version}, staged: tarball ${tarball.status}, ${bytes.length} bytes`)
  }
  return { state, notes }
}

function isOf(each: Package, version: string, bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, tarballOf(each.release(version))) === 0
}

function emptyState(): State {
  return { versions: {}, tags: {}, gone: [], staged: [] }
}
