/**
 * What happens to one version of a packument on its way to a client, as edits of its bytes: the
 * tarball URL, the tombstone of a refused version, the logged projection in place of a changed one,
 * the fields that an abbreviated manifest leaves out. Which versions are refused or overridden is
 * the plan's to say (`render.ts`).
 *
 * @module
 */
import { isAbbreviatedVersionField } from './abbreviated.ts'
import { RegistryError } from '../errors.ts'
import { parseIntegrity } from '../integrity.ts'
import { type Edit, editObject, type ObjectChange } from '../json-edit.ts'
import { memberOf, type Member, type ObjectRange } from '../json-scan.ts'
import {
  asObject,
  hasInstallScript,
  type JsonObject,
  LIFECYCLE_SCRIPTS,
  WHOLE_FIELDS,
} from './manifest.ts'
import { tarballUrl } from '../name.ts'
import { objectAt, type PackumentScan } from './packument-scan.ts'
import {
  ANY_ORIGIN,
  type Cosignature,
  type Override,
  type Refused,
  type Variant,
} from './render.ts'

export type VersionPlan = {
  scan: PackumentScan
  base: string
  /** Tarball URLs on this origin stay as they came; `ANY_ORIGIN`: all do; null: none do. */
  keptOrigin: string | null
  form: Variant['form']
  /** The file of a version that may be served. */
  files: ReadonlyMap<string, string>
  refused: ReadonlyMap<string, Refused>
  overrides: ReadonlyMap<string, Override>
  /** Our own signatures. */
  cosignatures: ReadonlyMap<string, Cosignature>
}

const WHOLE: ReadonlySet<string> = new Set(WHOLE_FIELDS)
const LIFECYCLE: ReadonlySet<string> = new Set(LIFECYCLE_SCRIPTS)

/** The edits of one version. Throws `internal` for a version that was never inspected. */
export function editVersion(plan: VersionPlan, member: Member): Iterable<Edit> {
  const { scan } = plan
  const object = objectAt(scan, member)
  const distMember = object === undefined ? undefined : memberOf(object, 'dist')
  const dist = distMember === undefined ? undefined : objectAt(scan, distMember)
  const refused = plan.refused.get(member.key)
  if (refused !== undefined) {
    // Nothing of an entry that contradicts itself is passed on.
    if (refused.code === 'invalid' || object === undefined || dist === undefined) {
      const text = JSON.stringify(bareTombstone(scan.name, refused))
      return [{ start: member.start, end: member.end, text }]
    }
    return editTombstone(plan, object, dist, refused)
  }
  const file = plan.files.get(member.key)
  if (file === undefined || object === undefined || dist === undefined) {
    throw new RegistryError('internal', `${scan.name}@${member.key} was not inspected`)
  }
  const changes = distChanges(plan, dist, file, plan.overrides.get(member.key))
  const cosignature = plan.cosignatures.get(member.key)
  if (cosignature !== undefined) addCosignature(plan.scan, dist, cosignature, changes)
  return editServed(plan, object, dist, changes, plan.overrides.get(member.key))
}

/** The least that clients need to say why a version cannot be had. */
export function bareTombstone(name: string, refused: Refused): JsonObject {
  const dist = { tarball: refused.url, integrity: refused.integrity ?? undefined }
  return { name, version: refused.version, deprecated: refused.sentence, dist }
}

function editTombstone(
  plan: VersionPlan,
  object: ObjectRange,
  dist: ObjectRange,
  refused: Refused,
): Iterable<Edit> {
  const inDist = new Map([['tarball', JSON.stringify(refused.url)]])
  if (refused.integrity !== null) inDist.set('integrity', JSON.stringify(refused.integrity))
  return editObject(object, {
    ...keptFields(plan.form),
    set: new Map([['deprecated', JSON.stringify(refused.sentence)]]),
    nested: member => (member.key === 'dist' ? editObject(dist, { set: inDist }) : []),
  })
}

function editServed(
  plan: VersionPlan,
  object: ObjectRange,
  dist: ObjectRange,
  inDist: ReadonlyMap<string, string>,
  override: Override | undefined,
): Iterable<Edit> {
  const projection = readProjection(override)
  const set = projection === undefined ? new Map<string, string>() : wholeFields(projection)
  setInstallScript(plan, object, projection, set)
  const kept = keptFields(plan.form).keep
  return editObject(object, {
    set,
    keep: key => {
      if (kept?.(key) === false) return false
      // What the log knows nothing of was not there when the version was logged.
      if (projection === undefined) return true
      return !WHOLE.has(key) && key !== 'hasInstallScript' && !isLost(object, projection, key)
    },
    nested: member => {
      if (member.key === 'dist') return editObject(dist, { set: inDist })
      if (projection === undefined) return []
      if (member.key === 'scripts') return editInside(plan, member, projection, LIFECYCLE)
      if (member.key === 'directories') return editInside(plan, member, projection, BIN_FOLDER)
      return []
    },
  })

  function isLost(range: ObjectRange, logged: JsonObject, key: string): boolean {
    if (key !== 'scripts' && key !== 'directories') return false
    const member = memberOf(range, key)
    return member !== undefined && !plan.scan.json.isObject(member) && logged[key] === undefined
  }
}

const BIN_FOLDER: ReadonlySet<string> = new Set(['bin'])

function distChanges(
  plan: VersionPlan,
  dist: ObjectRange,
  file: string,
  override: Override | undefined,
): Map<string, string> {
  const set = new Map<string, string>()
  const member = memberOf(dist, 'tarball')
  const tarball = member === undefined ? undefined : plan.scan.json.parse(member)
  if (!isOnOrigin(tarball, plan.keptOrigin)) {
    set.set('tarball', JSON.stringify(tarballUrl(plan.base, plan.scan.name, file)))
  }
  const integrity = override?.integrity ?? null
  if (integrity !== null) set.set('integrity', JSON.stringify(integrity))
  const signatures = override?.signatures ?? null
  if (signatures !== null) set.set('signatures', JSON.stringify(signatures))
  return set
}

/**
 * Our signature after those that came: they stay for clients with keys of their own, but none under
 * our keyid. npm checks it over the whole `integrity`, so that is the one value that was recorded.
 */
function addCosignature(
  scan: PackumentScan,
  dist: ObjectRange,
  { keyid, sig }: Cosignature,
  changes: Map<string, string>,
): void {
  const member = memberOf(dist, 'signatures')
  const came: unknown = member === undefined ? [] : scan.json.parse(member)
  const theirs = (Array.isArray(came) ? came : []).flatMap((entry: unknown) => {
    const signature = asObject(entry)
    return signature === undefined || signature['keyid'] === keyid ? [] : [signature]
  })
  changes.set('signatures', JSON.stringify([...theirs, { keyid, sig }]))
  const text = memberOf(dist, 'integrity')
  const integrity = text === undefined ? undefined : scan.json.parse(text)
  const recorded = parseIntegrity(integrity)
  if (recorded !== undefined && recorded !== integrity && !changes.has('integrity')) {
    changes.set('integrity', JSON.stringify(recorded))
  }
}

// By text, not by URL parser: what a client reads differently must not stay.
function isOnOrigin(tarball: unknown, origin: string | null): boolean {
  if (origin === null || typeof tarball !== 'string') return false
  if (!/^[!-[\]-~]+$/.test(tarball)) return false
  return origin === ANY_ORIGIN || tarball.startsWith(`${origin}/`)
}

function readProjection(override: Override | undefined): JsonObject | undefined {
  const text = override?.projection ?? null
  if (text === null) return undefined
  const projection = asObject(JSON.parse(text))
  if (projection === undefined) throw new RegistryError('internal', 'a projection is no object')
  return projection
}

function wholeFields(projection: JsonObject): Map<string, string> {
  const fields = WHOLE_FIELDS.filter(field => projection[field] !== undefined)
  return new Map(fields.map(field => [field, JSON.stringify(projection[field])]))
}

/**
 * An abbreviated manifest has no scripts and must tell whether there are any; one that tells already
 * is believed when it says so. With a logged projection that alone counts.
 */
function setInstallScript(
  plan: VersionPlan,
  object: ObjectRange,
  projection: JsonObject | undefined,
  set: Map<string, string>,
): void {
  const scripts = memberOf(object, 'scripts')
  const told = memberOf(object, 'hasInstallScript') !== undefined
  if (projection !== undefined) {
    if ((told || plan.form === 'abbreviated') && hasInstallScript(projection)) {
      set.set('hasInstallScript', 'true')
    }
    if (plan.form === 'full') addMissing(object, projection, set)
    else addMissing(object, { directories: projection['directories'] }, set)
  } else if (plan.form === 'abbreviated' && scripts !== undefined) {
    if (hasInstallScript({ scripts: plan.scan.json.parse(scripts) })) {
      set.set('hasInstallScript', 'true')
    }
  }
}

// `scripts` and `directories` are edited inside where they stand, and added where they do not.
function addMissing(object: ObjectRange, projection: JsonObject, set: Map<string, string>): void {
  for (const key of ['scripts', 'directories']) {
    const logged = projection[key]
    if (logged !== undefined && memberOf(object, key) === undefined) {
      set.set(key, JSON.stringify(logged))
    }
  }
}

// The logged ones of `fields`, and none that was not logged; the other members stay.
function editInside(
  plan: VersionPlan,
  member: Member,
  projection: JsonObject,
  fields: ReadonlySet<string>,
): Iterable<Edit> {
  const logged = asObject(projection[member.key]) ?? {}
  const object = objectAt(plan.scan, member)
  if (object === undefined) {
    return [{ start: member.start, end: member.end, text: JSON.stringify(logged) }]
  }
  const set = Object.entries(logged).map(([key, value]): [string, string] => [
    key,
    JSON.stringify(value),
  ])
  return editObject(object, { set: new Map(set), keep: key => !fields.has(key) })
}

function keptFields(form: Variant['form']): ObjectChange {
  return form === 'abbreviated' ? { keep: isAbbreviatedVersionField } : {}
}
