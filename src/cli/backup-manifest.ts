/**
 * The manifest of a backup, its last file: what it was made of, and the SHA-256 of every other file.
 * A second file holds the manifest's own, in the form of `sha256sum`.
 *
 *     manifest.json          {"format":"npmx-registry-backup","version":1,…,"files":[…]}
 *     manifest.json.sha256   <64 hex digits>  manifest.json
 *
 * It finds damage, not forgery: whoever can write a backup can write another manifest. What stands
 * in the log is vouched for by the log's own signature.
 * @module
 */
import { createHash } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { isBackupPath } from '../db/backup-contents.ts'

export const MANIFEST_FILE = 'manifest.json'
export const MANIFEST_SUM_FILE = 'manifest.json.sha256'

/** Some 200 bytes for each file: a log of a hundred million leaves and a million tarballs. */
export const MANIFEST_BYTES_MAX = 512 * 1024 * 1024

const FORMAT = 'npmx-registry-backup'

const FileShape = Type.Object({
  path: Type.String(),
  bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
})

const ManifestShape = Type.Object({
  format: Type.Literal(FORMAT),
  version: Type.Literal(1),
  /** The program that made it. */
  program: Type.String(),
  created: Type.String(),
  /** Whether the private keys are in it. */
  keys: Type.Boolean(),
  log: Type.Object({
    /** Verifier key of the log, so that it can be checked where the private key is not at hand. */
    vkey: Type.String(),
    size: Type.Integer({ minimum: 0 }),
    /** Base64. */
    root: Type.String(),
  }),
  files: Type.Array(FileShape),
})

export type BackupFile = Static<typeof FileShape>
export type BackupManifest = Static<typeof ManifestShape>

/** A backup that is damaged, incomplete, or none at all. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
  readonly code = 'bad-backup'
}

/** The two files that a manifest is written as. */
export function encodeManifest(contents: Omit<BackupManifest, 'format' | 'version'>): {
  text: Uint8Array
  sum: Uint8Array
} {
  const manifest: BackupManifest = { format: FORMAT, version: 1, ...contents }
  const text = Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`)
  return { text, sum: Buffer.from(sumLine(text)) }
}

/** @throws BackupError */
export function parseManifest(text: Uint8Array, sum: Uint8Array): BackupManifest {
  if (Buffer.from(sum).toString() !== sumLine(text)) {
    throw new BackupError(`${MANIFEST_FILE} does not have the hash that ${MANIFEST_SUM_FILE} says`)
  }
  const parsed = parseJson(text)
  if (!Value.Check(ManifestShape, parsed)) {
    const [first] = Value.Errors(ManifestShape, parsed)
    const where = first === undefined ? '' : ` (${first.path} ${first.message})`
    throw new BackupError(`${MANIFEST_FILE} is not one that this program knows${where}`)
  }
  const paths = new Set<string>()
  for (const { path } of parsed.files) {
    if (!isBackupPath(path) || paths.has(path)) {
      throw new BackupError(
        `${MANIFEST_FILE} lists ${JSON.stringify(path)}, which is no file of it`,
      )
    }
    paths.add(path)
  }
  return parsed
}

function parseJson(text: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(text).toString())
  } catch (error) {
    throw new BackupError(`${MANIFEST_FILE} is no JSON`, { cause: error })
  }
}

function sumLine(text: Uint8Array): string {
  return `${createHash('sha256').update(text).digest('hex')}  ${MANIFEST_FILE}\n`
}
