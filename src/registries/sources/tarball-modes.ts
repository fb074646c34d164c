/**
 * Where tarballs of a registry come from: the modes of CONTRACT "Where tarballs come from", and the
 * two questions that they answer: which `dist.tarball` stays as it came, and who passes the bytes
 * on.
 *
 * Which mirror or registry holds the bytes is no matter of the mode: tarballs.ts.
 * @module
 */
import type { UpstreamRow } from '../../db/upstreams.ts'
import { ANY_ORIGIN } from '../packument/render.ts'

/** As the operator configures it for a registry. */
export type TarballMode = UpstreamRow['tarballs']

/** Does `dist.tarball` stay as it came, where its origin allows that? */
export function keepsUrls(mode: TarballMode): boolean {
  return mode === 'canonical' || mode === 'upstream'
}

/** The origin on which URLs stay as they came. @param canonicalOrigin the default registry's */
export function keptOrigin(mode: TarballMode, canonicalOrigin: string | null): string | null {
  return mode === 'upstream' ? ANY_ORIGIN : canonicalOrigin
}

/**
 * Do the bytes pass through this server? Always for a client that checks nothing: for it, no
 * redirect is safe, whatever the mode.
 */
export function passesBytes(mode: TarballMode, clientChecks: boolean): boolean {
  return !clientChecks || mode === 'stream' || mode === 'cache'
}
