/**
 * Managing views: the ways of reading that a token can carry. A view takes away (registries and keys
 * that it does not trust) and sends elsewhere (its own order of mirrors); its rules for serving are
 * those of the policy that name it. It can add nothing, so integrity never differs between views.
 *
 * The operations of the command line, of the control socket and of the admin API, once. Each change
 * is one transaction with its line of the audit trail, and is met by the next question.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import type { Audit } from '../../db/audit.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Upstreams } from '../../db/upstreams.ts'
import type { ViewRow, Views } from '../../db/views.ts'
import { RegistryError } from '../errors.ts'
import { timestamp } from '../timestamp.ts'

/** A name of a person's choice that fits a table, a URL and a command line. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?$/
/** Registries, keys and mirrors of a view: more than any instance has. */
const WORDS_MAX = 1_000
const WORD_CHARS_MAX = 128
/** Views of an instance: one for each team of a large company. */
const VIEWS_MAX = 10_000

const Words = Type.Array(Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX }), {
  maxItems: WORDS_MAX,
  uniqueItems: true,
})
const WordsOrNull = Type.Union([Words, Type.Null()])
const Settings = {
  /** Null: the names of all registries can be had. */
  registries: Type.Optional(WordsOrNull),
  /** Keyids; null: all keys vouch that are trusted here. */
  keys: Type.Optional(WordsOrNull),
  /** By registry: its mirrors in the order in which clients are sent to them, and no others. */
  mirrors: Type.Optional(
    Type.Record(Type.String({ maxLength: WORD_CHARS_MAX }), Words, { maxProperties: WORDS_MAX }),
  ),
}

/** Adding a view. */
export const NewViewShape = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 100 }), ...Settings },
  { additionalProperties: false },
)
export type NewView = Static<typeof NewViewShape>

/** Changing one; what is absent stays. */
export const ViewSettingsShape = Type.Object(Settings, { additionalProperties: false })
export type ViewSettings = Static<typeof ViewSettingsShape>

/** A view as operators see it. */
export const ViewShape = Type.Object({
  name: Type.String(),
  registries: WordsOrNull,
  keys: WordsOrNull,
  mirrors: Type.Record(Type.String(), Words),
  created: Type.String(),
})
export type View = Static<typeof ViewShape>

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface ViewOperations {
  list(): Promise<View[]>
  show(name: string): Promise<View>
  add(asked: NewView): Promise<View>
  set(name: string, settings: ViewSettings): Promise<View>
  /** Tokens that carry it read nothing from then on. */
  remove(name: string): Promise<View>
}

/** What the operations work on. @property viewsChanged told when views are other ones */
export type ViewAdminNeeds = {
  db: RegistryDb
  views: Views
  upstreams: Upstreams
  audit: Audit
  viewsChanged: () => void
  now: () => Date
}

/** The operations on this data dir. */
export class ViewAdmin implements ViewOperations {
  readonly #needs: ViewAdminNeeds
  readonly #actor: string

  /** @param actor who is written into the audit trail */
  constructor(needs: ViewAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): ViewAdmin {
    return new ViewAdmin(this.#needs, actor)
  }

  async list(): Promise<View[]> {
    return this.#needs.views.list()
  }

  async show(name: string): Promise<View> {
    return this.#row(name)
  }

  async add(asked: NewView): Promise<View> {
    const { views, now } = this.#needs
    const { name, registries = null, keys = null, mirrors = {} } = asked
    if (!NAME.test(name)) {
      throw refused(`${JSON.stringify(name)} is no name: use a to z, digits, dots and dashes`)
    }
    this.#save('view.add', name, () => {
      if (views.get(name) !== null) {
        throw new RegistryError('conflict', `there is a view ${name} already`)
      }
      if (views.list().length >= VIEWS_MAX) throw refused(`more than ${VIEWS_MAX} views`)
      this.#assertKnown({ registries, keys, mirrors })
      views.add({ name, registries, keys, mirrors, created: timestamp(now()) })
    })
    return this.#row(name)
  }

  async set(name: string, settings: ViewSettings): Promise<View> {
    if (Object.keys(settings).length === 0) throw refused(`say what is to change of ${name}`)
    this.#save('view.set', name, () => {
      this.#row(name)
      this.#assertKnown(settings)
      this.#needs.views.change(name, settings)
    })
    return this.#row(name)
  }

  async remove(name: string): Promise<View> {
    const row = this.#row(name)
    this.#save('view.remove', name, () => this.#needs.views.remove(name))
    return row
  }

  /** What nobody knows would be trusted the day that somebody else comes by that name. */
  #assertKnown({ registries, keys, mirrors }: ViewSettings): void {
    const { upstreams } = this.#needs
    const rows = upstreams.list()
    const isRegistry = (name: string) =>
      rows.some(row => row.name === name && row.kind !== 'mirror')
    for (const name of [...(registries ?? []), ...Object.keys(mirrors ?? {})]) {
      if (!isRegistry(name)) throw refused(`there is no registry ${name}`)
    }
    const known = new Set(upstreams.allKeys().map(({ keyid }) => keyid))
    for (const keyid of keys ?? []) {
      if (!known.has(keyid)) throw refused(`there is no key ${keyid} here`)
    }
    for (const [registry, names] of Object.entries(mirrors ?? {})) {
      for (const name of names) {
        if (rows.some(row => row.name === name && row.mirrorOf === registry)) continue
        throw refused(`${registry} has no mirror ${name}`)
      }
    }
  }

  #row(name: string): ViewRow {
    const row = this.#needs.views.get(name)
    if (row === null) throw new RegistryError('not-found', `there is no view ${name}`)
    return row
  }

  /** Carries out a change with its line of the audit trail, then puts it into effect. */
  #save(action: string, name: string, change: () => void): void {
    const { db, views, audit, now, viewsChanged } = this.#needs
    db.transaction(() => {
      const before = shown(views.get(name))
      change()
      const after = shown(views.get(name))
      const time = timestamp(now())
      audit.append({ time, actor: this.#actor, action, target: name, before, after })
    })
    viewsChanged()
  }
}

function shown(row: ViewRow | null): string | null {
  return row === null ? null : JSON.stringify(row)
}

function refused(why: string): RegistryError {
  return new RegistryError('bad-request', why)
}
