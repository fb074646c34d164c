/**
 * The end of rendering: pieces of a document become gzip (RFC 1952), a strong ETag and a length, in
 * one pass. A document of 100 MB never exists twice: pieces are views of the raw bytes, gathered
 * into one staging buffer where they are small.
 *
 * @module
 */
import { createHash, type Hash } from 'node:crypto'
import { createGzip, type Gzip } from 'node:zlib'
import { GZIP_LEVEL } from '../encoding.ts'
import { garbageCollector } from '../garbage.ts'
import type { Rendered } from './render.ts'

/** What is hashed and compressed at a time: large enough that the calls do not count. */
const STAGE_BYTES = 512 * 1024

export async function packRendered(parts: Iterable<Uint8Array>): Promise<Rendered> {
  const output = new Output()
  for (const part of parts) {
    let rest = output.stage(part)
    while (rest.length > 0) {
      await output.flush()
      rest = output.stage(rest)
    }
  }
  return output.finish()
}

class Output {
  readonly #hash: Hash = createHash('sha256')
  readonly #gzip: Gzip = createGzip({ level: GZIP_LEVEL, chunkSize: STAGE_BYTES })
  readonly #packed: Buffer[] = []
  readonly #stage = Buffer.allocUnsafeSlow(STAGE_BYTES)
  readonly #collect = garbageCollector()
  #staged = 0
  #length = 0

  constructor() {
    this.#gzip.on('data', (chunk: Buffer) => this.#packed.push(chunk))
  }

  /** Takes what there is room for; the rest waits for a flush. */
  stage(part: Uint8Array): Uint8Array {
    const chunk = part.subarray(0, STAGE_BYTES - this.#staged)
    this.#stage.set(chunk, this.#staged)
    this.#staged += chunk.length
    return part.subarray(chunk.length)
  }

  async finish(): Promise<Rendered> {
    await this.flush()
    await new Promise<void>((resolve, reject) => {
      this.#gzip.once('end', resolve).once('error', reject).end()
    })
    return {
      gzip: Buffer.concat(this.#packed),
      length: this.#length,
      etag: `"${this.#hash.digest('base64url')}"`,
    }
  }

  /** The stage is free again when the compressor has taken what is in it. */
  async flush(): Promise<void> {
    const chunk = this.#stage.subarray(0, this.#staged)
    this.#staged = 0
    this.#length += chunk.length
    this.#collect(this.#length)
    this.#hash.update(chunk)
    await new Promise<void>((resolve, reject) => {
      this.#gzip.write(chunk, error => (error ? reject(error) : resolve()))
    })
  }
}
