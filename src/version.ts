/**
 * What this build is: the version of package.json and the commit that it was built from.
 * `scripts/build.ts` defines BUILD_COMMIT when it makes the binary; from source it is unknown.
 * The same clean tree gives the same commit, so that a build stays reproducible.
 * @module
 */
import { version as packageVersion } from '../package.json'

declare const BUILD_COMMIT: string | undefined

export const version: string = packageVersion

/** 40 hex digits, with `+modified` when the tree was not clean; null when not built from git. */
export const commit: string | null =
  typeof BUILD_COMMIT === 'string' && BUILD_COMMIT !== '' ? BUILD_COMMIT : null
