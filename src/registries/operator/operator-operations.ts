/**
 * The operations on rules, incidents and keys by name, with the shape of their arguments, as
 * operations.ts lists them.
 * @module
 */
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import {
  type IncidentOperations,
  IncidentQuestionShape,
  ReasonShape,
} from './operator-incidents.ts'
import type { KeyOperations } from './operator-keys.ts'
import { type PolicyOperations, PolicyQuestionShape } from './policy-admin.ts'
import { RulesShape } from '../policy/policy-rule.ts'

/** Names of views and upstreams, keyids and ids of incidents are far shorter. */
const WORD_CHARS_MAX = 200

/** What they work on. */
export type OperatorOperations = {
  policy: PolicyOperations
  incidents: IncidentOperations
  keys: KeyOperations
}

/** Makes one operation of a shape and what it does. */
export type Maker<On, Made> = <Shape extends TSchema>(
  shape: Shape,
  run: (on: On, args: Static<Shape>) => Promise<unknown>,
) => Made

const Word = Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX })
const View = Type.Union([Word, Type.Null()])

/** All of them, as `operation` makes them. */
export function operatorOperations<Made>(
  operation: Maker<OperatorOperations, Made>,
): [string, Made][] {
  return [
    ['policy/list', operation(Type.Object({ view: View }), (on, { view }) => on.policy.list(view))],
    [
      'policy/set',
      operation(
        Type.Object({ view: View, rules: RulesShape, revision: Type.Optional(Word) }),
        (on, { view, rules, revision }) => on.policy.set(view, rules, revision),
      ),
    ],
    ['policy/test', operation(PolicyQuestionShape, (on, asked) => on.policy.test(asked))],
    ['incident/list', operation(IncidentQuestionShape, (on, asked) => on.incidents.list(asked))],
    ['incident/show', operation(Type.Object({ id: Word }), (on, { id }) => on.incidents.show(id))],
    [
      'incident/resolve',
      operation(Type.Object({ id: Word, reason: ReasonShape }), (on, { id, reason }) =>
        on.incidents.resolve(id, reason),
      ),
    ],
    ['key/rotate', operation(Type.Object({}), on => on.keys.rotate())],
    [
      'key/retire',
      operation(Type.Object({ upstream: Word, keyid: Word }), (on, { upstream, keyid }) =>
        on.keys.retire(upstream, keyid),
      ),
    ],
  ]
}
