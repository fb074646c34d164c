/**
 * The answer to a lookup, as Go's checksum database gives it
 * (https://go.dev/design/25530-sumdb#checksum-database):
 *
 *     <index>
 *     <record: lines without a blank one>
 *
 *     <signed checkpoint of a tree that holds the record>
 *
 * Only the record's own bytes are ever used as content, and only once they are proven: whatever
 * else an answer holds is the server's word (Go's CVE-2026-56864 was lines outside the record).
 *
 * @module
 */
import { LookupError } from './errors.ts'
import { LEAF_BYTES_MAX } from './leaf.ts'
import { NOTE_CHARS_MAX } from './note.ts'
import { decodeText, encodeText, parseDecimal } from './text.ts'

/** The parts of an answer, none of them checked yet. */
export type LookupAnswer = {
  readonly index: number
  readonly leaf: Uint8Array
  readonly note: string
}

/** A record, a note and an index: what is longer is no answer. */
export const LOOKUP_BYTES_MAX: number = LEAF_BYTES_MAX + NOTE_CHARS_MAX + 32

/** The answer as text, ready to be sent. */
export function formatLookup(index: number, leaf: Uint8Array, note: string): string {
  const record = decodeText(leaf)
  if (record === undefined || !isRecord(record)) throw new LookupError('leaf is no record')
  if (parseDecimal(String(index)) !== index) throw new LookupError(`${index} is no index`)
  return `${index}\n${record}\n${note}`
}

/** Splits an answer. Checks its form, nothing more. */
export function parseLookup(bytes: Uint8Array): LookupAnswer {
  if (bytes.length > LOOKUP_BYTES_MAX) throw new LookupError('lookup answer is too long')
  const text = decodeText(bytes)
  if (text === undefined) throw new LookupError('lookup answer is not UTF-8')
  const first = text.indexOf('\n')
  const index = first < 0 ? undefined : parseDecimal(text.slice(0, first))
  const blank = text.indexOf('\n\n', first)
  if (index === undefined || blank <= first) throw new LookupError('lookup answer has no record')
  const record = text.slice(first + 1, blank + 1)
  if (!isRecord(record)) throw new LookupError('lookup answer has no record')
  return { index, leaf: encodeText(record), note: text.slice(blank + 2) }
}

function isRecord(text: string): boolean {
  return text.length > 1 && text.endsWith('\n') && !text.startsWith('\n') && !text.includes('\n\n')
}
