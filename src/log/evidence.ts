/**
 * Evidence that a log misbehaved: one text that holds everything, so that a stranger can check it
 * years later without the log. A fork's holds both signed checkpoints and the proof that the newer
 * tree begins otherwise than the older one.
 *
 *     npmx-registry/log-evidence@v1 fork
 *     <one sentence>
 *
 *     older checkpoint:
 *     →registry.example/log         → is a tab
 *     →300
 *     …
 *     root in the newer tree:
 *     →<base64>
 *     consistency proof:
 *     →<base64>                     one line for each hash
 *
 * Other kinds (a tile, a record that fails) show what was served; only a signature makes a proof.
 *
 * @module
 */
import { HASH_BYTES } from '#hash'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { ProofError } from './errors.ts'
import type { Verifier } from './note.ts'
import { decodeBase64, encodeBase64, equalBytes } from './text.ts'
import { checkTree } from './tree.ts'

/** A signed checkpoint as it came, and what it says. */
export type SignedCheckpoint = { readonly note: string; readonly checkpoint: Checkpoint }

/** Evidence taken apart: the kind of misbehaviour, a sentence, and titled texts. */
export type Evidence = {
  readonly kind: string
  readonly sentence: string
  readonly parts: ReadonlyMap<string, string>
}

const HEADER = 'npmx-registry/log-evidence@v1 '
const OLDER = 'older checkpoint'
const NEWER = 'newer checkpoint'
const ROOT = 'root in the newer tree'
const PROOF = 'consistency proof'

/** Evidence as text. */
export function formatEvidence(
  kind: string,
  sentence: string,
  parts: Iterable<readonly [title: string, text: string]>,
): string {
  let text = `${HEADER}${kind}\n${oneLine(sentence)}\n\n`
  for (const [title, part] of parts) {
    text += `${title}:\n`
    // The indent also keeps what a server sent from looking like a title of ours.
    for (const line of part.split('\n')) text += `\t${line}\n`
  }
  return text
}

/** Takes evidence apart again, every part as it was. */
export function parseEvidence(text: string): Evidence {
  const [header = '', sentence = '', empty, ...lines] = text.split('\n')
  if (!header.startsWith(HEADER) || empty !== '' || lines.pop() !== '') {
    throw new ProofError('not evidence of a log')
  }
  const parts = new Map<string, string[]>()
  let part: string[] | undefined
  for (const line of lines) {
    if (line.startsWith('\t')) {
      if (part === undefined) throw new ProofError('evidence with text before its first title')
      part.push(line.slice(1))
      continue
    }
    const title = line.slice(0, -1)
    if (!line.endsWith(':') || parts.has(title)) throw new ProofError('evidence with a bad title')
    part = []
    parts.set(title, part)
  }
  const joined = [...parts].map(([title, rows]) => [title, rows.join('\n')] as const)
  return { kind: header.slice(HEADER.length), sentence, parts: new Map(joined) }
}

/**
 * Evidence of a fork. For two trees of one size the two checkpoints say it all; otherwise `root` is
 * what the newer tree has at the older one's size, and `proof` shows that.
 */
export function formatFork(
  older: SignedCheckpoint,
  newer: SignedCheckpoint,
  root: Uint8Array,
  proof: readonly Uint8Array[],
): string {
  const { origin, size } = older.checkpoint
  const sentence = `${origin} signed two trees that are not one: they differ in the first ${size}`
  return formatEvidence('fork', `${sentence} leaves.`, [
    [OLDER, older.note],
    [NEWER, newer.note],
    [ROOT, encodeBase64(root)],
    [PROOF, proof.map(encodeBase64).join('\n')],
  ])
}

/**
 * Checks that a text proves a fork of the log with this key: both checkpoints are signed by it, and
 * the newer tree is proven to begin with another root than the older one's. Throws when it does not.
 */
export function checkFork(
  text: string,
  verifier: Verifier,
): { older: Checkpoint; newer: Checkpoint } {
  const { kind, parts } = parseEvidence(text)
  const [olderNote, newerNote] = [parts.get(OLDER), parts.get(NEWER)]
  const root = readHash(parts.get(ROOT))
  const proofText = parts.get(PROOF)
  if (kind !== 'fork' || olderNote === undefined || newerNote === undefined) {
    throw new ProofError('not evidence of a fork')
  }
  if (proofText === undefined) throw new ProofError('evidence of a fork has no proof')
  const older = openCheckpoint(olderNote, verifier)
  const newer = openCheckpoint(newerNote, verifier)
  const proof = proofText === '' ? [] : proofText.split('\n').map(readHash)
  checkTree(proof, newer.size, newer.root, older.size, root)
  if (equalBytes(root, older.root)) throw new ProofError('the two trees agree: no fork')
  return { older, newer }
}

function readHash(text: string | undefined): Uint8Array {
  const hash = text === undefined ? undefined : decodeBase64(text)
  if (hash?.length !== HASH_BYTES) throw new ProofError('evidence has a line that is no hash')
  return hash
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}
