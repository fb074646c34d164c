/**
 * A validating scanner of JSON text (RFC 8259) in bytes: says where values begin and end, without
 * making them.
 *
 * Packuments of 100 MB are common enough; a parsed one takes ten times its size and a second of the
 * only thread. Here one pass over the bytes checks the grammar, and what is wanted is then parsed
 * slice by slice. Numbers are never converted, strings only where they are keys.
 *
 * Stricter than JSON.parse in one way: nesting is limited. UTF-8 is checked by the caller, once.
 *
 * @module
 */
import { RegistryError } from './errors.ts'
import { garbageCollector } from './garbage.ts'

/** Real manifests nest 10 to 20 deep; JSON.stringify of the runtime fails above 10,000. */
export const DEPTH_MAX = 256

/**
 * One member of an object: where its key begins, where its value begins and ends, and how many names
 * stand inside the value (a parsed value that holds fewer has lost some to repetition).
 */
export type Member = { key: string; keyStart: number; start: number; end: number; names: number }
/** An object with its braces and members, in the order of the text. */
export type ObjectRange = { start: number; end: number; members: Member[] }

const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')
/** Longer text (base64, a readme) is read by the word, which pays only after some bytes. */
const LOOP_BYTES = 32
const WORD_BYTES = 4
/** One in each byte of a word, and the highest bit of each. */
const ONES = 0x01010101
const HIGHS = 0x80808080
/** What is not read twice: there is room for one. */
const LONG_BYTES = 4096
/** What may follow a backslash, besides `u`. */
const SHORT_ESCAPES = new Set(Buffer.from('"\\/bfnrt'))

export class JsonScan {
  readonly bytes: Buffer
  #names = 0
  #words: Int32Array | undefined
  readonly #collect = garbageCollector()
  readonly #closers = new Uint8Array(DEPTH_MAX)
  /** The last text that was long: each object around a tarball is scanned for itself. */
  #long = { start: -1, end: -1 }

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** The text of a slice. */
  text(start: number, end: number): string {
    return this.bytes.toString('utf8', start, end)
  }

  /** The value of a slice, parsed alone. */
  parse(range: { start: number; end: number }): unknown {
    return JSON.parse(this.text(range.start, range.end))
  }

  isObject(range: { start: number }): boolean {
    return this.bytes[range.start] === OPEN_OBJECT
  }

  /** The members of the object that starts here. @param membersMax refuses more */
  object(start: number, membersMax: number): ObjectRange {
    const members: Member[] = []
    if (this.bytes[start] !== OPEN_OBJECT) throw this.unexpected(start, 'an object')
    let pos = this.skipSpace(start + 1)
    if (this.bytes[pos] === CLOSE_OBJECT) return { start, end: pos + 1, members }
    for (;;) {
      if (members.length >= membersMax) {
        throw new RegistryError(
          'upstream-bad-answer',
          `the answer holds an object of more than ${membersMax} members`,
        )
      }
      this.#collect(pos)
      const keyEnd = this.#string(pos)
      const key = this.#key(pos, keyEnd)
      const valueStart = this.#afterColon(keyEnd)
      const namesBefore = this.#names
      const valueEnd = this.value(valueStart)
      const names = this.#names - namesBefore
      members.push({ key, keyStart: pos, start: valueStart, end: valueEnd, names })
      pos = this.skipSpace(valueEnd)
      const byte = this.bytes[pos]
      if (byte === CLOSE_OBJECT) return { start, end: pos + 1, members }
      if (byte !== COMMA) throw this.unexpected(pos, '"," or "}"')
      pos = this.skipSpace(pos + 1)
    }
  }

  /** The end of the value that starts here, whatever it is. */
  value(start: number): number {
    const { bytes } = this
    const closers = this.#closers
    let depth = 0
    let pos = start
    for (;;) {
      const opener = bytes[pos]
      if (opener === OPEN_OBJECT || opener === OPEN_ARRAY) {
        const closer = opener + 2
        if (depth === DEPTH_MAX) throw this.#tooDeep()
        pos = this.skipSpace(pos + 1)
        if (bytes[pos] === closer) {
          pos++
        } else {
          closers[depth++] = closer
          if (closer === CLOSE_OBJECT) pos = this.#name(pos)
          continue
        }
      } else {
        pos = this.#scalar(pos, opener)
      }
      // A value has ended: close what ends with it, or go on to the next one.
      for (;;) {
        if (depth === 0) return pos
        pos = this.skipSpace(pos)
        const closer = closers[depth - 1]
        const byte = bytes[pos]
        if (byte === COMMA) {
          pos = this.skipSpace(pos + 1)
          if (closer === CLOSE_OBJECT) pos = this.#name(pos)
          break
        }
        if (byte !== closer) throw this.unexpected(pos, closer === CLOSE_ARRAY ? '"]"' : '"}"')
        pos++
        depth--
      }
    }
  }

  skipSpace(start: number): number {
    const { bytes } = this
    let pos = start
    for (;;) {
      const byte = bytes[pos]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return pos
      pos++
    }
  }

  unexpected(pos: number, wanted: string): RegistryError {
    const byte = this.bytes[pos]
    const found =
      byte === undefined
        ? 'ends'
        : byte > 0x20 && byte < 0x7f
          ? `has "${String.fromCharCode(byte)}"`
          : `has byte 0x${byte.toString(16).padStart(2, '0')}`
    const message = `the answer is not JSON: it ${found} at byte ${pos}, where ${wanted} belongs`
    return new RegistryError('upstream-bad-answer', message)
  }

  // A name, its colon, and the space up to its value.
  #name(start: number): number {
    this.#names++
    return this.#afterColon(this.#string(start))
  }

  #afterColon(keyEnd: number): number {
    const pos = this.skipSpace(keyEnd)
    if (this.bytes[pos] !== COLON) throw this.unexpected(pos, '":"')
    return this.skipSpace(pos + 1)
  }

  #scalar(pos: number, first: number | undefined): number {
    if (first === QUOTE) return this.#string(pos)
    if (first === 0x74) return this.#literal(pos, TRUE)
    if (first === 0x66) return this.#literal(pos, FALSE)
    if (first === 0x6e) return this.#literal(pos, NULL)
    return this.#number(pos)
  }

  #string(start: number): number {
    const { bytes } = this
    if (bytes[start] !== QUOTE) throw this.unexpected(start, 'a string')
    if (start === this.#long.start) return this.#long.end
    let pos = start + 1
    let loopEnd = pos + LOOP_BYTES
    for (;;) {
      const byte = bytes[pos]
      if (byte === QUOTE) {
        if (pos - start > LONG_BYTES) this.#long = { start, end: pos + 1 }
        return pos + 1
      }
      if (byte === BACKSLASH) {
        pos = this.#escapeEnd(pos)
        loopEnd = pos + LOOP_BYTES
      } else if (byte === undefined || byte < 0x20) {
        throw this.unexpected(pos, 'the end of a string')
      } else if (++pos === loopEnd) {
        pos = this.#plainEnd(pos)
      }
    }
  }

  // Past whole words of plain text. The one that holds `start` begins with what was read before it.
  #plainEnd(start: number): number {
    const words = (this.#words ??= wordsOf(this.bytes))
    const offset = skippedBytes(this.bytes)
    let at = (start - offset) >> 2
    while (at < words.length && isPlain(words[at] ?? 0)) at++
    return Math.max(start, offset + at * WORD_BYTES)
  }

  #escapeEnd(backslash: number): number {
    const { bytes } = this
    const kind = bytes[backslash + 1]
    if (kind !== undefined && SHORT_ESCAPES.has(kind)) return backslash + 2
    if (kind !== 0x75) throw this.unexpected(backslash + 1, 'an escape')
    for (let pos = backslash + 2; pos < backslash + 6; pos++) {
      if (!isHexDigit(bytes[pos])) throw this.unexpected(pos, 'a hexadecimal digit')
    }
    return backslash + 6
  }

  #number(start: number): number {
    const { bytes } = this
    let pos = bytes[start] === 0x2d ? start + 1 : start
    pos = bytes[pos] === 0x30 ? pos + 1 : this.#digits(pos)
    if (bytes[pos] === 0x2e) pos = this.#digits(pos + 1)
    const exponent = bytes[pos]
    if (exponent === 0x65 || exponent === 0x45) {
      const sign = bytes[pos + 1]
      pos = this.#digits(sign === 0x2b || sign === 0x2d ? pos + 2 : pos + 1)
    }
    return pos
  }

  #digits(start: number): number {
    let pos = start
    while (isDigit(this.bytes[pos])) pos++
    if (pos === start) throw this.unexpected(pos, pos === 0 ? 'an object' : 'a value')
    return pos
  }

  #literal(start: number, word: Buffer): number {
    for (let i = 0; i < word.length; i++) {
      if (this.bytes[start + i] !== word[i])
        throw this.unexpected(start + i, `"${word.toString()}"`)
    }
    return start + word.length
  }

  #key(start: number, end: number): string {
    const inside = this.text(start + 1, end - 1)
    if (!inside.includes('\\')) return inside
    const key: unknown = JSON.parse(this.text(start, end))
    return String(key)
  }

  #tooDeep(): RegistryError {
    return new RegistryError(
      'upstream-bad-answer',
      `the answer nests deeper than ${DEPTH_MAX} levels`,
    )
  }
}

/** The first key that stands twice in an object, if any. */
export function repeatedKey(object: ObjectRange): string | undefined {
  if (object.members.length < 2) return undefined
  const seen = new Set<string>()
  for (const { key } of object.members) {
    if (seen.has(key)) return key
    seen.add(key)
  }
  return undefined
}

export function memberOf(object: ObjectRange, key: string): Member | undefined {
  return object.members.find(member => member.key === key)
}

/** Bytes before the first word: words stand at multiples of their size. */
function skippedBytes({ byteOffset }: Uint8Array): number {
  return -byteOffset & (WORD_BYTES - 1)
}

function wordsOf(bytes: Uint8Array): Int32Array {
  const skipped = skippedBytes(bytes)
  const count = Math.max(0, bytes.length - skipped) >> 2
  return new Int32Array(bytes.buffer, bytes.byteOffset + skipped, count)
}

/**
 * No quote, backslash or control character among the four bytes of a word. A subtraction borrows
 * the highest bit of a byte that had none only where the byte was smaller.
 */
function isPlain(word: number): boolean {
  const quote = word ^ (ONES * QUOTE)
  const backslash = word ^ (ONES * BACKSLASH)
  const special =
    ((word - ONES * SPACE) & ~word) | ((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash)
  return (special & HIGHS) === 0
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
}
