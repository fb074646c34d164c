/**
 * Several changes of an operator as one: all of them, with their lines of the audit trail and their
 * records in the log, or none. It is what `config apply` ends in (operator-apply.ts finds the
 * changes).
 *
 * Whoever must be asked over the network is asked first, registries before the mirrors that come
 * with them, and nothing is written meanwhile. Then everything is written in one transaction, each
 * part checked again against what the parts before it left; the first that is refused, or a disk
 * that is full, takes all of it back, and what memory holds is brought up to the rows only after
 * the commit. Whoever never hears the answer applies the file again: what is there is no change.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import pLimit from 'p-limit'
import type { RegistryDb } from '../../db/registry-db.ts'
import { RegistryError } from '../errors.ts'
import { RulesShape } from '../policy/policy-rule.ts'
import {
  ConfirmShape,
  NewUpstreamShape,
  UpstreamSettingsShape,
} from '../sources/upstream-request.ts'
import type { PolicyAdmin } from './policy-admin.ts'
import type { Planned } from './probe.ts'
import type { UpstreamAdmin } from './upstream-admin.ts'

/** More than anybody has registries; one probe each. */
const CHANGES_MAX = 1000
/** Servers that are asked at once: they are of different companies, and some are slow. */
const PROBES_AT_ONCE = 8
/** Names of upstreams, keyids and revisions are far shorter. */
const Word = Type.String({ minLength: 1, maxLength: 200 })

/** What is to be done, in this order. @property confirm null: see `UpstreamAdmin.prepareAdd` */
export const ChangesShape = Type.Array(
  Type.Union([
    Type.Object({
      do: Type.Literal('add-upstream'),
      upstream: NewUpstreamShape,
      confirm: Type.Union([ConfirmShape, Type.Null()]),
    }),
    Type.Object({
      do: Type.Literal('set-upstream'),
      name: Word,
      settings: UpstreamSettingsShape,
      confirm: ConfirmShape,
    }),
    Type.Object({ do: Type.Literal('approve-key'), name: Word, keyid: Word }),
    Type.Object({ do: Type.Literal('set-policy'), rules: RulesShape, revision: Word }),
  ]),
  { maxItems: CHANGES_MAX },
)
export type Change = Static<typeof ChangesShape>[number]

/** How many were made. */
export const AppliedShape = Type.Object({ changes: Type.Integer({ minimum: 0 }) })
export type AppliedChanges = Static<typeof AppliedShape>

/** The operation, wherever it is carried out. */
export interface ApplyOperations {
  /** @throws RegistryError of the change that cannot be made; nothing was changed then */
  apply(changes: readonly Change[]): Promise<AppliedChanges>
}

/** What it works on. */
export type ApplyNeeds = { db: RegistryDb; upstreams: UpstreamAdmin; policy: PolicyAdmin }

/** The operation on this data dir. */
export class ApplyAdmin implements ApplyOperations {
  readonly #needs: ApplyNeeds

  constructor(needs: ApplyNeeds) {
    this.#needs = needs
  }

  async apply(changes: readonly Change[]): Promise<AppliedChanges> {
    const writes = await this.#prepared(changes)
    this.#needs.db.transaction(() => {
      for (const change of changes) {
        const write = writes.get(change)
        if (write === undefined) throw new Error(`${nameOf(change)}: nobody was asked about it`)
        asPart(change, write)
      }
    })
    return { changes: changes.length }
  }

  /** Asks whoever must be asked. @returns what writes each */
  async #prepared(changes: readonly Change[]): Promise<ReadonlyMap<Change, () => void>> {
    const limit = pLimit(PROBES_AT_ONCE)
    const planned: Planned[] = []
    const writes = new Map<Change, () => void>()
    const ask = (wave: readonly Change[]) =>
      limit.map(wave, async change => {
        writes.set(change, await asPartSoon(change, () => this.#prepare(change, planned)))
      })
    const isOfNew = (change: Change) => isMirrorOfOneOf(change, changes)
    await ask(changes.filter(change => !isOfNew(change)))
    await ask(changes.filter(isOfNew))
    return writes
  }

  async #prepare(change: Change, planned: Planned[]): Promise<() => void> {
    const { upstreams, policy } = this.#needs
    switch (change.do) {
      case 'add-upstream': {
        const { upstream, confirm } = change
        const isOfPlanned = planned.some(({ row }) => row.name === upstream.of)
        const seen = confirm === null && !isOfPlanned ? [] : confirm
        const { write, ...made } = await upstreams.prepareAdd(upstream, seen, planned)
        planned.push(made)
        return write
      }
      case 'set-upstream':
        return await upstreams.prepareSet(change.name, change.settings, change.confirm)
      case 'approve-key':
        return () => void upstreams.writeApproval(change.name, change.keyid)
      default:
        return () => policy.write(null, change.rules, change.revision)
    }
  }
}

/** Is it a mirror that is added together with its registry? */
function isMirrorOfOneOf(change: Change, changes: readonly Change[]): boolean {
  if (change.do !== 'add-upstream') return false
  const { of } = change.upstream
  return changes.some(other => other.do === 'add-upstream' && other.upstream.name === of)
}

function asPart<T>(change: Change, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw told(change, error)
  }
}

async function asPartSoon<T>(change: Change, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw told(change, error)
  }
}

/** A refusal, with the part that it is of. Any other fault stays what it is. */
function told(change: Change, error: unknown): unknown {
  if (!(error instanceof RegistryError)) return error
  const why = error.message.replace(/; nothing was (?:saved|changed)$/, '')
  return new RegistryError(error.code, `${nameOf(change)}: ${why}; nothing was changed`, {}, error)
}

function nameOf(change: Change): string {
  if (change.do === 'set-policy') return 'the rules'
  return `upstream ${change.do === 'add-upstream' ? change.upstream.name : change.name}`
}
