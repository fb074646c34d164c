/**
 * Publishing: a new version of a package that lives here.
 *
 * DESIGN flow (c). Whoever calls has read the body (publish-document.ts) and looked into the
 * tarball (publish-tarball.ts). Then: may this be published by this person under this name; a large
 * tarball is durable under its hash; it is signed; and in ONE transaction, which is the commit
 * point, come the rows of the package, the tags, the maintainers, a small tarball, the row of the
 * version and its leaf. Publishes that come at the same time share it (group-commit.ts). What fails
 * before that leaves nothing: a file that no version refers to is removed.
 * @module
 */
import type { Audit } from '../../db/audit.ts'
import type { HostedPackageRow, HostedPackages, HostedVersionRow } from '../../db/hosted.ts'
import type { Packages } from '../../db/packages.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import { isRow, type Tarballs } from '../../db/tarballs.ts'
import type { Upstreams } from '../../db/upstreams.ts'
import type { Log } from '../../log/log.ts'
import type { Identity } from '../accounts/access.ts'
import { GroupCommit } from '../group-commit.ts'
import type { HostedAccess } from './hosted-access.ts'
import { assertCanHide, assertFree, claim, isOurs } from './hosted-claim.ts'
import { type HostedRecords, takenError } from './hosted-records.ts'
import { HOSTED } from './hosted-upstream.ts'
import { integrityFromHex, integrityToHex } from '../integrity.ts'
import { tarballFile } from '../name.ts'
import type { OwnKeys } from '../keys/own-key.ts'
import type { PublishedVersion } from '../publish/publish-document.ts'
import type { InspectedTarball } from '../publish/publish-tarball.ts'
import { asRecord, parseObject } from '../publish/publish-json.ts'
import { signedMessage } from '../keys/signature.ts'
import type { Sources } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'

/** What publishing works with. @property reload puts a changed table of names into effect */
export type PublisherNeeds = {
  db: RegistryDb
  log: Log
  audit: Audit
  upstreams: Upstreams
  packages: Packages
  sources: Sources
  reload: () => void
  hosted: HostedPackages
  tarballs: Tarballs
  records: HostedRecords
  access: HostedAccess
  ownKeys: OwnKeys
  now: () => Date
}

/** What was found inside the tarball. */
export type Inside = Pick<
  InspectedTarball,
  'fileCount' | 'unpackedSize' | 'readme' | 'hasShrinkwrap'
>

/** A body that was read: a new version with what its tarball holds, or a changed document. */
export type ReadPublish =
  | { kind: 'publish'; version: PublishedVersion; inside: Inside }
  | { kind: 'metadata'; document: Record<string, unknown> }

/** Reads the body of a publish. @throws RegistryError with a sentence for the publisher */
export type ReadBody = (name: string, body: Uint8Array) => Promise<ReadPublish>

/** What became of a publish. @property leafIndex null: the package is private */
export type Receipt = { name: string; version: string; leafIndex: number | null }

/** Publishes. */
export class Publisher {
  readonly #needs: PublisherNeeds
  /** Files of publishes under way: nobody refers to them yet, and they are not to be removed. */
  readonly #pending = new Map<string, number>()
  readonly #commits: GroupCommit
  /** Keys that were seen are never forgotten, so nobody has to look twice. */
  #isVouchedFor = false

  constructor(needs: PublisherNeeds) {
    this.#needs = needs
    const { db, log, sources, ownKeys } = needs
    const before = () => sources.get(HOSTED)?.trust.adopt(ownKeyOf(ownKeys))
    this.#commits = new GroupCommit({ db, log, before })
  }

  /** A new version. @throws RegistryError with a sentence for the publisher; nothing has happened then */
  async publish(identity: Identity, asked: PublishedVersion, inside: Inside): Promise<Receipt> {
    const { name, version, tarball } = asked
    const isClaim = !isOurs(this.#needs, name)
    // Asked in the transaction too: nothing is sent, stored or logged for who may not.
    if (isClaim || !isRow(tarball) || !this.#hasKey()) this.#assertPossible(identity, asked)
    if (isClaim) await assertFree(this.#needs, name)
    const commit = () =>
      this.#commits.run({
        assertPossible: () => this.#assertPossible(identity, asked),
        write: () => this.#write(identity, asked, inside, isClaim),
        after: () => this.#written(name, isClaim),
      })
    const leafIndex = await (isRow(tarball) ? commit() : this.#withFile(asked, commit))
    return { name, version, leafIndex }
  }

  /** Another key of ours vouches at once for what lives here, if anything was ever published. */
  followKey(): void {
    if (!this.#hasKey()) return
    this.#needs.sources.get(HOSTED)?.trust.adopt(ownKeyOf(this.#needs.ownKeys))
  }

  /** Did a key of ours ever vouch for what lives here? Not before the first publish, then for ever. */
  #hasKey(): boolean {
    this.#isVouchedFor ||= (this.#needs.sources.get(HOSTED)?.trust.keys().length ?? 0) > 0
    return this.#isVouchedFor
  }

  /** Removes the files that no version refers to: what a crash left behind. */
  async collect(signal: AbortSignal): Promise<void> {
    const { tarballs, hosted } = this.#needs
    for (const digest of tarballs.files.list()) {
      if (signal.aborted) return
      const isNeeded = this.#pending.has(digest) || hosted.isReferenced(integrityFromHex(digest))
      if (!isNeeded) tarballs.files.remove(digest)
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Tells, in the transaction in which it is so, that a version refers to its tarball no more. */
  release(integrity: string): void {
    const { db, tarballs, hosted } = this.#needs
    if (hosted.isReferenced(integrity)) return
    tarballs.removeRow(integrity)
    db.afterCommit(() => this.#releaseFile(integrity, false))
  }

  /** The file is durable before the transaction, and goes again when nothing refers to it then. */
  async #withFile<T>(
    { tarball, integrity }: PublishedVersion,
    commit: () => Promise<T>,
  ): Promise<T> {
    const digest = integrityToHex(integrity)
    this.#pending.set(digest, (this.#pending.get(digest) ?? 0) + 1)
    let isNew = false
    try {
      isNew = await this.#needs.tarballs.files.put(digest, tarball)
      return await commit()
    } finally {
      const left = (this.#pending.get(digest) ?? 1) - 1
      if (left > 0) this.#pending.set(digest, left)
      else this.#pending.delete(digest)
      this.#releaseFile(integrity, isNew)
    }
  }

  /** @param isNew nothing ever referred to it: it takes no room, also beside a backup */
  #releaseFile(integrity: string, isNew: boolean): void {
    const { tarballs, hosted } = this.#needs
    const digest = integrityToHex(integrity)
    if (this.#pending.has(digest) || hosted.isReferenced(integrity)) return
    if (isNew) tarballs.files.discard(digest)
    else tarballs.files.remove(digest)
  }

  /** COMMIT POINT. Right after `#assertPossible`: what was checked is still true. */
  #write(
    identity: Identity,
    asked: PublishedVersion,
    inside: Inside,
    isClaim: boolean,
  ): number | null {
    const { hosted, tarballs, records, ownKeys } = this.#needs
    const { name, version, tarball, integrity } = asked
    if (isClaim) this.#claim(identity, name)
    const published = this.#needs.now().toISOString()
    const before = hosted.get(name)
    const packageAccess = accessOf(asked, before?.access ?? null)
    const description = asked.description ?? before?.description ?? null
    const readme = asked.readme ?? inside.readme ?? before?.readme ?? null
    if (before === null) {
      const times = { created: published, modified: published, unpublished: null }
      hosted.add({ name, access: packageAccess, description, readme, ...times })
      hosted.setMaintainers(name, identity.user === null ? [] : [identity.user])
    } else {
      const change = { access: packageAccess, description, readme, unpublished: null }
      hosted.touch(name, published, change)
    }
    const row = rowOf(asked, inside, ownKeys, published, identity.user ?? identity.actor)
    if (isRow(tarball)) tarballs.addRow(integrity, tarball)
    hosted.addVersion(row)
    for (const tag of asked.distTags.keys()) hosted.setTag(name, tag, version)
    // npm's registry has a `latest` from the first version on, whatever its tag is.
    const hasLatest =
      asked.distTags.has('latest') || hosted.tags(name).some(({ tag }) => tag === 'latest')
    if (!hasLatest) hosted.setTag(name, 'latest', version)
    if (before?.access === 'restricted' && packageAccess === 'public') records.reveal(name)
    return records.add(row, packageAccess === 'restricted')
  }

  /** Committed: whoever asks from now on must be told by the new rows. */
  #written(name: string, isClaim: boolean): void {
    this.#needs.access.changed(name)
    if (isClaim) this.#needs.reload()
  }

  #claim(identity: Identity, name: string): void {
    if (isOurs(this.#needs, name)) return
    claim(this.#needs, name)
    this.#needs.audit.append({
      time: timestamp(this.#needs.now()),
      actor: identity.actor,
      action: 'upstream.claim',
      target: HOSTED,
      // Not the whole table: it grows by one with each of these lines.
      before: null,
      after: JSON.stringify({ name }),
    })
  }

  #assertPossible(identity: Identity, asked: PublishedVersion): void {
    const { access, hosted } = this.#needs
    const { name, version } = asked
    access.assertWritable(identity, name)
    if (hosted.version(name, version) !== null) throw takenError(name, version)
    const packageAccess = accessOf(asked, asked.access === null ? hosted.accessOf(name) : null)
    if (packageAccess === 'restricted') assertCanHide(this.#needs, name)
  }
}

/** As asked; else as it is; else, for a new package, public. */
function accessOf(
  { access }: PublishedVersion,
  before: HostedPackageRow['access'] | null,
): HostedPackageRow['access'] {
  return access ?? before ?? 'public'
}

function ownKeyOf({ current }: OwnKeys) {
  const { keyid, key: spki, expires } = current
  return { keyid, spki, expires, json: JSON.stringify(current) }
}

function rowOf(
  asked: PublishedVersion,
  inside: Inside,
  ownKeys: OwnKeys,
  published: string,
  publisher: string,
): HostedVersionRow {
  const { name, version, integrity, shasum, provenance } = asked
  const { fileCount, unpackedSize, hasShrinkwrap } = inside
  const { deprecated, ...manifest } = asked.manifest
  return {
    name,
    version,
    // npm looks for the lockfile in the tarball only when it is told that there is one.
    manifest: JSON.stringify({ ...manifest, ...(hasShrinkwrap && { _hasShrinkwrap: true }) }),
    integrity,
    shasum,
    file: tarballFile(name, version),
    fileCount,
    unpackedSize,
    published,
    publisher,
    keyid: ownKeys.current.keyid,
    sig: ownKeys.sign(signedMessage(name, version, integrity)),
    deprecated: typeof deprecated === 'string' && deprecated !== '' ? deprecated : null,
    predicateType: provenance === null ? null : predicateTypeOf(provenance.data),
    provenance: provenance?.data ?? null,
    unpublished: null,
  }
}

/** What a checked bundle says of its subject. */
function predicateTypeOf(bundle: string): string | null {
  const payload = asRecord(parseObject(Buffer.from(bundle))['dsseEnvelope'])?.['payload']
  if (typeof payload !== 'string') return null
  const type = parseObject(Uint8Array.fromBase64(payload))['predicateType']
  return typeof type === 'string' ? type : null
}
