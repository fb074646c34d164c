/**
 * Staged publishing: a version is sent, checked and kept, and is published when somebody approves it
 * (`npm stage`). A token for staging alone can do no more than send.
 *
 * The body waits as it came and is read again on approval, by the rules of that moment; nothing of
 * it is in a packument or in the log before. Who may not change the package is told what is told of
 * an id that does not exist. What nobody decides about is dropped after a time.
 * @module
 */
import { createHash } from 'node:crypto'
import type { Audit } from '../../db/audit.ts'
import type { BlobStore } from '../../db/blobs.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { StageRow, Stages } from '../../db/stages.ts'
import { assertScope, type Identity } from '../accounts/access.ts'
import { RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import type { Publisher, ReadBody, Receipt } from './hosted-publish.ts'
import { timestamp } from '../timestamp.ts'

/** Ten of the largest bodies: they lie beside the packages on a small server's disk. */
const BYTES_MAX = 1280 * 1024 * 1024
/** So that nobody can keep all others from staging. */
const BYTES_OF_ONE_MAX = BYTES_MAX / 4
/** Somebody decides within a month, or nobody does. */
const DAYS_MAX = 30
const DAY_MS = 86_400_000
const PER_PAGE_MAX = 100

/** What staging works with. @property bodies where bodies wait: a store of its own */
export type StagingNeeds = {
  db: RegistryDb
  stages: Stages
  bodies: BlobStore
  audit: Audit
  access: HostedAccess
  publisher: Publisher
  read: ReadBody
  now: () => Date
}

/** A staged version as `npm stage view` shows it. */
export type StagedView = {
  id: string
  packageName: string
  version: string
  tag: string
  createdAt: string
  actor: string
  shasum: string
  integrity: string
  status: 'staged'
}

/** A page of them. */
export type StagedPage = { items: StagedView[]; total: number }

/** Stages publishes. All throw RegistryError. */
export class Staging {
  readonly #needs: StagingNeeds
  /** Bodies that are being looked at: the same one may come twice, and not for both in vain. */
  readonly #pending = new Map<string, number>()

  constructor(needs: StagingNeeds) {
    this.#needs = needs
  }

  /** Checks a body as a publish would, and keeps it. */
  async add(identity: Identity, name: string, body: Uint8Array): Promise<StagedView> {
    assertScope(identity, 'stage')
    const { byteLength } = body
    const digest = createHash('sha512').update(body).digest('hex')
    // Whoever reads the body may change it or give it away (publish-reader.ts): it is stored first.
    this.#pending.set(digest, (this.#pending.get(digest) ?? 0) + 1)
    let isNew = false
    try {
      isNew = await this.#needs.bodies.put(digest, body)
      const version = await this.#describe(name, body)
      // Only now: a body without a tarball says nothing of which packages there are.
      this.#needs.access.assertWritable(asPublisher(identity), name)
      this.#dropOld()
      return this.#keep(identity, version, digest, byteLength)
    } finally {
      const left = (this.#pending.get(digest) ?? 1) - 1
      if (left > 0) this.#pending.set(digest, left)
      else this.#pending.delete(digest)
      this.#release(digest, isNew)
    }
  }

  /** Those of the packages that `identity` may change. @param page from 0 */
  list(identity: Identity, name: string | undefined, page: number, perPage: number): StagedPage {
    assertScope(identity, 'read')
    this.#dropOld()
    const rows = this.#needs.stages.list(name).filter(row => this.#isFor(identity, row))
    const size = Math.min(Math.max(1, perPage), PER_PAGE_MAX)
    const items = rows.slice(page * size, (page + 1) * size).map(viewOf)
    return { items, total: rows.length }
  }

  view(identity: Identity, id: string): StagedView {
    assertScope(identity, 'read')
    return viewOf(this.#row(identity, id))
  }

  /** Its tarball, as it was sent. */
  async tarball(identity: Identity, id: string): Promise<Uint8Array> {
    assertScope(identity, 'read')
    const row = this.#row(identity, id)
    return (await this.#read(row)).version.tarball
  }

  /** Publishes it, in the name of whoever approves. It waits on when that fails. */
  async approve(identity: Identity, id: string): Promise<Receipt> {
    assertScope(identity, 'publish')
    const row = this.#row(identity, id)
    const { version, inside } = await this.#read(row)
    const receipt = await this.#needs.publisher.publish(identity, version, inside)
    this.#remove(identity, row, 'stage.approve')
    return receipt
  }

  /** Drops it for good. */
  reject(identity: Identity, id: string): void {
    assertScope(identity, 'stage')
    this.#remove(identity, this.#row(identity, id), 'stage.reject')
  }

  /** Removes the bodies that nothing waits for: what a crash left behind. To be called at start. */
  collect(): void {
    for (const body of this.#needs.bodies.list()) this.#release(body)
  }

  async #describe(name: string, body: Uint8Array) {
    const read = await this.#needs.read(name, body)
    if (read.kind === 'publish') return read.version
    throw new RegistryError(
      'bad-request',
      'this brings no tarball: a new version is staged with it',
    )
  }

  #keep(
    identity: Identity,
    asked: {
      name: string
      version: string
      integrity: string
      shasum: string
      distTags: Map<string, string>
    },
    body: string,
    bytes: number,
  ): StagedView {
    const { db, stages } = this.#needs
    const { name, version, integrity, shasum } = asked
    const [tag = 'latest'] = asked.distTags.keys()
    const created = timestamp(this.#needs.now())
    const id = crypto.randomUUID()
    const { actor } = identity
    const row = { id, name, version, tag, integrity, shasum, body, bytes, actor, created }
    db.transaction(() => {
      const isFull = stages.bytes() + bytes > BYTES_MAX
      if (isFull || stages.bytes(actor) + bytes > BYTES_OF_ONE_MAX) {
        const why = 'too much waits for approval here: approve or reject some of it first'
        throw new RegistryError('unprocessable', why, { package: name, version })
      }
      if (stages.list(name).some(other => other.version === version)) {
        const why = `${name}@${version} waits for approval already: reject that one first`
        throw new RegistryError('conflict', why, { package: name, version })
      }
      stages.add(row)
      this.#write(identity, 'stage.add', row, null, viewOf(row))
    })
    return viewOf(row)
  }

  async #read(row: StageRow) {
    const body = await this.#needs.bodies.get(row.body)
    if (body === undefined) throw new RegistryError('internal', `the body of ${row.id} is lost`)
    const read = await this.#needs.read(row.name, new Uint8Array(await body.arrayBuffer()))
    if (read.kind === 'publish') return read
    throw new RegistryError('internal', `the body of ${row.id} brings no tarball`)
  }

  #row(identity: Identity, id: string): StageRow {
    const row = this.#needs.stages.get(id)
    if (row !== null && this.#isFor(identity, row)) return row
    throw new RegistryError('not-found', 'nothing is staged under this id')
  }

  /** A package that is yet to be made is the affair of whoever sent it, and of who is over them. */
  #isFor(identity: Identity, { name, actor }: StageRow): boolean {
    const may = this.#needs.access.permissionOf(asPublisher(identity), name)
    return may === 'write' || (may === 'read' && identity.actor === actor)
  }

  #remove(identity: Identity, row: StageRow, action: string): void {
    const { db, stages } = this.#needs
    db.transaction(() => {
      stages.remove(row.id)
      this.#write(identity, action, row, viewOf(row), null)
    })
    this.#release(row.body)
  }

  #dropOld(): void {
    const time = timestamp(new Date(this.#needs.now().getTime() - DAYS_MAX * DAY_MS))
    for (const row of this.#needs.stages.olderThan(time)) {
      this.#needs.stages.remove(row.id)
      this.#release(row.body)
    }
  }

  /** @param isNew nothing ever referred to it: what is refused takes no room, also beside a backup */
  #release(body: string, isNew = false): void {
    const { stages, bodies } = this.#needs
    if (this.#pending.has(body) || stages.isReferenced(body)) return
    if (isNew) bodies.discard(body)
    else bodies.remove(body)
  }

  #write(
    identity: Identity,
    action: string,
    { name, version }: StageRow,
    before: StagedView | null,
    after: StagedView | null,
  ): void {
    this.#needs.audit.append({
      time: timestamp(this.#needs.now()),
      actor: identity.actor,
      action,
      target: `${name}@${version}`,
      before: before === null ? null : JSON.stringify(before),
      after: after === null ? null : JSON.stringify(after),
    })
  }
}

/** What a token for staging could do if it were for publishing: that decides whose package it is. */
function asPublisher(identity: Identity): Identity {
  const { grant } = identity
  if (grant === null || !grant.scopes.includes('stage')) return identity
  return { ...identity, grant: { ...grant, scopes: [...grant.scopes, 'publish'] } }
}

function viewOf(row: StageRow): StagedView {
  const { id, name, version, tag, created, actor, shasum, integrity } = row
  const about = { id, packageName: name, version, tag, createdAt: created, actor }
  return { ...about, shasum, integrity, status: 'staged' }
}
