/**
 * Who is asking: npm's `whoami`. There are no accounts yet, so nobody is logged in, whatever token
 * a client sends; 401 is how npm is told so. Logging in comes with the hosted registry.
 * @module
 */
import { Elysia } from 'elysia'
import { RegistryError } from '../registries/errors.ts'

/** The account surface. */
export function accountRoutes() {
  return new Elysia({ name: 'account' }).get('/-/whoami', () => {
    throw new RegistryError('unauthorized', 'nobody is logged in: this server has no accounts')
  })
}
