/**
 * The entries of a tar file, read so that every program reads the same ones.
 *
 *     header block | body, padded to 512 bytes | header block | … | two blocks of zeros
 *
 * tar has four dialects and no owner; programs differ in which of two names or sizes they believe,
 * and a file that one of them skips is a file that nobody checked. So only what all read alike is
 * taken: ustar headers (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html), their
 * GNU spelling, one pax or GNU header (`publish-pax.ts`) with a name where the header cannot hold
 * it, plain files and folders. No bytes of a body are kept but those that `keep` asks for; nothing
 * is written anywhere.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer'
import { RegistryError } from '../errors.ts'
import { type PaxFacts, readGlobalPax, readLongName, readPax } from './publish-pax.ts'

const BLOCK_BYTES = 512
/** Packages of icons have tens of thousands of files; each costs 20 microseconds here. */
const ENTRIES_MAX = 80_000
/** One file: what the whole tarball may unpack to is bounded as well. */
const ENTRY_BYTES_MAX = 400 * 1024 * 1024
/** Real pax headers have 200 bytes. */
const META_BYTES_MAX = 64 * 1024
/** GNU tar fills its last record of 20 blocks with zeros; more is there to be unpacked. */
const ZERO_BLOCKS_MAX = 64
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES)
const SPACE = 0x20
const CHECKSUM_START = 148
const CHECKSUM_END = 156
const MAGIC_USTAR = 'ustar\u000000'
const MAGIC_GNU = 'ustar  \0'
/** An octal number as the writers pad it: zeros or spaces before, spaces or NULs behind. */
const OCTAL = /^ *([0-7]{1,11})[ \0]*$/

/** @property path as it stands in the tarball, without a slash at the end */
export type TarEntry = { kind: 'file' | 'folder'; path: string; size: number }
type Header = { type: string; path: string; size: number }

export type TarEvents = {
  /** Called for each entry; true hands its body to `body`. Throws to refuse it. */
  entry(entry: TarEntry): boolean
  body(bytes: Buffer): void
}

/** Reads a tar file in pieces of any size. Every method throws `unprocessable`. */
export class TarReader {
  readonly #events: TarEvents
  #rest = Buffer.alloc(0)
  #bodyLeft = 0
  #paddingLeft = 0
  #isKept = false
  #meta: { type: string; parts: Buffer[] } | undefined
  /** What an extended header said about the file that comes next. */
  #facts: PaxFacts | undefined
  #zeroBlocks = 0
  #entries = 0

  constructor(events: TarEvents) {
    this.#events = events
  }

  push(chunk: Buffer): void {
    let pos = 0
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (pos < bytes.length) {
      if (this.#bodyLeft > 0) {
        const end = Math.min(bytes.length, pos + this.#bodyLeft)
        this.#body(bytes.subarray(pos, end))
        this.#bodyLeft -= end - pos
        pos = end
        if (this.#bodyLeft === 0) this.#bodyEnd()
      } else if (this.#paddingLeft > 0) {
        const end = Math.min(bytes.length, pos + this.#paddingLeft)
        this.#paddingLeft -= end - pos
        pos = end
      } else if (pos + BLOCK_BYTES <= bytes.length) {
        this.#block(bytes.subarray(pos, pos + BLOCK_BYTES))
        pos += BLOCK_BYTES
      } else {
        break
      }
    }
    this.#rest = Buffer.from(bytes.subarray(pos))
  }

  end(): void {
    const isInside = this.#bodyLeft > 0 || this.#paddingLeft > 0 || this.#rest.length > 0
    if (isInside || this.#zeroBlocks < 2) throw wrong('ends before its end: it was cut off')
  }

  #block(block: Buffer): void {
    if (block.equals(ZERO_BLOCK)) {
      if (this.#facts !== undefined) {
        throw wrong('ends after the header of a file that is not there')
      }
      if (++this.#zeroBlocks > ZERO_BLOCKS_MAX) throw wrong('has too many zeros at its end')
      return
    }
    if (this.#zeroBlocks > 0) throw wrong('has data behind its end')
    if (++this.#entries > ENTRIES_MAX) throw wrong(`has more than ${ENTRIES_MAX} entries`)
    const header = readHeader(block)
    this.#bodyLeft = header.size
    this.#paddingLeft = (BLOCK_BYTES - (header.size % BLOCK_BYTES)) % BLOCK_BYTES
    if (header.type === 'x' || header.type === 'g' || header.type === 'L') this.#startMeta(header)
    else this.#startEntry(header)
    if (header.size === 0) this.#bodyEnd()
  }

  #startMeta({ type, size }: Header): void {
    if (this.#facts !== undefined) throw wrong('has two extended headers for one file')
    if (size === 0 || size > META_BYTES_MAX) {
      throw wrong(`has an extended header of ${size} bytes`)
    }
    this.#meta = { type, parts: [] }
  }

  #startEntry(header: Header): void {
    const facts = this.#facts
    this.#facts = undefined
    if (facts?.size !== undefined && facts.size !== header.size) {
      throw wrong('has an extended header that says another size')
    }
    const entry = asEntry({ ...header, path: facts?.path ?? header.path })
    this.#isKept = this.#events.entry(entry)
  }

  #body(bytes: Buffer): void {
    if (this.#meta !== undefined) this.#meta.parts.push(Buffer.from(bytes))
    else if (this.#isKept) this.#events.body(bytes)
  }

  #bodyEnd(): void {
    const meta = this.#meta
    this.#meta = undefined
    if (meta === undefined) return
    const bytes = Buffer.concat(meta.parts)
    if (meta.type === 'g') readGlobalPax(bytes)
    else this.#facts = meta.type === 'x' ? readPax(bytes) : readLongName(bytes)
  }
}

function readHeader(block: Buffer): Header {
  const magic = block.toString('latin1', 257, 265)
  if (magic !== MAGIC_USTAR && magic !== MAGIC_GNU) throw wrong('has a header that is not ustar')
  checkSum(block)
  const type = String.fromCharCode(block[156] ?? 0)
  const name = fieldText(block, 0, 100)
  // GNU keeps times where ustar has the prefix; npm's own reader takes 131 bytes of the 155.
  const prefix = magic === MAGIC_USTAR ? fieldText(block, 345, 476) : ''
  if (magic === MAGIC_USTAR && block[475] !== 0) {
    throw wrong('has a name that is split in a way that programs read differently')
  }
  if (fieldText(block, 157, 257) !== '') throw wrong(`has a link (${shown(name)})`)
  const size = OCTAL.exec(block.toString('latin1', 124, 136))?.[1]
  if (size === undefined) throw wrong(`has an entry without a readable size (${shown(name)})`)
  return {
    type,
    path: prefix === '' ? name : `${prefix}/${name}`,
    size: Number.parseInt(size, 8),
  }
}

function checkSum(block: Buffer): void {
  let sum = SPACE * (CHECKSUM_END - CHECKSUM_START)
  for (let i = 0; i < CHECKSUM_START; i++) sum += block[i] ?? 0
  for (let i = CHECKSUM_END; i < BLOCK_BYTES; i++) sum += block[i] ?? 0
  const said = OCTAL.exec(block.toString('latin1', CHECKSUM_START, CHECKSUM_END))?.[1]
  if (said === undefined || Number.parseInt(said, 8) !== sum) {
    throw wrong('has a header with a wrong checksum')
  }
}

function asEntry({ type, path, size }: Header): TarEntry {
  const kind = type === '5' ? 'folder' : type === '0' || type === '\0' ? 'file' : undefined
  if (kind === undefined) throw wrong(`has ${nameOfType(type)} (${shown(path)})`)
  if (kind === 'folder' && size !== 0) throw wrong(`has a folder with a body (${shown(path)})`)
  if (size > ENTRY_BYTES_MAX) throw wrong(`has a file of ${size} bytes (${shown(path)})`)
  // A file whose name ends with a slash is a folder to some.
  return { kind, path: kind === 'folder' ? path.replace(/\/$/, '') : path, size }
}

function nameOfType(type: string): string {
  switch (type) {
    case '1':
      return 'a hard link'
    case '2':
      return 'a symbolic link'
    case '3':
    case '4':
      return 'a device'
    case '6':
      return 'a pipe'
    case 'S':
      return 'a sparse file'
    default:
      return `an entry of type ${JSON.stringify(type)}`
  }
}

// Text up to the first NUL; programs differ in what they make of anything behind it.
function fieldText(block: Buffer, start: number, end: number): string {
  let nul = start
  while (nul < end && block[nul] !== 0) nul++
  // Nothing but zeros is left.
  if (ZERO_BLOCK.compare(block, nul, end, 0, end - nul) !== 0) {
    throw wrong('has a name with a NUL in it')
  }
  if (nul === start) return ''
  if (!isUtf8(block.subarray(start, nul))) throw wrong('has a name that is not UTF-8')
  return block.toString('utf8', start, nul)
}

function shown(path: string): string {
  const shownCharsMax = 80
  return JSON.stringify(path.slice(0, shownCharsMax).toWellFormed())
}

function wrong(why: string): RegistryError {
  return new RegistryError('unprocessable', `the tarball ${why}`)
}
