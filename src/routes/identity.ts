/**
 * `/.well-known/did.json`: who this instance is, for others to pin (did:web;
 * registries/keys/did.ts). Below the prefix of the public URL like every other route.
 * @module
 */
import { Elysia } from 'elysia'
import { DID_PATH } from '../registries/keys/did.ts'
import type { TrustedParties } from '../registries/sources/trusted-parties.ts'

/** As long as keys.ts has it for keys: a new key should be seen the same day. */
const IDENTITY_CACHE_CONTROL = 'public, max-age=300'

/** The identity surface. */
export function identityRoutes(parties: TrustedParties) {
  return new Elysia({ name: 'identity', detail: { 'x-scope': 'public' } }).get(
    `/${DID_PATH}`,
    () =>
      new Response(parties.didJson(), {
        headers: {
          'content-type': 'application/did+json',
          'cache-control': IDENTITY_CACHE_CONTROL,
          // Resolvers run in browsers; there is nothing private in it.
          'access-control-allow-origin': '*',
        },
      }),
  )
}
