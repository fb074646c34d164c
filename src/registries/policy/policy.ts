/**
 * The rules in force: which of them name a package, what they say of its versions now, and how a
 * refusal by them is told. CONTRACT "Policy" and "Refusals".
 *
 * A refusal by a rule is no incident: nothing happened that should not have, and a quarantine of
 * fifty versions would bury those that matter. Its evidence is the rule, which is in the audit trail
 * with who set it; its page is made when somebody opens it.
 * Rules change in policy-admin.ts; what they decide is policy-decide.ts.
 * @module
 */
import { LRUCache } from 'lru-cache'
import { atMost } from '../at-most.ts'
import type { VersionSummary } from '../../db/packages.ts'
import type { PolicyRules, Provenances, RuleRow } from '../../db/policy-rules.ts'
import { bornMs, decide, type Decision, type PolicyCode } from './policy-decide.ts'
import { type CheckedRule, checkRules, namesPackage, type Rule, ruleOf } from './policy-rule.ts'
import { type Refusal, refusalError, refusalSentence } from '../packument/refusal.ts'
import { timestamp } from '../timestamp.ts'

/** Packages whose rules are at hand; most have the same few. */
const PACKAGES_MAX = 20_000

/** What rules are read from. */
export type PolicyNeeds = {
  policyRules: PolicyRules
  provenances: Provenances
  now: () => Date
}

/** Who reads. @property base public URL, ends in `/` @property view null: the rules for everybody */
export type PolicyReader = { base: string; view: string | null }

/** What is said of one version. */
export type Judge = (row: VersionSummary) => Decision
type Refused = Extract<Decision, { outcome: 'refused' }>

/** Why a rule refuses a version, for its page. */
export type PolicyReason = {
  code: PolicyCode
  sentence: string
  /** When the rule was set as it is. */
  since: string
  evidence: {
    rule: Rule
    place: number
    firstSeen: string
    /** By which clock its age counts, and from when. */
    age: { by: 'seen' | 'published'; from: string }
    signed: boolean
    /** When it will be served, if nothing changes by then. */
    until: string | null
  }
}

type Listed = { rules: CheckedRule[]; rows: RuleRow[] }

/** The rules of this instance. */
export class Policy {
  readonly #needs: PolicyNeeds
  readonly #views = new Map<string | null, Listed>()
  readonly #ofPackage = new LRUCache<string, readonly CheckedRule[]>(atMost(PACKAGES_MAX))

  constructor(needs: PolicyNeeds) {
    this.#needs = needs
  }

  /** Rules were saved: what was read before does not count. */
  reload(): void {
    this.#views.clear()
    this.#ofPackage.clear()
  }

  /**
   * The rules that somebody meets who reads through a view: those of the view, then those for
   * everybody. Null: those for everybody.
   */
  rulesOf(view: string | null): readonly CheckedRule[] {
    const own = view === null ? [] : this.#listed(view).rules
    return [...own, ...this.#listed(null).rules]
  }

  /**
   * What the rules say of the versions of a package now; undefined when none names it.
   * @param rules in place of those in force, to try them
   */
  judgeOf(
    namespace: string,
    name: string,
    view: string | null = null,
    rules?: readonly CheckedRule[],
  ): Judge | undefined {
    const asked =
      rules === undefined
        ? this.#rulesFor(name, view)
        : rules.filter(rule => namesPackage(rule, name))
    if (asked.length === 0) return undefined
    const needsProvenance = asked.some(({ rule }) => rule.requireProvenance === true)
    const proven = needsProvenance
      ? this.#needs.provenances.ofPackage(namespace, name)
      : new Set<string>()
    const nowMs = this.#needs.now().getTime()
    return row => {
      const signed = row.signature !== null
      return decide(asked, { ...row, signed, provenance: proven.has(row.version) }, nowMs)
    }
  }

  /** Refuses a version that the rules do not let through. @throws RegistryError refused */
  assertServed(row: VersionSummary, { base, view }: PolicyReader): void {
    const decision = this.judgeOf(row.namespace, row.name, view)?.(row)
    if (decision?.outcome !== 'refused') return
    throw refusalError(base, this.refusalOf(row, decision))
  }

  /** How a refusal is told. */
  refusalOf({ name, version }: VersionSummary, decision: Refused): Refusal {
    const { code, untilMs } = decision
    const until = untilMs === null ? null : dayOf(untilMs)
    return { code, name, version, incident: null, until, detail: detailOf(decision, until) }
  }

  /** Why a version is refused by a rule now; null when none refuses it. */
  reasonOf(row: VersionSummary, { base, view }: PolicyReader): PolicyReason | null {
    const decision = this.judgeOf(row.namespace, row.name, view)?.(row)
    if (decision?.outcome !== 'refused') return null
    const { ms, by } = bornMs(row)
    const { rule, place } = decision.rule
    return {
      code: decision.code,
      sentence: refusalSentence(base, this.refusalOf(row, decision)),
      since: this.#createdOf(decision.rule, view) ?? row.firstSeen,
      evidence: {
        rule,
        place,
        firstSeen: row.firstSeen,
        age: { by, from: timestamp(new Date(ms)) },
        signed: row.signature !== null,
        until: decision.untilMs === null ? null : timestamp(new Date(decision.untilMs)),
      },
    }
  }

  #rulesFor(name: string, view: string | null): readonly CheckedRule[] {
    // No view is called so: names of views hold no space.
    const key = `${view ?? ' '} ${name}`
    const known = this.#ofPackage.get(key)
    if (known !== undefined) return known
    const rules = this.rulesOf(view).filter(rule => namesPackage(rule, name))
    this.#ofPackage.set(key, rules)
    return rules
  }

  #listed(view: string | null): Listed {
    const known = this.#views.get(view)
    if (known !== undefined) return known
    const rows = this.#needs.policyRules.ofView(view)
    // What is stored was checked when it was saved; a newer program's rules stop this one.
    const listed = { rows, rules: checkRules(rows.map(ruleOf)) }
    this.#views.set(view, listed)
    return listed
  }

  #createdOf(checked: CheckedRule, view: string | null): string | null {
    for (const each of [view, null]) {
      const { rules, rows } = this.#listed(each)
      const at = rules.indexOf(checked)
      if (at !== -1) return rows[at]?.created ?? null
    }
    return null
  }
}

function detailOf({ code, rule: { rule, place } }: Refused, until: string | null): string {
  const by = `rule ${place} (${rule.match})`
  const why = rule.reason === undefined ? '' : `: ${rule.reason}`
  const end = until === null ? '' : ` until ${until}`
  switch (code) {
    case 'quarantined':
      return `quarantined${end} by ${by}${why}`
    case 'denied':
      return `denied${end} by ${by}${why}`
    case 'unsigned':
      return `${by} asks for a signature of its registry, and it has none${why}`
    default:
      return `${by} asks for provenance, and its registry names none${why}`
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
