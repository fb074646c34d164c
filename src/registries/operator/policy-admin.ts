/**
 * Managing the rules for serving while the server runs: the operations of the command line, of the
 * control socket and of the admin API, once.
 *
 * A list is replaced as a whole, in one transaction with its line of the audit trail; the next
 * question is answered by it. Whoever read the list before may say which one, so that two people
 * who edit at once do not undo each other. Who may do this is decided by whoever calls.
 * @module
 */
import { type Static, Type } from '@sinclair/typebox'
import semver from 'semver'
import type { Audit } from '../../db/audit.ts'
import type { Packages, VersionSummary } from '../../db/packages.ts'
import type { PolicyRules, RuleRow } from '../../db/policy-rules.ts'
import type { RegistryDb } from '../../db/registry-db.ts'
import type { Views } from '../../db/views.ts'
import { newestFirst } from '../dist-tags.ts'
import { RegistryError } from '../errors.ts'
import { allSummaries } from '../reading/plan.ts'
import type { Policy } from '../policy/policy.ts'
import type { Decision } from '../policy/policy-decide.ts'
import { checkRules, type Rule, ruleOf, RuleShape, RulesShape } from '../policy/policy-rule.ts'
import { isRefusalCode } from '../packument/refusal.ts'
import type { Sources } from '../sources/source.ts'
import { timestamp } from '../timestamp.ts'

/** Versions shown by one test: the giants have 20,000, and nobody reads them all. */
const TESTED_MAX = 2_000
/** 64 bits tell any two lists of one instance apart. */
const REVISION_HEX_DIGITS = 16

const TextOrNull = Type.Union([Type.String(), Type.Null()])

/** The rules of a view. @property revision another one for another list */
export const PolicyViewShape = Type.Object({
  view: TextOrNull,
  revision: Type.String(),
  rules: Type.Array(
    Type.Composite([
      RuleShape,
      Type.Object({
        place: Type.Integer({ minimum: 1 }),
        since: Type.String({ description: 'when this rule was set as it is' }),
      }),
    ]),
  ),
})
export type PolicyView = Static<typeof PolicyViewShape>

/** What is to be tried. @property rules in place of those in force */
export const PolicyQuestionShape = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 214 }),
    range: Type.Optional(Type.String({ maxLength: 256 })),
    rules: Type.Optional(RulesShape),
    view: Type.Optional(TextOrNull),
  },
  { additionalProperties: false },
)
export type PolicyQuestion = Static<typeof PolicyQuestionShape>

/** What is decided of each version, the newest first. */
export const PolicyTestShape = Type.Object({
  name: Type.String(),
  namespace: Type.String(),
  versions: Type.Array(
    Type.Object({
      version: Type.String(),
      outcome: Type.Union([Type.Literal('served'), Type.Literal('refused')]),
      code: TextOrNull,
      /** `record`: what was found when it was inspected, which no rule lifts. */
      by: Type.Union([Type.Literal('rule'), Type.Literal('record'), Type.Null()]),
      place: Type.Union([Type.Integer(), Type.Null()]),
      match: TextOrNull,
      why: Type.String(),
      until: TextOrNull,
    }),
  ),
  /** Versions of the range that are not shown. */
  more: Type.Integer(),
})
export type PolicyTest = Static<typeof PolicyTestShape>
type Tested = PolicyTest['versions'][number]

/** The operations, wherever they are carried out. All throw RegistryError. */
export interface PolicyOperations {
  /** @param view null: the rules for everybody */
  list(view: string | null): Promise<PolicyView>
  /** Puts `rules` in the place of all of the view. @param revision of the list that is replaced */
  set(view: string | null, rules: readonly Rule[], revision?: string): Promise<PolicyView>
  test(question: PolicyQuestion): Promise<PolicyTest>
}

/** What the operations work on. @property replan told that rules changed */
export type PolicyAdminNeeds = {
  db: RegistryDb
  policyRules: PolicyRules
  policy: Policy
  packages: Packages
  audit: Audit
  factory: { readonly sources: Sources }
  views: Pick<Views, 'get'>
  replan: () => void
  /** Brings the rows of a package up to what its registry says, where that can be asked. */
  ensureRecent: (name: string) => Promise<void>
  now: () => Date
}

/** The operations on this data dir. */
export class PolicyAdmin implements PolicyOperations {
  readonly #needs: PolicyAdminNeeds
  readonly #actor: string

  /** @param actor who is written into the audit trail */
  constructor(needs: PolicyAdminNeeds, actor: string) {
    this.#needs = needs
    this.#actor = actor
  }

  /** The same operations in the name of somebody else. */
  as(actor: string): PolicyAdmin {
    return new PolicyAdmin(this.#needs, actor)
  }

  async list(view: string | null): Promise<PolicyView> {
    this.#assertView(view)
    const rows = this.#needs.policyRules.ofView(view)
    const rules = rows.map(ruleOf)
    const shown = rows.map(row => Object.assign(ruleOf(row), placeOf(row)))
    return { view, revision: revisionOf(rules), rules: shown }
  }

  async set(view: string | null, rules: readonly Rule[], revision?: string): Promise<PolicyView> {
    this.write(view, rules, revision)
    return await this.list(view)
  }

  /** What `set` does, in a transaction of its own or as a part of the one that is open. */
  write(view: string | null, rules: readonly Rule[], revision?: string): void {
    checkRules(rules)
    this.#assertView(view)
    const { db, policyRules, policy, audit, replan } = this.#needs
    const created = timestamp(this.#needs.now())
    db.transaction(() => {
      const rows = policyRules.ofView(view)
      const before = rows.map(ruleOf)
      if (revision !== undefined && revision !== revisionOf(before)) {
        const why = 'the rules were changed by somebody else in the meantime: read them again'
        throw new RegistryError('precondition-failed', why)
      }
      if (revisionOf(before) === revisionOf(rules)) return
      const since = new Map(rows.map(row => [textOf(ruleOf(row)), row.created]))
      policyRules.replace(
        view,
        rules.map(rule => ({ ...columnsOf(rule), created: since.get(textOf(rule)) ?? created })),
      )
      audit.append({
        time: created,
        actor: this.#actor,
        action: 'policy.set',
        target: view ?? 'everybody',
        before: JSON.stringify(before),
        after: JSON.stringify(rules),
      })
      db.afterCommit(() => {
        policy.reload()
        replan()
      })
    })
  }

  async test(question: PolicyQuestion): Promise<PolicyTest> {
    const { name, range, rules, view = null } = question
    const { packages, policy, factory, ensureRecent } = this.#needs
    const { namespace } = factory.sources.ownerOf(name)
    const tried = rules === undefined ? undefined : checkRules(rules)
    const isWanted = wantedBy(range)
    if (packages.firstSeen(namespace, name) === null) await ensureRecent(name)
    const rows = await allSummaries(packages, namespace, name)
    if (rows.length === 0) {
      const why = `nothing of ${name} is recorded here yet: ask for it once`
      throw new RegistryError('not-found', why, { package: name })
    }
    const byVersion = new Map(rows.map(row => [row.version, row]))
    const wanted = newestFirst([...byVersion.keys()].filter(isWanted))
    const judge = policy.judgeOf(namespace, name, view, tried)
    const versions = wanted.slice(0, TESTED_MAX).flatMap(version => {
      const row = byVersion.get(version)
      return row === undefined ? [] : [this.#tested(row, judge?.(row))]
    })
    return { name, namespace, versions, more: Math.max(0, wanted.length - TESTED_MAX) }
  }

  #assertView(view: string | null): void {
    if (view === null || this.#needs.views.get(view) !== null) return
    throw new RegistryError('not-found', `there is no view ${view}`)
  }

  #tested(row: VersionSummary, decision: Decision | undefined): Tested {
    const { version, state, detail } = row
    const nobody = { place: null, match: null, until: null }
    if (isRefusalCode(state)) {
      return { version, outcome: 'refused', code: state, by: 'record', why: detail, ...nobody }
    }
    const rule = decision?.rule ?? null
    if (decision === undefined || rule === null) {
      const why = 'no rule decides about it'
      return { version, outcome: 'served', code: null, by: null, why, ...nobody }
    }
    const { place } = rule
    const { match } = rule.rule
    if (decision.outcome === 'served') {
      const why = rule.rule.reason ?? 'allowed'
      const by = { by: 'rule', place, match, until: null } as const
      return { version, outcome: 'served', code: null, why, ...by }
    }
    const { code, untilMs } = decision
    const until = untilMs === null ? null : timestamp(new Date(untilMs))
    const why = this.#needs.policy.refusalOf(row, decision).detail
    return { version, outcome: 'refused', code, by: 'rule', place, match, why, until }
  }
}

function wantedBy(range: string | undefined): (version: string) => boolean {
  if (range === undefined) return () => true
  const options = { includePrerelease: true, loose: true }
  if (semver.validRange(range, options) === null) {
    throw new RegistryError('bad-request', `${JSON.stringify(range)} is no range of versions`)
  }
  return version => semver.satisfies(version, range, options)
}

function placeOf({ place, created }: RuleRow): { place: number; since: string } {
  return { place, since: created }
}

function columnsOf(rule: Rule) {
  const { match, action } = rule
  return {
    match,
    action,
    minAge: rule.minAge ?? null,
    requireSignature: rule.requireSignature ?? false,
    requireProvenance: rule.requireProvenance ?? false,
    reason: rule.reason ?? null,
    until: rule.until ?? null,
  }
}

/** The same rule in other words is the same text. */
function textOf(rule: Rule): string {
  return JSON.stringify(columnsOf(rule))
}

function revisionOf(rules: readonly Rule[]): string {
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify(rules.map(textOf)))
  return hash.digest('hex').slice(0, REVISION_HEX_DIGITS)
}
