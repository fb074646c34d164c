/**
 * What every lockfile parser makes: entries, each with the line that pins it, and the rules that
 * are the same in all formats: which names and versions can be asked for, and how an integrity
 * value is read.
 *
 * A lockfile is hostile input: it comes with a pull request. Whatever cannot be read exactly as
 * the package manager would read it (a key given twice, a YAML alias) is refused, with its line,
 * so that nobody can show this program one thing and the package manager another.
 *
 * Integrity follows npm's `ssri` where a value holds several hashes: it compares the strongest
 * only, so weaker ones beside a SHA-512 say nothing; an unknown or second one is never dropped.
 *
 * @module
 */
import { checkName, isVersion } from '../name.ts'

/** Ten times the lockfile of a big monorepo; parsing this much takes seconds, not minutes. */
export const LOCKFILE_BYTES_MAX = 32 * 1024 * 1024
/** A tree of a large monorepo has some ten thousand; each costs a request. */
export const LOCKFILE_ENTRIES_MAX = 100_000
/** A key, a URL or a hash of a real lockfile has some hundred characters. */
export const LOCKFILE_TEXT_CHARS_MAX = 8192

export type LockfileFormat = 'npm' | 'pnpm' | 'yarn-1' | 'yarn-berry' | 'bun'

export type LockfileEntry = {
  /** The name at the registry: aliases are resolved. */
  name: string
  version: string
  /** `sha512-…`, or a value that holds more or something else and so equals no record. */
  integrity: string | null
  /** Where the hash stands, else where the entry begins; the first line is 1. */
  line: number
  /** The entry's own key in the file. */
  key: string
  /** Only `registry` and `no-integrity` entries can be looked up in a log. */
  kind: 'registry' | 'not-registry' | 'no-integrity'
  /** Why it is not `registry`, as the end of a sentence. */
  reason?: string
  /** The only hash it has, in hex. */
  sha1?: string
  /** Where the file itself says that the tarball comes from (yarn berry). */
  archive?: string
  /** Where the other formats say so, as it stands there: it is compared and never fetched. */
  resolved?: string
}

export type Lockfile = {
  format: LockfileFormat
  /** The format's own version: `3`, `9.0`, `1`. */
  version: string
  entries: LockfileEntry[]
}

/** A lockfile that cannot be read, and the line where that was seen. */
export class LockfileError extends Error {
  override readonly name = 'LockfileError'
  readonly code = 'bad-lockfile'
  readonly line: number

  constructor(line: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.line = line
  }
}

/** Line numbers of offsets, by binary search. */
export class Lines {
  readonly #starts: number[] = [0]

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
      this.#starts.push(at + 1)
    }
  }

  lineOf(offset: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if ((this.#starts[middle] ?? Infinity) <= offset) low = middle + 1
      else high = middle
    }
    return Math.max(1, low)
  }
}

/** What a parser knows of an entry that names a version of a registry. */
export type Pinned = {
  name: string
  version: string
  key: string
  line: number
  integrity: string | undefined
  /** The line of the integrity value, when it has one of its own. */
  integrityLine?: number | undefined
  resolved?: string | undefined
}

/** Makes the entry of a version at a registry; throws when no registry could have such a one. */
export function registryEntry(pinned: Pinned): LockfileEntry {
  const { name, version, key, line, resolved = '' } = pinned
  checkIdentity(name, version, line)
  const found = readIntegrity(pinned.integrity ?? '')
  const place = resolved === '' ? {} : { resolved }
  const base = { name, version, key, line: pinned.integrityLine ?? line, ...place }
  if (found.integrity !== null) return { ...base, integrity: found.integrity, kind: 'registry' }
  return { ...base, integrity: null, kind: 'no-integrity', ...found.weak }
}

export function notRegistryEntry(
  found: { name: string; version: string; key: string; line: number },
  reason: string,
): LockfileEntry {
  return { ...found, integrity: null, kind: 'not-registry', reason }
}

/** An entry that a registry range asks for, but whose bytes come from where nothing pins them. */
export function unpinnedEntry(pinned: Pinned, reason: string): LockfileEntry {
  const { name, version, key, line } = pinned
  checkIdentity(name, version, line)
  return { name, version, key, line, integrity: null, kind: 'no-integrity', reason }
}

/** `@scope/name@rest` in its two parts; undefined when it is not of that form. */
export function splitLocator(text: string): { name: string; rest: string } | undefined {
  const at = text.indexOf('@', 1)
  if (at === -1) return undefined
  return { name: text.slice(0, at), rest: text.slice(at + 1) }
}

/** What an alias `npm:real@range` names; undefined for all other specifications. */
export function readAlias(specification: string): { name: string; rest: string } | undefined {
  if (!specification.startsWith('npm:')) return undefined
  const real = specification.slice('npm:'.length)
  return splitLocator(real) ?? { name: real, rest: '' }
}

/** Where something that is no registry version comes from, in words. */
export function describeSource(source: string): string {
  if (/^(?:git|ssh|github:|gitlab:|bitbucket:|gist:)/.test(source)) return 'comes from git'
  if (/^(?:file:|\.{0,2}\/).*\.(?:tgz|tar\.gz|tar)(?:#|::|$)/.test(source))
    return 'is a local tarball'
  if (/^(?:file:|directory:|\.{0,2}\/)/.test(source)) return 'is a local folder'
  if (/^(?:link:|portal:)/.test(source)) return 'is a link'
  if (source.startsWith('workspace:')) return 'is a workspace of this project'
  if (source.startsWith('patch:')) return 'is a patch; what it patches has its own entry'
  if (/^https?:.*\.git(?:#|$)/.test(source)) return 'comes from git'
  if (/^https?:/.test(source)) return 'comes from a URL, not from a registry'
  return 'comes from no registry'
}

/** Whether a dependency asks a registry: a range, a dist-tag or an alias; not a place. */
export function asksRegistry(specification: string): boolean {
  if (specification.startsWith('npm:')) return true
  return !/[:/]/.test(specification)
}

const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/
const SHA1 = /^sha1-[A-Za-z0-9+/]{27}=$/
/** What `ssri` ranks below SHA-512: with one of that at hand they are not looked at. */
const WEAKER = /^(?:md5|sha1|sha224|sha256|sha384)-/

/** The SHA-512 of an integrity value, or what is there in its place. */
export function readIntegrity(text: string): {
  integrity: string | null
  weak: { reason: string; sha1?: string }
} {
  // Options (`?…`) are no part of a hash.
  const hashes = text.split(/\s+/).map(token => token.replace(/\?.*$/, ''))
  const strong = [...new Set(hashes.filter(token => token !== '' && !WEAKER.test(token)))]
  const [first] = strong
  if (first !== undefined) {
    const whole = strong.length === 1 && SHA512.test(first)
    return { integrity: whole ? first : strong.join(' '), weak: { reason: '' } }
  }
  const sha1 = hashes.find(token => SHA1.test(token))
  if (sha1 !== undefined) {
    const hex = Uint8Array.fromBase64(sha1.slice('sha1-'.length)).toHex()
    return { integrity: null, weak: { reason: 'the lockfile holds only a SHA-1', sha1: hex } }
  }
  const empty = hashes.every(token => token === '')
  const reason = empty ? 'the lockfile holds no hash' : 'the lockfile holds no SHA-512'
  return { integrity: null, weak: { reason } }
}

function checkIdentity(name: string, version: string, line: number): void {
  try {
    checkName(name)
  } catch (error) {
    throw new LockfileError(line, error instanceof Error ? error.message : String(error), error)
  }
  if (!isVersion(version)) {
    throw new LockfileError(line, `${shown(version)} is not a version (of ${name})`)
  }
}

/** Text of a lockfile inside a message: quoted, short, without control characters. */
export function shown(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return JSON.stringify(short.toWellFormed())
}
