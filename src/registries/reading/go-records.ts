/**
 * The records as clients of Go's checksum database ask for them (golang.org/x/mod/sumdb): the same
 * log, the same records and the same semantics as `records.ts`, under Go's tree note.
 *
 * Only a published tree is signed: full tiles of it are durable, and its checkpoint, which says the
 * same, is out. It adds no claim, so nothing is stored: after a restart the note is signed again,
 * and is the same note, since Ed25519 has no randomness in it (RFC 8032, section 5.1.6).
 * @module
 */
import { TileError } from '../../log/errors.ts'
import { dataTile, fromGoPath, signTreeNote } from '../../log/go-dialect.ts'
import type { Log, LogState } from '../../log/log.ts'
import { formatLookup } from '../../log/lookup.ts'
import type { Signer } from '../../log/note.ts'
import { RegistryError } from '../errors.ts'
import type { Records } from './records.ts'

/** What Go's dialect is made of. @property signer the log's own key */
export type GoRecordsNeeds = { records: Records; log: Pick<Log, 'published'>; signer: Signer }

/** Answers in Go's dialect. */
export class GoRecords {
  readonly #needs: GoRecordsNeeds
  /** The newest note: each tree is signed once, however many ask. */
  #signed: { readonly state: LogState; readonly note: string } | undefined

  constructor(needs: GoRecordsNeeds) {
    this.#needs = needs
  }

  /** The tree note of the published tree. */
  latest(): string {
    const state = this.#needs.log.published
    if (this.#signed?.state !== state) {
      this.#signed = { state, note: signTreeNote(state, this.#needs.signer) }
    }
    return this.#signed.note
  }

  /** Index, record, tree note. @throws RegistryError not-found, refused, … */
  async lookup(name: string, version: string, namespace?: string): Promise<string> {
    const { index, leaf } = await this.#needs.records.find(name, version, namespace)
    return formatLookup(index, leaf, this.latest())
  }

  /** A tile by its Go path, `tile/8/0/000` or `tile/8/data/000.p/7`. @throws RegistryError not-found */
  tile(goPath: string): { bytes: Uint8Array; isData: boolean } {
    const { path, isData } = wantedTile(goPath)
    const bytes = this.#needs.records.tile(path)
    return { bytes: isData ? dataTile(bytes) : bytes, isData }
  }
}

function wantedTile(goPath: string): ReturnType<typeof fromGoPath> {
  try {
    return fromGoPath(goPath)
  } catch (error) {
    if (!(error instanceof TileError)) throw error
    throw new RegistryError('not-found', `the log has no such tile: ${error.message}`)
  }
}
