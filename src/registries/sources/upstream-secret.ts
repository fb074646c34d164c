/**
 * What an operator gives so that an upstream lets this server in: a token, or a user name and a
 * password, a client certificate, and the authority that signed the upstream's own certificate.
 *
 * It is checked when it is given, kept sealed as one text (db/secrets.ts), and opened only to be
 * handed to the upstream. No error repeats any of it: what is described is which parts there are.
 * @module
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ClientCertificate, Credential } from '../fetch/credential.ts'
import { RegistryError } from '../errors.ts'

/** A chain or a bundle of a company's authorities; the bundles of browsers are some 200 KB. */
const PEM_CHARS_MAX = 512 * 1024
/** Tokens that hold claims reach some kilobytes; credential.ts has the limit of the header. */
const WORD_CHARS_MAX = 8192

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

const Word = Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX })
const Pem = Type.String({ minLength: 1, maxLength: PEM_CHARS_MAX })

export const SecretShape = Type.Object(
  {
    token: Type.Optional(Word),
    basic: Type.Optional(
      Type.Object({ user: Word, password: Word }, { additionalProperties: false }),
    ),
    ca: Type.Optional(Pem),
    certificate: Type.Optional(
      Type.Object({ cert: Pem, key: Pem }, { additionalProperties: false }),
    ),
  },
  { additionalProperties: false },
)

/** What is given. `token` or `basic`, not both. */
export type UpstreamSecret = Static<typeof SecretShape>

/** Which parts there are: all that is ever shown. */
export type SecretSummary = {
  authorization: 'bearer' | 'basic' | null
  ca: boolean
  certificate: boolean
}

/** The form that an upstream takes. */
export type OpenedSecret = {
  credential?: Credential
  ca?: string
  certificate?: ClientCertificate
}

/** Checks all of it and makes it usable. @throws RegistryError bad-request */
export function openSecret(secret: UpstreamSecret): OpenedSecret {
  const { token, basic, ca, certificate } = secret
  if (token !== undefined && basic !== undefined) throw refused('a token and a password are given')
  const authorization = token === undefined ? basicHeader(basic) : `Bearer ${token}`
  if (ca !== undefined) checkCertificates(ca, 'the authority')
  if (certificate !== undefined) checkPair(certificate)
  return {
    ...(authorization !== undefined && { credential: new Credential(authorization) }),
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && {
      certificate: new ClientCertificate(certificate.cert, certificate.key),
    }),
  }
}

/** The text that is sealed. */
export function formatSecret(secret: UpstreamSecret): string {
  return JSON.stringify(secret)
}

/** The inverse of `formatSecret`. */
export function parseSecret(text: string): UpstreamSecret {
  const value: unknown = JSON.parse(text)
  // Sealed with our key, so we wrote it; another shape is a newer program's.
  if (!Value.Check(SecretShape, value)) throw new TypeError('a sealed credential of another form')
  return value
}

/** What may be said about it. */
export function summaryOf(secret: UpstreamSecret | null): SecretSummary | null {
  if (secret === null) return null
  const { token, basic, ca, certificate } = secret
  const kind = basic === undefined ? null : 'basic'
  return {
    authorization: token === undefined ? kind : 'bearer',
    ca: ca !== undefined,
    certificate: certificate !== undefined,
  }
}

function basicHeader(basic: UpstreamSecret['basic']): string | undefined {
  if (basic === undefined) return undefined
  // RFC 7617, section 2: the first colon ends the user name.
  if (basic.user.includes(':')) throw refused('a user name holds a colon')
  return `Basic ${Buffer.from(`${basic.user}:${basic.password}`).toString('base64')}`
}

function checkCertificates(pem: string, what: string): X509Certificate {
  const [first] = (pem.match(PEM_BLOCK) ?? []).map(block => certificateOf(block, what))
  if (first === undefined) throw refused(`${what} is no PEM certificate`)
  return first
}

function certificateOf(block: string, what: string): X509Certificate {
  try {
    return new X509Certificate(block)
  } catch {
    throw refused(`${what} is no PEM certificate`)
  }
}

function checkPair({ cert, key }: { cert: string; key: string }): void {
  const certificate = checkCertificates(cert, 'the client certificate')
  if (!isKeyOf(certificate, key)) {
    throw refused('the key of the client certificate is not its own, or not PEM without a password')
  }
}

function isKeyOf(certificate: X509Certificate, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

function refused(why: string): RegistryError {
  return new RegistryError('bad-request', `the credential cannot be used: ${why}`)
}
