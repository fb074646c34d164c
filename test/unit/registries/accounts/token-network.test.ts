/**
 * Networks of tokens. Vectors: RFC 4632 (CIDR), RFC 4291 section 2.5.5.2 (mapped addresses).
 */
import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { RegistryError } from '../../../../src/registries/errors.ts'
import { checkCidrs, isInside } from '../../../../src/registries/accounts/token-network.ts'

describe('isInside()', () => {
  test.each<[string, string, boolean]>([
    ['192.0.2.0/24', '192.0.2.255', true],
    ['192.0.2.0/24', '192.0.3.0', false],
    ['192.0.2.0/24', '::ffff:192.0.2.7', true],
    ['192.0.2.0/24', '::ffff:c000:0207', true],
    ['::ffff:192.0.2.0/120', '192.0.2.9', true],
    ['::ffff:192.0.2.0/120', '192.0.3.9', false],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['0.0.0.0/0', '198.51.100.4', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '192.0.2.1', false],
    ['2001:db8::7', '2001:db8:0::7', true],
  ])('%s has %s: %p', (cidr, address, expected) => {
    expect(isInside(address, checkCidrs([cidr]))).toBe(expected)
  })

  test('without networks everywhere is inside; with one, an address that nobody knows is not', () => {
    expect(isInside(null, [])).toBe(true)
    expect(isInside(null, ['0.0.0.0/0'])).toBe(false)
    expect(isInside('nonsense', ['0.0.0.0/0'])).toBe(false)
  })

  test('agrees with arithmetic', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.nat(2 ** 32 - 1), fc.nat(32), (network, other, bits) => {
        const size = 2 ** (32 - bits)
        const inside = Math.floor(network / size) === Math.floor(other / size)
        expect(isInside(dotted(other), checkCidrs([`${dotted(network)}/${bits}`]))).toBe(inside)
      }),
    )
  })
})

describe('checkCidrs()', () => {
  test.each([
    '',
    'here',
    '192.0.2.0/33',
    '192.0.2/24',
    '192.0.2.0/',
    '2001:db8::/129',
    '1',
    '0x7f.1',
  ])('refuses %p', text => {
    expect(() => checkCidrs([text])).toThrow(RegistryError)
  })

  test('says each network once', () => {
    expect(checkCidrs(['192.0.2.1', '192.0.2.1/32', '::ffff:192.0.2.1'])).toEqual(['192.0.2.1/32'])
  })

  test('has a limit', () => {
    expect(() => checkCidrs(Array.from({ length: 101 }, (_, i) => `192.0.2.${i}`))).toThrow('100')
  })
})

function dotted(value: number): string {
  return [24, 16, 8, 0].map(shift => Math.floor(value / 2 ** shift) % 256).join('.')
}
