/**
 * yarn.lock of yarn 1 and of yarn 2 and later ("berry"), read by yarn's own `parseSyml`
 * (https://github.com/yarnpkg/berry, packages/yarnpkg-parsers).
 *
 *     yarn 1                                     berry
 *     is-number@6.0.0, is-number@^6.0.0:         "ms@npm:2.1.3":
 *       version "6.0.0"                            version: 2.1.3
 *       resolved "https://…/is-number-6.0.0.tgz#e6d1…"  resolution: "ms@npm:2.1.3"
 *       integrity sha512-Wu1VHeILBK8KAWJUAi…       checksum: 10c0/d924b57e7312b3b63ad21fc5b3dc…
 *
 * Berry's checksum is over an archive that yarn makes itself: nothing a registry publishes can be
 * compared with it, so its entries are `no-integrity`.
 *
 * `parseSyml` lets a repeated key win silently and drops `__proto__`; it also tells no lines. Both
 * come from a scan of the lines here, and the two readings must agree.
 *
 * @module
 */
import { parseSyml } from '@yarnpkg/parsers'
import {
  asksRegistry,
  describeSource,
  LOCKFILE_TEXT_CHARS_MAX,
  LockfileError,
  notRegistryEntry,
  readAlias,
  registryEntry,
  shown,
  splitLocator,
  unpinnedEntry,
  type Lockfile,
  type LockfileEntry,
} from './lockfile-entry.ts'
import { isVersion } from '../name.ts'

const METADATA = '__metadata'
const YARN_1 = /^(?:#.*\r?\n)*?#\s+yarn\s+lockfile\s+v1\r?\n/i

type Block = { keys: string[]; line: number; fields: Map<string, number> }

export function parseYarnLockfile(text: string): Lockfile {
  const blocks = scanBlocks(text)
  const parsed = new Map(Object.entries(parseValues(text)))
  const keys = blocks.flatMap(block => block.keys)
  const unread = keys.find(key => !parsed.has(key))
  if (unread !== undefined || parsed.size !== keys.length) {
    const line = blocks.find(block => block.keys.some(key => key === unread))?.line ?? 1
    throw new LockfileError(line, 'is not written as yarn writes it')
  }
  if (YARN_1.test(text)) return { format: 'yarn-1', version: '1', entries: yarn1(blocks, parsed) }
  const metadata = fieldsOf(parsed.get(METADATA))
  const version = metadata.get('version')
  if (version === undefined) throw new LockfileError(1, 'says no version: no yarn.lock')
  return { format: 'yarn-berry', version, entries: berry(blocks, parsed) }
}

function parseValues(text: string): Record<string, unknown> {
  try {
    return parseSyml(text)
  } catch (error) {
    // Yarn's two grammars throw classes of their own; both say where in the message.
    const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    const line = /line (\d+)/.exec(message)?.[1]
    throw new LockfileError(line === undefined ? 1 : Number(line), `is no yarn.lock: ${message}`)
  }
}

/** Keys and first-level fields with their lines. */
function scanBlocks(text: string): Block[] {
  const blocks: Block[] = []
  const seen = new Set<string>()
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1
    const content = raw.endsWith('\r') ? raw.slice(0, -1) : raw
    if (content === '' || /^\s*(?:#|$)/.test(content)) continue
    const block = blocks.at(-1)
    if (/^ {2}[^ ]/.test(content) && block !== undefined) addField(block, content, line)
    // A key of more than 1,024 characters is written `? "…"` with the colon on the next line.
    if (/^[ :]/.test(content)) continue
    const keys = scanKeys(content, line)
    for (const key of keys) {
      if (seen.has(key)) throw new LockfileError(line, `${shown(key)} is there twice`)
      seen.add(key)
    }
    blocks.push({ keys, line, fields: new Map() })
  }
  return blocks
}

function scanKeys(content: string, line: number): string[] {
  const list = content.replace(/^\? /, '').replace(/:\s*$/, '')
  const keys: string[] = []
  for (const [, quoted, plain] of list.matchAll(/("(?:[^"\\]|\\.)*")|([^",]+)/g)) {
    const key = quoted === undefined ? (plain ?? '').trim() : unquote(quoted, line)
    if (key !== '') keys.push(key)
  }
  if (keys.length === 0) throw new LockfileError(line, 'an entry without a key')
  return keys
}

function unquote(quoted: string, line: number): string {
  try {
    const text: unknown = JSON.parse(quoted)
    if (typeof text === 'string') return text
  } catch (error) {
    throw new LockfileError(line, `${shown(quoted)} is no text`, error)
  }
  throw new LockfileError(line, `${shown(quoted)} is no text`)
}

function addField(block: Block, content: string, line: number): void {
  const name = /^ {2}"?([^\s":]+)/.exec(content)?.[1] ?? ''
  // Also after `key` lines of lists there is nothing at this depth that may repeat.
  if (block.fields.has(name)) throw new LockfileError(line, `${shown(name)} is there twice`)
  block.fields.set(name, line)
}

/** The fields of an entry that hold text. */
function fieldsOf(value: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (typeof value !== 'object' || value === null) return fields
  for (const [name, field] of Object.entries(value)) {
    if (typeof field === 'string' && field.length <= LOCKFILE_TEXT_CHARS_MAX) {
      fields.set(name, field)
    }
  }
  return fields
}

function yarn1(blocks: readonly Block[], parsed: ReadonlyMap<string, unknown>): LockfileEntry[] {
  const entries: LockfileEntry[] = []
  for (const block of blocks) {
    const fields = fieldsOf(parsed.get(block.keys[0] ?? ''))
    const names = new Set<string>()
    for (const key of block.keys) {
      const entry = yarn1Entry(key, block, fields)
      // One entry for all ranges of one package; an alias of it is the same package.
      if (!names.has(entry.name)) entries.push(entry)
      names.add(entry.name)
    }
  }
  return entries
}

function yarn1Entry(key: string, block: Block, fields: ReadonlyMap<string, string>): LockfileEntry {
  const locator = splitLocator(key)
  if (locator === undefined) throw new LockfileError(block.line, `${shown(key)} names no package`)
  const alias = readAlias(locator.rest)
  const name = alias?.name ?? locator.name
  const version = fields.get('version') ?? ''
  const found = { name, version, key, line: block.line }
  const resolved = fields.get('resolved') ?? ''
  if (!asksRegistry(locator.rest)) return notRegistryEntry(found, describeSource(locator.rest))
  const integrity = fields.get('integrity')
  const pinned = { ...found, integrity, integrityLine: block.fields.get('integrity') }
  if (resolved !== '' && !/^https?:/.test(resolved)) {
    return unpinnedEntry(pinned, `"resolved" ${describeSource(resolved)}, its range does not`)
  }
  const entry = registryEntry({ ...pinned, resolved })
  const sha1 = /#([0-9a-f]{40})$/.exec(resolved)?.[1]
  if (entry.kind !== 'no-integrity' || sha1 === undefined) return entry
  return { ...entry, reason: 'the lockfile holds only a SHA-1', sha1 }
}

function berry(blocks: readonly Block[], parsed: ReadonlyMap<string, unknown>): LockfileEntry[] {
  const entries: LockfileEntry[] = []
  for (const { keys, line } of blocks) {
    const key = keys.join(', ')
    if (key === METADATA) continue
    const fields = fieldsOf(parsed.get(keys[0] ?? ''))
    const locator = splitLocator(fields.get('resolution') ?? '')
    if (locator === undefined) throw new LockfileError(line, `${shown(key)} has no "resolution"`)
    entries.push(berryEntry({ key, line, ...locator }, fields.get('version') ?? ''))
  }
  return entries
}

function berryEntry(
  found: { key: string; line: number; name: string; rest: string },
  version: string,
): LockfileEntry {
  const { key, line, name, rest } = found
  if (!rest.startsWith('npm:')) {
    return notRegistryEntry({ key, line, name, version }, describeSource(rest))
  }
  const [reference = '', parameters = ''] = rest.slice('npm:'.length).split('::', 2)
  if (!isVersion(reference)) throw new LockfileError(line, `${shown(reference)} is not a version`)
  const archive = new URLSearchParams(parameters).get('__archiveUrl')
  const entry = registryEntry({ key, line, name, version: reference, integrity: undefined })
  return {
    ...entry,
    reason: "yarn's lockfile holds no comparable hash",
    ...(archive === null ? {} : { archive }),
  }
}
