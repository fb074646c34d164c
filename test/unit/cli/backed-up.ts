/**
 * What a data dir that is backed up holds of published packages.
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openRegistry } from '../../../src/db/open.ts'

export const TARBALL = 'a published tarball'
export const ROW = new TextEncoder().encode('a small tarball')

/** Two versions that are published here: the tarball of one is a file, that of the other a row. */
export function publish(dataDir: string): string {
  using db = openRegistry(dataDir)
  const add = (version: string, digest: Uint8Array) => {
    const integrity = `sha512-${digest.toBase64()}`
    db.database.run(
      `INSERT INTO hosted_version (name, version, manifest, integrity, shasum, file, file_count,
         unpacked_size, published, publisher, keyid, sig)
       VALUES ('hosted', ?, '{}', ?, '', ?, 1, 1, '', '', '', '')`,
      [version, integrity, `hosted-${version}.tgz`],
    )
    return integrity
  }
  const digest = new Bun.CryptoHasher('sha512').update(TARBALL).digest()
  const path = join('blobs', digest.toHex().slice(0, 2), digest.toHex())
  mkdirSync(dirname(join(dataDir, path)), { recursive: true })
  writeFileSync(join(dataDir, path), TARBALL)
  add('1.0.0', digest)
  const row = add('1.0.1', new Bun.CryptoHasher('sha512').update(ROW).digest())
  db.database.run('INSERT INTO hosted_tarball (integrity, bytes) VALUES (?, ?)', [row, ROW])
  return path
}

/** The tarballs that are rows. */
export function rowsOf(dataDir: string): Uint8Array[] {
  using db = openRegistry(dataDir)
  const rows = db.database.query<{ bytes: Uint8Array }, []>('SELECT bytes FROM hosted_tarball')
  return rows.all().map(({ bytes }) => bytes)
}
