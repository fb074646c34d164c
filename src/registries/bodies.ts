/**
 * Rendered bodies, ready to send, shared by every connection.
 *
 * A `Blob` handed to `new Response` is not copied per connection, bytes are: 1,000 stalled readers
 * of one 20 MB packument cost one Blob, not 20 GB. So every body leaves as a Blob of this cache or,
 * when its plain form is too large for memory, as a file. Holds what was rendered; renders nothing.
 * @module
 */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import { SingleFlight } from './single-flight.ts'
import type { PlainFiles } from '../db/plain-files.ts'

/** Bytes of bodies kept in memory. A busy application's ~400 packuments gzip'd are about 30 MB. */
const BODY_CACHE_BYTES_MAX = 64 * 1024 * 1024
/** Plain bodies above this leave from disk: one of them would push everything else out. */
const PLAIN_IN_MEMORY_BYTES_MAX = 24 * 1024 * 1024
/** What an empty body counts as: the entry itself is not free. */
const ENTRY_BYTES = 512

const inflate = promisify(gunzip)

/**
 * One rendered answer. `id` names the bytes: the same id is the same body for ever.
 * `gzip` reads the stored form; `length` is that of the plain form, in bytes.
 */
export type Body = { id: string; gzip: () => Uint8Array; length: number }
/** What a Response is made of, and the content-encoding to declare (none for identity). */
export type Sendable = { data: Blob; encoding: 'gzip' | 'zstd' | null }

/** Shared bodies of all encodings under one memory bound. */
export class Bodies {
  readonly #blobs = new LRUCache<string, Blob>({
    maxSize: BODY_CACHE_BYTES_MAX,
    sizeCalculation: blob => blob.size + ENTRY_BYTES,
  })
  readonly #making = new SingleFlight<Sendable>()
  readonly #plainFiles: PlainFiles

  constructor(plainFiles: PlainFiles) {
    this.#plainFiles = plainFiles
  }

  /** The body at once, when it is at hand in this encoding. */
  peek(id: string, encoding: 'gzip' | 'zstd' | 'identity'): Sendable | undefined {
    const data = this.#blobs.get(`${encoding} ${id}`)
    if (data === undefined) return undefined
    return { data, encoding: encoding === 'identity' ? null : encoding }
  }

  /** The body in this encoding, made from its gzip form once however many ask. */
  async get(body: Body, encoding: 'gzip' | 'zstd' | 'identity'): Promise<Sendable> {
    const ready = this.peek(body.id, encoding)
    if (ready !== undefined) return ready
    return this.#making.run(`${encoding} ${body.id}`, () => this.#make(body, encoding))
  }

  async #make(body: Body, encoding: 'gzip' | 'zstd' | 'identity'): Promise<Sendable> {
    if (encoding === 'gzip') return this.#keep(body.id, encoding, body.gzip())
    if (body.length > PLAIN_IN_MEMORY_BYTES_MAX) {
      if (encoding === 'zstd') return this.#keep(body.id, 'gzip', body.gzip())
      return { data: await this.#plainFiles.inflated(body.id, body.gzip()), encoding: null }
    }
    const plain = await inflate(body.gzip())
    if (encoding === 'identity') return this.#keep(body.id, encoding, plain)
    return this.#keep(body.id, encoding, await Bun.zstdCompress(plain))
  }

  #keep(id: string, encoding: 'gzip' | 'zstd' | 'identity', bytes: Uint8Array): Sendable {
    const data = new Blob([bytes as Uint8Array<ArrayBuffer>])
    this.#blobs.set(`${encoding} ${id}`, data)
    return { data, encoding: encoding === 'identity' ? null : encoding }
  }
}
