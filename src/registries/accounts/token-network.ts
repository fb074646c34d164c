/**
 * The networks that a token may be used from: CIDR blocks (RFC 4632, RFC 4291) against an address.
 * An IPv4 address that arrives mapped into IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
 * @module
 */
import ipaddr from 'ipaddr.js'
import { RegistryError } from '../errors.ts'

/** Offices and CI providers publish some hundred at most. */
const CIDRS_MAX = 100

/** Brings blocks into one form; a plain address is a block of one. @throws RegistryError */
export function checkCidrs(texts: readonly string[]): string[] {
  if (texts.length > CIDRS_MAX) {
    throw new RegistryError('bad-request', `more than ${CIDRS_MAX} networks for one token`)
  }
  return [...new Set(texts.map(checkCidr))]
}

function checkCidr(text: string): string {
  const trimmed = text.trim()
  const plain = ipaddr.IPv4.isValidFourPartDecimal(trimmed) || ipaddr.IPv6.isValid(trimmed)
  const block = plain ? `${trimmed}/${trimmed.includes(':') ? 128 : 32}` : trimmed
  const isBlock = ipaddr.IPv6.isValidCIDR(block) || ipaddr.IPv4.isValidCIDRFourPartDecimal(block)
  if (!isBlock) {
    const shown = JSON.stringify(text.slice(0, 60))
    throw new RegistryError('bad-request', `${shown} is no network; write it as 192.0.2.0/24`)
  }
  const [address, bits] = unmapped(ipaddr.parseCIDR(block))
  return `${address.toString()}/${bits}`
}

type Block = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** `::ffff:192.0.2.0/120` says 192.0.2.0/24. */
function unmapped([address, bits]: Block): Block {
  if (!(address instanceof ipaddr.IPv6) || !address.isIPv4MappedAddress()) return [address, bits]
  return bits < MAPPED_BITS ? [address, bits] : [address.toIPv4Address(), bits - MAPPED_BITS]
}

/** Bits before the IPv4 part of a mapped address. */
const MAPPED_BITS = 96

/** Is `address` in one of `cidrs`? None listed: yes. An address that nobody knows: no. */
export function isInside(address: string | null, cidrs: readonly string[]): boolean {
  if (cidrs.length === 0) return true
  if (address === null || !ipaddr.isValid(address)) return false
  const here = ipaddr.process(address)
  return cidrs.some(cidr => {
    const [network, bits] = ipaddr.parseCIDR(cidr)
    return network.kind() === here.kind() && here.match(network, bits)
  })
}
