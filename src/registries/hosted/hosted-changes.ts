/**
 * Changes of packages that live here, other than a new version: deprecation, unpublishing,
 * dist-tags, maintainers, access.
 *
 * Each is one transaction with its line of the audit trail and another revision. A client that sends
 * back a document sends the revision that it read: when somebody else was faster it is told so. A
 * published version never changes but for its deprecation; one that is unpublished leaves its number
 * taken and a tombstone in the log.
 * @module
 */
import { Type } from '@sinclair/typebox'
import type { Audit } from '../../db/audit.ts'
import type { HostedPackageChange, HostedPackageRow, HostedPackages } from '../../db/hosted.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Upstreams } from '../../db/upstreams.ts'
import type { Log } from '../../log/log.ts'
import type { Identity } from '../accounts/access.ts'
import { newestFirst } from '../dist-tags.ts'
import { absentError, RegistryError } from '../errors.ts'
import type { HostedAccess } from './hosted-access.ts'
import { assertCanHide, isOurs } from './hosted-claim.ts'
import { type ChangedDocument, readChanged } from './hosted-document-changes.ts'
import type { HostedRecords } from './hosted-records.ts'
import { HOSTED } from './hosted-upstream.ts'
import { SELECTOR_CHARS_MAX } from '../name.ts'
import { checkTag } from '../publish/publish-document.ts'
import type { Sources } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'

/** The body that gives a dist-tag: a version. */
export const TagVersionShape = Type.String({ minLength: 1, maxLength: SELECTOR_CHARS_MAX })

/** What changes work with. @property release told that a version no longer needs its tarball, within
 * the transaction of that change */
export type HostedChangesNeeds = {
  db: RegistryDb
  log: Log
  audit: Audit
  sources: Sources
  upstreams: Upstreams
  hosted: HostedPackages
  records: HostedRecords
  access: HostedAccess
  release: (integrity: string) => void
  /** Is there a person of this name? */
  isUser: (name: string) => boolean
  now: () => Date
}

/** Who changes which package. @property rev as the client read it; null: it did not say */
export type Change = { identity: Identity; name: string; rev: string | null }

/** Changes hosted packages. */
export class HostedChanges {
  readonly #needs: HostedChangesNeeds

  constructor(needs: HostedChangesNeeds) {
    this.#needs = needs
  }

  /**
   * A document that comes back without a tarball. What of it counts: deprecations, and dist-tags
   * and maintainers; sent to a revision (`whole`), versions that are missing in it are unpublished.
   * @throws RegistryError
   */
  put(change: Change, document: Record<string, unknown>, whole: boolean): void {
    const asked = readChanged(document)
    const rev = change.rev ?? asked.rev
    this.#run({ ...change, rev }, 'hosted.change', () => {
      const live = new Set(this.#needs.hosted.versions(change.name))
      const unknown = [...(asked.versions?.keys() ?? [])].find(version => !live.has(version))
      if (unknown !== undefined) {
        const why = `${change.name} has no version ${unknown}, and this brings no tarball for it`
        throw new RegistryError('bad-request', why, { package: change.name, version: unknown })
      }
      this.#deprecate(change.name, asked)
      const gone = whole && asked.versions !== null ? [...live.difference(asked.versions)] : []
      if (gone.length > 0 && gone.length === live.size) {
        const why = `this would leave no version of ${change.name}: unpublish the whole package`
        throw new RegistryError('bad-request', why, { package: change.name })
      }
      this.#unpublish(change.name, gone)
      if (whole && asked.tags !== null) this.#setTags(change.name, asked.tags)
      if (whole && asked.maintainers !== null) {
        this.#setMaintainers(change.name, asked.maintainers)
      }
      return {}
    })
  }

  /** Unpublishes all versions; the package keeps its people, and its numbers stay taken. */
  removeAll(change: Change): void {
    this.#run(change, 'hosted.unpublish', now => {
      this.#unpublish(change.name, this.#needs.hosted.versions(change.name))
      return { unpublished: now }
    })
  }

  /** What clients ask for after they put a document without the version: it is gone by then. */
  removeTarball({ identity, name }: Change, file: string): void {
    this.#assertHosted(identity, name)
    const row = this.#needs.hosted.versionByFile(name, file)
    if (row === null) throw new RegistryError('not-found', `${name} has no file ${file}`)
    if (row.unpublished !== null) return
    const why = `${name}@${row.version} is still published: unpublish the version, not its tarball`
    throw new RegistryError('conflict', why, { package: name, version: row.version })
  }

  /** The dist-tags of a package. @throws RegistryError not-found */
  tags(identity: Identity, name: string): Record<string, string> {
    const { access, hosted } = this.#needs
    access.assertReadable(identity, name)
    if (hosted.rev(name) === null) throw absentError(name, HOSTED, 404)
    return Object.fromEntries(hosted.tags(name).map(({ tag, version }) => [tag, version]))
  }

  setTag(change: Change, tag: string, version: string): void {
    checkTag(tag)
    this.#run(change, 'hosted.tag', () => {
      this.#assertLive(change.name, version)
      this.#needs.hosted.setTag(change.name, tag, version)
      return {}
    })
  }

  removeTag(change: Change, tag: string): void {
    if (tag === 'latest') {
      const why = 'the dist-tag latest cannot be removed: give it to another version'
      throw new RegistryError('forbidden', why, { package: change.name })
    }
    this.#run(change, 'hosted.tag', () => {
      this.#needs.hosted.removeTag(change.name, tag)
      return {}
    })
  }

  /** Who may see it. What becomes public is logged, for ever. */
  setAccess(change: Change, access: 'public' | 'restricted'): void {
    const { name } = change
    this.#run(change, 'hosted.access', () => {
      if (access === 'restricted') assertCanHide(this.#needs, name)
      if (access === 'public') this.#needs.records.reveal(name)
      return { access }
    })
  }

  /** One change: may it be made, was the right state read, all of it or nothing. */
  #run(change: Change, action: string, make: (now: string) => HostedPackageChange): void {
    const { db, log, hosted, access, audit, release } = this.#needs
    const { identity, name, rev } = change
    this.#assertHosted(identity, name)
    db.transaction(() => {
      const before = this.#row(name)
      if (rev !== null && rev !== before.rev) {
        const why = `${name} was changed by somebody else meanwhile (revision ${before.rev}): read it again`
        throw new RegistryError('conflict', why, { package: name })
      }
      const shown = this.#shown(name)
      const versions = new Set(hosted.versions(name))
      const now = this.#needs.now().toISOString()
      hosted.touch(name, now, make(now))
      const after = this.#shown(name)
      audit.append({ ...this.#line(identity, action, name), before: shown, after })
      for (const version of versions.difference(new Set(hosted.versions(name)))) {
        const row = hosted.version(name, version)
        if (row !== null) release(row.integrity)
      }
    })
    access.changed(name)
    log.publish()
  }

  #assertHosted(identity: Identity, name: string): void {
    this.#needs.access.assertWritable(identity, name)
    // It could name a maintainer, and stay for ever what it is for minutes.
    if (identity.grant?.isOfJob === true) {
      const why = 'the token of a job publishes new versions and changes nothing else'
      throw new RegistryError('forbidden', why, { package: name })
    }
    if (this.#needs.hosted.accessOf(name) !== null) return
    if (isOurs(this.#needs, name)) throw absentError(name, HOSTED, 404)
    const why = `${name} does not live here: it is changed where it is published`
    throw new RegistryError('forbidden', why, { package: name })
  }

  #row(name: string): HostedPackageRow {
    const row = this.#needs.hosted.get(name)
    if (row !== null && row.unpublished === null) return row
    throw absentError(name, HOSTED, 404)
  }

  #assertLive(name: string, version: string): void {
    if (this.#needs.hosted.version(name, version)?.unpublished === null) return
    const why = `${name} has no version ${version}`
    throw new RegistryError('not-found', why, { package: name, version })
  }

  #deprecate(name: string, { versions, deprecated }: ChangedDocument): void {
    for (const version of versions ?? []) {
      const text = deprecated.get(version) ?? null
      const row = this.#needs.hosted.version(name, version)
      if (row === null || row.deprecated === text) continue
      this.#needs.hosted.setVersion(name, version, { deprecated: text })
    }
  }

  #unpublish(name: string, versions: readonly string[]): void {
    const { hosted, records } = this.#needs
    if (versions.length === 0) return
    const now = this.#needs.now().toISOString()
    for (const version of versions) {
      hosted.setVersion(name, version, { unpublished: now })
      records.bury(name, version)
    }
    const [newest] = newestFirst(hosted.versions(name))
    for (const { tag, version } of hosted.tags(name)) {
      if (!versions.includes(version)) continue
      if (tag === 'latest' && newest !== undefined) hosted.setTag(name, tag, newest)
      else hosted.removeTag(name, tag)
    }
  }

  #setTags(name: string, tags: ReadonlyMap<string, string>): void {
    const { hosted } = this.#needs
    for (const { tag } of hosted.tags(name)) {
      if (tag !== 'latest' && !tags.has(tag)) hosted.removeTag(name, tag)
    }
    for (const [tag, version] of tags) {
      checkTag(tag)
      this.#assertLive(name, version)
      hosted.setTag(name, tag, version)
    }
  }

  #setMaintainers(name: string, users: readonly string[]): void {
    const { hosted, isUser } = this.#needs
    const before = new Set(hosted.maintainers(name))
    const stranger = users.find(user => !before.has(user) && !isUser(user))
    if (stranger !== undefined) {
      throw new RegistryError('bad-request', `there is no user ${JSON.stringify(stranger)} here`)
    }
    if (users.length === 0) {
      throw new RegistryError('bad-request', `${name} must keep a maintainer`, { package: name })
    }
    hosted.setMaintainers(name, users)
  }

  /** As the audit trail keeps it. */
  #shown(name: string): string {
    const { hosted } = this.#needs
    const row = hosted.get(name)
    const tags = Object.fromEntries(hosted.tags(name).map(({ tag, version }) => [tag, version]))
    const { access = null, rev = null, unpublished = null } = row ?? {}
    const versions = hosted.versions(name).length
    return JSON.stringify({
      rev,
      access,
      unpublished,
      versions,
      tags,
      maintainers: hosted.maintainers(name),
    })
  }

  #line(identity: Identity, action: string, target: string) {
    return { time: timestamp(this.#needs.now()), actor: identity.actor, action, target }
  }
}
