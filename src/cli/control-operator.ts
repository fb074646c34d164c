/**
 * The operations on rules, incidents and keys, and whole files of them, of a running server,
 * through its control socket.
 * @module
 */
import { Type } from '@sinclair/typebox'
import { type ApplyOperations, AppliedShape } from '../registries/operator/apply-admin.ts'
import {
  IncidentDetailShape,
  type IncidentOperations,
  IncidentViewShape,
} from '../registries/operator/operator-incidents.ts'
import { type KeyOperations, RotationShape } from '../registries/operator/operator-keys.ts'
import {
  type PolicyOperations,
  PolicyTestShape,
  PolicyViewShape,
} from '../registries/operator/policy-admin.ts'
import { KeyViewShape } from '../registries/operator/upstream-view.ts'
import type { Call } from './control-accounts.ts'

/** The one operation that asks many registries before it answers. */
export const APPLY = 'config/apply'

export function applyClient(call: Call): ApplyOperations {
  return { apply: changes => call(APPLY, { changes }, AppliedShape) }
}

export function operatorClients(call: Call): {
  policy: PolicyOperations
  incidents: IncidentOperations
  keys: KeyOperations
} {
  return {
    policy: {
      list: view => call('policy/list', { view }, PolicyViewShape),
      set: (view, rules, revision) =>
        call(
          'policy/set',
          { view, rules, ...(revision !== undefined && { revision }) },
          PolicyViewShape,
        ),
      test: question => call('policy/test', question, PolicyTestShape),
    },
    incidents: {
      list: question => call('incident/list', question, Type.Array(IncidentViewShape)),
      show: id => call('incident/show', { id }, IncidentDetailShape),
      resolve: (id, reason) => call('incident/resolve', { id, reason }, IncidentViewShape),
    },
    keys: {
      rotate: () => call('key/rotate', {}, RotationShape),
      retire: (upstream, keyid) => call('key/retire', { upstream, keyid }, KeyViewShape),
    },
  }
}
