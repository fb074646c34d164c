/**
 * This registry's own signing keys (P-256), as they stand in `/-/npm/v1/keys`.
 *
 * Same form and same keyid as npm's keys (keys.ts), so that `ssh-keygen -lf` shows the same
 * fingerprint. One key signs; its PKCS #8 PEM is a file of the caller's. The public halves of the
 * keys that signed before it are kept for ever, as npm RFC 0051 demands of every registry: what
 * they signed is still served, and npm gives up a whole audit at the first keyid it has no key for.
 * What is signed is cosign.ts.
 * @module
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import type { UpstreamKeyRow } from '../../db/upstreams.ts'
import { encodeText } from '../../log/text.ts'
import { KEY_TYPE, keyidOf } from './keys.ts'

/** The file of the one that signs, among the key files of the data dir. */
export const OWN_KEY_FILE = 'registry.key'
/** Where our own keys stand in the table of keys: no upstream can have an empty name. */
const OWN_UPSTREAM = ''

/** A key as npm's keys endpoint serves it. */
export type PublishedKey = {
  expires: string | null
  keyid: string
  keytype: string
  scheme: string
  key: string
}

/** Where the public halves are kept. */
export type OwnKeyStore = {
  keys(upstream: string): UpstreamKeyRow[]
  addKey(row: UpstreamKeyRow): void
}

/** A new private key as PKCS #8 PEM. */
export function generateSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' })
}

/** The public half of a PKCS #8 PEM. @throws TypeError when it is no P-256 key */
export function publishedKey(pem: string): PublishedKey {
  const spki = createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'der' })
  const key = Buffer.from(spki).toString('base64')
  const keyid = keyidOf(key)
  if (keyid === undefined) throw new TypeError('the registry key is not a P-256 key')
  return { expires: null, keyid, keytype: KEY_TYPE, scheme: KEY_TYPE, key }
}

/** Is the public half of this key kept? */
export function isKept(store: OwnKeyStore, pem: string): boolean {
  const { keyid } = publishedKey(pem)
  return store.keys(OWN_UPSTREAM).some(known => known.keyid === keyid)
}

/** The key that signs, and those that did. */
export class OwnKeys {
  readonly #store: OwnKeyStore
  #current: PublishedKey
  #sign: (message: Uint8Array) => Uint8Array
  #json: ReadonlyMap<string, string>

  /** @param pem of the key that signs; it is added to `store` when it is new @param now when */
  constructor(pem: string, store: OwnKeyStore, now: string) {
    this.#store = store
    this.#current = publishedKey(pem)
    this.#sign = signerOf(pem)
    this.keep(this.#current, now)
    this.#json = this.#stored()
  }

  /** The one that signs now. */
  get current(): PublishedKey {
    return this.#current
  }

  /** Those that signed before it. */
  former(): PublishedKey[] {
    return this.#store
      .keys(OWN_UPSTREAM)
      .filter(({ keyid }) => keyid !== this.#current.keyid)
      .map(({ keyid, keytype, scheme, spki: key, expires }) => {
        return { expires, keyid, keytype, scheme, key }
      })
  }

  /** Keeps the public half of a key that is to sign, in the caller's transaction. */
  keep(key: PublishedKey, now: string): void {
    if (this.#store.keys(OWN_UPSTREAM).some(({ keyid }) => keyid === key.keyid)) return
    this.#store.addKey(rowOf(key, now))
  }

  /** Signs with another key from now on, which was kept before. */
  use(pem: string): void {
    this.#sign = signerOf(pem)
    this.#current = publishedKey(pem)
    this.#json = this.#stored()
  }

  /** Every key of ours by its keyid, as the keys endpoint serves it. */
  published(): ReadonlyMap<string, string> {
    return this.#json
  }

  #stored(): ReadonlyMap<string, string> {
    return new Map(this.#store.keys(OWN_UPSTREAM).map(({ keyid, json }) => [keyid, json]))
  }

  /** Signs a text: base64 of DER. Two signatures of one text differ. */
  sign(message: string): string {
    return Buffer.from(this.#sign(encodeText(message))).toString('base64')
  }
}

function signerOf(pem: string): (message: Uint8Array) => Uint8Array {
  const privateKey = createPrivateKey(pem)
  return message => sign('sha256', message, privateKey)
}

function rowOf(key: PublishedKey, now: string): UpstreamKeyRow {
  return {
    upstream: OWN_UPSTREAM,
    keyid: key.keyid,
    keytype: key.keytype,
    scheme: key.scheme,
    spki: key.key,
    expires: key.expires,
    json: JSON.stringify(key),
    state: 'approved',
    firstSeen: now,
    leafIdx: null,
  }
}
