/**
 * What is in a published tarball: read once, in pieces, never written to a disk.
 *
 * gzip (`publish-gzip.ts`) -> entries (`publish-tar.ts`) -> the tree of files (`publish-files.ts`)
 * -> the package.json in it against the manifest that came along (`publish-manifest.ts`). The same
 * pieces go through the parser of the `tar` package, with which npm unpacks: it must see the very
 * same entries. Nothing here looks at what the files say.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer'
import pLimit from 'p-limit'
import type { Parser, ReadEntry } from 'tar'
import { RegistryError } from '../errors.ts'
import { garbageCollector } from '../garbage.ts'
import { ProjectionError } from '../packument/manifest.ts'
import { FileTree } from './publish-files.ts'
import { inflateMember, inflateSmallMember } from './publish-gzip.ts'
import { parseObject } from './publish-json.ts'
import { differingField } from './publish-manifest.ts'
import { type TarEntry, TarReader } from './publish-tar.ts'

/** Real ones have up to 300 kB. */
const PACKAGE_JSON_BYTES_MAX = 1024 * 1024
/** npm's registry keeps 64 Ki characters; none has more than 4 bytes. */
const README_CHARS_MAX = 64 * 1024
const README_BYTES_MAX = 4 * README_CHARS_MAX
/** The largest allowed tarball takes 3 s on one core that does nothing else. */
const INSPECTION_MS_MAX = 30_000
/**
 * The runtime lets what was read pile up to the size of the whole: 100 MB, or what 80,000 entries
 * were made of. Most packages unpack to less and never wait for a collection, of some 10 ms.
 */
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024
/** What a file without a body counts for there: both parsers make objects of its header. */
const ENTRY_BYTES = 1024
/** After so long others get their turn: zlib hands over what it has ready without one. */
const TURN_MS = 5
/** They share one thread: more at once are not done sooner. */
const PIECEWISE_MAX = 16
const README = /^readme(?:\.m?a?r?k?d?o?w?n?)?$/i
const MANIFEST_FILE = 'package.json'
/** Clients' settings. npm leaves them out of what it packs; yarn 4 does not (measured, 4.18). */
const SETTINGS_FILES: ReadonlySet<string> = new Set(['.npmrc', '.yarnrc.yml', '.yarnrc'])
const SETTINGS_BYTES_MAX = 64 * 1024
/** A token, password or user of any registry, written out and not taken from the environment. */
const WRITTEN_SECRET =
  /^[^#;\n]*(?:\b_(?:authToken|auth|password)\s*=|\bnpmAuth(?:Token|Ident)["']?\s*:)\s*(?!["']?\$\{)\S/m
const SHRINKWRAP_FILE = 'npm-shrinkwrap.json'

export type ExpectedTarball = { name: string; version: string; manifest: Record<string, unknown> }

export type InspectedTarball = {
  packageJson: Record<string, unknown>
  fileCount: number
  unpackedSize: number
  /** Text of the README, cut as npm's registry cuts it. */
  readme: string | null
  /** Whether it brings a lockfile of its own that npm obeys. */
  hasShrinkwrap: boolean
}

/** Loaded with the first publish: a start has other things to do. */
let parser: typeof Parser | undefined

/** Throws `unprocessable`, with a sentence for the publisher, unless every client reads the same. */
export async function inspectTarball(
  tarball: Uint8Array,
  expected: ExpectedTarball,
): Promise<InspectedTarball> {
  parser ??= (await import('tar')).Parser
  const inspection = new Inspection(parser)
  const whole = inflateSmallMember(tarball)
  if (whole === null) await inPieces(() => inspectPieces(tarball, inspection))
  else inspection.push(whole)
  return inspection.end(expected)
}

/** So many at once have buffers of zlib's, 2 MB each; the rest waits its turn. */
const inPieces = pLimit(PIECEWISE_MAX)

async function inspectPieces(tarball: Uint8Array, inspection: Inspection): Promise<void> {
  const deadline = performance.now() + INSPECTION_MS_MAX
  let turnEnds = performance.now() + TURN_MS
  const collect = garbageCollector(COLLECT_EVERY_BYTES)
  for await (const chunk of inflateMember(tarball)) {
    inspection.push(chunk)
    collect(inspection.seen)
    if (performance.now() > deadline) throw wrong('takes too long to read')
    if (performance.now() > turnEnds) {
      await new Promise(resolve => setImmediate(resolve))
      turnEnds = performance.now() + TURN_MS
    }
  }
}

/** One tarball on its way through both parsers. */
class Inspection {
  readonly #tree = new FileTree()
  readonly #kept = new Map<string, Buffer[]>()
  readonly #second: SecondOpinion
  readonly #reader = new TarReader({
    entry: entry => this.#entry(entry),
    body: bytes => this.#current.push(Buffer.from(bytes)),
  })
  #current: Buffer[] = []
  #seen = 0

  constructor(TarParser: typeof Parser) {
    this.#second = new SecondOpinion(TarParser)
  }

  /** Bytes that went through, and what their entries count for. */
  get seen(): number {
    return this.#seen
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
    this.#second.push(chunk)
    this.#seen += chunk.length
  }

  end(expected: ExpectedTarball): InspectedTarball {
    const tree = this.#tree
    const kept = this.#kept
    this.#reader.end()
    this.#second.end()
    for (const settings of SETTINGS_FILES) refuseSecrets(settings, kept.get(settings))
    const packageJson = readPackageJson(kept.get(MANIFEST_FILE))
    checkAgainst(packageJson, expected, tree.files)
    return {
      packageJson,
      fileCount: tree.fileCount,
      unpackedSize: tree.size,
      readme: readReadme(kept),
      hasShrinkwrap: tree.files.has(SHRINKWRAP_FILE),
    }
  }

  #entry(entry: TarEntry): boolean {
    this.#second.expect(entry)
    this.#seen += ENTRY_BYTES
    const path = this.#tree.add(entry)
    if (entry.kind === 'folder' || !isWanted(path, entry.size)) return false
    this.#current = []
    this.#kept.set(path, this.#current)
    return true
  }
}

/** npm's own parser, which must see the entries that we saw, in the same order. */
class SecondOpinion {
  readonly #parser: Parser
  readonly #expected: TarEntry[] = []
  #failure: string | undefined

  constructor(TarParser: typeof Parser) {
    this.#parser = new TarParser({ strict: true, onReadEntry: entry => this.#check(entry) })
    this.#parser.on('error', (error: Error) => this.#fail(error.message))
    this.#parser.on('ignoredEntry', () => this.#fail('an entry would be skipped'))
  }

  expect(entry: TarEntry): void {
    this.#expected.push(entry)
  }

  push(chunk: Buffer): void {
    // It hands bodies on in slices of the piece, and here nobody keeps them.
    this.#parser.write(chunk)
    this.#judge()
  }

  end(): void {
    this.#parser.end()
    if (this.#expected.length > 0) this.#fail('an entry would be missing')
    this.#judge()
  }

  #check(entry: ReadEntry): void {
    const expected = this.#expected.shift()
    const kind = entry.type === 'Directory' ? 'folder' : 'file'
    const path = kind === 'folder' ? entry.path.replace(/\/$/, '') : entry.path
    const isSame = expected?.kind === kind && expected.path === path && expected.size === entry.size
    if (!isSame) this.#fail('an entry would be another')
    entry.resume()
  }

  #fail(why: string): void {
    this.#failure ??= why
  }

  #judge(): void {
    if (this.#failure !== undefined) {
      throw wrong(`is read differently by npm's own parser: ${this.#failure}`)
    }
  }
}

function isWanted(path: string, size: number): boolean {
  if (path === MANIFEST_FILE) {
    if (size <= PACKAGE_JSON_BYTES_MAX) return true
    throw wrong(`has a package.json of more than ${PACKAGE_JSON_BYTES_MAX} bytes`)
  }
  if (SETTINGS_FILES.has(path)) return size <= SETTINGS_BYTES_MAX
  return README.test(path) && size <= README_BYTES_MAX
}

/** What is published once is out for ever, so a secret is looked for before. */
function refuseSecrets(path: string, parts: Buffer[] | undefined): void {
  if (parts === undefined || !WRITTEN_SECRET.test(Buffer.concat(parts).toString('latin1'))) return
  throw wrong(`holds ${path} with a token in it, for everybody to read: leave it out`)
}

function readPackageJson(parts: Buffer[] | undefined): Record<string, unknown> {
  if (parts === undefined) throw wrong('has no package.json')
  const bytes = Buffer.concat(parts)
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw wrong('has a package.json that begins with a byte order mark: save it without')
  }
  try {
    return parseObject(bytes)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'bad-request') throw error
    throw wrong(`has a package.json that cannot be read: ${error.message}`)
  }
}

function checkAgainst(
  packageJson: Record<string, unknown>,
  { name, version, manifest }: ExpectedTarball,
  files: ReadonlySet<string>,
): void {
  for (const [field, value] of [
    ['name', name],
    ['version', version],
  ] as const) {
    if (packageJson[field] === value) continue
    throw wrong(`has a package.json with another ${field} than the ${value} that is published`)
  }
  let field: string | undefined
  try {
    field = differingField({ name, inside: packageJson, sent: manifest, files })
  } catch (error) {
    if (!(error instanceof ProjectionError)) throw error
    throw wrong(`has a package.json that cannot be compared: ${error.message}`)
  }
  if (field === undefined) return
  throw wrong(`has a package.json whose "${field}" is not that of the manifest sent with it`)
}

function readReadme(kept: ReadonlyMap<string, Buffer[]>): string | null {
  for (const [path, parts] of kept) {
    if (!README.test(path)) continue
    const bytes = Buffer.concat(parts)
    if (isUtf8(bytes)) return bytes.toString().slice(0, README_CHARS_MAX).toWellFormed()
  }
  return null
}

function wrong(why: string): RegistryError {
  return new RegistryError('unprocessable', `the tarball ${why}`)
}
