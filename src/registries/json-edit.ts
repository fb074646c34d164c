/**
 * Edits of JSON text in place: what is not edited stays byte for byte, white space included.
 *
 * An edit replaces a range of the text. Edits of one text come in ascending order and never overlap,
 * so a text of any size is copied once, from edit to edit. Nothing here parses or checks JSON:
 * ranges come from `json-scan.ts`, and texts that are put in are JSON already.
 *
 * @module
 */
import { RegistryError } from './errors.ts'
import type { Member, ObjectRange } from './json-scan.ts'

export type Edit = { start: number; end: number; text: string }

export type ObjectChange = {
  /** Which members stay; all do by default. */
  keep?: (key: string) => boolean
  /** JSON text by key: takes the place of a value, or is added at the end. Kept in any case. */
  set?: ReadonlyMap<string, string>
  /** Edits inside a member that stays and is not set. */
  nested?: (member: Member) => Iterable<Edit>
}

const NOTHING: ReadonlyMap<string, string> = new Map()

/** The edits that change an object; commas fall with the members that they belong to. */
export function* editObject(object: ObjectRange, change: ObjectChange): Generator<Edit> {
  const { members } = object
  const set = change.set ?? NOTHING
  const added = new Map(set)
  let kept = false
  for (const [i, member] of members.entries()) {
    const text = set.get(member.key)
    added.delete(member.key)
    if (text === undefined && change.keep?.(member.key) === false) {
      const before = members[i - 1]
      yield kept && before !== undefined
        ? { start: before.end, end: member.end, text: '' }
        : { start: member.keyStart, end: members[i + 1]?.keyStart ?? member.end, text: '' }
      continue
    }
    kept = true
    if (text !== undefined) yield { start: member.start, end: member.end, text }
    else if (change.nested !== undefined) yield* change.nested(member)
  }
  if (added.size === 0) return
  const list = [...added].map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')
  yield { start: object.end - 1, end: object.end - 1, text: kept ? `,${list}` : list }
}

/** The text between `start` and `end` with its edits made, in pieces; unedited ones are not copied. */
export function* applyEdits(
  bytes: Uint8Array,
  start: number,
  end: number,
  edits: Iterable<Edit>,
): Generator<Uint8Array> {
  let pos = start
  for (const edit of edits) {
    if (edit.start < pos || edit.end > end) {
      throw new RegistryError('internal', `edits overlap at byte ${edit.start}`)
    }
    if (edit.start > pos) yield bytes.subarray(pos, edit.start)
    if (edit.text !== '') yield Buffer.from(edit.text)
    pos = edit.end
  }
  if (end > pos) yield bytes.subarray(pos, end)
}
