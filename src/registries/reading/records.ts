/**
 * The records as others ask for them: by name and version, with proofs, and as tiles.
 *
 * Go's semantics: a version that is not in the log yet is fetched, verified and logged before the
 * answer, and the checkpoint in the answer holds it. What the log has it answers without asking
 * anybody, also while its registry is down. A record is public, and of a private package there is
 * none.
 * @module
 */
import type { Packages } from '../../db/packages.ts'
import type { TileStore } from '../../db/tile-store.ts'
import { TileError } from '../../log/errors.ts'
import type { Log, LogStore } from '../../log/log.ts'
import { versionKey } from '../../log/leaf.ts'
import { formatLookup } from '../../log/lookup.ts'
import { formatProof } from '../../log/proof.ts'
import { tilePath } from '../../log/tile.ts'
import { checkTiles, planTiles } from '../../log/tile-hashes.ts'
import { proveRecord, recordProofSubtrees } from '../../log/tree.ts'
import { absentError, RegistryError } from '../errors.ts'
import type { Proxy } from './proxy.ts'
import { isRefusalCode, refusalError } from '../packument/refusal.ts'
import type { Sources } from '../sources/source.ts'

/** What records are read from. @property base public URL, ends in `/` */
export type RecordsNeeds = {
  log: Log
  store: LogStore
  tiles: TileStore
  vkey: string
  sources: Sources
  packages: Packages
  proxy: Proxy
  base: string
}

type Found = { index: number; leaf: Uint8Array }

/** Answers lookups, proofs and tiles. */
export class Records {
  readonly #needs: RecordsNeeds

  constructor(needs: RecordsNeeds) {
    this.#needs = needs
  }

  /** The verifier key of the log. */
  get vkey(): string {
    return this.#needs.vkey
  }

  /** The newest published checkpoint, a signed note. */
  checkpoint(): string {
    return this.#needs.log.checkpoint
  }

  /** A tile or bundle by its path (`tile/0/000`, `tile/entries/000.p/7`). @throws RegistryError not-found */
  tile(path: string): Uint8Array {
    try {
      return this.#needs.tiles.read(path)
    } catch (error) {
      if (!(error instanceof TileError)) throw error
      throw new RegistryError('not-found', `the log has no such tile: ${error.message}`)
    }
  }

  /** Go's lookup: index, record, signed checkpoint. @throws RegistryError not-found, refused, … */
  async lookup(name: string, version: string, namespace?: string): Promise<string> {
    const { index, leaf } = await this.find(name, version, namespace)
    return formatLookup(index, leaf, this.#needs.log.checkpoint)
  }

  /** A c2sp.org/tlog-proof of the record. @throws RegistryError not-found, refused, … */
  async proof(name: string, version: string, namespace?: string): Promise<string> {
    const { index } = await this.find(name, version, namespace)
    const { size, root, note } = this.#needs.log.published
    const plan = planTiles(size, recordProofSubtrees(size, index))
    // Tiles are checked up to the root on the way: a damaged disk must not make a false proof.
    const read = checkTiles(plan, root, tile => this.#needs.tiles.read(tilePath(tile)))
    return formatProof({ index, hashes: proveRecord(size, index, read), checkpoint: note })
  }

  /** Index and record, logged now if need be. @throws RegistryError not-found, refused, … */
  async find(name: string, version: string, namespace: string | undefined): Promise<Found> {
    const source = this.#needs.sources.find(name)
    // Records are for everybody; this package is not, and looks like one that does not exist.
    if (source?.housed?.isPrivate(name) === true) throw absentError(name, source.name, 404)
    if (namespace !== undefined) {
      const logged = this.#logged(namespace, name, version)
      if (logged !== undefined) return logged
    }
    const owner = this.#needs.sources.ownerOf(name)
    if (namespace !== undefined && namespace !== owner.namespace) {
      throw new RegistryError(
        'not-found',
        `${namespace}/${name}@${version} is not in this log; here ${name} belongs to ${owner.namespace}`,
        { package: name, version },
      )
    }
    return (
      this.#logged(owner.namespace, name, version) ??
      (await this.#logNow(owner.namespace, name, version))
    )
  }

  async #logNow(namespace: string, name: string, version: string): Promise<Found> {
    await this.#needs.proxy.ensureRecent(name)
    const logged = this.#logged(namespace, name, version)
    if (logged !== undefined) return logged
    const row = this.#needs.packages.get(namespace, name, version)
    if (row !== null && isRefusalCode(row.state)) {
      throw refusalError(this.#needs.base, { ...row, code: row.state })
    }
    throw new RegistryError('not-found', `${name} has no version ${version}`, {
      package: name,
      version,
    })
  }

  #logged(namespace: string, name: string, version: string): Found | undefined {
    const index = this.#needs.store.findIndex(versionKey(namespace, name, version))
    if (index === null || index >= this.#needs.log.size) return undefined
    const [leaf] = this.#needs.store.readLeaves(index, index + 1)
    return leaf === undefined ? undefined : { index, leaf }
  }
}
