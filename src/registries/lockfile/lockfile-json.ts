/**
 * JSON with the line of every value, for package-lock.json (strict JSON) and bun.lock (comments
 * and trailing commas allowed). A member given twice is refused: parsers disagree on which one
 * counts (RFC 8259, section 4).
 *
 * @module
 */
import { parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser'
import { Lines, LOCKFILE_TEXT_CHARS_MAX, LockfileError, shown } from './lockfile-entry.ts'

export type JsonMember = { key: string; line: number; value: JsonValue }

/** One value of the document, read on demand. */
export class JsonValue {
  readonly #node: Node
  readonly #lines: Lines

  constructor(node: Node, lines: Lines) {
    this.#node = node
    this.#lines = lines
  }

  get line(): number {
    return this.#lines.lineOf(this.#node.offset)
  }

  /** Members in their order; none when this is not an object. */
  members(): JsonMember[] {
    if (this.#node.type !== 'object') return []
    const seen = new Set<string>()
    const members: JsonMember[] = []
    for (const property of this.#node.children ?? []) {
      const [name, value] = property.children ?? []
      if (name === undefined || value === undefined) continue
      const key = String(name.value)
      const line = this.#lines.lineOf(name.offset)
      if (seen.has(key)) throw new LockfileError(line, `${shown(key)} is there twice`)
      seen.add(key)
      members.push({ key, line, value: new JsonValue(value, this.#lines) })
    }
    return members
  }

  get(key: string): JsonValue | undefined {
    return this.members().find(member => member.key === key)?.value
  }

  items(): JsonValue[] {
    if (this.#node.type !== 'array') return []
    return (this.#node.children ?? []).map(node => new JsonValue(node, this.#lines))
  }

  get isObject(): boolean {
    return this.#node.type === 'object'
  }

  get isArray(): boolean {
    return this.#node.type === 'array'
  }

  string(): string | undefined {
    const value: unknown = this.#node.value
    if (this.#node.type !== 'string' || typeof value !== 'string') return undefined
    if (value.length > LOCKFILE_TEXT_CHARS_MAX) {
      throw new LockfileError(this.line, `a text of ${value.length} characters`)
    }
    return value
  }

  number(): number | undefined {
    const value: unknown = this.#node.value
    return this.#node.type === 'number' && typeof value === 'number' ? value : undefined
  }

  isTrue(): boolean {
    return this.#node.type === 'boolean' && this.#node.value === true
  }
}

/** Parses a whole document. @param lenient comments and trailing commas are allowed */
export function parseJsonDocument(text: string, lenient: boolean): JsonValue {
  const lines = new Lines(text)
  const errors: ParseError[] = []
  const root = parseNodes(text, errors, lenient)
  const [error] = errors
  if (error !== undefined) {
    const what = printParseErrorCode(error.error)
    throw new LockfileError(lines.lineOf(error.offset), `is not JSON: ${what}`)
  }
  if (root?.type !== 'object') throw new LockfileError(1, 'is not a JSON object')
  return new JsonValue(root, lines)
}

function parseNodes(text: string, errors: ParseError[], lenient: boolean): Node | undefined {
  const options = {
    disallowComments: !lenient,
    allowTrailingComma: lenient,
    allowEmptyContent: false,
  }
  try {
    return parseTree(text, errors, options)
  } catch (error) {
    // The parser is recursive: only a document that is nested far too deep makes it throw.
    throw new LockfileError(1, 'is nested too deep', error)
  }
}
