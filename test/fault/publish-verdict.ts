/**
 * What must be true of a data dir after a publish that was struck: the log is sound as it lies
 * there, the instance starts without a hand, and everything that tells of the version tells the
 * same: it is there as a whole, or not at all.
 * @module
 */
import { createHash } from 'node:crypto'
import { DataDirReader } from '../../src/db/fsck-reader.ts'
import { readLogKey } from '../../src/db/keys.ts'
import { SqliteLogStore } from '../../src/db/log-store.ts'
import { openRegistryReadonly } from '../../src/db/open.ts'
import { Upstreams } from '../../src/db/upstreams.ts'
import { fsck } from '../../src/log/fsck.ts'
import { newVerifier } from '../../src/log/note.ts'
import { type Release, tarballOf } from '../fixtures/publishing.ts'
import { storedTarballs } from '../fixtures/stored-tarballs.ts'
import { BEFORE, Served } from './publish-server.ts'

/** What a start removes beside everything else is gone by then. */
const TIDY_MS_MAX = 3000
const TIDY_POLL_MS = 10

/** The faults that `log fsck` finds in a data dir. */
export async function logFaults(dataDir: string): Promise<string[]> {
  using db = openRegistryReadonly(dataDir)
  const reader = new DataDirReader(new SqliteLogStore(db, dataDir))
  const faults: string[] = []
  for await (const { path, what } of fsck(reader, newVerifier(readLogKey(dataDir).vkey))) {
    faults.push(`${path}: ${what}`)
  }
  return faults
}

/** What the struck publish left. @property isThere whether the version is */
export type Left = { faults: string[]; isThere: boolean }

/** Starts the instance, looks, publishes the same again, and looks again. */
export async function judge(
  dataDir: string,
  struck: Release,
  status: number | null,
): Promise<Left> {
  await using served = await Served.on(dataDir)
  const { faults, isThere } = await look(served, dataDir, struck)
  if (status === 201 && !isThere) faults.push('acknowledged and lost')
  const again = await served.publish(struck)
  const expected = isThere ? 403 : 201
  if (again.status !== expected) {
    faults.push(`again: ${again.status}, not ${expected}: ${await again.text()}`)
  }
  const after = await look(served, dataDir, struck)
  if (!after.isThere) faults.push('again: not there')
  const later = [...after.faults, ...(await logFaults(dataDir))]
  return { faults: [...faults, ...later.map(fault => `again: ${fault}`)], isThere }
}

/** Each thing that tells of the version, against whether its packument has it. */
async function look(served: Served, dataDir: string, struck: Release): Promise<Left> {
  const { name, version } = struck
  const bytes = tarballOf(struck)
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  const packument = await (await served.get(name)).text()
  const isThere = packument.includes(`"${name}@${version}"`)
  const tarball = await served.get(`${name}/-/${name}-${version}.tgz`)
  const sent = new Uint8Array(await tarball.arrayBuffer())
  const record = await (await served.get(`-/sumdb/lookup/${name}@${version}`)).text()
  const found = await (await served.get('-/v1/search?text=struck')).text()
  const rows = rowsOf(dataDir, name, version)
  const tells: Record<string, boolean> = {
    'tarball': tarball.status === 200 && Bun.deepEquals(sent, new Uint8Array(bytes)),
    'integrity in the packument': packument.includes(integrity),
    'dist-tag': packument.includes(`"latest":"${version}"`),
    'record': record.includes(` ${integrity}\n`),
    'search': found.includes(`"${name}"`),
    ...rows,
  }
  const faults = Object.entries(tells)
    .filter(([, told]) => told !== isThere)
    .map(([what]) => `${what}: ${isThere ? 'not there' : 'there'}, unlike the version`)
  if (isThere && name === BEFORE.name && !packument.includes(`"${name}@${BEFORE.version}"`)) {
    faults.push(`${BEFORE.version} is lost`)
  }
  const kept = [tarballOf(BEFORE), ...(isThere ? [bytes] : [])]
  const wanted = kept.map(one => createHash('sha512').update(one).digest('hex')).toSorted()
  const blobs = await blobsWhenTidy(dataDir, wanted)
  if (!Bun.deepEquals(blobs, wanted)) faults.push(`blobs: ${blobs.join(' ')}`)
  return { faults, isThere }
}

/** What the tables of the registry say of a version. */
function rowsOf(dataDir: string, name: string, version: string): Record<string, boolean> {
  using db = openRegistryReadonly(dataDir)
  const count = (sql: string, ...parameters: string[]): number =>
    db.database
      .query<{ n: number }, string[]>(`SELECT count(*) AS n FROM ${sql}`)
      .get(...parameters)?.n ?? 0
  const ofVersion = 'WHERE name = ? AND version = ?'
  return {
    'row of the version': count(`hosted_version ${ofVersion}`, name, version) === 1,
    'row of the tag': count(`hosted_tag ${ofVersion}`, name, version) === 1,
    'row of the record': count(`version ${ofVersion} AND leaf_idx > 0`, name, version) === 1,
    ...(name !== BEFORE.name && {
      'row of the package': count('hosted_package WHERE name = ?', name) === 1,
      'name': new Upstreams(db).get('hosted')?.names.includes(name) === true,
      'audit': count('audit WHERE after LIKE ?', `%"${name}"%`) === 1,
    }),
  }
}

async function blobsWhenTidy(dataDir: string, wanted: readonly string[]): Promise<string[]> {
  const giveUpAt = performance.now() + TIDY_MS_MAX
  for (;;) {
    const blobs = storedTarballs(dataDir)
    if (Bun.deepEquals(blobs, wanted) || performance.now() > giveUpAt) return blobs
    await Bun.sleep(TIDY_POLL_MS)
  }
}
