/**
 * From what an operator wants to the steps that lead there: what differs from what is there, looked
 * at before anything is saved. What is not named stays. The steps are carried out in this order, all
 * or none (apply-admin.ts); what is there already is no step.
 *
 * It works on the operations alone, so that it is the same for a running server and for a data dir.
 * @module
 */
import { RegistryError } from '../errors.ts'
import type { Change } from './apply-admin.ts'
import type { PolicyOperations } from './policy-admin.ts'
import { type Rule, ruleOf } from '../policy/policy-rule.ts'
import type { UpstreamOperations } from './upstream-admin.ts'
import { confirmationsOf } from './upstream-keys.ts'
import { type NewUpstream, normalUrl, type UpstreamSettings } from '../sources/upstream-request.ts'
import type { ProbeView, UpstreamView } from './upstream-view.ts'

/**
 * An upstream as it is wanted. @property url may be absent of one that is there
 * @property keys fingerprints of the keys that are to be trusted
 */
export type WantedUpstream = Omit<NewUpstream, 'url'> & { url?: string; keys?: string[] }

/** All that is wanted. @property policy the rules for everybody; null: they stay as they are */
export type Wanted = { upstreams: readonly WantedUpstream[]; policy: readonly Rule[] | null }

/**
 * @property found what the place answers; null: nothing new is asked, or it can be asked only after
 * an earlier step @property isAgreed the wanted keys are those that were found
 */
export type Step =
  | { do: 'add-upstream'; upstream: NewUpstream; found: ProbeView | null; isAgreed: boolean }
  | {
      do: 'set-upstream'
      name: string
      settings: UpstreamSettings
      found: ProbeView | null
      isAgreed: boolean
    }
  | { do: 'approve-key'; name: string; keyid: string }
  | { do: 'set-policy'; before: readonly Rule[]; after: readonly Rule[]; revision: string }

/** What it works on. */
export type Applied = { upstreams: UpstreamOperations; policy: PolicyOperations }

/** What is shown of an upstream under the name that it is asked for by. */
const COMPARED = ['names', 'namespace', 'signatures', 'tarballs', 'tarballOrigins'] as const

/** The steps. @param how `renewsCredentials`: those that are there are written again */
export async function stepsTo(
  wanted: Wanted,
  on: Applied,
  how: { renewsCredentials: boolean },
): Promise<Step[]> {
  const views = new Map((await on.upstreams.list()).map(view => [view.name, view]))
  // Mirrors after the registries that they belong to.
  const ordered = [
    ...wanted.upstreams.filter(each => !isMirror(each)),
    ...wanted.upstreams.filter(isMirror),
  ]
  // Rules first: what they hold back of a new registry is never offered.
  const steps = wanted.policy === null ? [] : await rules(wanted.policy, on)
  for (const each of ordered) {
    const view = views.get(each.name)
    if (view === undefined) steps.push(await addition(each, on, views))
    else steps.push(...(await changes(each, view, on, how)))
  }
  return steps
}

/** What a step asks to be done (apply-admin.ts). */
export function changeIn(step: Step): Change {
  switch (step.do) {
    case 'add-upstream': {
      const { upstream, found } = step
      return { do: step.do, upstream, confirm: found === null ? null : confirmationsOf(found) }
    }
    case 'set-upstream': {
      const { name, settings, found } = step
      return { do: step.do, name, settings, confirm: found === null ? [] : confirmationsOf(found) }
    }
    case 'approve-key':
      return step
    default:
      return { do: step.do, rules: [...step.after], revision: step.revision }
  }
}

function isMirror({ kind }: WantedUpstream): boolean {
  return kind === 'mirror'
}

async function addition(
  { keys, url, ...rest }: WantedUpstream,
  on: Applied,
  views: ReadonlyMap<string, UpstreamView>,
): Promise<Step> {
  if (url === undefined) throw bad(rest.name, 'it is not there yet, and its url is not given')
  const upstream = { ...rest, url }
  const isOfOther = isMirror(upstream)
  if (isOfOther && keys !== undefined) {
    throw bad(upstream.name, 'it is a mirror: it is judged by the keys of its registry')
  }
  // Its registry is added by an earlier step: it can be asked for only then.
  const isLater = isOfOther && upstream.of !== undefined && !views.has(upstream.of)
  const found = isLater ? null : await on.upstreams.probe(upstream)
  if (found !== null && keys !== undefined) assertSame(upstream.name, keys, found)
  const isAgreed = isOfOther || (keys !== undefined && !hasMismatch(found))
  return { do: 'add-upstream', upstream, found, isAgreed }
}

async function changes(
  wanted: WantedUpstream,
  view: UpstreamView,
  on: Applied,
  how: { renewsCredentials: boolean },
): Promise<Step[]> {
  const { name, keys = [] } = wanted
  const { kind = view.kind, of = view.of } = wanted
  if (kind !== view.kind || of !== view.of) {
    const is = view.of === null ? `a ${view.kind}` : `a mirror of ${view.of}`
    throw bad(name, `it is ${is} here, which cannot change: remove it first`)
  }
  const settings = differing(wanted, view, how.renewsCredentials)
  const steps: Step[] = []
  if (Object.keys(settings).length > 0) {
    const found = await on.upstreams.probeChange(name, settings)
    const isAgreed = found === null || (wanted.keys !== undefined && !hasMismatch(found))
    if (found !== null && wanted.keys !== undefined) assertSame(name, keys, found)
    steps.push({ do: 'set-upstream', name, settings, found, isAgreed })
  }
  for (const keyid of keys) {
    const known = view.keys.find(key => key.keyid === keyid)
    if (known === undefined) throw bad(name, `it never published a key ${keyid} here`)
    if (known.state === 'retired') throw bad(name, `its key ${keyid} was retired for ever`)
    if (known.state === 'pending') steps.push({ do: 'approve-key', name, keyid })
  }
  return steps
}

function differing(
  wanted: WantedUpstream,
  view: UpstreamView,
  renewsCredentials: boolean,
): UpstreamSettings {
  const settings: UpstreamSettings = {}
  const { url } = wanted
  if (url !== undefined && normalUrl(url) !== view.url) settings.url = url
  for (const field of COMPARED) {
    const value = wanted[field]
    if (value === undefined || sorted(value) === sorted(view[field])) continue
    Object.assign(settings, { [field]: value })
  }
  if (wanted.strict !== undefined && wanted.strict !== (view.strictSince !== null)) {
    settings.strict = wanted.strict
  }
  if (wanted.revisions !== undefined && wanted.revisions !== view.revisions) {
    settings.revisions = wanted.revisions
  }
  const { secret } = wanted
  const isMissing = secret !== undefined && !hasParts(view, secret)
  if (isMissing || (secret !== undefined && renewsCredentials)) settings.secret = secret
  return settings
}

/** Is there a credential with these parts? What is in it is never shown, so it cannot be compared. */
function hasParts(
  { credential }: UpstreamView,
  secret: NonNullable<NewUpstream['secret']>,
): boolean {
  if (credential === null) return false
  const { token, basic, ca, certificate } = secret
  const kind = basic === undefined ? null : 'basic'
  return (
    credential.authorization === (token === undefined ? kind : 'bearer') &&
    credential.ca === (ca !== undefined) &&
    credential.certificate === (certificate !== undefined)
  )
}

async function rules(after: readonly Rule[], on: Applied): Promise<Step[]> {
  const { rules: listed, revision } = await on.policy.list(null)
  const before = listed.map(ruleOf)
  const isSame = JSON.stringify(before) === JSON.stringify(after.map(ruleOf))
  return isSame ? [] : [{ do: 'set-policy', before, after, revision }]
}

function sorted(value: string | readonly string[]): string {
  return JSON.stringify(typeof value === 'string' ? value : value.toSorted())
}

function assertSame(name: string, keys: readonly string[], found: ProbeView): void {
  const there = new Set(found.keys.map(({ keyid }) => keyid))
  if (there.size === new Set(keys).size && keys.every(keyid => there.has(keyid))) return
  const shown = there.size === 0 ? 'no keys' : [...there].join(', ')
  throw bad(name, `it publishes ${shown}, and not the keys that are wanted`)
}

/** Says its domain something else of its keys than it does itself? A person has to look at that. */
function hasMismatch(found: ProbeView | null): boolean {
  return found !== null && confirmationsOf(found).length > found.keys.length
}

function bad(name: string, why: string): RegistryError {
  return new RegistryError('conflict', `upstream ${name}: ${why}; nothing was changed`)
}
