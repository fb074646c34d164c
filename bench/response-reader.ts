/**
 * Finds the ends of HTTP/1.1 responses in what a connection delivers (RFC 9112, sections 6 and 7):
 * bodies with a length and chunked ones. Only what a load generator needs: bodies are counted and
 * thrown away, trailers are not expected.
 * @module
 */

const HEAD_END = '\r\n\r\n'
/** Two bytes end each chunk. */
const CRLF_BYTES = 2

/** What was learnt from one piece: responses that ended in it, and how many were no 200. */
export type Progress = { ended: number; failed: number }

/** Reads one connection. */
export class ResponseReader {
  #state: 'head' | 'length' | 'chunk-head' | 'chunk' | 'last' = 'head'
  #text = ''
  #left = 0

  /** Takes the next piece. @throws Error for an answer that it cannot follow */
  push(piece: Uint8Array): Progress {
    const progress = { ended: 0, failed: 0 }
    let at = 0
    while (at < piece.length) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(piece, at, progress)
          break
        case 'chunk-head':
          at = this.#readChunkHead(piece, at)
          break
        default:
          at = this.#skip(piece, at, progress)
      }
    }
    return progress
  }

  #skip(piece: Uint8Array, at: number, progress: Progress): number {
    const taken = Math.min(this.#left, piece.length - at)
    this.#left -= taken
    if (this.#left === 0) {
      if (this.#state === 'chunk') this.#state = 'chunk-head'
      else this.#end(progress)
    }
    return at + taken
  }

  #end(progress: Progress): void {
    progress.ended += 1
    this.#state = 'head'
  }

  #readHead(piece: Uint8Array, at: number, progress: Progress): number {
    const { text, next } = this.#textUntil(HEAD_END, piece, at)
    if (text === null) return next
    if (!text.startsWith('HTTP/1.1 200 ')) progress.failed += 1
    if (/^transfer-encoding: *chunked/im.test(text)) {
      this.#state = 'chunk-head'
      return next
    }
    const length = /^content-length: *(\d+)/im.exec(text)?.[1]
    if (length === undefined) throw new Error('an answer without a length')
    this.#left = Number(length)
    this.#state = 'length'
    if (this.#left === 0) this.#end(progress)
    return next
  }

  #readChunkHead(piece: Uint8Array, at: number): number {
    const { text, next } = this.#textUntil('\r\n', piece, at)
    if (text === null) return next
    const size = Number.parseInt(text, 16)
    if (Number.isNaN(size)) throw new Error('a chunk without a size')
    this.#left = size + CRLF_BYTES
    this.#state = size === 0 ? 'last' : 'chunk'
    return next
  }

  /** Text up to `end`, which may be spread over pieces; null when `end` has not come yet. */
  #textUntil(end: string, piece: Uint8Array, at: number): { text: string | null; next: number } {
    const before = this.#text.length
    // Heads are short: what follows one in the same piece must not be copied with it.
    const near = this.#text + latin1(piece.subarray(at, at + HEAD_BYTES_MAX))
    const found = near.indexOf(end)
    if (found >= 0) {
      this.#text = ''
      return { text: near.slice(0, found), next: at + found + end.length - before }
    }
    if (near.length > HEAD_BYTES_MAX) throw new Error('an answer whose head does not end')
    this.#text = near
    return { text: null, next: piece.length }
  }
}

/** No server measured here sends a longer head. */
const HEAD_BYTES_MAX = 4096

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
