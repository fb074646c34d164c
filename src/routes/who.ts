/**
 * Who sends a request, for every surface: the Authorization header and the address of the
 * connection, made into an `Identity`. What that identity may do is registries/accounts/access.ts.
 * @module
 */
import type { Identity } from '../registries/accounts/access.ts'
import type { Accounts } from '../registries/accounts/accounts.ts'
import { RegistryError } from '../registries/errors.ts'
import { isInside } from '../registries/accounts/token-network.ts'

/** The part of Bun's server that knows where a connection comes from. */
export type AddressSource = { requestIP(request: Request): { address: string } | null }

/**
 * Who sends `request`. @throws RegistryError bad-request for two Authorization headers
 * @property addressOf where a request comes from; null when that cannot be told
 */
export type Who = ((request: Request, server: AddressSource | null) => Identity) & {
  addressOf: (request: Request, server: AddressSource | null) => string | null
}

/** @param trustedProxies networks whose machines pass requests on, and say for whom */
export function makeWho(accounts: Accounts, trustedProxies: readonly string[]): Who {
  const addressOf = (request: Request, server: AddressSource | null): string | null => {
    const connected = server?.requestIP(request)?.address ?? null
    if (trustedProxies.length === 0) return connected
    return addressBehind(connected, request.headers.get('x-forwarded-for'), trustedProxies)
  }
  const identify = (request: Request, server: AddressSource | null): Identity => {
    const authorization = request.headers.get('authorization')
    // Two headers arrive joined by a comma, which no form of credential has.
    if (authorization?.includes(',') === true) {
      throw new RegistryError('bad-request', 'this request has more than one Authorization header')
    }
    const address = authorization === null ? null : addressOf(request, server)
    return accounts.identify(authorization, address)
  }
  return Object.assign(identify, { addressOf })
}

/**
 * The client's address behind proxies: each of them adds the one that it was asked by at the end, so
 * the last that is no proxy of ours is the client. What stands before that anybody can have written.
 */
function addressBehind(
  connected: string | null,
  forwarded: string | null,
  proxies: readonly string[],
): string | null {
  const said = (forwarded ?? '').split(',').map(part => part.trim())
  let address = connected
  for (const before of said.toReversed()) {
    if (before === '' || !isInside(address, proxies)) return address
    address = before
  }
  return address
}
