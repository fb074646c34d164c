/**
 * Package names and the paths that carry them.
 *
 * A path is read here once, from its raw form, and nowhere else: routers decode parameters and
 * disagree on `%2f`, `%2e%2e` and empty segments, and a name that two parts of a program read
 * differently is a hole. Each segment is percent-decoded exactly once (RFC 3986, section 2.4), the
 * scope may be joined by `/`, `%2f` or `%2F`, and what comes out is a name by the rules of npm's own
 * `validate-npm-package-name` (old names such as `JSONStream` can be read) or an error.
 *
 *     /@babel%2fcore            packument of @babel/core
 *     /@babel/core/7.26.0       manifest of that version (or of a dist-tag)
 *     /lodash/-/lodash-4.17.21.tgz
 *
 * `/-/…` is ours and never a package. Nothing here asks whether a package exists.
 *
 * @module
 */
import validate from 'validate-npm-package-name'
import { RegistryError } from './errors.ts'

/** npm's limit for new names; the longest old name on the public registry is shorter as well. */
export const NAME_CHARS_MAX = 214
/** A version or dist-tag: npm's own tools stop at 256 (semver's MAX_LENGTH). */
export const SELECTOR_CHARS_MAX = 256
/** `<name>-<version>.tgz` of the longest name and version. */
export const FILE_CHARS_MAX = NAME_CHARS_MAX + SELECTOR_CHARS_MAX + 5
/** Every character of the longest name, selector and file percent-encoded fits; the rest is noise. */
const PATH_CHARS_MAX = 4096
/** Names of bytes instead of packages (contents.ts): no registry owns or is asked for one. */
export const CONTENT_SCOPE = '@cas/'
/** How much of a wrong name an error message repeats. */
const SHOWN_CHARS_MAX = 80

/** What semver can write, and the few characters more that old versions use. */
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+_~-]*$/
/** Printable ASCII that needs no escape inside a path segment and cannot end one. */
const FILE = /^[0-9A-Za-z@_][0-9A-Za-z@_.+~!'()*,;=&$:-]*$/
/** A dist-tag is any text that fits a segment: no separators, nothing that a log would misread. */
const SELECTOR = /^[^\p{C}\p{Z}/\\%]+$/u

export type PackagePath =
  | { kind: 'packument'; name: string }
  | { kind: 'manifest'; name: string; selector: string }
  | { kind: 'tarball'; name: string; file: string }

/** What a raw URL path (no query) asks for. Throws `invalid-name`. */
export function parsePackagePath(rawPath: string): PackagePath {
  if (rawPath.length > PATH_CHARS_MAX) {
    throw invalid(rawPath, `is longer than ${PATH_CHARS_MAX} characters`)
  }
  if (!rawPath.startsWith('/')) throw invalid(rawPath, 'does not start with a slash')
  const raw = rawPath.slice(1).split('/')
  if (raw[0] === '-')
    throw invalid(rawPath, 'belongs to the registry itself: no package is called -')
  // One slash at the end is what people type in a browser.
  if (raw.length > 1 && raw.at(-1) === '') raw.pop()
  const segments = raw.map(segment => decodeSegment(segment, rawPath))
  const first = segments.shift() ?? ''
  // A scope that stands alone takes its name from the next segment.
  const isScope = first.startsWith('@') && !first.includes('/')
  const name = isScope ? `${first}/${segments.shift() ?? ''}` : first
  checkName(name)
  const [selector, file, ...more] = segments
  if (selector === undefined) return { kind: 'packument', name }
  if (selector === '-') {
    return { kind: 'tarball', name, file: readFile(name, [file ?? '', ...more], rawPath) }
  }
  if (file !== undefined) throw invalid(rawPath, 'is no path of a package')
  if (selector.length > SELECTOR_CHARS_MAX || !SELECTOR.test(selector) || isDots(selector)) {
    throw invalid(selector, 'is no version and no dist-tag')
  }
  return { kind: 'manifest', name, selector }
}

/** Throws `invalid-name` unless npm could have called a package so, at any time. */
export function checkName(name: string): void {
  if (name.length > NAME_CHARS_MAX) {
    throw invalid(name, `is no package name: longer than ${NAME_CHARS_MAX} characters`)
  }
  // The validator escapes it for a URL, which half a character does not survive.
  if (!name.isWellFormed()) throw invalid(name, 'is no package name: it holds half a character')
  const { validForOldPackages, errors } = validate(name)
  if (!validForOldPackages) {
    throw invalid(name, `is no package name: ${errors?.[0] ?? 'npm does not allow it'}`)
  }
}

/** The name as one path segment of an upstream URL: `@babel%2fcore`. */
export function escapeName(name: string): string {
  checkName(name)
  return name.replace('/', '%2f')
}

/** The part after the scope: `core` of `@babel/core`. */
export function unscopedName(name: string): string {
  return name.slice(name.indexOf('/') + 1)
}

/** Whether a key of `versions` is text that can stand in a record, a URL and a file name. */
export function isVersion(version: string): boolean {
  return version.length <= SELECTOR_CHARS_MAX && VERSION.test(version)
}

/** Whether a file name can stand under `/<name>/-/` as it is. */
export function isFileName(file: string): boolean {
  return file.length <= FILE_CHARS_MAX && FILE.test(file)
}

/** The usual file name of a version: `core-7.26.0.tgz`. */
export function tarballFile(name: string, version: string): string {
  return `${unscopedName(name)}-${version}.tgz`
}

/** The URL of a file on a registry. @param base URL that ends in `/` */
export function tarballUrl(base: string, name: string, file: string): string {
  return `${base}${name}/-/${file}`
}

// Some clients repeat the scope in the file (`/@s/n/-/@s/n-1.0.0.tgz`): it says nothing more.
function readFile(name: string, segments: string[], rawPath: string): string {
  const joined = segments.join('/')
  const scope = name.startsWith('@') ? name.slice(0, name.indexOf('/') + 1) : ''
  const file = scope !== '' && joined.startsWith(scope) ? joined.slice(scope.length) : joined
  if (!isFileName(file)) throw invalid(rawPath, 'names no tarball')
  return file
}

function decodeSegment(segment: string, rawPath: string): string {
  let text: string
  try {
    text = decodeURIComponent(segment)
  } catch {
    throw invalid(rawPath, 'holds a broken percent-escape')
  }
  if (!text.isWellFormed()) throw invalid(rawPath, 'holds ill-formed Unicode')
  // The dash that separates a name from a file is never spelled otherwise.
  if (text === '-' && segment !== '-') throw invalid(rawPath, 'escapes a dash')
  return text
}

function isDots(text: string): boolean {
  return text === '.' || text === '..'
}

function invalid(text: string, why: string): RegistryError {
  const shown =
    text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX).toWellFormed()}…` : text
  // JSON spells control characters and lone surrogates out, so nothing reaches a log or terminal.
  return new RegistryError('invalid-name', `${JSON.stringify(shown)} ${why}`)
}
