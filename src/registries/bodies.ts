/**
 * Rendered bodies, ready to send, shared by every connection.
 *
 * A `Blob` handed to `new Response` is not copied per connection, bytes are: 1,000 stalled readers
 * of one 20 MB packument cost one Blob, not 20 GB. So every body leaves as a Blob of this cache or,
 * when it is too large for memory, as a file. Holds what was rendered; renders nothing.
 * @module
 */
import { promisify } from 'node:util'
import { gunzip, gzipSync } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import type { CacheFiles } from '../db/cache-files.ts'
import { type Encoding, GZIP_LEVEL } from './encoding.ts'
import { loopTurns } from './loop-turns.ts'
import { SingleFlight } from './single-flight.ts'

/** Bytes of bodies kept in memory. A busy application's ~400 packuments gzip'd are about 30 MB. */
const BODY_CACHE_BYTES_MAX = 64 * 1024 * 1024
/** Bodies above this leave from disk: one of them would push everything else out. */
const IN_MEMORY_BYTES_MAX = 24 * 1024 * 1024
/** What an empty body counts as: the entry itself is not free. */
const ENTRY_BYTES = 512

const inflate = promisify(gunzip)

/** A body as whoever has it hands it out: compressed; or plain, when it is a small one. */
export type Stored = { gzip: Blob } | { plain: Uint8Array<ArrayBuffer> }
/**
 * One rendered answer. `id` names the bytes: the same id is the same body for ever.
 * `read` hands out the form that is at hand; `length` is that of the plain form, in bytes.
 */
export type Body = { id: string; read: () => Stored | Promise<Stored>; length: number }
/** What a Response is made of, and the content-encoding to declare (none for identity). */
export type Sendable = { data: Blob; encoding: 'gzip' | 'zstd' | null }

/** Shared bodies of all encodings under one memory bound. */
export class Bodies {
  readonly #blobs = new LRUCache<string, Blob>({
    maxSize: BODY_CACHE_BYTES_MAX,
    sizeCalculation: blob => blob.size + ENTRY_BYTES,
  })
  readonly #making = new SingleFlight<Sendable>()
  readonly #files: CacheFiles

  constructor(files: CacheFiles) {
    this.#files = files
  }

  /** The body at once, when it is at hand in this encoding. */
  peek(id: string, encoding: Encoding): Sendable | undefined {
    const data = this.#blobs.get(`${encoding} ${id}`)
    if (data === undefined) return undefined
    return { data, encoding: encoding === 'identity' ? null : encoding }
  }

  /** The body in this encoding, made once however many ask. */
  async get(body: Body, encoding: Encoding): Promise<Sendable> {
    const ready = this.peek(body.id, encoding)
    if (ready !== undefined) return ready
    return await this.#making.run(`${encoding} ${body.id}`, () => this.#make(body, encoding))
  }

  async #make(body: Body, encoding: Encoding): Promise<Sendable> {
    const found = await body.read()
    if ('plain' in found) {
      return await loopTurns.run(() => this.#small(body.id, encoding, found.plain))
    }
    const stored = found.gzip
    if (encoding === 'gzip') return await this.#gzip(body, stored)
    if (body.length > IN_MEMORY_BYTES_MAX) {
      if (encoding === 'zstd') return await this.#gzip(body, stored)
      return { data: await this.#files.inflated(`plain-${body.id}`, stored), encoding: null }
    }
    const plain = new Uint8Array(await inflate(await stored.bytes()))
    if (encoding === 'identity') return this.#keep(body.id, encoding, plain)
    return this.#keep(body.id, encoding, new Uint8Array(await Bun.zstdCompress(plain)))
  }

  async #gzip(body: Body, stored: Blob): Promise<Sendable> {
    if (stored.size > IN_MEMORY_BYTES_MAX) return { data: stored, encoding: 'gzip' }
    return this.#keep(body.id, 'gzip', await stored.bytes())
  }

  /** Compressed at once, and only as it was asked for: a way through another thread costs more. */
  #small(id: string, encoding: Encoding, plain: Uint8Array<ArrayBuffer>): Sendable {
    if (encoding === 'identity') return this.#keep(id, encoding, plain)
    const packed =
      encoding === 'gzip' ? gzipSync(plain, { level: GZIP_LEVEL }) : Bun.zstdCompressSync(plain)
    return this.#keep(id, encoding, new Uint8Array(packed))
  }

  #keep(id: string, encoding: Encoding, bytes: Uint8Array<ArrayBuffer>): Sendable {
    const data = new Blob([bytes])
    this.#blobs.set(`${encoding} ${id}`, data)
    return { data, encoding: encoding === 'identity' ? null : encoding }
  }
}
