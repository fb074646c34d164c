/**
 * The log in the words of Go's checksum database
 * (https://go.dev/design/25530-sumdb#checksum-database, golang.org/x/mod/sumdb/tlog): another note
 * over the same size and root, other names for the same tiles, records without lengths.
 *
 *     go.sum database tree
 *     2
 *     nND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=
 *
 *     tile/8/0/x001/067.p/5     the hash tile `tile/0/x001/067.p/5`, byte for byte
 *     tile/8/data/x001/067      the bundle `tile/entries/x001/067`, each record and a line feed
 *
 * The tree note is signed with the log's own key, so that there is one key to trust and to lose.
 * That is safe because no text can be taken for both kinds:
 *
 * - The first line of a checkpoint is the log's origin, and this program signs one only when the
 *   origin is the name of the key (`signCheckpoint`), and believes one only then
 *   (`openCheckpoint`). The name of a key holds no white space (`note.ts`), the first line of a
 *   tree note holds two spaces: no log can be called so, whatever host it has.
 * - Go's `ParseTree` reads a note with exactly that first line and no other.
 *
 * And both kinds claim the same: so many leaves, with this root. A fork told in one dialect is
 * caught with a note of the other, since one key has signed both. A second key would add one more
 * thing that can be stolen, and would hide just that.
 *
 * Nothing here decides which trees are signed: the caller has a published one.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { CheckpointError, TileError } from './errors.ts'
import { type Signer, signNote } from './note.ts'
import { encodeBase64 } from './text.ts'
import { parseEntries } from './tile.ts'
import { checkSize } from './tree.ts'

/** The first line of a tree note, the same for every database. */
export const TREE_NOTE_TITLE = 'go.sum database tree'

// Go writes the level in one or two digits, C2SP three digits in the same place: `tile/8/000`.
const PATH = /^tile\/8\/(?:(data)|(0|[1-9][0-9]?))\/(.+)$/
const LINE_FEED = 0x0a

/** Signs the tree of this size and root as Go's checksum database does. */
export function signTreeNote(
  { size, root }: { readonly size: number; readonly root: Uint8Array },
  signer: Signer,
): string {
  checkSize(size)
  if (root.length !== HASH_BYTES) throw new CheckpointError('tree has no root hash')
  return signNote(`${TREE_NOTE_TITLE}\n${size}\n${encodeBase64(root)}\n`, signer)
}

/** What a Go path asks for, as a C2SP path that is still to be read. Throws TileError. */
export function fromGoPath(path: string): { readonly path: string; readonly isData: boolean } {
  const [, data, level, rest] = PATH.exec(path) ?? []
  if (rest === undefined) throw new TileError('not a tile path of height 8')
  return data === undefined
    ? { path: `tile/${level}/${rest}`, isData: false }
    : { path: `tile/entries/${rest}`, isData: true }
}

/** The bytes of a data tile: the records of a bundle, an empty line after each. */
export function dataTile(bundle: Uint8Array): Uint8Array<ArrayBuffer> {
  const records = parseEntries(bundle)
  const bytes = new Uint8Array(records.reduce((sum, record) => sum + record.length + 1, 0))
  let at = 0
  for (const record of records) {
    bytes.set(record, at)
    at += record.length
    bytes[at++] = LINE_FEED
  }
  return bytes
}
