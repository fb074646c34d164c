import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import {
  AddressError,
  isPublicAddress,
  publicAddresses,
} from '../../../src/registries/addresses.ts'

// IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates).
const SPECIAL = `0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255
  127.0.0.1 127.255.255.255 169.254.0.1 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.0
  192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1
  203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 100.100.100.200 168.63.129.16
  :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::7f00:1 64:ff9b::7f00:1
  64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 3fff::1
  5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1 4000::1 fe80::1%eth0
  2606:4700::1%lo`.split(/\s+/)
const PUBLIC = ['1.1.1.1', '8.8.8.8', '100.63.255.255', '100.128.0.0', '172.32.0.1', '11.0.0.1']
PUBLIC.push('2606:4700::1111', '2a00:1450::1', '::ffff:8.8.8.8', '223.255.255.255')
const UNREADABLE = ['', 'localhost', '0x7f.1', '127.1', '2130706433', '0x7f000001', '017700000001']
UNREADABLE.push(
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  ' 8.8.8.8',
  '8.8.8.8 ',
  '[2606:4700::1]',
  '8.8.8.8/8',
)

test.each(SPECIAL)('isPublicAddress() is false for %s', address => {
  expect(isPublicAddress(address)).toBe(false)
})
test.each(PUBLIC)('isPublicAddress() is true for %s', address => {
  expect(isPublicAddress(address)).toBe(true)
})
test.each(UNREADABLE)(
  'isPublicAddress() is false for what is no address in full form: %j',
  text => {
    expect(isPublicAddress(text)).toBe(false)
  },
)

test('isPublicAddress() reads an IPv4 address the same when IPv6 wraps it', () => {
  fc.assert(
    fc.property(fc.ipV4(), address => {
      expect(isPublicAddress(`::ffff:${address}`)).toBe(isPublicAddress(address))
    }),
  )
})

test('isPublicAddress() is never true for what the private blocks hold', () => {
  const byte = fc.integer({ min: 0, max: 255 })
  const block = fc.constantFrom([10], [127], [192, 168], [169, 254], [172, 20], [100, 100], [0])
  fc.assert(
    fc.property(block, byte, byte, byte, (prefix, a, b, c) => {
      expect(isPublicAddress([...prefix, a, b, c].slice(0, 4).join('.'))).toBe(false)
    }),
  )
})

describe('publicAddresses()', () => {
  const never = (): Promise<string[]> => Promise.reject(new Error('asked DNS'))

  test('gives all addresses of a public name', async () => {
    const find = (): Promise<string[]> => Promise.resolve(['93.184.216.34', '2606:2800::1'])
    expect(await publicAddresses('cdn.example', find)).toEqual(['93.184.216.34', '2606:2800::1'])
  })

  test('asks for the name without its last dot', async () => {
    const asked: string[] = []
    const find = (host: string): Promise<string[]> => {
      asked.push(host)
      return Promise.resolve(['93.184.216.34'])
    }
    await publicAddresses('cdn.example.', find)
    expect(asked).toEqual(['cdn.example'])
  })

  // Every spelling of a private address that the URL parser knows (fault table, H10).
  const hosts = ['0x7f000001', '2130706433', '127.1', '0177.0.0.1', '0.0.0.0', '0', '①②⑦.0.0.1']
  hosts.push(
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '127.0.0.1.',
  )
  hosts.push(
    '[fd00:ec2::254]',
    '[fe80::1]',
    '[64:ff9b::127.0.0.1]',
    '169.254.169.254',
    '%31%32%37.1',
  )
  hosts.push(
    'localhost',
    'localhost.',
    'a.localhost',
    'LOCALHOST',
    'registry',
    'x.local',
    'x.internal',
  )
  hosts.push('x.home.arpa', 'metadata.google.internal')
  test.each(hosts)('refuses %s without asking DNS', async host => {
    const { hostname } = new URL(`https://${host}/`)
    await expect(publicAddresses(hostname, never)).rejects.toBeInstanceOf(AddressError)
  })

  test('refuses a name with one private address among public ones', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...PUBLIC), { maxLength: 5 }),
        fc.constantFrom(...SPECIAL),
        fc.nat({ max: 5 }),
        async (addresses, bad, at) => {
          const mixed = addresses.toSpliced(at, 0, bad)
          const find = (): Promise<string[]> => Promise.resolve(mixed)
          await expect(publicAddresses('cdn.example', find)).rejects.toBeInstanceOf(AddressError)
        },
      ),
    )
  })

  test('refuses a name without an address', async () => {
    const find = (): Promise<string[]> => Promise.resolve([])
    await expect(publicAddresses('cdn.example', find)).rejects.toThrow('has no address')
  })
})
