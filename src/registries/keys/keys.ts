/**
 * The answer of `/-/npm/v1/keys`: the ECDSA P-256 keys that a registry signs versions with
 * (npm RFC 0051; docs.npmjs "about registry signatures").
 *
 * A keyid is the OpenSSH fingerprint of the key: `SHA256:` and the unpadded base64 of SHA-256 over
 * its wire form (RFC 5656, section 3.1). It is computed here and compared, so that nobody can bring
 * another key under a keyid that is trusted already. Whether a key is trusted is decided elsewhere.
 *
 * @module
 */
import { createHash, createPublicKey } from 'node:crypto'
import { Value } from '@sinclair/typebox/value'
import { Type } from '@sinclair/typebox'
import { decodeBase64, decodeText } from '../../log/text.ts'
import { RegistryError } from '../errors.ts'

/** A registry has one or two keys; rotation adds one a year. Against answers made to be large. */
export const KEYS_MAX = 64
/** Room for KEYS_MAX entries of 400 bytes, formatted generously. */
export const KEYS_BYTES_MAX = 64 * 1024

export const KEY_TYPE = 'ecdsa-sha2-nistp256'
const CURVE = 'nistp256'
/** SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480, section 2). */
const SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
/** 0x04, X and Y. */
const POINT_BYTES = 65
/** RFC 3339 in UTC, the only form that registries send; `new Date` would accept far more. */
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/

/** A key as a registry announces it, checked. `spki` is base64 of the DER form. */
export type RegistryKey = {
  keyid: string
  spki: string
  expires: string | null
  /** The entry as the registry sent it, unknown members included. */
  json: string
}
export type RefusedKey = { keyid: string; reason: string }

const KeysAnswer = Type.Object({ keys: Type.Array(Type.Unknown(), { maxItems: KEYS_MAX }) })
const KeyEntry = Type.Object({
  keyid: Type.String({ minLength: 1, maxLength: 128 }),
  keytype: Type.Literal(KEY_TYPE),
  scheme: Type.Literal(KEY_TYPE),
  key: Type.String({ maxLength: 256 }),
  expires: Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 40 })])),
})

/**
 * The usable keys of an answer, and the others with the reason. A keyid that the answer gives twice
 * with different content is refused both times: the registry contradicts itself.
 * Throws `upstream-bad-answer` when it is no such answer at all.
 */
export function parseKeys(bytes: Uint8Array): { keys: RegistryKey[]; refused: RefusedKey[] } {
  const keys = new Map<string, RegistryKey>()
  const refused: RefusedKey[] = []
  const seen = new Map<string, string>()
  const contradicted = new Set<string>()
  for (const entry of readEntries(bytes)) {
    const keyid = keyidField(entry)
    const content = JSON.stringify(entry)
    const before = seen.get(keyid)
    if (before !== undefined && before !== content) contradicted.add(keyid)
    if (before !== undefined) continue
    seen.set(keyid, content)
    const checked = checkEntry(entry)
    if (typeof checked === 'string') refused.push({ keyid, reason: checked })
    else keys.set(keyid, checked)
  }
  for (const keyid of contradicted) {
    if (keys.delete(keyid)) {
      refused.push({ keyid, reason: 'the same keyid is given twice with different content' })
    }
  }
  return { keys: [...keys.values()], refused }
}

/** `SHA256:…` of a key, or undefined when it is no P-256 public key in DER. @param spki base64 */
export function keyidOf(spki: string): string | undefined {
  const der = decodeBase64(spki)
  if (der === undefined || der.length !== SPKI_PREFIX.length + POINT_BYTES) return undefined
  if (!SPKI_PREFIX.equals(der.subarray(0, SPKI_PREFIX.length))) return undefined
  const point = der.subarray(SPKI_PREFIX.length)
  if (!isOnCurve(der)) return undefined
  const wire = Buffer.concat([KEY_TYPE, CURVE, point].map(part => wireString(part)))
  return `SHA256:${createHash('sha256').update(wire).digest('base64').replace(/=+$/, '')}`
}

function readEntries(bytes: Uint8Array): unknown[] {
  if (bytes.length > KEYS_BYTES_MAX) throw badAnswer(`is larger than ${KEYS_BYTES_MAX} bytes`)
  const text = decodeText(bytes)
  if (text === undefined) throw badAnswer('is not UTF-8')
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw badAnswer('is not JSON')
  }
  if (!Value.Check(KeysAnswer, answer)) {
    throw badAnswer(`is not an object with at most ${KEYS_MAX} "keys"`)
  }
  return answer.keys
}

// The reason in words, or the key.
function checkEntry(entry: unknown): RegistryKey | string {
  if (!Value.Check(KeyEntry, entry)) {
    const [first] = Value.Errors(KeyEntry, entry)
    return `not an ${KEY_TYPE} key entry: ${first?.path ?? ''} ${first?.message ?? ''}`.trim()
  }
  const computed = keyidOf(entry.key)
  if (computed === undefined) return 'the key is not a P-256 public key in DER'
  if (computed !== entry.keyid) return `the keyid is not the key's own, which is ${computed}`
  const expires = entry.expires ?? null
  if (expires !== null && !isInstant(expires)) return 'the expiry is not an RFC 3339 instant in UTC'
  return { keyid: entry.keyid, spki: entry.key, expires, json: JSON.stringify(entry) }
}

function keyidField(entry: unknown): string {
  const keyid: unknown =
    typeof entry === 'object' && entry !== null && 'keyid' in entry ? entry.keyid : undefined
  return typeof keyid === 'string' && keyid.isWellFormed() ? keyid.slice(0, 128) : ''
}

function isInstant(text: string): boolean {
  return INSTANT.test(text) && !Number.isNaN(Date.parse(text))
}

// The platform's own reading checks the curve equation.
function isOnCurve(der: Uint8Array): boolean {
  try {
    createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
    return true
  } catch {
    return false
  }
}

// RFC 4251, section 5, "string": length in four bytes, big-endian.
function wireString(part: string | Uint8Array): Buffer {
  const bytes = Buffer.from(part)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function badAnswer(why: string): RegistryError {
  return new RegistryError('upstream-bad-answer', `the answer to the question for keys ${why}`)
}
