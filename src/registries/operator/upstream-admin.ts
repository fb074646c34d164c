/**
 * Managing upstreams while the server runs: the operations of the command line, of the control
 * socket and of the admin API, once.
 *
 * Each change is one transaction of the row, its keys, its credential and its line of the audit
 * trail; whatever would leave two readings of who owns a name is refused in it, and nothing is
 * saved. Then the sources in use are brought up to the rows: the next question meets the new ones,
 * questions under way are answered. What a new server says is looked at before anything is saved
 * (probe.ts). Who may do this is decided by whoever calls.
 * @module
 */
import type { Audit } from '../../db/audit.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import { SecretError, type Secrets } from '../../db/secrets.ts'
import type { UpstreamRow, Upstreams } from '../../db/upstreams.ts'
import { RegistryError } from '../errors.ts'
import { type Planned, type Probe, probe, type ProbeNeeds } from './probe.ts'
import type { SourceFactory } from '../sources/source-factory.ts'
import { signingOf } from '../sources/trusted-parties.ts'
import { timestamp } from '../timestamp.ts'
import type { UpstreamOptions } from '../sources/upstream.ts'
import { assertConfirmed, importKeys, type KeyImportNeeds } from './upstream-keys.ts'
import {
  FIRST_UPSTREAM,
  type NewUpstream,
  rowOf,
  type UpstreamSettings,
} from '../sources/upstream-request.ts'
import { assertKind, assertTable, changeOf, type UpstreamFacts } from './upstream-rules.ts'
import {
  formatSecret,
  openSecret,
  parseSecret,
  type SecretSummary,
  summaryOf,
  type UpstreamSecret,
} from '../sources/upstream-secret.ts'
import {
  keyView,
  type KeyView,
  probeView,
  type ProbeView,
  upstreamView,
  type UpstreamView,
} from './upstream-view.ts'

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface UpstreamOperations {
  list(): Promise<UpstreamView[]>
  show(name: string): Promise<UpstreamView>
  /** Looks at what would be added. Saves nothing. */
  probe(asked: NewUpstream): Promise<ProbeView>
  /** Looks at what a change leads to; null when it leads nowhere new. Saves nothing. */
  probeChange(name: string, settings: UpstreamSettings): Promise<ProbeView | null>
  /** @param confirm the fingerprints that were seen: others, and nothing is saved */
  add(asked: NewUpstream, confirm: readonly string[]): Promise<UpstreamView>
  /** @param confirm as for `add`; only asked for when there is something new to see */
  set(name: string, settings: UpstreamSettings, confirm: readonly string[]): Promise<UpstreamView>
  remove(name: string): Promise<UpstreamView>
  keys(name: string): Promise<KeyView[]>
  approveKey(name: string, keyid: string): Promise<KeyView>
}

/** What the operations work on. @property changed told which documents nobody will ask for again */
export type UpstreamAdminNeeds = ProbeNeeds &
  KeyImportNeeds & {
    db: RegistryDb
    upstreams: Upstreams
    secrets: Secrets
    audit: Audit
    factory: SourceFactory
    changed: (forgotten: readonly string[]) => void
  }

/** The operations on this data dir. */
export class UpstreamAdmin implements UpstreamOperations {
  readonly #needs: UpstreamAdminNeeds
  readonly #actor: string

  /** @param actor who is written into the audit trail */
  constructor(needs: UpstreamAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): UpstreamAdmin {
    return new UpstreamAdmin(this.#needs, actor)
  }

  async list(): Promise<UpstreamView[]> {
    return this.#needs.upstreams.list().map(row => this.#view(row))
  }

  async show(name: string): Promise<UpstreamView> {
    return this.#view(this.#row(name))
  }

  async probe(asked: NewUpstream): Promise<ProbeView> {
    return probeView((await this.#probeNew(asked)).found)
  }

  async add(asked: NewUpstream, confirm: readonly string[]): Promise<UpstreamView> {
    const { write } = await this.prepareAdd(asked, confirm)
    write()
    return this.#view(this.#row(asked.name))
  }

  /**
   * The part of `add` that asks; `write` does the rest, alone or within the open transaction.
   * @param confirm null: nobody could be shown the keys of a mirror of one of `planned` before
   */
  async prepareAdd(
    asked: NewUpstream,
    confirm: readonly string[] | null,
    planned: readonly Planned[] = [],
  ): Promise<Planned & { write: () => void }> {
    const { found, row } = await this.#probeNew(asked, planned)
    if (confirm !== null) assertConfirmed(asked.name, found, confirm)
    const { keys } = found
    const judgement = { keys, signs: row.signatures !== 'off' && keys.length > 0 }
    return { row, judgement, write: () => this.#writeNew(asked, found) }
  }

  #writeNew(asked: NewUpstream, found: Probe): void {
    const { upstreams } = this.#needs
    const change = () => {
      // Checked again: another change may have been saved while the server was asked.
      const row = this.#newRow(asked)
      const { name, kind, signatures } = row
      if (kind === 'registry' && signatures === 'require' && found.keys.length === 0) {
        const why = `${name} publishes no keys: with signatures required nothing would be served`
        throw new RegistryError('bad-request', why)
      }
      upstreams.add(row)
      this.#keepSecret(row, asked.secret ?? null)
      if (kind === 'registry' && signatures !== 'off') {
        importKeys(this.#needs, row, found, row.created)
      }
    }
    this.#save('upstream.add', asked.name, change, () => this.#noteKeyless(asked.name, found))
  }

  async probeChange(name: string, settings: UpstreamSettings): Promise<ProbeView | null> {
    const found = await this.#probeSettings(name, settings)
    return found === null ? null : probeView(found)
  }

  async set(
    name: string,
    settings: UpstreamSettings,
    confirm: readonly string[],
  ): Promise<UpstreamView> {
    const write = await this.prepareSet(name, settings, confirm)
    write()
    return this.#view(this.#row(name))
  }

  /** The part of `set` that asks. @returns what writes it, as `prepareAdd` */
  async prepareSet(name: string, settings: UpstreamSettings, confirm: readonly string[]) {
    const found = await this.#probeSettings(name, settings)
    if (found !== null) assertConfirmed(name, found, confirm)
    return () => this.#writeSettings(name, settings, found)
  }

  #writeSettings(name: string, settings: UpstreamSettings, found: Probe | null): void {
    const { upstreams } = this.#needs
    const change = () => {
      const before = this.#row(name)
      upstreams.change(name, changeOf(before, settings, this.#factsOf(before)))
      const row = this.#row(name)
      for (const mirror of this.#mirrorsOf(name)) {
        if (mirror.namespace !== row.namespace) {
          upstreams.change(mirror.name, { namespace: row.namespace })
        }
      }
      if (settings.secret !== undefined) {
        this.#keepSecret(row, settings.secret)
        upstreams.renew(name)
      }
      const isFirst = found !== null && upstreams.keys(name).length === 0
      if (isFirst && row.kind === 'registry' && row.signatures !== 'off') {
        importKeys(this.#needs, row, found, this.#now())
      }
    }
    this.#save('upstream.set', name, change, () => this.#noteKeyless(name, found))
  }

  async remove(name: string): Promise<UpstreamView> {
    const { upstreams, secrets } = this.#needs
    const view = this.#view(this.#row(name))
    if (name === FIRST_UPSTREAM) {
      const why = 'npm is made again at every start: its URL is a setting, `serve --upstream URL`'
      throw new RegistryError('conflict', why)
    }
    if (view.kind === 'hosted') {
      throw new RegistryError(
        'conflict',
        `${name} is where packages live here: it cannot be removed`,
      )
    }
    const mirrors = this.#mirrorsOf(name).map(mirror => mirror.name)
    if (mirrors.length > 0) {
      throw new RegistryError('conflict', `${name} has mirrors: remove ${mirrors.join(', ')} first`)
    }
    this.#save('upstream.remove', name, () => {
      secrets.remove(name)
      upstreams.remove(name)
    })
    return view
  }

  async keys(name: string): Promise<KeyView[]> {
    return this.#needs.upstreams.keys(this.#row(name).name).map(keyView)
  }

  async approveKey(name: string, keyid: string): Promise<KeyView> {
    return this.writeApproval(name, keyid)
  }

  /** What `approveKey` does: it asks nobody. */
  writeApproval(name: string, keyid: string): KeyView {
    const row = this.#row(name)
    const source = this.#needs.factory.sources.get(name)
    if (source === undefined) {
      const why = `${name} is a mirror of ${row.mirrorOf}: keys belong to the registry`
      throw new RegistryError('bad-request', why)
    }
    const before = this.#needs.upstreams.keys(name).find(key => key.keyid === keyid)
    const approved = source.trust.approve(keyid, after => {
      const shown = before === undefined ? null : keyView(before)
      this.#write('upstream.approve-key', name, shown, keyView(after))
    })
    return keyView(approved)
  }

  /** Carries out a change with its line of the audit trail, then puts it into effect. */
  #save(action: string, name: string, change: () => void, after?: () => void): void {
    const { db, upstreams, factory, log } = this.#needs
    db.transaction(() => {
      const before = upstreams.get(name)
      const shown = before === null ? null : this.#view(before)
      change()
      assertTable(upstreams.list(), this.#housed())
      const row = upstreams.get(name)
      if (row !== null) this.#keepKind(row)
      this.#write(action, name, shown, row === null ? null : this.#view(row))
      db.afterCommit(() => {
        this.#needs.changed(factory.reload())
        after?.()
      })
      db.afterCommit(() => log.publish())
    })
  }

  #write(
    action: string,
    target: string,
    before: UpstreamView | KeyView | null,
    after: UpstreamView | KeyView | null,
  ): void {
    this.#needs.audit.append({
      time: this.#now(),
      actor: this.#actor,
      action,
      target,
      before: before === null ? null : JSON.stringify(before),
      after: after === null ? null : JSON.stringify(after),
    })
  }

  #keepKind(row: UpstreamRow): void {
    const { upstreams } = this.#needs
    this.#assertKind(row, upstreams.keys(row.name).length > 0)
    if (row.kind === 'registry') upstreams.setRevised(row.namespace, row.revisions)
  }

  #assertKind(row: UpstreamRow, publishesKeys: boolean): void {
    const { upstreams } = this.#needs
    const isRecorded = upstreams.hasRecords(row.namespace)
    const isRevised = upstreams.isRevised(row.namespace)
    assertKind(row, { isRecorded, isRevised, publishesKeys })
  }

  /** What can be refused without asking anybody is refused before anybody is asked. */
  async #probeNew(asked: NewUpstream, planned: readonly Planned[] = []) {
    const of = planned.find(({ row: { name } }) => name === asked.of)
    const row = { ...this.#newRow(asked, of?.row), signsSince: null, edition: '' }
    assertTable([...this.#needs.upstreams.list(), ...(of === undefined ? [] : [of.row]), row])
    this.#assertKind(row, false)
    const found = await this.#probe(row, asked.secret ?? null, asked.sample, of?.judgement)
    return { row, found }
  }

  /** Nothing is asked when neither the place nor the way in changes. */
  async #probeSettings(name: string, settings: UpstreamSettings): Promise<Probe | null> {
    const { upstreams } = this.#needs
    const before = this.#row(name)
    const change = changeOf(before, settings, this.#factsOf(before))
    const row = { ...before, ...change }
    assertTable(upstreams.list().map(other => (other.name === name ? row : other)))
    this.#assertKind(row, upstreams.keys(name).length > 0)
    const { secret, sample } = settings
    if (row.url === before.url && secret === undefined && sample === undefined) return null
    return await this.#probe(row, secret === undefined ? this.#secretOf(before) : secret, sample)
  }

  async #probe(
    row: Pick<UpstreamRow, 'name' | 'url' | 'namespace' | 'mirrorOf'>,
    secret: UpstreamSecret | null,
    sample: string | undefined,
    judgement?: Planned['judgement'],
  ): Promise<Probe> {
    const { name, url, namespace } = row
    const options: UpstreamOptions = { name, url, namespace, ...openSecret(secret ?? {}) }
    const trust = this.#needs.factory.sources.get(row.mirrorOf ?? name)?.trust
    const known = judgement ?? trust?.stored()
    const judgedBy = known !== undefined && known.signs ? known : null
    const namespaces = [...new Set(this.#needs.upstreams.list().map(other => other.namespace))]
    const isMirror = row.mirrorOf !== null
    return await probe(this.#needs, { options, isMirror, sample, judgedBy, namespaces })
  }

  #newRow(asked: NewUpstream, planned: UpstreamRow | null = null) {
    const { upstreams } = this.#needs
    if (upstreams.get(asked.name) !== null) {
      throw new RegistryError('conflict', `there is an upstream ${asked.name} already`)
    }
    const registry = asked.of === undefined ? null : (upstreams.get(asked.of) ?? planned)
    return rowOf(asked, registry, this.#now())
  }

  #row(name: string): UpstreamRow {
    const row = this.#needs.upstreams.get(name)
    if (row === null) throw new RegistryError('not-found', `there is no upstream ${name}`)
    return row
  }

  #mirrorsOf(name: string): UpstreamRow[] {
    return this.#needs.upstreams.list().filter(({ mirrorOf }) => mirrorOf === name)
  }

  #factsOf(row: UpstreamRow): UpstreamFacts {
    const { upstreams } = this.#needs
    const isRecorded = upstreams.hasRecords(row.namespace)
    const hidden = this.#needs.factory.sources.get(row.name)?.housed?.hidden() ?? []
    const housed = row.kind === 'hosted' ? this.#housed() : []
    const hasSecret = this.#summaryOf(row) !== null
    return { isRecorded, housed, hidden, hasSecret, now: this.#now() }
  }

  /** The packages that live here, also those that not everybody may know of. */
  #housed(): string[] {
    const { upstreams, factory } = this.#needs
    const names = factory.sources.all().flatMap(({ namespace, housed }) => {
      return housed === undefined ? [] : upstreams.packagesOf(namespace).concat(housed.hidden())
    })
    return [...new Set(names)]
  }

  #keepSecret(row: Pick<UpstreamRow, 'name' | 'url'>, secret: UpstreamSecret | null): void {
    const { secrets } = this.#needs
    if (secret === null) secrets.remove(row.name)
    else secrets.put(row.name, new URL(row.url).origin, formatSecret(secret))
  }

  #secretOf(row: UpstreamRow): UpstreamSecret | null {
    const text = this.#needs.secrets.get(row.name, new URL(row.url).origin)
    return text === null ? null : parseSecret(text)
  }

  #view(row: UpstreamRow): UpstreamView {
    const { upstreams, fetcher } = this.#needs
    const isDown = fetcher.stateOf(new URL(row.url).origin) === 'open'
    const keys = upstreams.keys(row.name)
    const health = isDown ? 'down' : 'up'
    const signing = row.kind === 'mirror' ? null : signingOf(row, this.#needs.factory.sources)
    return upstreamView(row, keys, this.#summaryOf(row), { health, signing })
  }

  /** What the probe was told counts as asked. */
  #noteKeyless(name: string, found: Probe | null): void {
    if (found?.signatures !== 'unsigned') return
    this.#needs.factory.sources.get(name)?.trust.notePublishesNone()
  }

  /** A credential that cannot be opened is asked without (source-factory.ts), and shown as none. */
  #summaryOf(row: UpstreamRow): SecretSummary | null {
    try {
      return summaryOf(this.#secretOf(row))
    } catch (error) {
      if (!(error instanceof SecretError)) throw error
      return null
    }
  }

  #now(): string {
    return timestamp(this.#needs.now())
  }
}
