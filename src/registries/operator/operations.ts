/**
 * The operations of an operator by name, with the shape of their arguments: what the control socket
 * and the command line speak. How the words travel is theirs (routes/control.ts,
 * cli/control-client.ts).
 * @module
 */
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { AccountOperations } from '../accounts/accounts-admin.ts'
import { NewTokenShape, NewUserShape, UserSettingsShape } from '../accounts/accounts-request.ts'
import { RegistryError } from '../errors.ts'
import { type OperatorOperations, operatorOperations } from './operator-operations.ts'
import { type ApplyOperations, ChangesShape } from './apply-admin.ts'
import type { UpstreamOperations } from './upstream-admin.ts'
import {
  ConfirmShape,
  NewUpstreamShape,
  UpstreamSettingsShape,
} from '../sources/upstream-request.ts'
import { NewViewShape, type ViewOperations, ViewSettingsShape } from '../reading/views.ts'

/** Names of upstreams and keyids are far shorter. */
const WORD_CHARS_MAX = 200

/** What there is to operate. */
export type Operations = OperatorOperations & {
  upstreams: UpstreamOperations
  /** Several changes of upstreams and rules as one. */
  config: ApplyOperations
  accounts: AccountOperations
  views: ViewOperations
}

type Operation = (on: Operations, args: unknown) => Promise<unknown>

const Word = Type.String({ minLength: 1, maxLength: WORD_CHARS_MAX })
const Name = Type.Object({ name: Word })

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ...operatorOperations<Operation>(operation),
  [
    'config/apply',
    operation(Type.Object({ changes: ChangesShape }), ({ config }, { changes }) =>
      config.apply(changes),
    ),
  ],
  ['view/list', operation(Type.Object({}), ({ views }) => views.list())],
  ['view/show', operation(Name, ({ views }, { name }) => views.show(name))],
  ['view/add', operation(NewViewShape, ({ views }, asked) => views.add(asked))],
  [
    'view/set',
    operation(
      Type.Object({ name: Word, settings: ViewSettingsShape }),
      ({ views }, { name, settings }) => views.set(name, settings),
    ),
  ],
  ['view/remove', operation(Name, ({ views }, { name }) => views.remove(name))],
  ['upstream/list', operation(Type.Object({}), ({ upstreams }) => upstreams.list())],
  ['upstream/show', operation(Name, ({ upstreams }, { name }) => upstreams.show(name))],
  ['upstream/probe', operation(NewUpstreamShape, ({ upstreams }, asked) => upstreams.probe(asked))],
  [
    'upstream/add',
    operation(
      Type.Object({ asked: NewUpstreamShape, confirm: ConfirmShape }),
      ({ upstreams }, { asked, confirm }) => upstreams.add(asked, confirm),
    ),
  ],
  [
    'upstream/probe-change',
    operation(
      Type.Object({ name: Word, settings: UpstreamSettingsShape }),
      ({ upstreams }, { name, settings }) => upstreams.probeChange(name, settings),
    ),
  ],
  [
    'upstream/set',
    operation(
      Type.Object({ name: Word, settings: UpstreamSettingsShape, confirm: ConfirmShape }),
      ({ upstreams }, { name, settings, confirm }) => upstreams.set(name, settings, confirm),
    ),
  ],
  ['upstream/remove', operation(Name, ({ upstreams }, { name }) => upstreams.remove(name))],
  ['upstream/keys', operation(Name, ({ upstreams }, { name }) => upstreams.keys(name))],
  [
    'upstream/approve-key',
    operation(Type.Object({ name: Word, keyid: Word }), ({ upstreams }, { name, keyid }) =>
      upstreams.approveKey(name, keyid),
    ),
  ],
  ['account/users', operation(Type.Object({}), ({ accounts }) => accounts.users())],
  ['account/user', operation(Name, ({ accounts }, { name }) => accounts.user(name))],
  ['account/add-user', operation(NewUserShape, ({ accounts }, asked) => accounts.addUser(asked))],
  [
    'account/set-user',
    operation(
      Type.Object({ name: Word, settings: UserSettingsShape }),
      ({ accounts }, { name, settings }) => accounts.setUser(name, settings),
    ),
  ],
  [
    'account/tokens',
    operation(Type.Object({ user: Type.Optional(Word) }), ({ accounts }, { user }) =>
      accounts.tokens(user),
    ),
  ],
  [
    'account/create-token',
    operation(NewTokenShape, ({ accounts }, asked) => accounts.createToken(asked)),
  ],
  [
    'account/revoke-token',
    operation(Type.Object({ id: Word }), ({ accounts }, { id }) => accounts.revokeToken(id)),
  ],
])

/** Carries one out. @throws RegistryError not-found for a name that is none, bad-request, … */
export async function operate(on: Operations, name: string, args: unknown): Promise<unknown> {
  const run = OPERATIONS.get(name)
  if (run === undefined) throw new RegistryError('not-found', 'there is no such operation')
  return await run(on, args)
}

function operation<Shape extends TSchema>(
  shape: Shape,
  run: (on: Operations, args: Static<Shape>) => Promise<unknown>,
): Operation {
  return async (on, args) => {
    if (Value.Check(shape, args)) return await run(on, args)
    // The value itself is not repeated: it may be a secret.
    const [first] = Value.Errors(shape, args)
    const where = first === undefined ? '' : `: ${first.path} ${first.message}`
    throw new RegistryError('bad-request', `the arguments are not of the expected form${where}`)
  }
}
