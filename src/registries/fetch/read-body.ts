/**
 * Reads the body of an answer under limits: bytes as they are after decompression, idle time, and
 * a pace, so that neither a bomb nor a drip holds memory or a place for long.
 *
 * The runtime reports a body shorter than its content-length, a chunked one without its end and a
 * gzip stream without its trailer as an error of the read; all of them end here as an error too,
 * never as a shorter result.
 *
 * @module
 */
import { RegistryError } from '../errors.ts'
import { garbageCollector } from '../garbage.ts'
import { networkError, UnreachableError } from './unreachable.ts'

export type Pace = {
  /** Longest time between two pieces. */
  idleTimeoutMs: number
  /** Waiting that is free; after it, each `bytesPerSecondMin` buys a second more. */
  graceMs: number
  bytesPerSecondMin: number
  /** Waiting after which it ends however much has come. */
  waitMsMax: number
}

/** One body, piece by piece. Time counts only while a piece is awaited, not while it is used. */
export class BodyReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #abort: AbortController
  readonly #host: string
  readonly #bytesMax: number
  readonly #pace: Pace
  readonly #now: () => number
  #waitedMs = 0
  #bytes = 0

  constructor(
    body: ReadableStream<Uint8Array>,
    options: {
      abort: AbortController
      host: string
      bytesMax: number
      pace: Pace
      now: () => number
    },
  ) {
    this.#reader = body.getReader()
    this.#abort = options.abort
    this.#host = options.host
    this.#bytesMax = options.bytesMax
    this.#pace = options.pace
    this.#now = options.now
  }

  /** Bytes that were read. */
  get bytes(): number {
    return this.#bytes
  }

  /** The next piece; undefined at the end. Whatever it throws, the connection is closed. */
  async read(): Promise<Uint8Array | undefined> {
    const piece = await this.#next()
    if (piece === undefined) return undefined
    this.#bytes += piece.byteLength
    if (this.#bytes > this.#bytesMax) {
      this.cancel()
      throw new RegistryError('too-large', `${this.#host} sent more than ${this.#bytesMax} bytes`)
    }
    return piece
  }

  /** Ends the exchange; what is still to come is not read. */
  cancel(): void {
    this.#abort.abort()
    // The abort is what closes the connection. That the reader then complains is no news.
    this.#reader.cancel().catch(() => undefined)
  }

  async #next(): Promise<Uint8Array | undefined> {
    const began = this.#now()
    const late = Promise.withResolvers<never>()
    const allowed = Math.max(0, Math.min(this.#pace.idleTimeoutMs, this.#leftMs()))
    const timer = setTimeout(() => {
      late.reject(new UnreachableError('timeout', `${this.#host} sends too slowly`))
    }, allowed)
    try {
      const { done, value } = await Promise.race([this.#reader.read(), late.promise])
      return done ? undefined : value
    } catch (error) {
      this.cancel()
      throw networkError(error, this.#host, 'body')
    } finally {
      clearTimeout(timer)
      this.#waitedMs += this.#now() - began
    }
  }

  #leftMs(): number {
    const { graceMs, bytesPerSecondMin, waitMsMax } = this.#pace
    const earned = graceMs + (this.#bytes / bytesPerSecondMin) * 1000
    return Math.min(earned, waitMsMax) - this.#waitedMs
  }
}

/**
 * Room that is set aside (not filled) for a body of unknown length. Nearly every packument fits;
 * a larger one is copied once into room for all that is allowed.
 */
const ROOM_BYTES = 32 * 1024 * 1024
/**
 * Pieces that were copied are garbage that the runtime does not count as such: left alone, they are
 * as much memory again as the body. Only giants are large enough for it to matter.
 */
const COLLECT_EVERY_BYTES = 16 * 1024 * 1024

function reserve(bytesMax: number): ArrayBuffer {
  try {
    return new ArrayBuffer(0, { maxByteLength: bytesMax })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new RegistryError('busy', 'no memory for an answer of this size', {
      retryAfterSeconds: 5,
    })
  }
}

/**
 * The whole body in one buffer that grows in place. The buffer is a resizable one: it can be moved
 * to a Worker, stored and hashed like any other.
 */
export async function readAll(reader: BodyReader, bytesMax: number): Promise<ArrayBuffer> {
  let buffer = reserve(Math.min(bytesMax, ROOM_BYTES))
  const collect = garbageCollector(COLLECT_EVERY_BYTES)
  for (;;) {
    const piece = await reader.read()
    if (piece === undefined) return buffer
    const at = buffer.byteLength
    const end = at + piece.byteLength
    if (end > buffer.maxByteLength) {
      const larger = reserve(bytesMax)
      larger.resize(at)
      new Uint8Array(larger).set(new Uint8Array(buffer))
      buffer = larger
    }
    buffer.resize(end)
    new Uint8Array(buffer, at).set(piece)
    collect(end)
  }
}
