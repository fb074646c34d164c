/**
 * Rendering of packuments: the raw bytes as they came, with the edits that a plan asks for.
 *
 * The full form is the upstream's document byte for byte but for: tarball URLs; refused versions,
 * which become tombstones (or are dropped, for yarn 1, which would pick them); dist-tags that point
 * at refused or missing versions; logged projections in place of changed ones; and, for npm, the
 * reasons in `policyRestrictions` (npm-pick-manifest reads it, no other client does).
 * `stagedVersions` is left out: it would hand out versions that nobody inspected. The abbreviated
 * form is the same with fewer fields.
 *
 * A version that the plan names neither as a file nor as refused is an error, never an answer.
 * Nothing is decided here; compression is `render-output.ts`.
 *
 * @module
 */
import { isAbbreviatedDocumentField } from './abbreviated.ts'
import { moveDistTags, newestFirst } from '../dist-tags.ts'
import { applyEdits, type Edit, editObject } from '../json-edit.ts'
import { memberOf, type Member } from '../json-scan.ts'
import { asObject } from './manifest.ts'
import { isVersion } from '../name.ts'
import { objectAt, type PackumentScan, readDistTags, scanPackument } from './packument-scan.ts'
import type { Rendered, RenderPlan, Variant } from './render.ts'
import { packRendered } from './render-output.ts'
import { bareTombstone, editVersion, type VersionPlan } from './version-edits.ts'

/** Sentences in npm's error for a restricted version: all versions share one message. */
const RESTRICTIONS_SHOWN_MAX = 10
/** Sentences in the name that yarn 1 shows: one line of a terminal for each. */
const REASONS_IN_NAME_MAX = 3

type Rendering = VersionPlan & {
  variant: Variant
  tags: ReadonlyMap<string, string | undefined>
  /** Versions that the answer does not hold at all. */
  dropped: ReadonlySet<string>
}

/** The whole document, compressed. */
export async function renderPackument(
  bytes: Uint8Array,
  plan: RenderPlan,
  variant: Variant,
): Promise<Rendered> {
  return packRendered(renderParts(bytes, plan, variant))
}

/** The whole document, in pieces. */
export function renderParts(
  bytes: Uint8Array,
  plan: RenderPlan,
  variant: Variant,
): Generator<Uint8Array> {
  return renderScanned(scanPackument(bytes), plan, variant)
}

/** As `renderParts`, of a document whose outline is at hand. */
export function renderScanned(
  scan: PackumentScan,
  plan: RenderPlan,
  variant: Variant,
): Generator<Uint8Array> {
  const { bytes } = scan.json
  return applyEdits(bytes, 0, bytes.length, editDocument(prepare(scan, plan, variant)))
}

/**
 * One version's full manifest, a tombstone included; null when the answer would not hold it.
 * @param selector a version, or a dist-tag as this document renders it
 */
export function renderManifest(
  bytes: Uint8Array,
  plan: RenderPlan,
  tarballs: Variant['tarballs'],
  selector: string,
): Uint8Array | null {
  const rendering = prepare(scanPackument(bytes), plan, {
    form: 'full',
    tarballs,
    tombstones: 'kept',
  })
  const { scan } = rendering
  const find = (version: string) => scan.versions?.members.find(({ key }) => key === version)
  const tagged = new Map([...readDistTags(scan), ...rendering.tags]).get(selector)
  const member = find(selector) ?? (tagged === undefined ? undefined : find(tagged))
  if (member === undefined || rendering.dropped.has(member.key)) return null
  const edits = editVersion(rendering, member)
  return Buffer.concat([...applyEdits(bytes, member.start, member.end, edits)])
}

function prepare(scan: PackumentScan, plan: RenderPlan, variant: Variant): Rendering {
  const refused = new Map(plan.refused.map(entry => [entry.version, entry]))
  const omitted = new Set(plan.omitted)
  const versions = scan.versions?.members ?? []
  const dropped = new Set<string>()
  const tombstones: string[] = []
  const allowed: string[] = []
  for (const { key } of versions) {
    if (omitted.has(key)) dropped.add(key)
    else if (!refused.has(key)) allowed.push(key)
    // A tombstone is of no use where no client could ask for the version.
    else if (variant.tombstones === 'dropped' || !isVersion(key)) dropped.add(key)
    else tombstones.push(key)
  }
  const byVersion = new Map(versions.map(member => [member.key, member]))
  return {
    scan,
    variant,
    dropped,
    base: plan.base,
    keptOrigin: variant.tarballs === 'as-came' ? plan.canonicalOrigin : null,
    form: variant.form,
    files: new Map(plan.files),
    refused,
    overrides: new Map(plan.overrides.map(entry => [entry.version, entry])),
    cosignatures: new Map(plan.cosignatures?.map(entry => [entry.version, entry])),
    tags: new Map([
      ...moveDistTags(readDistTags(scan), {
        allowed,
        tombstones,
        isDeprecated: version => isDeprecated(scan, byVersion.get(version)),
      }),
      ...addressTags(plan, variant, new Set(allowed)),
    ]),
  }
}

/** Never of a version that this document does not hold, or that is refused. */
function addressTags(
  { addresses = [] }: RenderPlan,
  { tags }: Variant,
  allowed: ReadonlySet<string>,
): [string, string][] {
  return tags === 'addressed' ? addresses.filter(([, version]) => allowed.has(version)) : []
}

function isDeprecated(scan: PackumentScan, member: Member | undefined): boolean {
  const manifest = member === undefined ? undefined : asObject(scan.json.parse(member))
  const deprecated = manifest?.['deprecated']
  return deprecated !== undefined && deprecated !== '' && deprecated !== false
}

function editDocument(rendering: Rendering): Iterable<Edit> {
  const { scan, variant, dropped, tags } = rendering
  const isShort = variant.form === 'abbreviated'
  return editObject(scan.document, {
    set: documentFields(rendering),
    keep: key => key !== 'stagedVersions' && (!isShort || isAbbreviatedDocumentField(key)),
    nested: ({ key }) => {
      if (key === 'versions' && scan.versions !== undefined) {
        return editObject(scan.versions, {
          keep: version => !dropped.has(version),
          nested: member => editVersion(rendering, member),
        })
      }
      if (key === 'dist-tags' && scan.distTags !== undefined) {
        return editObject(scan.distTags, {
          keep: tag => !tags.has(tag),
          set: new Map([...tags].flatMap(([tag, to]) => tagText(tag, to))),
        })
      }
      if (key === 'time' && scan.time !== undefined && dropped.size > 0) {
        return editObject(scan.time, { keep: version => !dropped.has(version) })
      }
      return []
    },
  })
}

function tagText(tag: string, version: string | undefined): [string, string][] {
  return version === undefined ? [] : [[tag, JSON.stringify(version)]]
}

function documentFields(rendering: Rendering): Map<string, string> {
  const { scan, variant } = rendering
  const set = new Map<string, string>()
  const reasons = droppedReasons(rendering)
  if (reasons !== undefined) set.set('name', JSON.stringify(`${scan.name} (${reasons})`))
  const restrictions = policyRestrictions(rendering)
  if (restrictions !== undefined) set.set('policyRestrictions', restrictions)
  const modified = scan.time === undefined ? undefined : memberOf(scan.time, 'modified')
  const told = memberOf(scan.document, 'modified') !== undefined
  if (variant.form === 'abbreviated' && modified !== undefined && !told) {
    set.set('modified', scan.json.text(modified.start, modified.end))
  }
  return set
}

/**
 * Why versions are missing, where they are dropped: for yarn 1, which shows a document's `name`
 * when no version of it fits ("Couldn't find any versions for …") and reads it for nothing else.
 */
function droppedReasons({ refused, variant, dropped }: Rendering): string | undefined {
  if (variant.tombstones === 'kept') return undefined
  const entries = newestFirst([...dropped]).flatMap(version => refused.get(version) ?? [])
  if (entries.length === 0) return undefined
  const lines = entries.slice(0, REASONS_IN_NAME_MAX).map(({ sentence }) => sentence)
  if (entries.length > lines.length) lines.push(`and ${entries.length - lines.length} more`)
  return lines.join('; ')
}

/**
 * npm skips versions named here when it resolves a range, and answers an exact request with the
 * message. An upstream may send restrictions of its own: they are kept beside ours.
 */
function policyRestrictions({ scan, refused, variant, dropped }: Rendering): string | undefined {
  if (variant.tombstones === 'dropped') return undefined
  const present = (scan.versions?.members ?? []).map(({ key }) => key)
  const ours = newestFirst(present.filter(key => refused.has(key) && !dropped.has(key)))
  const entries = ours.flatMap(version => refused.get(version) ?? [])
  if (entries.length === 0) return undefined
  const lines = entries.slice(0, RESTRICTIONS_SHOWN_MAX).map(({ sentence }) => sentence)
  if (entries.length > lines.length) lines.push(`and ${entries.length - lines.length} more`)
  const member = memberOf(scan.document, 'policyRestrictions')
  const theirs = member === undefined ? undefined : objectAt(scan, member)
  const upstream = theirs === undefined ? undefined : asObject(scan.json.parse(theirs))
  if (typeof upstream?.['message'] === 'string') lines.push(upstream['message'])
  const versions = new Map(Object.entries(asObject(upstream?.['versions']) ?? {}))
  for (const entry of entries) versions.set(entry.version, bareTombstone(scan.name, entry))
  const restrictions = { message: lines.join('\n'), versions: Object.fromEntries(versions) }
  return JSON.stringify(restrictions)
}
