/**
 * Which URL the fetcher may ask, and what it may send along: the first one and each redirect.
 *
 * Origins that the operator listed are asked by name, wherever they are. Any other origin is only
 * ever the target of a redirect that the caller allowed; it must be public https on the usual port,
 * and the connection goes to the address that was checked, with the name only in the TLS handshake
 * and the Host header. Behind an HTTP proxy (HTTPS_PROXY, which the runtime follows by itself) the
 * proxy makes the connection and its rules are the last word.
 *
 * @module
 */
import { AddressError, isAddress, publicAddresses } from '../addresses.ts'
import { RegistryError } from '../errors.ts'
import type { ClientCertificate, Credential } from './credential.ts'
import type { Lookup } from '../addresses.ts'

/** A server that the operator configured. */
export type Site = {
  /** `https://registry.example`, as `URL.origin` writes it. */
  origin: string
  /** Other origins of the same registry, listed by the operator: they get no credential. */
  otherOrigins?: readonly string[]
  credential?: Credential
  /** PEM of the authorities to trust for these origins, in place of the usual ones. */
  ca?: string
  /** Shown to `origin` alone. */
  certificate?: ClientCertificate
}

/** Long enough for the signed URLs of object stores (about 2 KB), short enough to keep. */
const URL_LENGTH_MAX = 8192

/** Headers that say nothing about who asks for what: all that another origin gets to see. */
const PLAIN_HEADERS = ['accept', 'accept-encoding', 'user-agent'] as const

export function plainHeaders(headers: Headers): Headers {
  const plain = new Headers()
  for (const name of PLAIN_HEADERS) {
    const value = headers.get(name)
    if (value !== null) plain.set(name, value)
  }
  return plain
}

export function isListed(site: Site, url: URL): boolean {
  return url.origin === site.origin || (site.otherOrigins ?? []).includes(url.origin)
}

/** How to speak TLS with a URL that was not pinned: nobody but the operator's servers gets this. */
export function tlsOf(
  site: Site,
  url: URL,
): { tls?: { ca?: string; cert?: string; key?: string } } {
  const { ca, certificate, origin } = site
  const pair = url.origin === origin ? certificate?.pair() : undefined
  if (ca === undefined && pair === undefined) return {}
  return { tls: { ...(ca !== undefined && { ca }), ...pair } }
}

/** Why a URL is no place to go at all; undefined when that alone does not speak against it. */
function faultOf(url: URL): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return `is ${url.protocol}, not https`
  if (url.username !== '' || url.password !== '') return 'carries a user name or password'
  if (url.href.length > URL_LENGTH_MAX) return `is longer than ${URL_LENGTH_MAX} characters`
  return undefined
}

/** The URL that a request begins with. Throws `bad-request`. */
export function checkStart(site: Site, text: string): URL {
  const url = URL.parse(text)
  if (url === null) throw new RegistryError('bad-request', 'what should be fetched is no URL')
  const fault = faultOf(url)
  if (fault !== undefined) throw new RegistryError('bad-request', `a URL to fetch ${fault}`)
  if (!isListed(site, url)) {
    throw new RegistryError('bad-request', `${url.origin} is no origin of ${site.origin}`)
  }
  return url
}

/** The target of a redirect. Throws `upstream-bad-answer`. */
export function checkRedirect(
  site: Site,
  from: URL,
  location: string,
  isPublicAllowed: boolean,
): URL {
  const refuse = (why: string): RegistryError =>
    new RegistryError('upstream-bad-answer', `${from.host} redirects to a URL that ${why}`)
  const url = URL.parse(location, from)
  if (url === null) throw refuse('cannot be read')
  const fault = faultOf(url)
  if (fault !== undefined) throw refuse(fault)
  if (from.protocol === 'https:' && url.protocol !== 'https:') throw refuse('gives up https')
  if (isListed(site, url)) return url
  if (!isPublicAllowed) throw refuse(`is at ${url.host}, which is not listed for ${site.origin}`)
  if (url.protocol !== 'https:') throw refuse('is not https')
  if (url.port !== '') throw refuse(`is at port ${url.port}`)
  return url
}

/** How to connect: the URL to ask, and what must go with it so that it means the same. */
export type Target = { url: string; host?: string; serverName?: string }

/** The ways to a URL, best first. Throws `upstream-bad-answer` when its host is not public. */
export async function findTargets(site: Site, url: URL, find: Lookup): Promise<Target[]> {
  if (isListed(site, url)) return [{ url: url.href }]
  try {
    const addresses = await publicAddresses(url.hostname, find)
    return addresses.slice(0, ADDRESSES_TRIED_MAX).map(address => pinTarget(url, address))
  } catch (error) {
    if (!(error instanceof AddressError)) throw error
    throw new RegistryError('upstream-bad-answer', `a redirect of ${site.origin}: ${error.message}`)
  }
}

/** A second address is worth a try (no IPv6 here, one node down), a tenth is not. */
const ADDRESSES_TRIED_MAX = 2

/** The same URL, but connecting to this address; the name still has to be in the certificate. */
export function pinTarget(url: URL, address: string): Target {
  const pinned = new URL(url)
  pinned.hostname = address.includes(':') ? `[${address}]` : address
  const name = url.hostname.replace(/\.+$/, '')
  const isName = !name.startsWith('[') && !isAddress(name)
  return { url: pinned.href, host: url.host, ...(isName && { serverName: name }) }
}
