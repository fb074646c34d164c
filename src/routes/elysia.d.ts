/** Every route declares the scope that it asks for at least; a test walks the routes and looks. */
import type { Scope } from '../registries/accounts/access.ts'

declare module 'elysia/types' {
  interface DocumentDecoration {
    'x-scope'?: Scope
  }
}
