/**
 * Names that a tar header cannot hold: pax extended headers and GNU long names.
 *
 *     "30 mtime=1321711775.972059463\n"   (length of the record in bytes, space, key=value, LF)
 *
 * A pax header may say everything about the next file anew; who obeys it and who does not is how one
 * tarball holds two packages. It may name the path here, when the ustar field could not have held it
 * (over 100 bytes, or not ASCII), and what nobody acts on; npm's own packer repeats the size.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html ("pax Extended Header")
 *
 * @module
 */
import { isUtf8 } from 'node:buffer'
import { RegistryError } from '../errors.ts'

const NAME_FIELD_BYTES = 100
const SPACE = 0x20
const LF = 0x0a
/** Facts of the publisher's disk, which no client restores. */
const HARMLESS =
  /^(?:[acm]time|[ug]id|[ug]name|comment|(?:SCHILY|LIBARCHIVE)\.(?:dev|ino|nlink|creationtime|xattr\..+|fflags))$/
/** Longer lengths are of records larger than a header may be. */
const LENGTH_DIGITS_MAX = 5

/** What an extended header says of the file behind it. */
export type PaxFacts = { path: string | undefined; size: number | undefined }

/** The body of a pax header (type x). */
export function readPax(bytes: Buffer): PaxFacts {
  const facts: PaxFacts = { path: undefined, size: undefined }
  for (const [key, value] of readRecords(bytes)) {
    if (key === 'path') facts.path = checkNeeded(value)
    else if (key === 'size') facts.size = /^[0-9]{1,12}$/.test(value) ? Number(value) : -1
    else if (!HARMLESS.test(key)) throw wrong(`with ${shown(key)}`)
  }
  return facts
}

/** A global header (type g) may hold a comment: git writes its commit there. */
export function readGlobalPax(bytes: Buffer): void {
  for (const [key] of readRecords(bytes)) {
    if (key !== 'comment') throw wrong(`for all files with ${shown(key)}`)
  }
}

/** The path in the body of a GNU long name (type L), which a NUL ends. */
export function readLongName(bytes: Buffer): PaxFacts {
  const text = bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes
  if (text.includes(0) || !isUtf8(text)) throw wrong('whose long name cannot be read')
  return { path: checkNeeded(text.toString()), size: undefined }
}

function checkNeeded(path: string): string {
  const length = Buffer.byteLength(path)
  if (length <= NAME_FIELD_BYTES && length === path.length) {
    throw wrong(`that names ${shown(path)} anew`)
  }
  return path
}

function readRecords(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  let pos = 0
  while (pos < bytes.length) {
    const space = bytes.indexOf(SPACE, pos)
    const digits = space === -1 ? '' : bytes.toString('latin1', pos, space)
    const isLength = digits.length <= LENGTH_DIGITS_MAX && /^[1-9][0-9]*$/.test(digits)
    const end = isLength ? pos + Number(digits) : 0
    const record = bytes.subarray(space + 1, end - 1)
    const equals = record.indexOf('=')
    if (end <= space || end > bytes.length || bytes[end - 1] !== LF || equals < 1) {
      throw wrong('that cannot be read')
    }
    // npm's own reader takes lines, and ends values at a NUL.
    if (record.includes(LF) || record.includes(0) || !isUtf8(record)) {
      throw wrong('that programs read differently')
    }
    const key = record.toString('utf8', 0, equals)
    if (records.has(key)) throw wrong(`with ${shown(key)} twice`)
    records.set(key, record.toString('utf8', equals + 1))
    pos = end
  }
  return records
}

function shown(text: string): string {
  const shownCharsMax = 80
  return JSON.stringify(text.slice(0, shownCharsMax).toWellFormed())
}

function wrong(why: string): RegistryError {
  return new RegistryError('unprocessable', `the tarball has an extended header ${why}`)
}
