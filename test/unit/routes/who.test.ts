/**
 * Whose address counts behind reverse proxies. Source of the rule: RFC 7239, section 8.1, and the
 * habit of X-Forwarded-For: each proxy adds whom it was asked by, so only what our own added counts.
 * @module
 */
import { describe, expect, test } from 'bun:test'
import { Accounts } from '../../../src/registries/accounts/accounts.ts'
import { makeWho } from '../../../src/routes/who.ts'
import { AccountsServer } from '../../fixtures/accounts.ts'

/** Connection, header, proxies, client. */
const CASES: readonly [string | null, string | null, string[], string | null][] = [
  ['192.0.2.9', null, [], '192.0.2.9'],
  ['192.0.2.9', '198.51.100.1', [], '192.0.2.9'],
  ['10.0.0.1', '198.51.100.1', ['10.0.0.0/8'], '198.51.100.1'],
  ['::ffff:10.0.0.1', '198.51.100.1', ['10.0.0.0/8'], '198.51.100.1'],
  ['10.0.0.1', '203.0.113.5, 198.51.100.1', ['10.0.0.0/8'], '198.51.100.1'],
  ['10.0.0.1', '198.51.100.1, 10.0.0.2', ['10.0.0.0/8'], '198.51.100.1'],
  ['10.0.0.1', '10.0.0.3, 10.0.0.2', ['10.0.0.0/8'], '10.0.0.3'],
  ['10.0.0.1', '', ['10.0.0.0/8'], '10.0.0.1'],
  ['192.0.2.9', '198.51.100.1', ['10.0.0.0/8'], '192.0.2.9'],
  ['fd00::1', '2001:db8::7', ['fd00::/8'], '2001:db8::7'],
  // What cannot be read as an address is no proxy of ours, and nothing before it counts.
  ['10.0.0.1', '198.51.100.1, unknown', ['10.0.0.0/8'], 'unknown'],
  [null, '198.51.100.1', ['10.0.0.0/8'], null],
]

describe('the address of a request', () => {
  test('is that of the connection, or what proxies of ours say', async () => {
    await using server = new AccountsServer()
    const { accounts } = server.parts
    expect(accounts).toBeInstanceOf(Accounts)
    for (const [connected, forwarded, proxies, expected] of CASES) {
      const who = makeWho(accounts, proxies)
      const headers = forwarded === null ? {} : { 'x-forwarded-for': forwarded }
      const source = { requestIP: () => (connected === null ? null : { address: connected }) }
      const found = who.addressOf(new Request('http://localhost/', { headers }), source)
      expect([connected, forwarded, found]).toEqual([connected, forwarded, expected])
    }
  })
})
