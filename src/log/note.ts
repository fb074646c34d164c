/**
 * Signed notes, https://c2sp.org/signed-note@v1.0.0, with Ed25519 keys (signature type 0x01).
 *
 *     example.com/log
 *     2
 *     nND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=
 *
 *     — example.com/log Az3grl…
 *
 * A note is text that ends in a line feed, a blank line, and one line per signature: an em dash, the
 * key's name, and base64 of the 4-byte key hash followed by the signature over the text. A key hash
 * is the beginning of SHA-256(name || LF || 0x01 || public key): a name for a key, not a proof.
 *
 * Keys are written as Go's golang.org/x/mod/sumdb/note writes them:
 *
 *     example.com/log+c74f20a3+<base64 of 0x01 || public key>                verifier key
 *     PRIVATE+KEY+example.com/log+c74f20a3+<base64 of 0x01 || seed>          signer key
 *
 * Cosignatures (types 0x04, 0x06) are unknown signatures here: kept, never counted.
 *
 * @module
 */
import { KEY_BYTES, ed25519PublicKey, ed25519Signer, ed25519Verifier, sha256 } from '#hash'
import { NoteError } from './errors.ts'
import { decodeBase64, encodeBase64, encodeText, hasControl } from './text.ts'

/** Checks signatures of one key. */
export type Verifier = {
  readonly name: string
  /** The key hash as an unsigned 32-bit number. */
  readonly keyHash: number
  /** The key in its text form. */
  readonly vkey: string
  verify(message: Uint8Array, signature: Uint8Array): boolean
}

/** Signs with one key. */
export type Signer = {
  readonly name: string
  readonly keyHash: number
  /** The public half in its text form. */
  readonly vkey: string
  sign(message: Uint8Array): Uint8Array
}

/** One signature line; `signature` is without the key hash. */
export type Signature = {
  readonly name: string
  readonly keyHash: number
  readonly signature: Uint8Array
}

/** A note whose signatures by known keys, at least one, are all good. */
export type OpenedNote = {
  readonly text: string
  readonly verified: readonly Signature[]
  readonly unverified: readonly Signature[]
}

/** Longest note that is read: Go's limit for a tree note, hundreds of times an honest checkpoint. */
export const NOTE_CHARS_MAX = 1_000_000
/** Most signatures that are read, as in Go; the specification asks for at least 16. */
export const SIGNATURES_MAX = 100

const ALGORITHM_ED25519 = 1
const KEY_HASH_BYTES = 4
const BLANK_LINE = '\n\n'
const SIGNATURE_PREFIX = '— '
const KEY_HASH = /^[0-9a-f]{8}$/

/** Makes a key pair from 32 random bytes, in Go's text forms. The skey is secret. */
export function generateLogKey(name: string, seed: Uint8Array): { skey: string; vkey: string } {
  checkKeyName(name)
  const publicKey = ed25519PublicKey(seed)
  const id = formatKeyHash(keyHash(name, publicKey))
  return {
    skey: `PRIVATE+KEY+${name}+${id}+${encodeKey(seed)}`,
    vkey: `${name}+${id}+${encodeKey(publicKey)}`,
  }
}

/** Reads a verifier key. */
export function newVerifier(vkey: string): Verifier {
  const { name, id, key: publicKey } = parseKey(vkey.split('+'))
  const hash = keyHash(name, publicKey)
  if (formatKeyHash(hash) !== id) throw new NoteError('bad-key', 'key does not match its hash')
  const verify = ed25519Verifier(publicKey)
  return { name, keyHash: hash, vkey, verify }
}

/** Reads a signer key. Errors never repeat it. */
export function newSigner(skey: string): Signer {
  const [first, second, ...rest] = skey.split('+')
  if (first !== 'PRIVATE' || second !== 'KEY') throw new NoteError('bad-key', 'not a signer key')
  const { name, id, key: seed } = parseKey(rest)
  const publicKey = ed25519PublicKey(seed)
  const hash = keyHash(name, publicKey)
  if (formatKeyHash(hash) !== id) throw new NoteError('bad-key', 'key does not match its hash')
  const vkey = `${name}+${id}+${encodeKey(publicKey)}`
  return { name, keyHash: hash, vkey, sign: ed25519Signer(seed) }
}

/** Signs a text, which must end in a line feed. */
export function signNote(text: string, signer: Signer): string {
  // What openNote would read differently must never be signed.
  if (!text.endsWith('\n') || !isNoteText(text)) {
    throw new NoteError('malformed-note', 'text cannot stand in a note')
  }
  return `${text}\n${formatSignature(signer, signer.sign(encodeText(text)))}`
}

/**
 * Opens a note: the text, once every signature by one of these keys has been checked and at least
 * one was there. A wrong signature by a known key refuses the whole note; unknown keys are ignored.
 */
export function openNote(note: string, verifiers: readonly Verifier[]): OpenedNote {
  const { text, signatures } = parseNote(note)
  const message = encodeText(text)
  const verified: Signature[] = []
  const unverified: Signature[] = []
  const seen = new Set<string>()
  for (const signature of signatures) {
    const verifier = findVerifier(signature, verifiers)
    if (verifier === undefined) {
      unverified.push(signature)
      continue
    }
    const id = formatKeyId(signature)
    // One key counts once, however often its line is repeated; its first line must be good.
    if (seen.has(id)) continue
    seen.add(id)
    if (!verifier.verify(message, signature.signature)) {
      throw new NoteError('bad-signature', `invalid signature for key ${id}`)
    }
    verified.push(signature)
  }
  if (verified.length === 0) {
    throw new NoteError('unverified-note', 'note has no signature by a known key')
  }
  return { text, verified, unverified }
}

/** Splits a note without checking any signature: for showing and storing, never for trusting. */
export function parseNote(note: string): { text: string; signatures: Signature[] } {
  if (note.length > NOTE_CHARS_MAX) throw malformed('longer than a note may be')
  if (!isNoteText(note)) throw malformed('control characters or ill-formed text')
  const split = note.lastIndexOf(BLANK_LINE)
  if (split < 0) throw malformed('no blank line before the signatures')
  const block = note.slice(split + BLANK_LINE.length)
  if (!block.endsWith('\n')) throw malformed('no signatures, or an unfinished line')
  const lines = block.slice(0, -1).split('\n')
  if (lines.length > SIGNATURES_MAX) throw malformed(`over ${SIGNATURES_MAX} signatures`)
  return { text: note.slice(0, split + 1), signatures: lines.map(parseSignature) }
}

/** One signature line, as `signNote` and witnesses append it. */
export function formatSignature(
  key: { readonly name: string; readonly keyHash: number },
  signature: Uint8Array,
): string {
  const bytes = new Uint8Array(KEY_HASH_BYTES + signature.length)
  new DataView(bytes.buffer).setUint32(0, key.keyHash)
  bytes.set(signature, KEY_HASH_BYTES)
  return `${SIGNATURE_PREFIX}${key.name} ${encodeBase64(bytes)}\n`
}

/** `name+c74f20a3`: how a key is named in messages. */
export function formatKeyId(key: { readonly name: string; readonly keyHash: number }): string {
  return `${key.name}+${formatKeyHash(key.keyHash)}`
}

function parseSignature(line: string): Signature {
  if (!line.startsWith(SIGNATURE_PREFIX)) throw malformed('a line that is no signature')
  const [name, base64, ...more] = line.slice(SIGNATURE_PREFIX.length).split(' ')
  if (name === undefined || base64 === undefined || more.length > 0 || !isKeyName(name)) {
    throw malformed('a signature line that is not: dash, name, base64')
  }
  const bytes = decodeBase64(base64)
  if (bytes === undefined || bytes.length <= KEY_HASH_BYTES) {
    throw malformed('a signature that is not base64 of a key hash and a signature')
  }
  const hash = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
  return { name, keyHash: hash, signature: bytes.subarray(KEY_HASH_BYTES) }
}

function findVerifier(signature: Signature, verifiers: readonly Verifier[]): Verifier | undefined {
  const known = verifiers.filter(
    verifier => verifier.name === signature.name && verifier.keyHash === signature.keyHash,
  )
  if (known.length > 1) {
    throw new NoteError('ambiguous-key', `several known keys are ${formatKeyId(signature)}`)
  }
  return known[0]
}

function parseKey(parts: readonly string[]): { name: string; id: string; key: Uint8Array } {
  // Standard base64 has `+` among its characters, so the last part is whatever remains.
  const [name = '', id = '', ...rest] = parts
  checkKeyName(name)
  const bytes = decodeBase64(rest.join('+'))
  if (!KEY_HASH.test(id) || bytes === undefined) throw new NoteError('bad-key', 'not a key')
  if (bytes[0] !== ALGORITHM_ED25519) throw new NoteError('bad-key', 'not an Ed25519 key')
  if (bytes.length !== 1 + KEY_BYTES) throw new NoteError('bad-key', 'a key of another length')
  return { name, id, key: bytes.subarray(1) }
}

function keyHash(name: string, publicKey: Uint8Array): number {
  const digest = sha256(encodeText(`${name}\n`), Uint8Array.of(ALGORITHM_ED25519), publicKey)
  return new DataView(digest.buffer, digest.byteOffset, digest.byteLength).getUint32(0)
}

function encodeKey(key: Uint8Array): string {
  return encodeBase64(Uint8Array.of(ALGORITHM_ED25519, ...key))
}

function formatKeyHash(hash: number): string {
  return hash.toString(16).padStart(8, '0')
}

function checkKeyName(name: string): void {
  if (!isKeyName(name)) throw new NoteError('bad-key', 'not a key name')
}

function isKeyName(name: string): boolean {
  return name !== '' && isNoteText(name) && !/[\p{White_Space}+]/u.test(name)
}

function isNoteText(text: string): boolean {
  return text.isWellFormed() && !hasControl(text)
}

function malformed(why: string): NoteError {
  return new NoteError('malformed-note', `malformed note: ${why}`)
}
