/**
 * Which files a backup is made of, given a copy of `registry.db`: that copy, the full tiles of the
 * tree that it has signed and no later ones, and the tarballs that it refers to and does not hold
 * itself. The paths are those of a data dir.
 *
 * Keys are listed apart, since a backup holds them only on request. The cache is not part of it.
 * @module
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { and, isNull, notInArray } from 'drizzle-orm'
import { filesOf, fullTiles } from '../log/full-tiles.ts'
import type { LogState } from '../log/log.ts'
import { levelWidth, type Tile } from '../log/tile.ts'
import type { RegistryDb } from './registry-db.ts'
import { hostedTarball, hostedVersion } from './schema-hosted.ts'
import { stage } from './schema-stage.ts'
import { checkTarball, fileDigest } from './tarballs.ts'

export const DATABASE_FILE = 'registry.db'

/** What may stand in a backup, and nothing else may: no path leads out of its folder. */
const PATHS = [
  /^registry\.db$/,
  /^keys\/[a-z][\w-]*\.key(?:\.next)?$/,
  /^tiles\/tile\/(?:\d{1,2}|entries)\/(?:x\d{3}\/)*\d{3}$/,
  /^(?:blobs|staged)\/[0-9a-f]{2}\/[0-9a-f]{128}$/,
]

/** Whether a file of a backup may have this path. */
export function isBackupPath(path: string): boolean {
  return PATHS.some(pattern => pattern.test(path))
}

/** The SHA-512 that a stored file is named for; null for every other file. */
export function digestOf(path: string): string | null {
  return /^(?:blobs|staged)\//.test(path) ? path.slice(-128) : null
}

/** The files of the tree below `size` that a sound data dir has. */
export function tileFiles(dataDir: string, state: LogState): string[] {
  return fullTiles(0, state.size).flatMap(tile =>
    filesOf(tile)
      .map(path => join('tiles', path))
      .filter(path => !mayBeMissing(tile, state) || existsSync(join(dataDir, path))),
  )
}

/** The newest are written just after the commit; a start writes those that are missing. */
function mayBeMissing({ level, index }: Tile, state: LogState): boolean {
  return index >= levelWidth(state.publishedSize, level + 1)
}

/** The files of tarballs that versions refer to, and of bodies that wait for approval, each once. */
export function blobFiles(db: RegistryDb): string[] {
  const rows = db.orm.select({ integrity: hostedTarball.integrity }).from(hostedTarball)
  const versions = db.orm
    .selectDistinct({ integrity: hostedVersion.integrity })
    .from(hostedVersion)
    .where(and(isNull(hostedVersion.unpublished), notInArray(hostedVersion.integrity, rows)))
    .all()
  const staged = db.orm.selectDistinct({ body: stage.body }).from(stage).all()
  return [
    ...versions.map(({ integrity }) => {
      const digest = fileDigest(integrity)
      return `blobs/${digest.slice(0, 2)}/${digest}`
    }),
    ...staged.map(({ body }) => `staged/${body.slice(0, 2)}/${body}`),
  ]
}

/** Compares the tarballs that are rows with their hashes. @throws BlobError damaged */
export function checkTarballRows({ database }: RegistryDb): void {
  const rows = database.query<{ integrity: string; bytes: Uint8Array }, []>(
    'SELECT integrity, bytes FROM hosted_tarball',
  )
  for (const { integrity, bytes } of rows.iterate()) checkTarball(integrity, bytes)
}

/** The key files of a data dir, or of a copy of its folder `keys`. */
export function keyFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map(name => `keys/${name}`)
    .filter(path => isBackupPath(path) && isFile(join(folder, '..', path)))
}

/** Also when a key that waited beside another one has just taken its place. */
function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
