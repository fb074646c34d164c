/**
 * This registry's own signing key (P-256), as it stands in `/-/npm/v1/keys`.
 *
 * Same form and same keyid as npm's keys (keys.ts), so that `ssh-keygen -lf` shows the same
 * fingerprint. Kept as PKCS #8 PEM; the caller keeps the file.
 * @module
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { keyidOf } from './keys.ts'

const SCHEME = 'ecdsa-sha2-nistp256'

/** A key as npm's keys endpoint serves it. */
export type PublishedKey = {
  expires: string | null
  keyid: string
  keytype: string
  scheme: string
  key: string
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
  return { expires: null, keyid, keytype: SCHEME, scheme: SCHEME, key }
}
