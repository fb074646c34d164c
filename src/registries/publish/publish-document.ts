/**
 * What `PUT /<name>` brings: a new version with its tarball, or a changed document without one
 * (deprecate, owner, unpublish). Clients: libnpmpublish, pnpm, yarn 1 and 4, bun.
 *
 *     { "_id": "@roe/kit", "name": "@roe/kit", "description": "…", "dist-tags": { "latest": "1.0.0" },
 *       "versions": { "1.0.0": { …manifest, "dist": { "integrity": "sha512-…", "shasum": "…" } } },
 *       "access": "public",
 *       "_attachments": { "@roe/kit-1.0.0.tgz": { "content_type": "application/octet-stream",
 *                                                 "data": "<base64>", "length": 1234 } } }
 *
 * A publish is exactly one version of the package in the URL with exactly its own tarball, whose
 * hashes are computed here from the bytes. `dist.tarball` is a client's guess: it is never read.
 * Nothing here looks into the tarball (`publish-tarball.ts`), or knows what was published before.
 *
 * @module
 */
import semver from 'semver'
import validate from 'validate-npm-package-name'
import { RegistryError } from '../errors.ts'
import { checkName } from '../name.ts'
import { type Attachments, readAttachments } from './publish-attachments.ts'
import { asRecord, readBody, type StrictObject } from './publish-json.ts'
import { checkProvenance, type Provenance } from './publish-provenance.ts'

/** npm's public registry refuses bodies above 200 MB; base64 of 96 MiB and a manifest fit here. */
export const PUBLISH_BYTES_MAX = 128 * 1024 * 1024
/** A packument that comes back changed: thousands of versions fit. */
const METADATA_BYTES_MAX = 32 * 1024 * 1024
/** One manifest without its readme; the largest real ones have 600 kB. */
const MANIFEST_BYTES_MAX = 2 * 1024 * 1024
/** What npm's registry keeps of a readme; the whole one is in the tarball. */
const README_CHARS_MAX = 64 * 1024
/** Tags stand in URLs and in a publisher's memory. */
const TAG_CHARS_MAX = 100
/** Tags in one publish: clients send one. */
const TAGS_MAX = 20
/** Fields that start with an underscore are a registry's own, but for these two, which tell how. */
const PRIVATE_KEPT: ReadonlySet<string> = new Set(['_npmVersion', '_nodeVersion'])
/** Where some clients (bun) repeat the hashes in the manifest. */
const HASH_FIELDS = ['_integrity', 'integrity', '_shasum', 'shasum'] as const
/** Told anew by the registry, or kept beside the manifest. */
const DROPPED: ReadonlySet<string> = new Set(['dist', 'readme', ...HASH_FIELDS])

/** A new version, whole and consistent in itself. */
export type PublishedVersion = {
  kind: 'publish'
  name: string
  version: string
  /** As published, without `dist`, `readme` and the registry's own fields. */
  manifest: Record<string, unknown>
  tarball: Uint8Array
  /** Tag -> `version`; at least one. */
  distTags: Map<string, string>
  access: 'public' | 'restricted' | null
  readme: string | null
  description: string | null
  /** A Sigstore bundle whose subject is this tarball; its signatures are not checked here. */
  provenance: Provenance | null
  integrity: string
  shasum: string
}

export type PublishDocument =
  | PublishedVersion
  | { kind: 'metadata'; document: Record<string, unknown> }

/**
 * Reads a publish body. Throws `bad-request`, `invalid-name`, `unprocessable` or `body-too-large`
 * with a sentence for the publisher. It takes a second for the largest ones: `publish-reader.ts`
 * keeps that off the main thread.
 *
 * @param name the name in the URL
 * @param body given away: the tarball is decoded in it
 */
export function parsePublish(name: string, body: Uint8Array): PublishDocument {
  if (body.length > PUBLISH_BYTES_MAX) {
    throw tooLarge(`the body is larger than ${PUBLISH_BYTES_MAX} bytes`)
  }
  checkName(name)
  const document = readBody(body)
  checkIdentity(document, '_id', name)
  checkIdentity(document, 'name', name)
  const attachments = readAttachments(document.object('_attachments'))
  if (attachments.size > 0) return readVersion(name, document, attachments)
  if (body.length > METADATA_BYTES_MAX) {
    throw tooLarge(`a document without a tarball is at most ${METADATA_BYTES_MAX} bytes`)
  }
  const members = document.keys.filter(key => key !== '_attachments')
  return {
    kind: 'metadata',
    document: Object.fromEntries(members.map(key => [key, document.value(key)])),
  }
}

function readVersion(
  name: string,
  document: StrictObject,
  attachments: Attachments,
): PublishedVersion {
  const { validForNewPackages, errors, warnings } = validate(name)
  if (!validForNewPackages) {
    const why = errors?.[0] ?? warnings?.[0] ?? 'npm does not allow it'
    throw new RegistryError('invalid-name', `${name} cannot be published: ${why}`)
  }
  if (document.value('name') === undefined) throw bad('the body has no name')
  const [version, published] = readManifest(name, document)
  const { tarball, bundle } = attachments.take(name, version)
  const { integrity, shasum } = tarball
  checkHashes(published, integrity, shasum, `${name}@${version}`)
  if (bundle !== null) checkProvenance(bundle, { name, version, integrity })
  return {
    kind: 'publish',
    name,
    version,
    manifest: storedManifest(published),
    tarball: tarball.bytes,
    distTags: readTags(document, version),
    access: readAccess(document),
    readme: readReadme(document, published),
    description: textOrNull(document.value('description') ?? published['description']),
    provenance: bundle,
    integrity,
    shasum,
  }
}

function readManifest(name: string, document: StrictObject): [string, Record<string, unknown>] {
  const versions = document.object('versions')
  if (versions === undefined) throw bad('the body has a tarball but no versions')
  const [version, ...more] = versions.keys
  if (version === undefined) throw bad('the body has a tarball but no version')
  if (more.length > 0) {
    throw bad(`a publish brings one version, the body has ${versions.keys.length}`)
  }
  if (semver.valid(version) !== version) {
    throw bad(`the version ${quoted(version)} is not semver as it would be written (no build part)`)
  }
  const manifest = versions.object(version)
  if (manifest === undefined) throw bad('the version is not an object')
  const size = versions.bytesOf(version) - manifest.bytesOf('readme')
  if (size > MANIFEST_BYTES_MAX) {
    throw tooLarge(`the manifest of ${name}@${version} is larger than ${MANIFEST_BYTES_MAX} bytes`)
  }
  checkIdentity(manifest, 'name', name)
  checkIdentity(manifest, 'version', version)
  checkIdentity(manifest, '_id', `${name}@${version}`)
  for (const key of ['name', 'version']) {
    if (manifest.value(key) === undefined) throw bad(`the manifest of the version has no ${key}`)
  }
  return [version, Object.fromEntries(manifest.keys.map(key => [key, manifest.value(key)]))]
}

function checkIdentity(object: StrictObject, key: string, expected: string): void {
  const value = object.value(key)
  if (value === undefined || value === expected) return
  const found = typeof value === 'string' ? quoted(value) : `a ${typeof value}`
  throw bad(`${key} is ${found} where the publish is of ${quoted(expected)}`)
}

function checkHashes(
  manifest: Record<string, unknown>,
  integrity: string,
  shasum: string,
  spec: string,
): void {
  const dist = asRecord(manifest['dist'])
  if (dist === undefined) throw unprocessable(`${spec} has no dist with the tarball's integrity`)
  if (dist['integrity'] === undefined) {
    throw unprocessable(`${spec} has no dist.integrity: publish with a client that sends sha512`)
  }
  const check = (where: string, value: unknown, expected: string) => {
    if (value === undefined || value === expected) return
    throw unprocessable(`${where} of ${spec} is not that of the bytes sent: ${expected}`)
  }
  check('dist.integrity', dist['integrity'], integrity)
  check('dist.shasum', dist['shasum'], shasum)
  for (const field of HASH_FIELDS) {
    check(field, manifest[field], field.endsWith('integrity') ? integrity : shasum)
  }
}

function storedManifest(published: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(published).filter(
      ([key]) => !DROPPED.has(key) && (!key.startsWith('_') || PRIVATE_KEPT.has(key)),
    ),
  )
}

function readTags(document: StrictObject, version: string): Map<string, string> {
  const tags = document.object('dist-tags')
  if (tags === undefined || tags.keys.length === 0) throw bad('the body has no dist-tag')
  if (tags.keys.length > TAGS_MAX) throw bad(`the body has more than ${TAGS_MAX} dist-tags`)
  for (const tag of tags.keys) {
    checkTag(tag)
    const target = tags.value(tag)
    if (target === version) continue
    throw bad(`the dist-tag ${quoted(tag)} names another version than ${version}`)
  }
  return new Map(tags.keys.map(tag => [tag, version]))
}

/** Throws `bad-request` unless `tag` can be a dist-tag: npm's own rules (npm-package-arg). */
export function checkTag(tag: string): void {
  if (tag === 'latest') return
  if (tag.length === 0 || tag.length > TAG_CHARS_MAX) {
    throw bad(`a dist-tag has 1 to ${TAG_CHARS_MAX} characters`)
  }
  if (!tag.isWellFormed() || encodeURIComponent(tag) !== tag || /^\.+$/.test(tag)) {
    throw bad(`the dist-tag ${quoted(tag)} has characters that a URL cannot hold as they are`)
  }
  if (semver.validRange(tag) !== null || semver.validRange(tag, true) !== null) {
    throw bad(`the dist-tag ${quoted(tag)} is a version or a range: no client could ask for it`)
  }
  // Clients hold tags in plain objects, where these names are taken.
  if (tag in Object.prototype) throw bad(`the dist-tag ${quoted(tag)} is a word of JavaScript`)
}

function readAccess(document: StrictObject): 'public' | 'restricted' | null {
  const access = document.value('access') ?? null
  if (access === null || access === 'public' || access === 'restricted') return access
  throw bad('access is "public" or "restricted"')
}

function readReadme(document: StrictObject, manifest: Record<string, unknown>): string | null {
  const readme = textOrNull(manifest['readme']) ?? textOrNull(document.value('readme'))
  // A cut through a surrogate pair leaves half of it.
  return readme === null ? null : readme.slice(0, README_CHARS_MAX).toWellFormed()
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

function quoted(text: string): string {
  const shownCharsMax = 80
  const cut = text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}…` : text
  return JSON.stringify(cut.toWellFormed())
}

function bad(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}

function unprocessable(why: string): RegistryError {
  return new RegistryError('unprocessable', why)
}

function tooLarge(why: string): RegistryError {
  return new RegistryError('body-too-large', why)
}
