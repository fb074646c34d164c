/**
 * The record ("leaf") of the log, version 1: docs/leaf.md is its specification, and a test reads
 * that document's vectors. The one file of the log that knows what npm is.
 *
 *     npm/@babel/core@7.26.0 sha512-<base64 of 64 bytes>
 *     manifest sha256-<base64 of 32 bytes>
 *     seen 2026-11-22T08:31:07Z
 *     key SHA256:<43 characters>
 *     sig <base64 of DER>
 *
 * There is one spelling of every record: `encodeLeaf` checks each field, and `parseLeaf` accepts
 * only what `encodeLeaf` writes. Whether a signature is good is not asked here.
 *
 * @module
 */
import { HASH_BYTES, sha256 } from '#hash'
import { LeafError } from './errors.ts'
import { decodeBase64, decodeText, encodeText, equalBytes } from './text.ts'

/** A version of a package: what its registry says of it, and when this log first saw that. */
export type VersionLeaf = {
  kind: 'version'
  namespace: string
  name: string
  version: string
  /** `sha512-<base64>` of the tarball. */
  integrity: string
  /** `sha256-<base64>` of the canonical JSON of what matters for installing. */
  manifest: string
  /** A UTC second: `2026-11-22T08:31:07Z`. */
  seen: string
  signature?: { keyid: string; sig: string }
}

/** A signing key of a registry was added, or retired. */
export type KeyLeaf = {
  kind: 'registry-key'
  action: 'add' | 'retire'
  namespace: string
  keyid: string
  /** Base64 of the key in DER form (SubjectPublicKeyInfo). */
  spki: string
  expires: string | null
}

/** Something happened to a logged version that does not change its record. */
export type MarkLeaf = {
  kind: 'tombstone' | 'block' | 'unblock'
  namespace: string
  name: string
  version: string
  reason: string
}

export type Leaf = VersionLeaf | KeyLeaf | MarkLeaf

/** Longest record: room for the longest name, version and signature, and for nothing hidden. */
export const LEAF_BYTES_MAX = 4096
/** npm's limit; older and longer names are not on the public registry. */
export const NAME_CHARS_MAX = 214
/** npm's own tools stop at 256 (semver's MAX_LENGTH). */
export const VERSION_CHARS_MAX = 256
/** A host name has at most 253 characters (RFC 1035, 2.3.4), a port six more with its colon. */
export const NAMESPACE_CHARS_MAX = 259
/** One line for people; the whole story is kept elsewhere. */
export const REASON_CHARS_MAX = 200

const SHA512_BYTES = 64
// SEQUENCE of two INTEGERs: 8 bytes for the smallest, 72 for P-256, a little room for the careless.
const SIG_BYTES_MIN = 8
const SIG_BYTES_MAX = 80
// P-256 has 91 bytes; room for other curves and RSA-4096.
const SPKI_BYTES_MIN = 32
const SPKI_BYTES_MAX = 1024
const DER_SEQUENCE = 0x30

const NAMESPACE = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?$/
// Whatever encodeURIComponent leaves alone: all that npm ever allowed, capitals and ~!'()* included.
const NAME = /^(?:@[A-Za-z0-9\-_.!~*'()]+\/)?[A-Za-z0-9\-_.!~*'()]+$/
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+_~-]*$/
const SEEN = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/
const EXPIRES = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$/
// Printable ASCII, no space at either end or twice: a log shows this text to many people.
const REASON = /^[!-~]+(?: [!-~]+)*$/
const NO_EXPIRY = '-'

/** The bytes of a record. Throws LeafError when a field is not as docs/leaf.md demands. */
export function encodeLeaf(leaf: Leaf): Uint8Array {
  const bytes = encodeText(formatLeaf(leaf))
  if (bytes.length > LEAF_BYTES_MAX) {
    throw new LeafError(`record of ${bytes.length} bytes, over ${LEAF_BYTES_MAX}`)
  }
  return bytes
}

/** Reads a record. Throws LeafError for every byte string that `encodeLeaf` does not write. */
export function parseLeaf(bytes: Uint8Array): Leaf {
  if (bytes.length > LEAF_BYTES_MAX) {
    throw new LeafError(`record of ${bytes.length} bytes, over ${LEAF_BYTES_MAX}`)
  }
  const text = decodeText(bytes)
  if (text === undefined) throw new LeafError('record is not UTF-8')
  const leaf = readLeaf(text.split('\n'))
  if (!equalBytes(encodeLeaf(leaf), bytes)) throw new LeafError('record is not in canonical form')
  return leaf
}

/**
 * The full 32-byte key under which a record is unique in its log. A version's is made of namespace,
 * name and version alone; the others' of their whole text, so that one event is logged once.
 */
export function identityKey(leaf: Leaf): Uint8Array {
  return leaf.kind === 'version'
    ? versionKey(leaf.namespace, leaf.name, leaf.version)
    : sha256(encodeText(formatLeaf(leaf)))
}

/** The identity key of a version, whether it is logged or not. */
export function versionKey(namespace: string, name: string, version: string): Uint8Array {
  // No other record begins with this word, and no field can hold a space or a line feed.
  return sha256(encodeText(`version ${formatId(namespace, name, version)}\n`))
}

/** Throws LeafError unless this can be the namespace of a registry: `npm`, or a host name. */
export function checkNamespace(namespace: string): void {
  check(namespace.length <= NAMESPACE_CHARS_MAX && NAMESPACE.test(namespace), 'namespace')
}

function formatLeaf(leaf: Leaf): string {
  if (leaf.kind === 'version') return formatVersion(leaf)
  return leaf.kind === 'registry-key' ? formatKey(leaf) : formatMark(leaf)
}

function formatVersion(leaf: VersionLeaf): string {
  const id = formatId(leaf.namespace, leaf.name, leaf.version)
  checkHash(leaf.integrity, 'sha512-', SHA512_BYTES, 'integrity')
  checkHash(leaf.manifest, 'sha256-', HASH_BYTES, 'manifest')
  check(SEEN.test(leaf.seen) && isInstant(leaf.seen), 'seen')
  const text = `${id} ${leaf.integrity}\nmanifest ${leaf.manifest}\nseen ${leaf.seen}\n`
  if (leaf.signature === undefined) return text
  const { keyid, sig } = leaf.signature
  checkKeyid(keyid)
  checkDer(sig, SIG_BYTES_MIN, SIG_BYTES_MAX, 'sig')
  return `${text}key ${keyid}\nsig ${sig}\n`
}

function formatKey(leaf: KeyLeaf): string {
  checkNamespace(leaf.namespace)
  checkKeyid(leaf.keyid)
  checkDer(leaf.spki, SPKI_BYTES_MIN, SPKI_BYTES_MAX, 'spki')
  const { action, namespace, keyid, spki, expires } = leaf
  check(action === 'add' || action === 'retire', 'action')
  check(expires === null || (EXPIRES.test(expires) && isInstant(expires)), 'expires')
  return `registry-key ${action} ${namespace} ${keyid} ${spki} ${expires ?? NO_EXPIRY}\n`
}

function formatMark(leaf: MarkLeaf): string {
  check(leaf.reason.length <= REASON_CHARS_MAX && REASON.test(leaf.reason), 'reason')
  return `${leaf.kind} ${formatId(leaf.namespace, leaf.name, leaf.version)} ${leaf.reason}\n`
}

function formatId(namespace: string, name: string, version: string): string {
  checkNamespace(namespace)
  check(name.length <= NAME_CHARS_MAX && NAME.test(name) && !hasDots(name), 'name')
  check(version.length <= VERSION_CHARS_MAX && VERSION.test(version), 'version')
  return `${namespace}/${name}@${version}`
}

// Reads loosely: that nothing was lost or added is seen when the leaf is encoded again.
function readLeaf(lines: readonly string[]): Leaf {
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = lines
  const [kind = '', ...words] = first.split(' ')
  if (kind === 'registry-key') return readKey(words)
  if (kind === 'tombstone' || kind === 'block' || kind === 'unblock') {
    const [id = '', ...reason] = words
    return { kind, ...readId(id), reason: reason.join(' ') }
  }
  const leaf: VersionLeaf = {
    kind: 'version',
    ...readId(kind),
    integrity: words.join(' '),
    manifest: after('manifest ', second),
    seen: after('seen ', third),
  }
  if (fourth === '') return leaf
  return { ...leaf, signature: { keyid: after('key ', fourth), sig: after('sig ', fifth) } }
}

function readKey(words: readonly string[]): KeyLeaf {
  const [action, namespace = '', keyid = '', spki = '', expires = ''] = words
  if (action !== 'add' && action !== 'retire') throw new LeafError('record has no valid action')
  const kind = 'registry-key'
  return { kind, action, namespace, keyid, spki, expires: expires === NO_EXPIRY ? null : expires }
}

// Neither a namespace nor a scope holds a slash, and only the first character of a name can be `@`.
function readId(id: string): { namespace: string; name: string; version: string } {
  const slash = id.indexOf('/')
  const at = id.indexOf('@', slash + 2)
  if (slash < 0 || at < 0) throw new LeafError('record has no <namespace>/<name>@<version>')
  return {
    namespace: id.slice(0, slash),
    name: id.slice(slash + 1, at),
    version: id.slice(at + 1),
  }
}

function after(prefix: string, line: string): string {
  if (!line.startsWith(prefix)) throw new LeafError(`record has no line "${prefix.trim()}"`)
  return line.slice(prefix.length)
}

function checkHash(text: string, prefix: string, length: number, field: string): void {
  const bytes = text.startsWith(prefix) ? decodeBase64(text.slice(prefix.length)) : undefined
  check(bytes?.length === length, field)
}

function checkKeyid(keyid: string): void {
  const bytes = keyid.startsWith('SHA256:') ? decodeBase64(`${keyid.slice(7)}=`) : undefined
  check(bytes?.length === HASH_BYTES, 'keyid')
}

function checkDer(text: string, min: number, max: number, field: string): void {
  // Four characters hold three bytes: nothing longer is worth decoding.
  const bytes = text.length <= 2 * max ? decodeBase64(text) : undefined
  check(bytes !== undefined && bytes.length >= min && bytes.length <= max, field)
  check(bytes?.[0] === DER_SEQUENCE, field)
}

// A real instant is one that the calendar gives back: no February 30th, no second 60.
function isInstant(text: string): boolean {
  const date = new Date(text)
  const canonical = text.includes('.') ? text : text.replace('Z', '.000Z')
  return !Number.isNaN(date.getTime()) && date.toISOString() === canonical
}

function hasDots(name: string): boolean {
  return name
    .split('/')
    .some(part => part === '.' || part === '..' || part === '@.' || part === '@..')
}

function check(ok: boolean, field: string): void {
  if (!ok) throw new LeafError(`record has no valid ${field}`)
}
