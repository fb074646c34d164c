/**
 * The door of packages that not everybody may see, in front of everything that is read by name.
 *
 * For who may not read one it does not exist: what comes out is the answer for a package that is not
 * there. A public package costs one look into a set in memory.
 * @module
 */
import type { HostedAccess } from '../registries/hosted/hosted-access.ts'
import type { AddressSource, Who } from './who.ts'

/** What of a private package is answered is for this one client alone. */
const PRIVATE_CACHE_CONTROL = 'private, max-age=0'

/** Lets in. */
export type Guard = {
  isPrivate(name: string): boolean
  /** May whoever asks know that there is a package of this name? */
  isSeen(request: Request, server: AddressSource | null, name: string): boolean
  /** @throws RegistryError not-found, exactly as for a package that does not exist */
  assertReadable(request: Request, server: AddressSource | null, name: string): void
}

export function makeGuard(access: HostedAccess, who: Who): Guard {
  return {
    isPrivate: name => access.isPrivate(name),
    isSeen: (request, server, name) =>
      !access.isPrivate(name) || access.permissionOf(who(request, server), name) !== 'none',
    assertReadable: (request, server, name) => access.assertReadable(who(request, server), name),
  }
}

/** Tells every cache on the way whose answer this is. */
export function markPrivate(answer: Response): Response {
  const headers = new Headers(answer.headers)
  if (headers.get('cache-control') !== 'no-store') {
    headers.set('cache-control', PRIVATE_CACHE_CONTROL)
  }
  const vary = headers.get('vary')
  if (vary?.includes('authorization') !== true) {
    headers.set('vary', vary === null ? 'authorization' : `${vary}, authorization`)
  }
  return new Response(answer.body, { status: answer.status, headers })
}
