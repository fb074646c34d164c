/**
 * The JSON of a publish body, read so that no two readers can take it for different things.
 *
 * `JSON.parse` keeps the last of two equal keys, lets `__proto__` through, takes lone surrogates and
 * numbers that it cannot hold, and nests without end: what was checked would not be what is stored.
 * Here each of these is refused (RFC 8259, section 4 and 8.2; RFC 7493, I-JSON). The outline is
 * scanned first (`json-scan.ts`), so that a tarball of 90 MB in a string is never parsed as JSON.
 * Nothing here knows what the members mean.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer'
import { RegistryError } from '../errors.ts'
import { JsonScan, memberOf, type Member, type ObjectRange, repeatedKey } from '../json-scan.ts'

/** An object of more members than any real manifest or packument has is made to hurt. */
const MEMBERS_MAX = 20_000
/** Names in one value, all levels together: the largest real manifests have 20,000. */
const NAMES_MAX = 200_000
/** How much of a key an error repeats. */
const SHOWN_CHARS_MAX = 60

const QUOTE = 0x22
const SLASH = 0x2f
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const ASCII_MAX = 0x7f

/** An object in the body whose members are read one by one. */
export class StrictObject {
  readonly #json: JsonScan
  readonly #range: ObjectRange
  /** What was asked for once is asked for again. */
  readonly #values = new Map<string, unknown>()

  /** @param where the key that it stands under; null: it is the body itself */
  constructor(json: JsonScan, range: ObjectRange, where: string | null) {
    this.#json = json
    this.#range = range
    const repeated = repeatedKey(range)
    if (repeated !== undefined) throw bad(`has ${shown(repeated)} twice in ${placeOf(where)}`)
    for (const { key } of range.members) checkKey(key, where)
  }

  get keys(): string[] {
    return this.#range.members.map(member => member.key)
  }

  /** Bytes of the text of a member; 0 when it is absent. */
  bytesOf(key: string): number {
    const member = memberOf(this.#range, key)
    return member === undefined ? 0 : member.end - member.start
  }

  /** The value of a member, checked at every level; undefined when it is absent. */
  value(key: string): unknown {
    const known = this.#values.get(key)
    if (known !== undefined) return known
    const member = memberOf(this.#range, key)
    if (member === undefined) return undefined
    const value = parseStrict(this.#json, member)
    this.#values.set(key, value)
    return value
  }

  /** A member as an object to go on with; undefined when it is absent. */
  object(key: string): StrictObject | undefined {
    const member = memberOf(this.#range, key)
    if (member === undefined) return undefined
    if (!this.#json.isObject(member)) throw bad(`has a ${shown(key)} that is not an object`)
    const range = outline(() => this.#json.object(member.start, MEMBERS_MAX))
    return new StrictObject(this.#json, range, key)
  }

  /**
   * The characters of a member that is text, where they stand in the body: for base64 of any length,
   * of which there is to be no second one in memory. What base64 has no use for stays escaped.
   */
  rawText(key: string): Buffer | undefined {
    const member = memberOf(this.#range, key)
    if (member === undefined || this.#json.bytes[member.start] !== QUOTE) return undefined
    const text = this.#json.bytes.subarray(member.start + 1, member.end - 1)
    return text.includes(BACKSLASH) ? unescaped(text) : text
  }
}

/** Throws `bad-request` unless the bytes are one JSON object that reads only one way. */
export function readBody(bytes: Uint8Array): StrictObject {
  if (!isUtf8(bytes)) throw bad('is not UTF-8')
  const json = new JsonScan(bytes)
  return outline(() => {
    const range = json.object(json.skipSpace(0), MEMBERS_MAX)
    const after = json.skipSpace(range.end)
    if (after !== bytes.length) throw json.unexpected(after, 'the end')
    return new StrictObject(json, range, null)
  })
}

/** A whole JSON text that stands alone, such as a package.json. Throws `bad-request`. */
export function parseObject(bytes: Uint8Array): Record<string, unknown> {
  const body = readBody(bytes)
  return Object.fromEntries(body.keys.map(key => [key, body.value(key)]))
}

/** A JSON object whose members can be read, or undefined. */
export function asRecord(value: unknown): Record<string, unknown> | undefined {
  return isRecord(value) ? value : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseStrict(json: JsonScan, member: Member): unknown {
  if (member.names > NAMES_MAX) {
    throw bad(`has more than ${NAMES_MAX} names in ${shown(member.key)}`)
  }
  const value = json.parse(member)
  // A repeated name leaves one name less than the text has.
  if (checkValue(value, member.key) !== member.names) {
    throw bad(`has a name twice in ${shown(member.key)}`)
  }
  return value
}

// The number of names in the value. The scan has limited the depth already.
function checkValue(value: unknown, where: string): number {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw bad(`has ill-formed Unicode in ${shown(where)}`)
    return 0
  }
  if (typeof value === 'number') {
    const isHeld =
      Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
    if (!isHeld) throw bad(`has a number that JavaScript cannot hold in ${shown(where)}`)
    return 0
  }
  if (typeof value !== 'object' || value === null) return 0
  let names = 0
  if (Array.isArray(value)) {
    for (const each of value) names += checkValue(each, where)
    return names
  }
  for (const [key, each] of Object.entries(value)) {
    checkKey(key, where)
    names += 1 + checkValue(each, where)
  }
  return names
}

// Takes the escapes out of a text that the scan has passed, over the text itself.
function unescaped(text: Buffer): Buffer {
  let length = 0
  for (let at = 0; at < text.length; at++) {
    let byte = text[at] ?? 0
    if (byte === BACKSLASH && text[at + 1] === SLASH) {
      byte = SLASH
      at += 1
    } else if (byte === BACKSLASH && text[at + 1] === LETTER_U) {
      let code = 0
      for (let digit = at + 2; digit < at + 6; digit++) code = 16 * code + hexOf(text[digit] ?? 0)
      byte = code > ASCII_MAX ? BACKSLASH : code
      at += 5
    }
    text[length++] = byte
  }
  return text.subarray(0, length)
}

function hexOf(digit: number): number {
  return digit <= 0x39 ? digit - 0x30 : (digit | 0x20) - 0x57
}

function checkKey(key: string, where: string | null): void {
  if (key === '__proto__') throw bad(`has a key __proto__ in ${placeOf(where)}`)
  if (!key.isWellFormed()) throw bad(`has a key of ill-formed Unicode in ${placeOf(where)}`)
}

function placeOf(where: string | null): string {
  return where === null ? 'the body' : shown(where)
}

// The scanner was written for answers of upstreams; here the same defect is the client's.
function outline<T>(scan: () => T): T {
  try {
    return scan()
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'upstream-bad-answer') throw error
    throw new RegistryError('bad-request', error.message.replace(/^the answer/, 'the body'))
  }
}

function shown(key: string): string {
  const cut = key.length > SHOWN_CHARS_MAX ? `${key.slice(0, SHOWN_CHARS_MAX)}…` : key
  return JSON.stringify(cut.toWellFormed())
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', `the body ${why}`)
}
