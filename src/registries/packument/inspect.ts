/**
 * Inspection of one packument: every version is looked at alone and gets a verdict.
 *
 * A version is parsed from its own slice of the raw bytes. Its name and version must be those that
 * it is filed under, its integrity one SHA-512, and, where the registry signs, one of its
 * signatures by a trusted key must verify. A version that the log knows with the same integrity
 * needs no signature; with another integrity it is a conflict. Verdicts are tried in this order:
 * `invalid`, `conflict` or `logged`, `no-integrity`, `unsigned-registry`, `unsigned`, `valid`, and
 * for want of a valid signature `bad-signature`, `expired-key`, `unknown-key`.
 *
 * Nothing is fetched, logged or refused here; comparing `manifestHash` with the log is the caller's.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { RegistryError } from '../errors.ts'
import { garbageCollector } from '../garbage.ts'
import { parseIntegrity } from '../integrity.ts'
import { memberOf, type Member } from '../json-scan.ts'
import {
  asObject,
  hashProjection,
  type JsonObject,
  ProjectionError,
  projectManifest,
} from './manifest.ts'
import { isFileName, tarballFile, unscopedName } from '../name.ts'
import {
  objectAt,
  type PackumentScan,
  readDistTags,
  readTimes,
  scanPackument,
} from './packument-scan.ts'
import { checkSignature, signedMessage } from '../keys/signature.ts'
import { isReserved } from './revisions.ts'
import { readVersion } from './version-read.ts'

/** npm signs once, twice while it rotates keys. Each entry may cost an ECDSA verification. */
const SIGNATURES_MAX = 16
/** keyid and sig as stored evidence; a real sig has 96 characters. */
const SIGNATURE_CHARS_MAX = 1024
/** `dist.tarball`; longer ones do not survive proxies. */
const URL_CHARS_MAX = 2048
/** A predicate type is a URL of some forty characters. */
const PREDICATE_CHARS_MAX = 256

export type SignatureEntry = { keyid: string; sig: string }

export type Verdict =
  | 'logged'
  | 'valid'
  | 'unsigned-registry'
  | 'unsigned'
  | 'bad-signature'
  | 'unknown-key'
  | 'expired-key'
  | 'no-integrity'
  | 'invalid'
  | 'conflict'

export type InspectedVersion = {
  version: string
  /** Canonical single `sha512-…`, or null when the registry sends none. */
  integrity: string | null
  shasum: string | null
  /** `dist.tarball` as it came; '' when absent. */
  tarball: string
  /** The file name used under `/-/`; unique within the package. */
  file: string
  /** `sha256-<base64>` of `projection`. */
  manifestHash: string
  /**
   * The install-relevant projection as RFC 8785 text. '' when there is none (`invalid`), and when
   * its hash is the known one: then whoever told us the hash has the text.
   */
  projection: string
  /** The signature that verified, or the logged one for the verdict `logged`. */
  signature: SignatureEntry | null
  verdict: Verdict
  /** One line for people; '' when all is well. */
  detail: string
  /** As they came: evidence. */
  signatures: SignatureEntry[]
  /** The upstream's `time[version]`, as it came. */
  published: string | null
  /** The predicate type of the provenance that its registry names; absent when it names none. */
  provenance?: string
}

export type KnownVersion = {
  version: string
  integrity: string
  manifestHash: string
  signature: SignatureEntry | null
  sinceFirstSight: boolean
}

export type TrustedKey = { keyid: string; spki: string; expires: string | null }

export type InspectInput = {
  name: string
  keys: TrustedKey[]
  /** Whether this registry publishes keys, now or ever (the `auto` ratchet). */
  registrySigns: boolean
  known: KnownVersion[]
  /** Whether the package was seen here before this answer. */
  packageKnown: boolean
  /** Versions that were there at first sight and are in no record, since they were refused. */
  firstSight?: string[]
  /** Other bytes of a recorded version are a revision of it (revisions.ts), and no conflict. */
  revises?: boolean
  /** The log's own clock, RFC 3339. */
  now: string
}

/** @property versions in the order of the document, each looked at when it is taken */
export type Inspection<Versions extends Iterable<InspectedVersion> = InspectedVersion[]> = {
  name: string
  versions: Versions
  distTags: [string, string][]
  modified: string | null
  /** Hex SHA-256 of the raw bytes. */
  sha256: string
}

type Judgement = Pick<InspectedVersion, 'verdict' | 'detail' | 'signature'>
/** What an entry says, and why it cannot be used at all ('' when it can). */
type Facts = { said: Omit<InspectedVersion, keyof Judgement | 'file'>; fault: string }
type Context = {
  input: InspectInput
  keys: ReadonlyMap<string, TrustedKey>
  known: ReadonlyMap<string, KnownVersion>
}

/** The whole inspection at once. Throws as `openInspection` does. */
export function inspectPackument(bytes: Uint8Array, input: InspectInput): Inspection {
  const inspection = openInspection(bytes, input)
  return { ...inspection, versions: [...inspection.versions] }
}

/**
 * An inspection version by version: projections of 100 MB are never held together.
 * Throws `upstream-bad-answer` when the bytes are not the packument of `input.name`.
 */
export function openInspection(
  bytes: Uint8Array,
  input: InspectInput,
): Inspection<Iterable<InspectedVersion>> {
  return inspectScanned(scanPackument(bytes), input)
}

/** As `openInspection`, of a document whose outline is at hand. */
export function inspectScanned(
  scan: PackumentScan,
  input: InspectInput,
): Inspection<Iterable<InspectedVersion>> {
  if (scan.name !== input.name) {
    const found = JSON.stringify(scan.name.slice(0, 214).toWellFormed())
    throw new RegistryError('upstream-bad-answer', `the answer is the document of ${found}`, {
      package: input.name,
    })
  }
  const times = readTimes(scan)
  return {
    name: scan.name,
    versions: inspectVersions(scan, times, input),
    distTags: readDistTags(scan),
    modified: readModified(scan, times),
    sha256: createHash('sha256').update(scan.json.bytes).digest('hex'),
  }
}

function* inspectVersions(
  scan: PackumentScan,
  times: ReadonlyMap<string, string>,
  input: InspectInput,
): Generator<InspectedVersion> {
  const context: Context = {
    input,
    keys: new Map(input.keys.map(key => [key.keyid, key])),
    known: new Map(input.known.map(version => [version.version, version])),
  }
  const collect = garbageCollector()
  const members = scan.versions?.members ?? []
  const files = nameFiles(scan, members)
  for (const [i, member] of members.entries()) {
    collect(member.end)
    const facts = gather(scan, member, times)
    yield Object.assign(facts.said, { file: files[i] ?? '' }, judge(facts, context))
  }
}

function gather(scan: PackumentScan, member: Member, times: ReadonlyMap<string, string>): Facts {
  const { manifest, fault } = readVersion(scan, member)
  const dist = asObject(manifest['dist'])
  const shasum = dist?.['shasum']
  const tarball = dist?.['tarball']
  const provenance = readProvenance(dist)
  const said = {
    version: member.key,
    integrity: parseIntegrity(dist?.['integrity']) ?? null,
    shasum: typeof shasum === 'string' && /^[0-9a-f]{40}$/.test(shasum) ? shasum : null,
    tarball: typeof tarball === 'string' ? tarball : '',
    signatures: readSignatures(dist?.['signatures']),
    published: times.get(member.key) ?? null,
    manifestHash: '',
    projection: '',
    ...(provenance !== undefined && { provenance }),
  }
  if (fault !== '') return { said, fault }
  if (!isTarballUrl(said.tarball)) return { said, fault: 'its manifest names no tarball URL' }
  try {
    said.projection = projectManifest(manifest, scan.name)
    said.manifestHash = hashProjection(said.projection)
    return { said, fault }
  } catch (error) {
    if (!(error instanceof ProjectionError)) throw error
    return { said, fault: `its manifest has no canonical form: ${error.message}` }
  }
}

/** `dist.attestations.provenance.predicateType`, as npm's registry names it. */
function readProvenance(dist: JsonObject | undefined): string | undefined {
  const provenance = asObject(asObject(dist?.['attestations'])?.['provenance'])
  const predicate = provenance?.['predicateType']
  if (typeof predicate !== 'string' || predicate === '') return undefined
  return predicate.length > PREDICATE_CHARS_MAX ? undefined : predicate
}

function judge({ said, fault }: Facts, { input, keys, known }: Context): Judgement {
  const { version, integrity } = said
  if (fault !== '') return verdict('invalid', fault)
  if (input.revises === true && isReserved(version)) {
    return verdict('invalid', 'it is called as only a revision of a version can be')
  }
  const logged = known.get(version)
  if (logged !== undefined && !isRevised(logged, integrity, input)) {
    if (logged.manifestHash === said.manifestHash) said.projection = ''
    return judgeLogged(logged, integrity)
  }
  if (integrity === null) {
    return verdict('no-integrity', 'its registry gives no single sha512 integrity for it')
  }
  if (!input.registrySigns) return verdict('unsigned-registry', '')
  if (said.signatures.length === 0) {
    return verdict('unsigned', 'its registry signs versions, but sends no signature for this one')
  }
  const message = signedMessage(input.name, version, integrity)
  const failures = new Set<Verdict>()
  for (const entry of said.signatures) {
    const key = keys.get(entry.keyid)
    if (key === undefined) failures.add('unknown-key')
    else if (!checkSignature(key.spki, message, entry.sig)) failures.add('bad-signature')
    else if (isExpired(key, said, input)) failures.add('expired-key')
    else return { ...verdict('valid', ''), signature: entry }
  }
  return explainFailures(failures, said.signatures)
}

function isRevised(
  logged: KnownVersion,
  integrity: string | null,
  { revises = false }: InspectInput,
): boolean {
  return revises && integrity !== null && integrity !== logged.integrity
}

function judgeLogged(logged: KnownVersion, integrity: string | null): Judgement {
  if (integrity === null) {
    const detail = 'its registry no longer sends the integrity that was logged'
    return { verdict: 'logged', detail, signature: logged.signature }
  }
  if (integrity === logged.integrity) {
    return { verdict: 'logged', detail: '', signature: logged.signature }
  }
  return verdict(
    'conflict',
    `its registry now sends ${integrity}, the log says ${logged.integrity}`,
  )
}

function explainFailures(failures: ReadonlySet<Verdict>, signatures: SignatureEntry[]): Judgement {
  const keyids = signatures.map(entry => printable(entry.keyid)).join(', ')
  if (failures.has('bad-signature')) {
    return verdict('bad-signature', `the signature by ${keyids} does not verify`)
  }
  if (failures.has('expired-key')) {
    return verdict('expired-key', `it was signed with ${keyids} after that key had expired`)
  }
  return verdict('unknown-key', `it is signed with ${keyids}, which is not trusted here`)
}

/**
 * A key's expiry limits when it could sign. A version that appeared while we were watching is judged
 * by our own clock, which its registry cannot set; an older one by the registry's word, and without
 * that it passes, as it does in npm.
 */
function isExpired(key: TrustedKey, said: Facts['said'], input: InspectInput): boolean {
  if (key.expires === null) return false
  const appeared = input.packageKnown && input.firstSight?.includes(said.version) !== true
  const instant = appeared ? input.now : said.published
  if (instant === null) return false
  // Garbage on either side compares false: expired.
  return !(Date.parse(instant) < Date.parse(key.expires))
}

function verdict(name: Verdict, detail: string): Judgement {
  return { verdict: name, detail, signature: null }
}

function readSignatures(value: unknown): SignatureEntry[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, SIGNATURES_MAX).flatMap((entry: unknown): SignatureEntry[] => {
    const keyid = asObject(entry)?.['keyid']
    const sig = asObject(entry)?.['sig']
    return isEvidence(keyid) && isEvidence(sig) ? [{ keyid, sig }] : []
  })
}

function isEvidence(text: unknown): text is string {
  return typeof text === 'string' && text.length <= SIGNATURE_CHARS_MAX && text.isWellFormed()
}

/**
 * One file name per version, each used once. The upstream's own stays where it is the package's
 * (old versions have odd ones, and lockfiles hold them); else it is the usual one.
 */
function nameFiles(scan: PackumentScan, members: readonly Member[]): string[] {
  const usual = members.map(({ key }) => tarballFile(scan.name, key))
  const taken = new Set(usual)
  const own = members.map(member => upstreamFile(scan.name, tarballAt(scan, member)))
  const uses = new Map<string, number>()
  for (const file of own) uses.set(file, (uses.get(file) ?? 0) + 1)
  return usual.map((file, i) => {
    const theirs = own[i] ?? ''
    return theirs !== '' && !taken.has(theirs) && uses.get(theirs) === 1 ? theirs : file
  })
}

/** `dist.tarball` alone: names depend on one another, so they come before all else. */
function tarballAt(scan: PackumentScan, version: Member): string {
  const dist = inside(scan, version, 'dist')
  const tarball = dist === undefined ? undefined : inside(scan, dist, 'tarball')
  const value = tarball === undefined ? undefined : scan.json.parse(tarball)
  return typeof value === 'string' ? value : ''
}

function inside(scan: PackumentScan, member: Member, key: string): Member | undefined {
  const object = objectAt(scan, member)
  return object === undefined ? undefined : memberOf(object, key)
}

function upstreamFile(name: string, tarball: string): string {
  const path = tarball.replace(/[?#].*$/s, '')
  const file = path.slice(path.lastIndexOf('/') + 1)
  return isFileName(file) && file.startsWith(`${unscopedName(name)}-`) && file.endsWith('.tgz')
    ? file
    : ''
}

function isTarballUrl(text: string): boolean {
  if (text.length > URL_CHARS_MAX || !/^https?:\/\/[!-[\]-~]+$/.test(text)) return false
  const url = URL.parse(text)
  return url !== null && url.username === '' && url.password === ''
}

function readModified(scan: PackumentScan, times: ReadonlyMap<string, string>): string | null {
  const member = scan.document.members.find(({ key }) => key === 'modified')
  const own = member === undefined ? undefined : scan.json.parse(member)
  return typeof own === 'string' && own.isWellFormed() ? own : (times.get('modified') ?? null)
}

function printable(text: string): string {
  return text.slice(0, 60).replaceAll(/[^!-~]/g, '?')
}
