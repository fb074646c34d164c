/**
 * Checkpoints, https://c2sp.org/tlog-checkpoint@v1.0.0: the text of the note that a log signs.
 *
 *     registry.example/log
 *     20852163
 *     CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 *
 * Origin, tree size, root. Extension lines of other logs are read and dropped; we write none,
 * because nobody can audit them.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { CheckpointError } from './errors.ts'
import { type Signer, type Verifier, openNote, signNote } from './note.ts'
import {
  decodeBase64,
  encodeBase64,
  encodeText,
  equalBytes,
  hasControl,
  parseDecimal,
} from './text.ts'
import { EMPTY_ROOT, checkSize } from './tree.ts'

/** What a log says at one moment: so many leaves, with this root. */
export type Checkpoint = {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
}

/** Longest origin: witnesses commit to one with a length of one byte (c2sp.org/tlog-cosignature). */
export const ORIGIN_BYTES_MAX = 255

/** The text of a checkpoint, to be signed. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, root } = checkpoint
  checkFields(checkpoint)
  return `${origin}\n${size}\n${encodeBase64(root)}\n`
}

/** Reads the text of a checkpoint. Whoever signed it, it must be well formed. */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.endsWith('\n')) throw new CheckpointError('checkpoint ends within a line')
  const [origin, sizeText, rootText, ...extensions] = text.slice(0, -1).split('\n')
  if (origin === undefined || sizeText === undefined || rootText === undefined) {
    throw new CheckpointError('checkpoint has fewer than three lines')
  }
  if (extensions.includes('')) throw new CheckpointError('checkpoint has an empty line')
  const size = parseDecimal(sizeText)
  if (size === undefined) throw new CheckpointError('checkpoint has no tree size')
  const root = decodeBase64(rootText)
  if (root === undefined) throw new CheckpointError('checkpoint has no root hash')
  const checkpoint = { origin, size, root }
  checkFields(checkpoint)
  return checkpoint
}

/** Formats and signs. The key is named as the origin. */
export function signCheckpoint(checkpoint: Checkpoint, signer: Signer): string {
  if (signer.name !== checkpoint.origin) {
    throw new CheckpointError(`key ${signer.name} does not sign for ${checkpoint.origin}`)
  }
  return signNote(formatCheckpoint(checkpoint), signer)
}

/** Opens and parses. Throws NoteError, or CheckpointError when the origin is not the key's name. */
export function openCheckpoint(note: string, verifier: Verifier): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(note, [verifier]).text)
  if (checkpoint.origin !== verifier.name) {
    const message = `checkpoint of ${checkpoint.origin}, not of ${verifier.name}`
    throw new CheckpointError(message, 'wrong-origin')
  }
  return checkpoint
}

function checkFields({ origin, size, root }: Checkpoint): void {
  const wellFormed = origin.isWellFormed() && !origin.includes('\n') && !hasControl(origin)
  if (origin === '' || !wellFormed || encodeText(origin).length > ORIGIN_BYTES_MAX) {
    throw new CheckpointError('checkpoint has no valid origin')
  }
  checkSize(size)
  if (root.length !== HASH_BYTES) throw new CheckpointError('checkpoint has no root hash')
  // There is one empty tree: another root for it is not a tree that anybody could continue.
  if (size === 0 && !equalBytes(root, EMPTY_ROOT)) {
    throw new CheckpointError('checkpoint of an empty tree has another root')
  }
}
