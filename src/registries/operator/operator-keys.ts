/**
 * The keys of this registry and of others in the hands of an operator: another key for our own
 * signatures, and the end of a key of an upstream.
 *
 * Our old key's public half stays published for ever, so that what it signed stays good; its private
 * half is gone. Each change is a leaf of the log and a line of the audit trail in one transaction.
 * The log's own key is never replaced: it is the log's name.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { Audit } from '../../db/audit.ts'
import { takeNextKey, writeNextKey } from '../../db/keys.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Upstreams } from '../../db/upstreams.ts'
import { LeafError } from '../../log/errors.ts'
import { checkNamespace, type KeyLeaf } from '../../log/leaf.ts'
import type { Log } from '../../log/log.ts'
import { RegistryError } from '../errors.ts'
import {
  generateSigningKey,
  OWN_KEY_FILE,
  type OwnKeys,
  publishedKey,
  type PublishedKey,
} from '../keys/own-key.ts'
import type { Sources } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'
import { keyRow } from '../sources/trust.ts'
import { keyView, type KeyView } from './upstream-view.ts'

/** What a rotation did. @property leaf the record of the key that signs now */
export const RotationShape = Type.Object({
  keyid: Type.String(),
  replaced: Type.String(),
  leaf: Type.Integer(),
})
export type Rotation = Static<typeof RotationShape>

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface KeyOperations {
  /** Another key signs from now on. */
  rotate(): Promise<Rotation>
  /** Ends a key of a registry: it vouches for nothing new, and clients are not told of it any more. */
  retire(upstream: string, keyid: string): Promise<KeyView>
}

/** What the operations work on. @property origin the name of the log */
export type KeyAdminNeeds = {
  dataDir: string
  origin: string
  db: RegistryDb
  log: Log
  upstreams: Upstreams
  ownKeys: OwnKeys
  audit: Audit
  factory: { readonly sources: Sources }
  now: () => Date
}

/** The operations on this data dir. */
export class KeyAdmin implements KeyOperations {
  readonly #needs: KeyAdminNeeds
  readonly #actor: string

  /** @param actor who is written into the audit trail */
  constructor(needs: KeyAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): KeyAdmin {
    return new KeyAdmin(this.#needs, actor)
  }

  async rotate(): Promise<Rotation> {
    const { dataDir, db, log, ownKeys } = this.#needs
    const namespace = this.#namespace()
    const pem = generateSigningKey()
    const [before, after] = [ownKeys.current, publishedKey(pem)]
    const now = timestamp(this.#needs.now())
    // The file first: a key that is published and then lost could sign nothing.
    writeNextKey(dataDir, OWN_KEY_FILE, pem)
    const leaf = db.transaction(() => {
      const [added] = log.append([
        leafOf('add', namespace, after),
        leafOf('retire', namespace, before),
      ])
      if (added === undefined) throw new Error('the log answered without a record')
      ownKeys.keep(after, now)
      this.#changeHosted(before, after, added.index, now)
      this.#write('key.rotate', namespace, { keyid: before.keyid }, { keyid: after.keyid })
      return added.index
    })
    log.publish()
    takeNextKey(dataDir, OWN_KEY_FILE)
    ownKeys.use(pem)
    return { keyid: after.keyid, replaced: before.keyid, leaf }
  }

  async retire(upstream: string, keyid: string): Promise<KeyView> {
    const { upstreams, factory } = this.#needs
    const row = upstreams.get(upstream)
    if (row === null) throw new RegistryError('not-found', `there is no upstream ${upstream}`)
    const source = factory.sources.get(upstream)
    if (source === undefined || row.kind === 'mirror') {
      const why = `${upstream} is a mirror of ${row.mirrorOf}: keys belong to the registry`
      throw new RegistryError('bad-request', why)
    }
    if (row.kind === 'hosted') {
      throw new RegistryError('bad-request', 'our own key is replaced with `key rotate`')
    }
    const before = upstreams.keys(upstream).find(key => key.keyid === keyid)
    const retired = source.trust.retire(keyid, after => {
      const shown = before === undefined ? null : keyView(before)
      this.#write('upstream.retire-key', upstream, shown, keyView(after))
    })
    return keyView(retired)
  }

  /** What is published here is judged by our own keys: the new one needs nobody's approval. */
  #changeHosted(before: PublishedKey, after: PublishedKey, leafIdx: number, now: string): void {
    const { upstreams } = this.#needs
    const { keyid, key, expires } = after
    const json = JSON.stringify(after)
    for (const { name, kind } of upstreams.list()) {
      // Without keys it has learnt none yet: then it takes all that are published.
      if (kind !== 'hosted' || upstreams.keys(name).length === 0) continue
      const row = keyRow(name, { keyid, spki: key, expires, json }, now)
      upstreams.addKey({ ...row, state: 'approved', leafIdx })
      upstreams.setKeyState(name, before.keyid, 'retired')
    }
  }

  /** Under which the log knows what lives here: the host that it was named after. */
  #namespace(): string {
    const namespace = this.#needs.origin.replace(/\/log$/, '')
    try {
      checkNamespace(namespace)
      return namespace
    } catch (error) {
      if (!(error instanceof LeafError)) throw error
      const why = `the log cannot name ${namespace}: it takes a public URL with a host name to rotate the key`
      throw new RegistryError('conflict', why)
    }
  }

  #write(action: string, target: string, before: object | null, after: object): void {
    this.#needs.audit.append({
      time: timestamp(this.#needs.now()),
      actor: this.#actor,
      action,
      target,
      before: before === null ? null : JSON.stringify(before),
      after: JSON.stringify(after),
    })
  }
}

function leafOf(
  action: KeyLeaf['action'],
  namespace: string,
  { keyid, key, expires }: PublishedKey,
): KeyLeaf {
  return { kind: 'registry-key', action, namespace, keyid, spki: key, expires }
}
