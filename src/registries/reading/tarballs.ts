/**
 * Where a tarball is, and its bytes for those that get them through here.
 *
 * CONTRACT "Where tarballs come from": answered by 302 to a mirror or the registry (mirrors.ts
 * chooses, here and nowhere else), or by the bytes, verified against the record before the last one
 * is sent. A file is bound to the version that declared it, never guessed from its name. Mirrors are
 * asked for the path that the tarball has below its registry.
 * @module
 */
import type { Incidents } from '../../db/incidents.ts'
import type { Contents } from '../../db/contents.ts'
import { type Packages, UNPUBLISHED_STATE, type VersionSummary } from '../../db/packages.ts'
import { asVersion, type Revisions } from '../../db/revisions.ts'
import { recordAltered } from '../sampler/altered-tarball.ts'
import { hashedToo } from './content.ts'
import { RegistryError } from '../errors.ts'
import { verifyStream } from '../integrity.ts'
import type { Mirror } from '../sources/mirror.ts'
import type { TarballCache } from './tarball-cache.ts'
import type { Policy } from '../policy/policy.ts'
import { passesBytes } from '../sources/tarball-modes.ts'
import {
  assertListed,
  type FoundTarball,
  locateTarball,
  type Places,
} from '../sources/tarball-location.ts'
import type { OpenedTarball } from '../sources/upstream.ts'
import type { Proxy } from './proxy.ts'
import { unpublishedError } from '../hosted/hosted-records.ts'
import { isRefusalCode, refusalError } from '../packument/refusal.ts'
import type { Sampler } from '../sampler/sampler.ts'
import type { Source, Sources } from '../sources/source.ts'
import type { Strict } from '../sampler/strict.ts'
import { untrustedIn, type ViewTrust } from '../policy/views-trust.ts'

/** Bytes that end in an error rather than in a wrong last chunk. */
export type VerifiedBytes = { stream: ReadableStream<Uint8Array>; length: number | null }
/** The answer to a request for a tarball. `whole`: at hand, any part of it can be sent. */
export type TarballAnswer =
  | { kind: 'redirect'; url: string }
  | ({ kind: 'stream' } & VerifiedBytes)
  | { kind: 'whole'; data: Blob }

/** Unchecked bytes and who sends them. */
type Opened = OpenedTarball & { url: string; mirror: Mirror | undefined }

type FoundRow = { row: VersionSummary } & Pick<FoundTarball, 'former'>

type Chunks = AsyncGenerator<Uint8Array, void, undefined>

/** What tarballs are found with. @property base public URL, ends in `/` */
export type TarballsNeeds = {
  sources: Sources
  packages: Packages
  revisions: Revisions
  incidents: Incidents
  proxy: Proxy
  cache: TarballCache
  contents: Contents
  places: Places
  sampler: Pick<Sampler, 'redirected'>
  policy: Policy
  strict: Strict
  base: string
  /** The view that they are read through; without one, nothing is taken away. */
  view?: ViewTrust
  now: () => Date
  warn: (message: string) => void
}

/** Finds and fetches tarballs. */
export class Tarballs {
  readonly #needs: TarballsNeeds

  constructor(needs: TarballsNeeds) {
    this.#needs = needs
  }

  /** The tarball called `file` of package `name`. @throws RegistryError not-found, refused, upstream-… */
  async find(name: string, file: string): Promise<FoundTarball> {
    const source = this.#needs.sources.ownerOf(name)
    const { row, former } = await this.#rowOf(source, name, file)
    if (row.state === UNPUBLISHED_STATE) throw unpublishedError(row)
    if (isRefusalCode(row.state)) {
      throw refusalError(this.#needs.base, { ...row, code: row.state })
    }
    const { base, view } = this.#needs
    const untrusted = untrustedIn(view, row)
    if (untrusted !== null) throw refusalError(base, { ...row, ...untrusted })
    this.#needs.policy.assertServed(row, { base, view: view?.name ?? null })
    const unproven = this.#needs.strict.refusalOf(source, row)
    if (unproven !== undefined) throw refusalError(this.#needs.base, { ...row, ...unproven })
    return { ...locateTarball(source, row), ...(former !== undefined && { former }) }
  }

  /**
   * Its bytes or where they are, as its registry's mode says.
   * @param clientChecks whether the client compares them with the integrity that it was given
   */
  async answer(found: FoundTarball, clientChecks: boolean): Promise<TarballAnswer> {
    const { source, url, path, integrity, row } = found
    if (source.housed !== undefined) {
      return { kind: 'whole', data: await source.housed.tarball(integrity) }
    }
    if (!passesBytes(source.tarballs, clientChecks) && !isFetchedHere(found)) {
      const { places, sampler } = this.#needs
      const at = (mirror: Mirror) => places.at(mirror, found)
      const mirror = await source.mirrors.placeFor(row.name, path, at)
      if (found.former === undefined) sampler.redirected(found, mirror)
      return { kind: 'redirect', url: mirror?.urlOf(at(mirror)) ?? url }
    }
    if (source.tarballs !== 'cache') {
      return { kind: 'stream', ...(await this.#verified(found, chunks => chunks)) }
    }
    const { cache } = this.#needs
    const data = await cache.get(integrity)
    if (data !== undefined) return { kind: 'whole', data }
    const bytes = await this.#verified(found, chunks => cache.keeping(chunks, integrity))
    return { kind: 'stream', ...bytes }
  }

  /** Its bytes, checked against the record while they pass, through one stage more. */
  async #verified(found: FoundTarball, stage: (chunks: Chunks) => Chunks): Promise<VerifiedBytes> {
    const opened = await this.#open(found)
    const verified = verifyStream(opened.stream, found.integrity)
    const checked = stage(hashedToo(verified, sha256 => this.#note(sha256, found.integrity)))
    const stream = pulled(checked, error => this.#failed(found, opened, error))
    return { stream, length: opened.length }
  }

  /** By its other hash too these bytes can be asked for from now on. */
  #note(sha256: string, integrity: string): void {
    try {
      this.#needs.contents.note(sha256, integrity)
    } catch (error) {
      this.#needs.warn(`the SHA-256 of ${integrity} cannot be kept: ${String(error)}`)
    }
  }

  /** The first place that begins to send: a mirror that is well and has it, else the registry. */
  async #open(found: FoundTarball): Promise<Opened> {
    const { source, url, row } = found
    for (const mirror of source.mirrors.candidates(row.name)) {
      const path = this.#needs.places.at(mirror, found)
      if (!(await mirror.offers(path))) continue
      try {
        return { ...(await mirror.openTarball(path)), url: mirror.urlOf(path), mirror }
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        this.#needs.warn(`${row.name}@${row.version} from mirror ${mirror.name}: ${error.message}`)
      }
    }
    assertKept(found)
    assertListed(found)
    return { ...(await source.upstream.openTarball(url)), url, mirror: undefined }
  }

  /** Other bytes than the record says: the evidence is kept, whoever asked gets a cut connection. */
  #failed(found: FoundTarball, { url, mirror }: Opened, error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error)
    const { name, version } = found.row
    this.#needs.warn(`tarball of ${name}@${version} from ${url}: ${detail}`)
    // What its registry has re-issued since, it need not keep.
    if (found.former !== undefined) return
    if (!(error instanceof RegistryError) || error.code !== 'upstream-bad-answer') return
    // The next attempt goes elsewhere.
    recordAltered(this.#needs, found, { url, mirror }, detail)
  }

  async #rowOf(source: Source, name: string, file: string): Promise<FoundRow> {
    const known = this.#recorded(source, name, file)
    if (known !== undefined) return known
    await this.#needs.proxy.ensureRecent(name)
    const found = this.#recorded(source, name, file)
    if (found !== undefined) return found
    throw new RegistryError('not-found', `${name} has no file ${file} in ${source.name}`, {
      package: name,
    })
  }

  /** The version with this file, else the one that had it before it was re-issued. */
  #recorded(source: Source, name: string, file: string): FoundRow | undefined {
    const { packages, revisions } = this.#needs
    const { namespace } = source
    const now = packages.byFile(namespace, name, file)
    if (now !== null) return { row: now }
    const found = source.revises === true ? revisions.byFile(namespace, name, file) : null
    const row = found && packages.get(namespace, name, found.version)
    if (found === null || row === null) return undefined
    // Strict mode offers what was looked into, and only the bytes of now are.
    const isGone = found.tarball === row.tarball || source.strictSince !== null
    return { row: asVersion(row, found), former: isGone ? 'gone' : 'kept' }
  }
}

/** It is asked for once in a while, and only here can be said what became of it. */
function isFetchedHere({ former, source, url }: FoundTarball): boolean {
  return former === 'gone' || (former === 'kept' && source.upstream.lists(url))
}

/** @throws RegistryError gone */
function assertKept({ former, row, source }: FoundTarball): void {
  if (former !== 'gone') return
  const { name, version, leafIndex } = row
  const sentence = `${name}@${version}: ${source.name} has re-issued it, and the bytes of record ${leafIndex} are not to be had any more: install it anew`
  throw new RegistryError('gone', sentence, { package: name, version })
}

/** A stream that asks for a chunk only when its reader does: a slow client holds nothing in memory. */
function pulled(chunks: Chunks, failed: (error: unknown) => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const next = await chunks.next()
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      } catch (error) {
        // The connection is cut before the last chunk: no client can take this for a whole file.
        controller.error(error)
        failed(error)
      }
    },
    async cancel() {
      await chunks.return()
    },
  })
}
