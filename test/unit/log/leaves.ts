/**
 * Made-up leaves for tests: small, valid, told apart by their number.
 * @module
 */
import type { VersionLeaf } from '../../../src/log/leaf.ts'

export const SEEN = '2026-11-22T08:31:07Z'

/** Another `claim` is another integrity for the same identity. */
export function versionLeaf(number: number, claim = 0): VersionLeaf {
  return {
    kind: 'version',
    namespace: 'npm',
    name: `package-${number}`,
    version: '1.0.0',
    integrity: `sha512-${new Uint8Array(64).fill(claim % 256).toBase64()}`,
    manifest: `sha256-${new Uint8Array(32).fill(number % 256).toBase64()}`,
    seen: SEEN,
  }
}

export function versionLeaves(start: number, end: number): VersionLeaf[] {
  return Array.from({ length: end - start }, (_, offset) => versionLeaf(start + offset))
}
