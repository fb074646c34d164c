/**
 * What counts of a document that a client sends back changed (deprecate, owner, unpublish): which
 * versions it still has, what it says of them, its dist-tags and maintainers. Everything else in it
 * is what this server sent before, and is not looked at. Pure.
 * @module
 */
import { RegistryError } from '../errors.ts'
import { asRecord } from '../publish/publish-json.ts'

/** npm's registry keeps some thousand characters; a terminal shows one line. */
const DEPRECATED_CHARS_MAX = 1024
/** People of one package. */
const MAINTAINERS_MAX = 1000

/** What a document asks for; null: it says nothing of it. */
export type ChangedDocument = {
  rev: string | null
  versions: ReadonlySet<string> | null
  /** Versions with a text; one that is named in `versions` and not here has none. */
  deprecated: ReadonlyMap<string, string>
  tags: ReadonlyMap<string, string> | null
  maintainers: string[] | null
}

/** Reads one. @throws RegistryError bad-request */
export function readChanged(document: Record<string, unknown>): ChangedDocument {
  const rev = document['_rev']
  const versions = member(document, 'versions')
  return {
    rev: typeof rev === 'string' ? rev : null,
    versions: versions === null ? null : new Set(Object.keys(versions)),
    deprecated: readDeprecated(versions ?? {}),
    tags: readTags(member(document, 'dist-tags')),
    maintainers: readMaintainers(document['maintainers']),
  }
}

function readDeprecated(versions: Record<string, unknown>): Map<string, string> {
  const texts = new Map<string, string>()
  for (const [version, manifest] of Object.entries(versions)) {
    const text = asRecord(manifest)?.['deprecated']
    // `npm undeprecate` sends the empty text.
    if (text === undefined || text === '' || text === false) continue
    const isText = typeof text === 'string' && text.isWellFormed()
    if (!isText || text.length > DEPRECATED_CHARS_MAX) {
      throw bad(`deprecated is a text of at most ${DEPRECATED_CHARS_MAX} characters`)
    }
    texts.set(version, text)
  }
  return texts
}

function readTags(tags: Record<string, unknown> | null): Map<string, string> | null {
  if (tags === null) return null
  const read = new Map<string, string>()
  for (const [tag, version] of Object.entries(tags)) {
    if (typeof version !== 'string') throw bad('a dist-tag names a version')
    read.set(tag, version)
  }
  return read
}

function readMaintainers(value: unknown): string[] | null {
  if (value === undefined) return null
  if (!Array.isArray(value) || value.length > MAINTAINERS_MAX) {
    throw bad(`maintainers is a list of at most ${MAINTAINERS_MAX} people`)
  }
  const names = value.map((each: unknown) => {
    const name = asRecord(each)?.['name']
    if (typeof name !== 'string') throw bad('a maintainer has a name')
    return name
  })
  return [...new Set(names)]
}

function member(document: Record<string, unknown>, key: string): Record<string, unknown> | null {
  const value = document[key]
  if (value === undefined) return null
  const record = asRecord(value)
  if (record === undefined) throw bad(`${key} is an object`)
  return record
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
