/**
 * What opens the upstreams, sealed: AES-256-GCM (NIST SP 800-38D) under `keys/secrets.key`, a file
 * outside of the database, with a fresh 96-bit nonce for each sealing. The name of the upstream and
 * its origin are authenticated with it, so that a row that was moved to another upstream or whose
 * origin was edited opens nothing. A copy of the database alone says nothing.
 * @module
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { eq } from 'drizzle-orm'
import { encodeText } from '../log/text.ts'
import { KeyFileError, keyPath, readOrMakeKey } from './keys.ts'
import type { RegistryDb } from './registry-db.ts'
import { upstreamSecret } from './schema-registry.ts'

const KEY_FILE = 'secrets.key'
const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
/** The size that GCM is made for (SP 800-38D, section 8.2.1). */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A sealed text cannot be opened: another key, or bytes that were changed. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
  readonly code = 'unreadable-secret'
}

export class Secrets {
  readonly #db: RegistryDb
  readonly #key: Buffer

  /** Makes the key file when there is none. @throws KeyFileError */
  constructor(db: RegistryDb, dataDir: string) {
    const make = () => `${randomBytes(KEY_BYTES).toString('base64')}\n`
    this.#db = db
    this.#key = Buffer.from(readOrMakeKey(dataDir, KEY_FILE, make), 'base64')
    if (this.#key.length === KEY_BYTES) return
    throw new KeyFileError(
      'damaged',
      keyPath(dataDir, KEY_FILE),
      `does not hold ${KEY_BYTES} bytes`,
    )
  }

  /** Seals `text` for one upstream at one origin, in place of what was there. */
  put(upstream: string, origin: string, text: string): void {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(context(upstream, origin))
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    const row = { origin, nonce, sealed: Buffer.concat([body, cipher.getAuthTag()]) }
    this.#db.orm
      .insert(upstreamSecret)
      .values({ upstream, ...row })
      .onConflictDoUpdate({ target: upstreamSecret.upstream, set: row })
      .run()
  }

  /** The text again; null when there is none for this origin. @throws SecretError */
  get(upstream: string, origin: string): string | null {
    const row = this.#row(upstream)
    if (row === undefined || row.origin !== origin) return null
    try {
      const body = row.sealed.subarray(0, -TAG_BYTES)
      const decipher = createDecipheriv(CIPHER, this.#key, row.nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(context(upstream, origin))
      decipher.setAuthTag(row.sealed.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
    } catch (error) {
      const why = `the credential of ${upstream} cannot be opened with keys/${KEY_FILE}`
      throw new SecretError(why, { cause: error })
    }
  }

  /** Whether one is kept, for whichever origin. */
  has(upstream: string): boolean {
    return this.#row(upstream) !== undefined
  }

  remove(upstream: string): void {
    this.#db.orm.delete(upstreamSecret).where(eq(upstreamSecret.upstream, upstream)).run()
  }

  #row(upstream: string) {
    const where = eq(upstreamSecret.upstream, upstream)
    return this.#db.orm.select().from(upstreamSecret).where(where).get()
  }
}

/** JSON: no two pairs look alike. */
function context(upstream: string, origin: string): Uint8Array {
  return encodeText(JSON.stringify(['upstream', upstream, origin]))
}
