/**
 * `/-/npm/v1/keys`: the keys of every registry in use, each as it came, plus our own; and
 * `/-/registries`: whom this instance trusts for what, for everybody to see.
 * @module
 */
import { Elysia } from 'elysia'
import type { TrustedParties } from '../registries/sources/trusted-parties.ts'
import type { Through } from './through.ts'

/** npm asks for keys once per audit; a new key should be seen the same day. */
const KEYS_CACHE_CONTROL = 'public, max-age=300'

/** The keys surface. */
export function keyRoutes(parties: TrustedParties, through?: Through) {
  return new Elysia({ name: 'keys', detail: { 'x-scope': 'public' } })
    .get(
      '/-/npm/v1/keys',
      ({ request }) =>
        through?.(request) ??
        new Response(parties.keysJson(), {
          headers: { 'content-type': 'application/json', 'cache-control': KEYS_CACHE_CONTROL },
        }),
    )
    .get('/-/registries', () =>
      Response.json(
        { registries: parties.list(), cosigner: parties.ownKey.keyid },
        { headers: { 'cache-control': 'no-store' } },
      ),
    )
}
