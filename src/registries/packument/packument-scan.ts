/**
 * The outline of a packument: where its members and each of its versions stand in the raw bytes.
 *
 * The whole text is checked against the JSON grammar once (`json-scan.ts`), but never parsed: a
 * version is parsed alone by whoever wants it, and a rendered packument is spliced from the slices,
 * so that fields nobody here knows pass through byte for byte. What two readers could read
 * differently is refused as `upstream-bad-answer`: ill-formed UTF-8, a name or version twice or with
 * a lone surrogate, another package's document. Nothing here judges a version.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer'
import { RegistryError } from '../errors.ts'
import { JsonScan, memberOf, type Member, type ObjectRange, repeatedKey } from '../json-scan.ts'

/** The largest real package has 9,000 versions. Against documents made of nothing but versions. */
export const VERSIONS_MAX = 100_000
/** Real packuments have up to 30 fields of their own. */
const FIELDS_MAX = 1_000
/** Tags are few, but some packages tag every build. */
const TAGS_MAX = VERSIONS_MAX
/** `created`, `modified`, `unpublished` and one instant for each version that ever was. */
const TIMES_MAX = 2 * VERSIONS_MAX

/**
 * A document of 64 KB is one of some 80 versions, or of six with a long readme. One that small is
 * not worth a way through another thread (here.ts), and the outlines of its versions are worth
 * remembering: inspecting and rendering it look at each several times.
 */
export const SMALL_BYTES_MAX = 64 * 1024

export type PackumentScan = {
  json: JsonScan
  name: string
  document: ObjectRange
  /** Undefined when the document has no such member (an unpublished package has no versions). */
  versions: ObjectRange | undefined
  distTags: ObjectRange | undefined
  time: ObjectRange | undefined
  /** Objects that were looked into, by where they begin; there for a small document. */
  objects: Map<number, ObjectRange> | undefined
}

/** Throws `upstream-bad-answer` unless these bytes are the packument of one package. */
export function scanPackument(bytes: Uint8Array): PackumentScan {
  if (!isUtf8(bytes)) throw badAnswer('is not UTF-8')
  const json = new JsonScan(bytes)
  const document = json.object(json.skipSpace(0), FIELDS_MAX)
  const after = json.skipSpace(document.end)
  if (after !== bytes.length) throw json.unexpected(after, 'the end')
  refuseRepeated(document, 'the document')
  const nameMember = memberOf(document, 'name')
  const name = nameMember === undefined ? undefined : json.parse(nameMember)
  if (typeof name !== 'string') throw badAnswer('has no name')
  if (!name.isWellFormed()) throw badAnswer('has a name of ill-formed Unicode')
  return {
    json,
    name,
    document,
    versions: mapAt(json, document, 'versions', VERSIONS_MAX),
    distTags: mapAt(json, document, 'dist-tags', TAGS_MAX),
    time: mapAt(json, document, 'time', TIMES_MAX),
    objects: bytes.length <= SMALL_BYTES_MAX ? new Map() : undefined,
  }
}

/** The dist-tags in the order of the document. */
export function readDistTags(scan: PackumentScan): [string, string][] {
  return (scan.distTags?.members ?? []).map(member => {
    const version = scan.json.parse(member)
    if (typeof version !== 'string' || !version.isWellFormed()) {
      throw badAnswer(`has a dist-tag ${JSON.stringify(member.key)} that names no version`)
    }
    return [member.key, version]
  })
}

/** `time[version]` of every version that has one as text, with `created` and `modified`. */
export function readTimes(scan: PackumentScan): Map<string, string> {
  const times = new Map<string, string>()
  for (const member of scan.time?.members ?? []) {
    const instant = scan.json.parse(member)
    if (typeof instant === 'string' && instant.isWellFormed()) times.set(member.key, instant)
  }
  return times
}

/** The members of a value that is an object, e.g. of one version or of its `dist`. */
export function objectAt(scan: PackumentScan, member: Member): ObjectRange | undefined {
  if (!scan.json.isObject(member)) return undefined
  const known = scan.objects?.get(member.start)
  if (known !== undefined) return known
  const object = scan.json.object(member.start, TIMES_MAX)
  scan.objects?.set(member.start, object)
  return object
}

// One of the three objects that are keyed by names: each name once, and well formed.
function mapAt(
  json: JsonScan,
  document: ObjectRange,
  key: string,
  membersMax: number,
): ObjectRange | undefined {
  const member = memberOf(document, key)
  if (member === undefined) return undefined
  if (!json.isObject(member)) throw badAnswer(`has a "${key}" that is not an object`)
  const object = json.object(member.start, membersMax)
  refuseRepeated(object, `"${key}"`)
  return object
}

function refuseRepeated(object: ObjectRange, where: string): void {
  const repeated = repeatedKey(object)
  if (repeated !== undefined) {
    throw badAnswer(`has ${JSON.stringify(repeated)} twice in ${where}`)
  }
  const broken = object.members.find(member => !member.key.isWellFormed())
  if (broken !== undefined) throw badAnswer(`has a key of ill-formed Unicode in ${where}`)
}

function badAnswer(why: string): RegistryError {
  return new RegistryError('upstream-bad-answer', `the answer is no packument: it ${why}`)
}
