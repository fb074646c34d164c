/**
 * The package.json inside a tarball, for the one question whether a manifest is that of the bytes:
 * a registry's signature covers the bytes and not the manifest that comes with them.
 *
 * The bytes must have been checked before. Honest differences exist (registries tidy `bin`, add
 * `node-gyp rebuild`): a difference is no proof of a lie, only no proof of the truth.
 * @module
 */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { asObject, hashProjection, projectManifest, ProjectionError } from './manifest.ts'

/** Nearly all packages unpack to less; what is larger stays unproven. */
const UNPACKED_BYTES_MAX = 128 * 1024 * 1024
/** Clients strip the first folder, whatever it is called. */
const MANIFEST_PATH = /^(?:\.\/)?[^/]+\/package\.json$/

const inflate = promisify(gunzip)

/**
 * The hash of the install-relevant projection of the package.json inside; undefined when there is
 * not exactly one that can be read, or when it is that of another package or version.
 */
export async function projectionInTarball(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  version: string,
): Promise<string | undefined> {
  const text = await manifestText(bytes)
  if (text === undefined) return undefined
  try {
    const manifest = asObject(JSON.parse(text))
    if (manifest?.['name'] !== name || manifest['version'] !== version) return undefined
    return hashProjection(projectManifest(manifest, name))
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof ProjectionError) return undefined
    throw error
  }
}

async function manifestText(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  let files: Map<string, File>
  try {
    const tar = await inflate(bytes, { maxOutputLength: UNPACKED_BYTES_MAX })
    files = await new Bun.Archive(new Uint8Array(tar)).files()
  } catch (error) {
    // Neither library has an error class of its own for bytes that it cannot read.
    if (error instanceof Error) return undefined
    throw error
  }
  const found = [...files].filter(([path]) => MANIFEST_PATH.test(path))
  const [only] = found
  return found.length === 1 && only !== undefined ? await only[1].text() : undefined
}
