/**
 * Clients that change hosted packages all the time, each its own: they publish, tag, deprecate,
 * unpublish, stage, approve and reject, make tokens and revoke them. What was acknowledged is kept
 * (publish-history.ts). A client ends when it is told to, or when the server is gone.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseLookup } from '../../src/log/lookup.ts'
import { givenToken, givenUser, operate } from '../fixtures/accounts.ts'
import { publishBodyOf } from '../fixtures/publishing.ts'
import { Package, type Span } from './publish-history.ts'

const StagedShape = Type.Object({ stageId: Type.String() })
const DocumentShape = Type.Object({ _rev: Type.String() })
/** A client begins another package when this one has so many versions. */
const VERSIONS_MAX = 6

/** Not all are revoked: some must be there to be tried. */
const TOKENS_KEPT = 3

export type At = { url: string; dataDir: string }

/** A token that was made. @property revoked null: nobody asked for that */
export type MadeToken = {
  id: string
  authorization: string
  revoked: null | 'asked' | 'acknowledged'
}

/** What was acknowledged when a copy was begun, and, once it is done, asked for by then. */
export type Mark = {
  spans: Map<Package, Span>
  records: Map<string, { index: number; text: string }>
  working: MadeToken[]
  revoked: MadeToken[]
}

export class PublishLoad {
  readonly packages: Package[] = []
  readonly tokens: MadeToken[] = []
  /** Changes that were acknowledged. */
  count = 0
  /** Of these, those after which a tarball or a staged body is not needed any more. */
  removals = 0
  /** What was answered with something else than a success while the server was there. */
  readonly failures: string[] = []
  readonly #at: At
  readonly #random: () => number
  readonly #authorization: { publish: string; stage: string }
  #lanes: Promise<void> = Promise.resolve()
  #life = { isOver: false, mayDie: false }

  private constructor(at: At, random: () => number, publish: string, stage: string) {
    this.#at = at
    this.#random = random
    this.#authorization = { publish, stage }
  }

  static async of(at: At, random: () => number): Promise<PublishLoad> {
    const settings = { names: ['@acme/*'] }
    await operate(at, 'upstream/set', { name: 'hosted', settings, confirm: [] })
    await givenUser(at, { name: 'ann' })
    const publish = await givenToken(at, { user: 'ann', scopes: ['read', 'publish', 'account'] })
    const stage = await givenToken(at, { user: 'ann', scopes: ['read', 'stage'] })
    return new PublishLoad(at, random, publish.authorization, stage.authorization)
  }

  get authorization(): string {
    return this.#authorization.publish
  }

  begin(lanes: number): void {
    this.#life = { isOver: false, mayDie: false }
    const running = Array.from({ length: lanes }, () => this.#lane())
    this.#lanes = Promise.all(running).then(() => undefined)
  }

  /** The server is killed: what is not answered any more is no failure. */
  expectDeath(): void {
    this.#life.mayDie = true
  }

  async end(): Promise<void> {
    this.#life.isOver = true
    await this.#lanes
  }

  mark(): Mark {
    const records = this.packages.flatMap(each =>
      [...each.records].map(([version, record]) => [`${each.name}@${version}`, record] as const),
    )
    return {
      spans: new Map(this.packages.map(each => [each, each.span(each.acknowledged)])),
      records: new Map(records),
      working: this.tokens.filter(({ revoked }) => revoked === null),
      revoked: this.tokens.filter(({ revoked }) => revoked === 'acknowledged'),
    }
  }

  /** The copy that was begun at this mark is done. */
  close(mark: Mark): Mark {
    const from = (each: Package) => mark.spans.get(each)?.from ?? 0
    return {
      ...mark,
      spans: new Map(this.packages.map(each => [each, each.span(from(each))])),
      working: mark.working.filter(({ revoked }) => revoked === null),
    }
  }

  async publish(each: Package): Promise<void> {
    const version = each.next()
    const body = publishBodyOf(each.release(version))
    await each.change([each.published(version)], () => this.#send('PUT', path(each), body))
    await this.#lookUp(each, version)
  }

  async unpublish(each: Package, version: string): Promise<void> {
    const after = each.unpublished(version)
    const versions = Object.fromEntries(Object.keys(after.versions).map(kept => [kept, {}]))
    const rev = await this.#rev(each)
    const body = {
      '_id': each.name,
      'name': each.name,
      'dist-tags': after.tags,
      'versions': this.#deprecations(each, versions),
    }
    await each.change([after], () => this.#send('PUT', `${path(each)}/-rev/${rev}`, body))
    this.removals += 1
  }

  async unpublishAll(each: Package): Promise<void> {
    const rev = await this.#rev(each)
    const after = each.unpublished(...each.live)
    await each.change([after], () => this.#send('DELETE', `${path(each)}/-rev/${rev}`))
    this.removals += 1
  }

  /** @returns its id */
  async stage(each: Package, version = each.next()): Promise<string> {
    const body = publishBodyOf(each.release(version))
    const { stage } = this.#authorization
    const send = () => this.#send('POST', `-/stage/package/${path(each)}`, body, stage)
    return Value.Parse(StagedShape, JSON.parse(await each.change([each.staged(version)], send)))
      .stageId
  }

  async approve(each: Package, version: string, id: string): Promise<void> {
    // Two steps: it is published, and it waits no more.
    const between = each.published(version)
    const states = [between, { ...between, staged: [] }]
    await each.change(states, () => this.#send('POST', `-/stage/${id}/approve`))
    this.removals += 1
    await this.#lookUp(each, version)
  }

  async reject(each: Package, id: string): Promise<void> {
    await each.change([each.staged()], () => this.#send('DELETE', `-/stage/${id}`))
    this.removals += 1
  }

  async makeToken(): Promise<void> {
    const { id, authorization } = await givenToken(this.#at, { user: 'ann', scopes: ['read'] })
    this.tokens.push({ id, authorization, revoked: null })
  }

  async revokeToken(): Promise<void> {
    const working = this.tokens.filter(({ revoked }) => revoked === null)
    const [token] = working
    if (token === undefined || working.length <= TOKENS_KEPT) return
    token.revoked = 'asked'
    await operate(this.#at, 'account/revoke-token', { id: token.id })
    token.revoked = 'acknowledged'
  }

  async #lane(): Promise<void> {
    const life = this.#life
    let each = this.newPackage()
    while (!life.isOver) {
      try {
        if (each.versions.length >= VERSIONS_MAX) each = this.newPackage()
        await this.#changeSomething(each)
        this.count += 1
      } catch (error) {
        if (!life.mayDie) this.failures.push(String(error))
        return
      }
    }
  }

  newPackage(): Package {
    const count = this.packages.length
    const kind = count % 4
    const name = kind < 2 ? `@acme/package-${count}` : `package-${count}`
    const each = new Package(name, kind === 0 ? 'restricted' : 'public')
    this.packages.push(each)
    return each
  }

  async #changeSomething(each: Package): Promise<void> {
    const { live } = each
    const version = live[Math.floor(this.#random() * live.length)]
    const turn = version === undefined ? 0 : Math.floor(this.#random() * 10)
    if (version === undefined || turn < 3) return await this.publish(each)
    if (turn === 3) return await this.#tag(each, version)
    if (turn === 4) return await this.#deprecate(each, version)
    if (turn === 5 && live.length > 1) return await this.unpublish(each, version)
    if (turn === 6) return await this.unpublishAll(each)
    if (turn === 7) return await this.#stageAndReject(each)
    if (turn === 8) return await this.makeToken()
    if (turn === 9) return await this.revokeToken()
    const staged = each.next()
    await this.approve(each, staged, await this.stage(each, staged))
  }

  /** The same bytes twice: the first body is still to be removed when the second one comes. */
  async #stageAndReject(each: Package): Promise<void> {
    const version = each.next()
    await this.reject(each, await this.stage(each, version))
    await this.approve(each, version, await this.stage(each, version))
  }

  async #tag(each: Package, version: string): Promise<void> {
    const to = `-/package/${path(each)}/dist-tags/beta`
    if (each.now.tags['beta'] === version) {
      await each.change([each.tagged('beta', null)], () => this.#send('DELETE', to))
    } else {
      await each.change([each.tagged('beta', version)], () => this.#send('PUT', to, version))
    }
  }

  async #deprecate(each: Package, version: string): Promise<void> {
    const text = each.now.versions[version]?.deprecated === null ? `not ${this.count}` : null
    const versions = { [version]: { deprecated: text ?? '' } }
    const body = { _id: each.name, name: each.name, versions }
    await each.change([each.deprecated(version, text)], () => this.#send('PUT', path(each), body))
  }

  /** As the document has them: a version that is sent without its text is deprecated no more. */
  #deprecations(each: Package, versions: Record<string, object>): Record<string, object> {
    return Object.fromEntries(
      Object.keys(versions).map(version => {
        const deprecated = each.now.versions[version]?.deprecated ?? null
        return [version, deprecated === null ? {} : { deprecated }]
      }),
    )
  }

  async #rev(each: Package): Promise<string> {
    const answer = await this.#send('GET', `${path(each)}?write=true`)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${each.name}: ${answer.status} ${text}`)
    return Value.Parse(DocumentShape, JSON.parse(text))._rev
  }

  async #lookUp(each: Package, version: string): Promise<void> {
    if (each.access === 'restricted') return
    const answer = await this.#send('GET', `-/sumdb/lookup/${each.name}@${version}`)
    const bytes = new Uint8Array(await answer.arrayBuffer())
    if (!answer.ok) throw new Error(`record of ${each.name}@${version}: ${answer.status}`)
    const { index, leaf } = parseLookup(bytes)
    each.records.set(version, { index, text: new TextDecoder().decode(leaf) })
  }

  #send(
    method: string,
    to: string,
    body?: unknown,
    authorization = this.authorization,
  ): Promise<Response> {
    return fetch(`${this.#at.url}${to}`, {
      method,
      redirect: 'manual',
      headers: { 'content-type': 'application/json', authorization },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  }
}

function path({ name }: Package): string {
  return name.replace('/', '%2f')
}
