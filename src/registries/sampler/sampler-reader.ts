/**
 * One look at a tarball while it streams by: its sha512, and the package.json inside.
 *
 * Nothing is held but that one file, however large the tarball is. The bytes are unchecked while
 * they are read, so everything has a limit, and what was read counts only when the caller finds the
 * integrity to be the recorded one. Nothing is unpacked to disk and no other file is looked at.
 * @module
 */
import { createHash } from 'node:crypto'
import { createGunzip } from 'node:zlib'
import type { Parser, ReadEntry } from 'tar'
import { asObject, type JsonObject } from '../packument/manifest.ts'

/** Packages with browsers or models inside unpack to some gigabyte; a bomb goes on for ever. */
const UNPACKED_BYTES_MAX = 2 * 1024 * 1024 * 1024
/** A package.json of this size is no package.json. */
const MANIFEST_BYTES_MAX = 4 * 1024 * 1024
/** Files below `directories.bin`, of whose names something depends; real packages have a few. */
const PATHS_MAX = 50_000
/** What the library calls an archive that can be read in two ways; its other warnings are remarks. */
const BROKEN: ReadonlySet<string> = new Set(['TAR_BAD_ARCHIVE', 'TAR_ABORT', 'TAR_ENTRY_INVALID'])
/** Clients strip the first folder, whatever it is called. */
const MANIFEST_PATH = /^(?:\.\/)?[^/]+\/package\.json$/

/** What is inside a tarball. @property paths of its files, below the first folder */
export type PackageInside = { manifest: JsonObject; paths: ReadonlySet<string> }

/** What a tarball is. @property inside undefined: `fault` says why it could not be looked at */
export type TarballLook = {
  integrity: string
  sha256: string
  length: number
  inside: PackageInside | undefined
  fault: string
}

/** Reads a tarball to its end. Throws what the stream throws. */
export async function lookInside(stream: AsyncIterable<Uint8Array>): Promise<TarballLook> {
  const sha512 = createHash('sha512')
  const sha256 = createHash('sha256')
  // Loaded with the first sample: a start has other things to do.
  const { Parser: TarParser } = await import('tar')
  const reader = new Reader(TarParser)
  let length = 0
  for await (const chunk of stream) {
    sha512.update(chunk)
    sha256.update(chunk)
    length += chunk.byteLength
    await reader.write(chunk)
  }
  const found = await reader.end()
  const integrity = `sha512-${sha512.digest('base64')}`
  return { integrity, sha256: sha256.digest('hex'), length, ...found }
}

/** Unpacks what is written to it and keeps the package.json. */
class Reader {
  readonly #gunzip = createGunzip()
  readonly #parser: Parser
  readonly #ended = Promise.withResolvers<void>()
  readonly #manifests: Buffer[] = []
  readonly #paths = new Set<string>()
  #unpacked = 0
  #fault = ''

  constructor(TarParser: typeof Parser) {
    this.#parser = new TarParser({ onReadEntry: entry => this.#take(entry) })
    // Whatever is wrong with it: this tarball cannot be read, and nobody else is hurt.
    this.#gunzip.on('error', error => this.#fail(`it is no gzip file: ${error.message}`))
    this.#parser.on('error', error => this.#fail(`it is no tar file: ${String(error)}`))
    this.#parser.on('warn', (code: string) => {
      if (BROKEN.has(code)) this.#fail(`it is no good tar file: ${code}`)
    })
    this.#parser.on('end', () => this.#ended.resolve())
    this.#gunzip.on('data', (chunk: Buffer) => this.#unpack(chunk))
    this.#gunzip.on('end', () => this.#parser.end())
  }

  /** Waits while the unpacker has enough to do. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#fault !== '' || this.#gunzip.write(chunk)) return
    await Promise.race([
      new Promise(resolve => this.#gunzip.once('drain', resolve)),
      this.#ended.promise,
    ])
  }

  async end(): Promise<Pick<TarballLook, 'inside' | 'fault'>> {
    if (this.#fault === '') this.#gunzip.end()
    await this.#ended.promise
    const inside = this.#fault === '' ? this.#inside() : undefined
    return { inside, fault: this.#fault }
  }

  #unpack(chunk: Buffer): void {
    if (this.#fault !== '') return
    this.#unpacked += chunk.byteLength
    if (this.#unpacked > UNPACKED_BYTES_MAX) this.#fail('it unpacks to more than is looked at')
    else this.#parser.write(chunk)
  }

  #take(entry: ReadEntry): void {
    if (this.#paths.size < PATHS_MAX) this.#paths.add(entry.path.replace(/^(?:\.\/)?[^/]+\//, ''))
    if (!MANIFEST_PATH.test(entry.path) || entry.type === 'Directory') {
      entry.resume()
      return
    }
    if (entry.size > MANIFEST_BYTES_MAX) {
      this.#fail('its package.json is larger than is looked at')
      entry.resume()
      return
    }
    const parts: Buffer[] = []
    entry.on('data', part => parts.push(part))
    entry.on('end', () => this.#manifests.push(Buffer.concat(parts)))
  }

  #inside(): PackageInside | undefined {
    const [only] = this.#manifests
    if (only === undefined || this.#manifests.length !== 1) {
      this.#fault = `it has ${this.#manifests.length} files package.json, not one`
      return undefined
    }
    const manifest = parsed(only)
    if (manifest === undefined) this.#fault = 'its package.json is no JSON object'
    return manifest && { manifest, paths: this.#paths }
  }

  #fail(why: string): void {
    if (this.#fault === '') this.#fault = why
    this.#gunzip.destroy()
    this.#ended.resolve()
  }
}

function parsed(bytes: Buffer): JsonObject | undefined {
  try {
    // A byte order mark is what some editors on Windows leave; clients pass over it.
    return asObject(JSON.parse(bytes.toString().replace(/^\u{feff}/u, '')))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
