/**
 * The one gzip member that a published tarball is (RFC 1952), inflated piece by piece.
 *
 * Programs disagree on what follows the first member: some read on, some stop, some fail, so that
 * one file would install differently. Here nothing may follow it. The check value and the length at
 * its end are checked, and output is bounded while it comes: by itself, and by what went in, since
 * deflate packs at most 1,032 to 1.
 *
 * @module
 */
import { crc32, createInflateRaw, inflateRawSync } from 'node:zlib'
import { RegistryError } from '../errors.ts'

/** The largest real packages (browsers and runtimes in a tarball) unpack to half of it. */
const UNPACKED_BYTES_MAX = 512 * 1024 * 1024
/** Real packages reach 60 to 1 (data tables, icons). Nothing small is worth refusing. */
const RATIO_MAX = 200
const RATIO_FREE_BYTES = 8 * 1024 * 1024
/** The thread goes on with other work between two pieces. */
const CHUNK_BYTES = 64 * 1024
/** Half of all tarballs: done in a tenth of a millisecond, less than the way to another thread. */
const AT_ONCE_BYTES_MAX = 64 * 1024
/** About a millisecond; what unpacks to more goes the long way. */
const AT_ONCE_UNPACKED_BYTES_MAX = 512 * 1024
/** What is made ready for it at least: its end may say nothing of the kind. */
const AT_ONCE_UNPACKED_BYTES_MIN = 16 * 1024

const FIXED_HEADER_BYTES = 10
const TRAILER_BYTES = 8
const DEFLATE = 8
const FLAG_HEADER_CRC = 2
const FLAG_EXTRA = 4
const FLAG_NAME = 8
const FLAG_COMMENT = 16
const FLAGS_RESERVED = 0xe0
/** A file name; nothing else that belongs into the header of a tarball. */
const HEADER_BYTES_MAX = 1024

/**
 * All that the member holds, at once; null when that would take long: then `inflateMember` is for
 * it. Throws `unprocessable`.
 */
export function inflateSmallMember(bytes: Uint8Array): Buffer | null {
  const start = headerEnd(bytes)
  if (bytes.length > AT_ONCE_BYTES_MAX) return null
  const whole = inflateAtOnce(bytes.subarray(start), claimedLength(bytes))
  if (whole === null) return null
  const { chunk, read } = whole
  checkEnd(bytes, start + read, crc32(chunk), chunk.length)
  return chunk
}

/** What the member holds, in pieces. Throws `unprocessable`, also in the middle. */
export async function* inflateMember(bytes: Uint8Array): AsyncGenerator<Buffer, void, undefined> {
  const start = headerEnd(bytes)
  const inflate = createInflateRaw({ chunkSize: CHUNK_BYTES })
  const chunks = inflate[Symbol.asyncIterator]()
  inflate.end(bytes.subarray(start))
  let length = 0
  let check = 0
  try {
    for (;;) {
      const next = await nextChunk(chunks)
      if (next.done === true) break
      const chunk = next.value
      length += chunk.length
      checkBounds(length, bytes.length)
      check = crc32(chunk, check)
      yield chunk
    }
    checkEnd(bytes, start + inflate.bytesWritten, check, length)
  } finally {
    inflate.destroy()
  }
}

/**
 * What it holds and how many bytes that took; null when it is larger than it looks.
 * @param claimed length that it says it has: in a piece with room to spare zlib needs no second one
 */
function inflateAtOnce(bytes: Uint8Array, claimed: number): { chunk: Buffer; read: number } | null {
  const maxOutputLength = AT_ONCE_UNPACKED_BYTES_MAX
  const room = Math.min(claimed, maxOutputLength) + 1
  const chunkSize = Math.max(room, AT_ONCE_UNPACKED_BYTES_MIN)
  let result: unknown
  try {
    result = inflateRawSync(bytes, { maxOutputLength, chunkSize, info: true })
  } catch (error) {
    if (!(error instanceof Error)) throw error
    // Which fault comes first, and with it the sentence, must not depend on what it claims.
    if (chunkSize > AT_ONCE_UNPACKED_BYTES_MIN) return inflateAtOnce(bytes, 0)
    if ('code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') return null
    throw damaged(error)
  }
  if (!isInfo(result)) throw new RegistryError('internal', 'zlib gave no bytes')
  return { chunk: result.buffer, read: result.engine.bytesWritten }
}

/** What zlib answers with `info`, which its types leave out. */
function isInfo(result: unknown): result is { buffer: Buffer; engine: { bytesWritten: number } } {
  if (typeof result !== 'object' || result === null) return false
  if (!('buffer' in result) || !Buffer.isBuffer(result.buffer) || !('engine' in result))
    return false
  const { engine } = result
  return (
    typeof engine === 'object' &&
    engine !== null &&
    'bytesWritten' in engine &&
    typeof engine.bytesWritten === 'number'
  )
}

async function nextChunk(chunks: AsyncIterator<unknown>): Promise<IteratorResult<Buffer, void>> {
  let next: IteratorResult<unknown, unknown>
  try {
    next = await chunks.next()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw damaged(error)
  }
  if (next.done === true) return { done: true, value: undefined }
  if (!Buffer.isBuffer(next.value)) throw new RegistryError('internal', 'zlib gave no bytes')
  return { done: false, value: next.value }
}

function checkBounds(unpacked: number, packed: number): void {
  if (unpacked > UNPACKED_BYTES_MAX) {
    throw wrong(`unpacks to more than ${UNPACKED_BYTES_MAX} bytes`)
  }
  if (unpacked > RATIO_FREE_BYTES && unpacked > packed * RATIO_MAX) {
    throw wrong(`unpacks to more than ${RATIO_MAX} times its size`)
  }
}

/** The length at its end, which nobody has checked. */
function claimedLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint32(bytes.length - 4, true)
}

function checkEnd(bytes: Uint8Array, end: number, check: number, length: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const total = end + TRAILER_BYTES
  if (bytes.length < total) throw wrong('is cut off')
  if (bytes.length > total) {
    throw wrong(`has ${bytes.length - total} bytes behind its first gzip member`)
  }
  if (view.getUint32(end, true) !== check) throw wrong('has a wrong check value (CRC-32)')
  if (view.getUint32(end + 4, true) !== length % 2 ** 32)
    throw wrong('has a wrong length at its end')
}

// RFC 1952, section 2.3.
function headerEnd(bytes: Uint8Array): number {
  const flags = bytes[3] ?? 0
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== DEFLATE) throw wrong('is not gzip')
  if (bytes.length < FIXED_HEADER_BYTES + TRAILER_BYTES) throw wrong('is cut off')
  if ((flags & FLAGS_RESERVED) !== 0) throw wrong('has reserved flags in its gzip header')
  // Nobody writes these two, and few programs read them.
  if ((flags & (FLAG_EXTRA | FLAG_HEADER_CRC)) !== 0) {
    throw wrong('has extra fields in its gzip header')
  }
  let end = FIXED_HEADER_BYTES
  for (const flag of [FLAG_NAME, FLAG_COMMENT]) {
    if ((flags & flag) === 0) continue
    end = bytes.indexOf(0, end) + 1
    if (end === 0 || end > HEADER_BYTES_MAX) throw wrong('has a gzip header without an end')
  }
  return end
}

/** zlib has no error class of its own; all that it can say here is about the data. */
function damaged({ message }: Error): RegistryError {
  return wrong(`is damaged or cut off (${message})`)
}

function wrong(why: string): RegistryError {
  return new RegistryError('unprocessable', `the tarball ${why}`)
}
