/**
 * Which hosts a request may go to that no operator has configured.
 *
 * A registry sends clients, and now and then this server, on to other hosts: a tarball lies on a
 * content network. Such a host may be anything that a stranger wrote into a header, so its name is
 * resolved first, and every address it has must be a public one (IANA special-purpose registries,
 * RFC 6890, as ipaddr.js knows them). One private address among public ones refuses the name.
 *
 * The URL parser (WHATWG) has turned `0x7f000001`, `2130706433`, `127.1` and full-width digits into
 * `127.0.0.1` before a host name arrives here. What comes out is a list of addresses; the caller
 * connects to one of those and not to the name again, so a name that changes its mind between the
 * check and the connection (DNS rebinding) gains nothing.
 *
 * @module
 */
import { lookup } from 'node:dns/promises'
import ipaddr from 'ipaddr.js'

/** Finds the addresses of a name. Rejects when there are none. */
export type Lookup = (host: string) => Promise<string[]>

/** The host is not one that this server connects to. */
export class AddressError extends Error {
  override readonly name = 'AddressError'
  readonly code = 'private-address'
}

/** Names that mean "this machine" or "this network" whatever DNS answers (RFC 6761, 6762, 8375). */
const LOCAL_NAME = /(?:^|\.)(?:localhost|local|localdomain|internal|intranet|lan|home\.arpa)$/

/** Azure's host answers its guests here, in the middle of public space. */
const AZURE_PLATFORM = '168.63.129.16'

/** More addresses than any honest answer holds. */
const ADDRESSES_MAX = 64

/** Asks the system's resolver, in the order it prefers, IPv4 first: not every machine has IPv6. */
export async function lookupAddresses(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true, order: 'ipv4first' })
  return found.map(({ address }) => address)
}

/** Whether the text is an IP address in full: no octal, no short forms, no zone. */
export function isAddress(text: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return true
  return text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text)
}

/** Whether the text is an IP address out on the internet. Anything that is unclear is not. */
export function isPublicAddress(text: string): boolean {
  if (!isAddress(text)) return false
  // `process` unwraps ::ffff:a.b.c.d; 6to4, Teredo and NAT64 are ranges of their own.
  const address = ipaddr.process(text)
  if (address.range() !== 'unicast') return false
  if (address instanceof ipaddr.IPv4) return address.toString() !== AZURE_PLATFORM
  // 2000::/3 is all of IPv6 that has been given out (RFC 4291, section 2.4).
  return (address.parts[0] ?? 0) >> 13 === 1
}

/** The host of a URL as a name or address: no brackets, no dot at the end. */
function bareHost(hostname: string): string {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return host.replace(/\.+$/, '')
}

/** The addresses of a URL's host, all of them public. Throws AddressError otherwise. */
export async function publicAddresses(hostname: string, find: Lookup): Promise<string[]> {
  const host = bareHost(hostname)
  if (isAddress(host)) {
    if (!isPublicAddress(host)) throw new AddressError(`${host} is not a public address`)
    return [host]
  }
  if (!host.includes('.') || LOCAL_NAME.test(host)) {
    throw new AddressError(`${host} is a name of this machine or network`)
  }
  const addresses = await find(host)
  if (addresses.length === 0) throw new AddressError(`${host} has no address`)
  for (const address of addresses.slice(0, ADDRESSES_MAX)) {
    if (!isPublicAddress(address)) throw new AddressError(`${host} is at ${address}, not public`)
  }
  return addresses.slice(0, ADDRESSES_MAX)
}
