/**
 * `<name>@<version>` as it stands at the end of a URL: `@babel%2fcore@7.26.0`, `lodash@4.17.21`.
 *
 * The name may be spelled in each of its ways (name.ts); the version is what follows the last `@`.
 * Clients of Go's checksum database spell a capital as `!` and the small letter, so that paths are
 * the same on disks that do not tell them apart (https://go.dev/ref/mod#goproxy-protocol).
 * @module
 */
import { RegistryError } from './errors.ts'
import { checkName, isVersion } from './name.ts'

/** The longest name, `@` and version, every character of them percent-encoded. */
const IDENTITY_CHARS_MAX = 3 * (214 + 1 + 256)

/** Name and version of one version of a package. */
export type Identity = { name: string; version: string }

/** Reads the raw (still percent-encoded) text. @throws RegistryError bad-request, invalid-name */
export function parseIdentity(raw: string): Identity {
  return split(decoded(raw))
}

/** Reads Go's escaped form, `2.0.0-!r!c.1`. @throws RegistryError bad-request, invalid-name */
export function parseGoIdentity(raw: string): Identity {
  const text = decoded(raw)
  // One name has one spelling: a capital, or a mark before anything else, is none of Go's.
  if (text === undefined || /[A-Z]|!(?![a-z])/.test(text)) throw malformed()
  return split(text.replaceAll(/!([a-z])/g, (_, letter: string) => letter.toUpperCase()))
}

function split(text: string | undefined): Identity {
  const at = text?.lastIndexOf('@') ?? -1
  if (text === undefined || at < 1) throw malformed()
  const name = text.slice(0, at)
  const version = text.slice(at + 1)
  checkName(name)
  if (!isVersion(version)) throw malformed()
  return { name, version }
}

function decoded(raw: string): string | undefined {
  if (raw.length > IDENTITY_CHARS_MAX) return undefined
  try {
    return decodeURIComponent(raw)
  } catch {
    return undefined
  }
}

function malformed(): RegistryError {
  return new RegistryError('bad-request', 'this URL must end in <name>@<version>')
}
