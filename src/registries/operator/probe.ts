/**
 * Looking at a registry before it is trusted with anything: does it answer, which keys does it
 * publish, and is a sample package what the log already holds of that name.
 *
 * Nothing is recorded and nobody else is asked: a private name must not be told to another registry
 * only to compare it. Whether what is found will do is the operator's decision.
 * @module
 */
import type { Packages } from '../../db/packages.ts'
import type { UpstreamRow } from '../../db/upstreams.ts'
import {
  type Binding,
  didBinding,
  dnsBinding,
  type ResolveTxt,
  resolveTxt as usualResolver,
} from '../sources/dns-identity.ts'
import { RegistryError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { Site } from '../fetch/hops.ts'
import type { InspectedVersion } from '../packument/inspect.ts'
import { parseKeys, type RefusedKey, type RegistryKey } from '../keys/keys.ts'
import type { PackumentPool } from '../packument/packument-pool.ts'
import { timestamp } from '../timestamp.ts'
import type { Judgement } from '../sources/trust.ts'
import { Upstream, type UpstreamOptions } from '../sources/upstream.ts'

/** Versions that differ are named up to here; one is reason enough to stop. */
const DIFFERENCES_SHOWN_MAX = 20

/** What was found. */
export type Probe = {
  url: string
  /** `unsigned`: it says that it has no keys. */
  signatures: 'signed' | 'unsigned'
  keys: RegistryKey[]
  /** Published too, and not named where others of its keys are: they vouch for nothing here. */
  unnamedKeys: RegistryKey[]
  refusedKeys: RefusedKey[]
  sample: SampleReport | null
  /** What its domain and its DID document say of its keys; nothing of a mirror's. */
  bindings: Binding[]
}

/** A registry that is looked at and not added yet, for mirrors of it that are added with it. */
export type Planned = { row: UpstreamRow; judgement: Judgement }

/** What a sample package is like. */
export type SampleReport = {
  name: string
  versions: number
  /** How many versions got which verdict (inspect.ts). */
  verdicts: Record<string, number>
  /** For each namespace that has versions of this name in the log: how many have the same hash. */
  compared: { namespace: string; same: number; different: string[] }[]
}

/** What probing works with. */
export type ProbeNeeds = {
  fetcher: Fetcher
  pool: PackumentPool
  packages: Packages
  /** In place of the usual resolver. */
  resolveTxt?: ResolveTxt
  now: () => Date
}

/** @property isMirror no key of it is taken @property judgedBy the keys of the registry, for a mirror; else those that the probe finds */
export type ProbeQuestion = {
  options: UpstreamOptions
  isMirror: boolean
  sample: string | undefined
  judgedBy: Judgement | null
  namespaces: readonly string[]
}

/** Asks. @throws RegistryError upstream-…, refused (it wants a credential), not-found (the sample) */
export async function probe(needs: ProbeNeeds, question: ProbeQuestion): Promise<Probe> {
  const { options, sample, judgedBy } = question
  const upstream = new Upstream(options, needs.fetcher)
  const answer = await upstream.fetchKeys()
  const found = answer === 'none' ? { keys: [], refused: [] } : parseKeys(answer)
  if (found.keys.length === 0 && found.refused.length > 0) {
    const [first] = found.refused
    throw new RegistryError(
      'upstream-bad-answer',
      `${options.name} publishes keys, none of them usable: ${first?.reason ?? ''}`,
    )
  }
  const signs = found.keys.length > 0
  const keyids = found.keys.map(({ keyid }) => keyid)
  const said = question.isMirror ? [] : await bindingsOf(needs, options, upstream.url, keyids)
  const { keys, unnamedKeys, bindings } = split(found.keys, said)
  const judgement = judgedBy ?? { keys, signs }
  return {
    url: upstream.url,
    signatures: signs ? 'signed' : 'unsigned',
    keys,
    unnamedKeys,
    refusedKeys: found.refused,
    bindings,
    sample:
      sample === undefined
        ? null
        : await probeSample(needs, upstream, sample, judgement, question.namespaces),
  }
}

async function bindingsOf(
  { fetcher, resolveTxt = usualResolver }: ProbeNeeds,
  { credential, ca, certificate }: UpstreamOptions,
  url: string,
  keyids: readonly string[],
): Promise<Binding[]> {
  const site: Site = {
    origin: new URL(url).origin,
    ...(credential !== undefined && { credential }),
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
  }
  return await Promise.all([
    dnsBinding(url, keyids, resolveTxt),
    didBinding(fetcher, site, url, keyids),
  ])
}

/**
 * Which of the published keys are the registry's own. An instance publishes those of the registries
 * behind it too, for whoever audits a tree, and names its own in its DID document.
 */
function split(
  published: RegistryKey[],
  bindings: Binding[],
): Pick<Probe, 'keys' | 'unnamedKeys' | 'bindings'> {
  const naming = bindings.filter(({ state }) => state === 'some')
  const isNamed = ({ keyid }: RegistryKey) => naming.every(({ keyids }) => keyids.includes(keyid))
  const keys = published.filter(isNamed)
  if (keys.length > 0 || published.length === 0) {
    return { keys, unnamedKeys: published.filter(key => !isNamed(key)), bindings }
  }
  // They contradict each other: no key is named by all.
  const against = bindings.map(binding =>
    binding.state === 'some' ? { ...binding, state: 'different' as const } : binding,
  )
  return { keys: published, unnamedKeys: [], bindings: against }
}

async function probeSample(
  needs: ProbeNeeds,
  upstream: Upstream,
  name: string,
  judgement: Judgement,
  namespaces: readonly string[],
): Promise<SampleReport> {
  const answer = await upstream.fetchPackument(name, { etag: null, lastModified: null })
  if (answer.status !== 'fresh') {
    throw new RegistryError('not-found', `${upstream.name} has no package ${name}`, {
      package: name,
    })
  }
  const { inspection } = await needs.pool.inspectWhole(answer.bytes, {
    name,
    keys: judgement.keys.map(({ keyid, spki, expires }) => ({ keyid, spki, expires })),
    registrySigns: judgement.signs,
    known: [],
    packageKnown: false,
    firstSight: [],
    now: timestamp(needs.now()),
  })
  const verdicts = new Map<string, number>()
  for (const { verdict } of inspection.versions) {
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
  }
  return {
    name,
    versions: inspection.versions.length,
    verdicts: Object.fromEntries(verdicts),
    compared: namespaces.flatMap(namespace =>
      compared(needs.packages, namespace, name, inspection.versions),
    ),
  }
}

function compared(
  packages: Packages,
  namespace: string,
  name: string,
  found: readonly InspectedVersion[],
): SampleReport['compared'] {
  const logged = new Map(packages.logged(namespace, name).map(row => [row.version, row.integrity]))
  const shared = found.filter(({ version }) => logged.has(version))
  if (shared.length === 0) return []
  const different = shared.filter(({ version, integrity }) => logged.get(version) !== integrity)
  return [
    {
      namespace,
      same: shared.length - different.length,
      different: different.map(({ version }) => version).slice(0, DIFFERENCES_SHOWN_MAX),
    },
  ]
}
