/**
 * Our own signature on every version that is served and that its registry did not sign, so that
 * `npm audit signatures` and `pnpm audit signatures` pass on a tree that mixes registries. It says
 * that this server recorded these bytes, no more: `/-/registries` tells which registries sign.
 *
 *     message  left-pad@1.3.0:sha512-XI5MPzVNApjAyhQzphX8BkmKsKUxD4LdyK24iZeQGinBN9yTQT3bFlCBy/aVx2HrNcqQGsdot8ghrjyrvMCoEA==
 *
 * A version is signed once, when a plan first needs it, and the signature is kept in its row, so
 * that an answer has the same bytes and the same ETag over restarts, an empty cache and another
 * registry key. Deterministic signatures (RFC 6979) would need no row, but the platform makes none,
 * and in JavaScript one takes 0.25 to 0.35 ms where this takes 0.02 (measured): for 400 packages
 * of 100 versions from a registry without keys that is 10 s against less than one.
 * A leaf never holds it, and a refused version never gets one.
 * @module
 */
import type { Cosignature, Packages, VersionSummary } from '../../db/packages.ts'
import type { OwnKeys } from '../keys/own-key.ts'
import { signedMessage } from '../keys/signature.ts'

/** Versions per step: 4 ms of signing and one fsync, so that nobody waits long behind it. */
const STEP_VERSIONS_MAX = 256

/** What co-signing works with. */
export type CosignerNeeds = { packages: Packages; ownKeys: OwnKeys }

/** Signs what its registry does not. */
export class Cosigner {
  readonly #needs: CosignerNeeds

  constructor(needs: CosignerNeeds) {
    this.#needs = needs
  }

  /**
   * Our signatures of those of these versions that are in the log and that their registry did not
   * sign, in their order. Missing ones are made.
   * @param rows of one package, none of them refused, in the order of their version's text
   */
  async signaturesOf(rows: readonly VersionSummary[]): Promise<Cosignature[]> {
    const unsigned = rows.filter(row => row.leafIndex !== null && row.signature === null)
    const signatures: Cosignature[] = []
    for (let start = 0; start < unsigned.length; start += STEP_VERSIONS_MAX) {
      if (start > 0) await new Promise(resolve => setImmediate(resolve))
      const step = unsigned.slice(start, start + STEP_VERSIONS_MAX)
      for (const signature of this.#signaturesOf(step)) signatures.push(signature)
    }
    return signatures
  }

  /** No await between looking and signing: whoever else asks finds these signatures. */
  #signaturesOf(rows: readonly VersionSummary[]): Cosignature[] {
    const [first, last] = [rows.at(0), rows.at(-1)]
    if (first === undefined || last === undefined) return []
    const { packages } = this.#needs
    const { namespace, name } = first
    const stored = () => packages.cosignatures(namespace, name, first.version, last.version)
    const known = new Set(stored().map(({ version }) => version))
    const missing = rows.filter(({ version }) => !known.has(version))
    if (missing.length > 0)
      packages.cosign(
        namespace,
        name,
        missing.flatMap(row => this.#sign(row)),
      )
    const wanted = new Set(rows.map(({ version }) => version))
    return stored().filter(({ version }) => wanted.has(version))
  }

  #sign({ name, version, integrity }: VersionSummary): Cosignature[] {
    if (integrity === null) return []
    const { ownKeys } = this.#needs
    const sig = ownKeys.sign(signedMessage(name, version, integrity))
    return [{ version, keyid: ownKeys.current.keyid, sig }]
  }
}
