/**
 * Proofs in a file, https://c2sp.org/tlog-proof@v1: that a leaf is in a log, for whoever knows the
 * log's key and the leaf, without a network.
 *
 *     c2sp.org/tlog-proof@v1
 *     index 73894
 *     gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
 *     B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
 *
 *     example.com/fancylog
 *     109482
 *     sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=
 *
 *     — example.com/fancylog hI2DJw…
 *
 * The leaf's sibling comes first. An `extra` line may follow the first: nothing authenticates it.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { ProofError } from './errors.ts'
import { NOTE_CHARS_MAX, type Verifier } from './note.ts'
import { decodeBase64, encodeBase64, parseDecimal } from './text.ts'
import { checkRecord, leafHash } from './tree.ts'

/** The parts of a proof file; `checkpoint` is the signed note, verbatim. */
export type LogProof = {
  readonly index: number
  readonly hashes: readonly Uint8Array[]
  readonly checkpoint: string
  readonly extra?: Uint8Array
}

/** Most hashes in a proof: a tree has at most 63 levels above its leaves (tlog-tiles). */
export const PROOF_HASHES_MAX = 63
/** Longest extra data: room for a record, which is what it is good for. */
export const EXTRA_BYTES_MAX = 65_536

const HEADER = 'c2sp.org/tlog-proof@v1'
const PROOF_CHARS_MAX = NOTE_CHARS_MAX + 2 * EXTRA_BYTES_MAX + 4096

/** The text of a proof file. */
export function formatProof(proof: LogProof): string {
  checkParts(proof)
  const lines = [HEADER]
  if (proof.extra !== undefined) lines.push(`extra ${encodeBase64(proof.extra)}`)
  lines.push(`index ${proof.index}`)
  for (const hash of proof.hashes) lines.push(encodeBase64(hash))
  return `${lines.join('\n')}\n\n${proof.checkpoint}`
}

/** Reads what `formatProof` writes. Checks nothing but the form. */
export function parseProof(text: string): LogProof {
  if (text.length > PROOF_CHARS_MAX) throw new ProofError('proof is too long')
  const blank = text.indexOf('\n\n')
  if (blank < 0) throw new ProofError('proof has no checkpoint')
  const checkpoint = text.slice(blank + 2)
  const [header, ...lines] = text.slice(0, blank).split('\n')
  if (header !== HEADER) throw new ProofError(`proof does not begin with ${HEADER}`)
  const extra = lines[0]?.startsWith('extra ') ? decodeLine(lines.shift(), 'extra ') : undefined
  const indexLine = lines.shift()
  const index = indexLine?.startsWith('index ') ? parseDecimal(indexLine.slice(6)) : undefined
  if (index === undefined) throw new ProofError('proof has no index')
  const hashes = lines.map(line => decodeLine(line, ''))
  const proof = { index, hashes, checkpoint, ...(extra === undefined ? {} : { extra }) }
  checkParts(proof)
  return proof
}

/**
 * Checks that this leaf stands in the log with this key, and answers with the checkpoint that says
 * so. Throws ProofError, NoteError or CheckpointError. Cosignatures are not counted here.
 */
export function checkProof(proof: LogProof, leaf: Uint8Array, verifier: Verifier): Checkpoint {
  const checkpoint = openCheckpoint(proof.checkpoint, verifier)
  checkRecord(proof.hashes, checkpoint.size, checkpoint.root, proof.index, leafHash(leaf))
  return checkpoint
}

function checkParts(proof: LogProof): void {
  if (parseDecimal(String(proof.index)) !== proof.index) throw new ProofError('proof has no index')
  if (proof.hashes.length > PROOF_HASHES_MAX) throw new ProofError('proof has too many hashes')
  if (proof.hashes.some(hash => hash.length !== HASH_BYTES)) {
    throw new ProofError('proof has a line that is no hash')
  }
  if ((proof.extra?.length ?? 0) > EXTRA_BYTES_MAX) throw new ProofError('extra data is too long')
  if (proof.checkpoint === '') throw new ProofError('proof has no checkpoint')
}

function decodeLine(line: string | undefined, prefix: string): Uint8Array {
  const bytes = line === undefined ? undefined : decodeBase64(line.slice(prefix.length))
  if (bytes === undefined) throw new ProofError('proof has a line that is not base64')
  return bytes
}
