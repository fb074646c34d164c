/**
 * `user add|list|set|disable|enable`: the people of a running server, or of a data dir that no
 * server has open.
 * @module
 */
import type { Flags } from '../config.ts'
import { ConfigError } from '../config-values.ts'
import type { UserView } from '../registries/accounts/accounts-view.ts'
import { askHidden, passwordFor } from './account-input.ts'
import { withOperations } from './control-client.ts'
import { EXIT, type Io } from './io.ts'
import { table } from './table.ts'
import { type Input, processInput } from './upstream-input.ts'

export type UserFlags = { email?: string; passwordFile?: string }
export type AddFlags = UserFlags & { admin?: true }
export type SetFlags = UserFlags & { role?: 'member' | 'admin'; newPassword?: true }

type Shape = { json: boolean }
type Ask = (question: string) => Promise<string>

export async function userAdd(
  flags: Flags,
  name: string,
  given: AddFlags,
  shape: Shape,
  io: Io,
  input: Input = processInput(),
  ask: Ask = askHidden,
): Promise<number> {
  const { password, isMade } = await passwordFor(given.passwordFile, io, input, ask)
  const { email } = given
  const role = given.admin === true ? 'admin' : 'member'
  const asked = { name, password, role, ...(email !== undefined && { email }) } as const
  return await withOperations(flags, io, async ({ accounts }) =>
    tell(await accounts.addUser(asked), isMade ? password : null, shape, io),
  )
}

export async function userSet(
  flags: Flags,
  name: string,
  given: SetFlags,
  shape: Shape,
  io: Io,
  input: Input = processInput(),
  ask: Ask = askHidden,
): Promise<number> {
  const { email, role, passwordFile } = given
  const isNew = passwordFile !== undefined || given.newPassword === true
  if (!isNew && email === undefined && role === undefined) {
    throw new ConfigError('nothing to change: name --email, --role or --new-password')
  }
  const found = isNew ? await passwordFor(passwordFile, io, input, ask) : null
  const settings = {
    ...(email !== undefined && { email: email === '' ? null : email }),
    ...(role !== undefined && { role }),
    ...(found !== null && { password: found.password }),
  }
  return await withOperations(flags, io, async ({ accounts }) => {
    const view = await accounts.setUser(name, settings)
    return tell(view, found?.isMade === true ? found.password : null, shape, io)
  })
}

export async function userState(
  flags: Flags,
  name: string,
  state: 'active' | 'disabled',
  shape: Shape,
  io: Io,
): Promise<number> {
  return await withOperations(flags, io, async ({ accounts }) =>
    tell(await accounts.setUser(name, { state }), null, shape, io),
  )
}

export async function userList(flags: Flags, shape: Shape, io: Io): Promise<number> {
  return await withOperations(flags, io, async ({ accounts }) => {
    const users = await accounts.users()
    io.out(shape.json ? `${JSON.stringify({ users })}\n` : listText(users))
    if (!shape.json && users.length === 0) io.err('nobody yet: `user add NAME`\n')
    return EXIT.ok
  })
}

/** @param password one that was made here: told this once */
function tell(view: UserView, password: string | null, shape: Shape, io: Io): number {
  if (shape.json) {
    io.out(`${JSON.stringify({ user: view, ...(password !== null && { password }) })}\n`)
    return EXIT.ok
  }
  io.out(lineOf(view))
  if (password !== null) io.out(`password ${password}\n`)
  return EXIT.ok
}

function listText(users: readonly UserView[]): string {
  if (users.length === 0) return ''
  return table(
    ['name', 'role', 'state', 'created', 'email'],
    users.map(({ name, email, role, state, created }) => [
      name,
      role,
      state,
      created,
      email ?? '-',
    ]),
  )
}

function lineOf({ name, email, role, state, created }: UserView): string {
  const parts = [name, role, state, created, email ?? '-']
  return `${parts.join('\t')}\n`
}
