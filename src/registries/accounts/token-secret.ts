/**
 * The secret of a token: how it is made, hashed and read out of an Authorization header.
 *
 * A secret has 256 random bits, so that plain SHA-256 protects it (nobody can try them all), and a
 * lookup by that hash gives away nothing by its time. The prefix is for secret scanners.
 * RFC 6750 (Bearer), RFC 7617 (Basic: the token stands for the password, as `_auth` has it).
 * @module
 */
import { createHash, randomBytes } from 'node:crypto'

/** Begins every token. */
export const TOKEN_PREFIX = 'npmx_'
/** As long as the hash that it is known by. */
const SECRET_BYTES = 32
/** 72 bits: nobody guesses it, and a person can read it out. */
const ID_BYTES = 9
/** An admin token of the operator's own making may be longer than ours; more is nonsense. */
const CREDENTIAL_CHARS_MAX = 4096

const BEARER = /^bearer +([\w.~+/=-]+) *$/i
const BASIC = /^basic +([\w+/-]+={0,2}) *$/i

/** `npmx_` and 43 characters of base64url. */
export function makeTokenSecret(): string {
  return TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
}

/** The public name of a token. */
export function makeTokenId(): string {
  return randomBytes(ID_BYTES).toString('hex')
}

/** What is kept of a secret. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url')
}

/** The token in an Authorization header; null when it holds none that could be one. */
export function tokenIn(authorization: string): string | null {
  if (authorization.length > CREDENTIAL_CHARS_MAX) return null
  const bearer = BEARER.exec(authorization)?.[1]
  return bearer ?? basicIn(authorization)?.password ?? null
}

/** Name and password of Basic authorization; null for anything else. */
export function basicIn(authorization: string): { name: string; password: string } | null {
  if (authorization.length > CREDENTIAL_CHARS_MAX) return null
  const encoded = BASIC.exec(authorization)?.[1]
  if (encoded === undefined) return null
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? null : { name: text.slice(0, colon), password: text.slice(colon + 1) }
}
