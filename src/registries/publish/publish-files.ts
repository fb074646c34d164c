/**
 * The tree of files that a published tarball would make on a disk, without making it.
 *
 * Clients take the first folder of every path away, whatever it is called, and write the rest below
 * `node_modules/<name>/`, on disks that fold case, Unicode forms, dots and colons in ways of their
 * own. A path that leaves that folder, two files in one place, or two package.json on any of those
 * disks are refused here.
 *
 * @module
 */
import { RegistryError } from '../errors.ts'
import type { TarEntry } from './publish-tar.ts'

/** Below what Linux takes (4,096) and above what real packages have (260, for Windows' sake). */
const PATH_CHARS_MAX = 1024
/** No file system takes a longer name. */
const SEGMENT_BYTES_MAX = 255
/** Folders in folders: `node_modules` bundled five deep have 20. */
const DEPTH_MAX = 64
/** All paths and folders together, which stay in memory: 50,000 files with 120 characters and their folders fit. */
const TREE_CHARS_MAX = 8 * 1024 * 1024
/** Nothing that a terminal, a log or a file system of Windows would act on. */
const UNSAFE = /[\p{Cc}\\]|[\u202A-\u202E\u2066-\u2069]/u
const DRIVE = /^[A-Za-z]:/
/** What HFS+ leaves out when it compares names, with the rest of its kind. */
const IGNORED = /[\p{Cf}\p{Mn}\p{Variation_Selector}]/gu

/** Files that decide how a package installs: one of each, under its very name. */
const DECISIVE: ReadonlySet<string> = new Set([
  'package.json',
  'npm-shrinkwrap.json',
  'binding.gyp',
])

export class FileTree {
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()
  #root: string | undefined
  #bytes = 0
  #chars = 0

  get fileCount(): number {
    return this.#files.size
  }

  /** Bytes of all files together. */
  get size(): number {
    return this.#bytes
  }

  /** The paths of all files, as they will be below the package's folder. */
  get files(): ReadonlySet<string> {
    return this.#files
  }

  /** Puts an entry into the tree; its path below the package's folder, '' for that folder. */
  add(entry: TarEntry): string {
    const segments = readSegments(entry.path)
    const [root, ...inside] = segments
    this.#root ??= root
    if (root !== this.#root) {
      throw wrong(`has files in two folders, where clients take one away`, entry.path)
    }
    const path = inside.join('/')
    this.#addFolders(inside.slice(0, -1))
    if (entry.kind === 'folder') {
      this.#addFolders(inside)
      return path
    }
    if (path === '') throw wrong('has a file outside of its folder', entry.path)
    if (this.#files.has(path)) throw wrong('has a file twice', entry.path)
    if (this.#folders.has(path)) throw wrong('has a file where it has a folder', entry.path)
    if (inside.length === 1) checkDecisive(path)
    this.#files.add(path)
    this.#count(path)
    this.#bytes += entry.size
    return path
  }

  #addFolders(segments: string[]): void {
    let path = ''
    for (const segment of segments) {
      path = path === '' ? segment : `${path}/${segment}`
      if (this.#files.has(path)) throw wrong('has a folder where it has a file', path)
      if (this.#folders.has(path)) continue
      this.#folders.add(path)
      this.#count(path)
    }
  }

  #count(path: string): void {
    this.#chars += path.length
    if (this.#chars > TREE_CHARS_MAX) throw wrong('has too many and too long paths', path)
  }
}

function readSegments(path: string): string[] {
  if (path === '') throw wrong('has a file without a name', path)
  if (path.length > PATH_CHARS_MAX) throw wrong('has a path that is too long', path)
  if (UNSAFE.test(path)) throw wrong('has a path that no client can write as it is', path)
  if (path.startsWith('/')) throw wrong('has an absolute path', path)
  const segments = path.split('/')
  if (segments.length > DEPTH_MAX) throw wrong('has folders too deep', path)
  for (const segment of segments) {
    if (segment === '..') throw wrong('has a path that leaves its folder', path)
    if (segment === '' || segment === '.' || DRIVE.test(segment)) {
      throw wrong('has a path that programs read differently', path)
    }
    if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX) {
      throw wrong('has a file name that is too long', path)
    }
  }
  return segments
}

function checkDecisive(name: string): void {
  const folded = fold(name)
  if (DECISIVE.has(folded) && folded !== name) {
    throw wrong(`has a second spelling of ${folded}`, name)
  }
}

// The one name that any disk might make of it.
function fold(name: string): string {
  const stream = name.indexOf(':')
  const plain = stream === -1 ? name : name.slice(0, stream)
  return plain
    .normalize('NFKD')
    .replace(IGNORED, '')
    .toLowerCase()
    .replace(/\u017F/g, 's')
    .replace(/\u212A/g, 'k')
    .replace(/[. ]+$/, '')
}

function wrong(why: string, path: string): RegistryError {
  const shownCharsMax = 80
  const shown = JSON.stringify(path.slice(0, shownCharsMax).toWellFormed())
  return new RegistryError('unprocessable', `the tarball ${why} (${shown})`)
}
