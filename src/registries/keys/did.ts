/**
 * The identity of an instance as a DID document (W3C Decentralized Identifiers v1.0, section 5), by
 * the method did:web (https://w3c-ccg.github.io/did-method-web/): who has the host has the name.
 *
 *     https://npm.example/.well-known/did.json        did:web:npm.example
 *     https://npm.example/npm/.well-known/did.json    did:web:npm.example:npm:.well-known
 *
 * The second form is did:web's own for a document below a path; `/npm/did.json`, its shorter one,
 * would be the package `did.json`. No package can be called `.well-known`: names begin with no dot.
 * The document names the key that signs versions (P-256), the key of the log (Ed25519), and where
 * both are used. Another instance's is read strictly: its name is its host, every key is spelt out
 * and stands for what it claims. Nothing is fetched here, and no key is trusted for it.
 * @module
 */
import { createPublicKey, type JsonWebKeyInput } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { decodeText } from '../../log/text.ts'
import { RegistryError } from '../errors.ts'
import { keyidOf } from './keys.ts'
import type { PublishedKey } from './own-key.ts'

/** Below the public URL of an instance. */
export const DID_PATH = '.well-known/did.json'

/** A document with this many keys of 300 bytes is still far below. */
export const DID_BYTES_MAX = 64 * 1024
const METHODS_MAX = 64
const WORD_CHARS_MAX = 2048

const CONTEXTS = ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/jwk/v1']
/** W3C Controlled Identifiers v1.0, section 2.2.3, and its name before 2023. */
const JWK_TYPES: ReadonlySet<string> = new Set(['JsonWebKey', 'JsonWebKey2020'])
const REGISTRY_SERVICE = 'NpmRegistry'
const LOG_SERVICE = 'ChecksumLog'
/** A segment of a did:web: what stands in a path as it is, and no dots that climb. */
const SEGMENT = /^(?!\.{1,2}$)[\w.~-]+$/
/** SubjectPublicKeyInfo of an Ed25519 key, up to the key (RFC 8410, section 4). */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

const Word = Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX })
const Method = Type.Object({
  id: Word,
  type: Word,
  controller: Word,
  publicKeyJwk: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
})
const Document = Type.Object({
  id: Word,
  verificationMethod: Type.Array(Method, { maxItems: METHODS_MAX }),
  assertionMethod: Type.Array(Type.Unknown(), { maxItems: METHODS_MAX }),
  service: Type.Optional(
    Type.Array(Type.Object({ type: Type.Unknown(), serviceEndpoint: Type.Unknown() }), {
      maxItems: METHODS_MAX,
    }),
  ),
})
type Document = Static<typeof Document>

type Jwk = JsonWebKeyInput['key']

/** What an instance says of itself. @property publicUrl ends in `/` @property vkey of its log */
export type OwnIdentity = {
  publicUrl: string
  key: PublishedKey
  /** Those that signed before it: what they signed is still served. */
  formerKeys?: readonly PublishedKey[]
  vkey: string
}

/** What another instance's document says. */
export type Identity = {
  did: string
  /** Of the keys that it signs versions with; at least one. */
  keyids: string[]
  /** Where its registry is, on the same host. */
  registry: string
}

/** The did:web of the instance at a public URL. */
export function didOf(publicUrl: string): string {
  const { host, pathname } = new URL(publicUrl)
  const path = pathname.split('/').filter(segment => segment !== '')
  const rest = path.length === 0 ? [] : [...path, '.well-known']
  return ['did:web', host.replace(':', '%3A'), ...rest].join(':')
}

/** This instance's document, as JSON. */
export function didDocument({ publicUrl, key, formerKeys = [], vkey }: OwnIdentity): string {
  const id = didOf(publicUrl)
  const methods = [
    methodOf(id, '#registry', registryJwk(key)),
    ...formerKeys.map((each, i) => methodOf(id, `#registry-before-${i + 1}`, registryJwk(each))),
    methodOf(id, '#log', jwkOf(logSpki(vkey))),
  ]
  const document = {
    '@context': CONTEXTS,
    id,
    'verificationMethod': methods,
    'assertionMethod': methods.map(method => method.id),
    'service': [
      { id: `${id}#npm`, type: REGISTRY_SERVICE, serviceEndpoint: publicUrl },
      { id: `${id}#sumdb`, type: LOG_SERVICE, serviceEndpoint: `${publicUrl}-/sumdb/`, vkey },
    ],
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

/**
 * Reads the document that was fetched from `https://<expectedHost>/…/.well-known/did.json`.
 * @param expectedHost host, with its port when it is not the usual one
 * @throws RegistryError upstream-bad-answer when it is no such identity of that host
 */
export function identityOf(bytes: Uint8Array, expectedHost: string): Identity {
  const document = readDocument(bytes)
  const did = document.id
  if (hostOf(did) !== expectedHost.toLowerCase()) {
    throw badIdentity(`is that of ${shown(did)}, not of ${shown(expectedHost)}`)
  }
  return {
    did,
    keyids: signingKeyids(document),
    registry: registryOf(document, expectedHost.toLowerCase()),
  }
}

function readDocument(bytes: Uint8Array): Document {
  if (bytes.length > DID_BYTES_MAX) throw badIdentity(`is larger than ${DID_BYTES_MAX} bytes`)
  const text = decodeText(bytes)
  if (text === undefined) throw badIdentity('is not UTF-8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw badIdentity('is not JSON')
  }
  if (!Value.Check(Document, value)) throw badIdentity('is no DID document with keys')
  return value
}

/** The host of a did:web, as URLs spell it; undefined for every other DID. */
function hostOf(did: string): string | undefined {
  const [scheme, method, host = '', ...path] = did.split(':')
  if (scheme !== 'did' || method !== 'web') return undefined
  if (!path.every(segment => SEGMENT.test(segment))) return undefined
  const name = host.replace(/%3a/i, ':')
  // The URL parser has the last word: user names, paths and escapes are no host.
  return URL.parse(`https://${name}/`)?.host === name ? name : undefined
}

/**
 * The keyids of the P-256 keys that the document claims to make assertions with. A key that cannot
 * be read, is given under two meanings or shows its private half spoils the whole document.
 */
function signingKeyids(document: Document): string[] {
  const claimed = new Set(document.assertionMethod.filter(entry => typeof entry === 'string'))
  const ids = new Set<string>()
  const keyids = new Set<string>()
  for (const { id, type, controller, publicKeyJwk } of document.verificationMethod) {
    const absolute = id.startsWith('#') ? `${document.id}${id}` : id
    if (!absolute.startsWith(`${document.id}#`)) throw badIdentity(`has a key of ${shown(id)}`)
    if (controller !== document.id)
      throw badIdentity(`has a key that ${shown(controller)} controls`)
    if (ids.has(absolute)) throw badIdentity(`gives ${shown(id)} twice`)
    ids.add(absolute)
    if (publicKeyJwk === undefined || !JWK_TYPES.has(type)) continue
    if ('d' in publicKeyJwk) throw badIdentity('shows a private key')
    const keyid = keyidOfJwk(publicKeyJwk)
    if (keyid !== undefined && (claimed.has(id) || claimed.has(absolute))) keyids.add(keyid)
  }
  if (keyids.size === 0) throw badIdentity('names no P-256 key that it signs with')
  return [...keyids]
}

/** The keyid of a P-256 key; undefined for a key of another kind. */
function keyidOfJwk(jwk: Record<string, unknown>): string | undefined {
  const { kty, crv, x, y, kid } = jwk
  if (kty !== 'EC' || crv !== 'P-256') return undefined
  if (typeof x !== 'string' || typeof y !== 'string') throw badIdentity('has half of a key')
  const keyid = keyidOf(spkiOf({ kty, crv, x, y }))
  if (keyid === undefined) throw badIdentity('has a key that is no point of P-256')
  if (typeof kid === 'string' && kid.startsWith('SHA256:') && kid !== keyid) {
    throw badIdentity(`calls the key ${keyid} ${shown(kid)}`)
  }
  return keyid
}

function spkiOf(jwk: Jwk): string {
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    return key.export({ type: 'spki', format: 'der' }).toString('base64')
  } catch {
    throw badIdentity('has a key that cannot be read')
  }
}

function registryOf(document: Document, host: string): string {
  for (const { type, serviceEndpoint } of document.service ?? []) {
    const isRegistry = Array.isArray(type)
      ? type.includes(REGISTRY_SERVICE)
      : type === REGISTRY_SERVICE
    if (!isRegistry || typeof serviceEndpoint !== 'string') continue
    const url = URL.parse(serviceEndpoint)
    if (url?.host === host && /^https?:$/.test(url.protocol)) return url.href
  }
  throw badIdentity(`names no ${REGISTRY_SERVICE} on its own host`)
}

function methodOf(did: string, fragment: string, publicKeyJwk: Jwk & { kid?: string }) {
  return { id: `${did}${fragment}`, type: 'JsonWebKey', controller: did, publicKeyJwk }
}

function registryJwk({ key, keyid }: PublishedKey): Jwk & { kid: string } {
  return { ...jwkOf(Buffer.from(key, 'base64')), kid: keyid }
}

function jwkOf(spki: Buffer): Jwk {
  return createPublicKey({ key: spki, format: 'der', type: 'spki' }).export({ format: 'jwk' })
}

/** `<name>+<hash>+<base64 of 0x01 and the key>` (log/note.ts). */
function logSpki(vkey: string): Buffer {
  const key = Buffer.from(vkey.split('+').slice(2).join('+'), 'base64').subarray(1)
  return Buffer.concat([ED25519_PREFIX, key])
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80).toWellFormed())
}

function badIdentity(why: string): RegistryError {
  return new RegistryError('upstream-bad-answer', `the DID document ${why}`)
}
