/**
 * The definitions of the `user` and `token` commands: their flags, help and examples. What they do
 * is in user.ts and token.ts, which are imported when one of them is asked for.
 * @module
 */
import { type Command, Option } from 'commander'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
} from './command-parts.ts'
import type { Io } from './io.ts'
import type { CreateFlags } from './token.ts'
import type { AddFlags, SetFlags } from './user.ts'

type Given<More> = ConfigFlags & Json & More

const shapeOf = (given: Json) => ({ json: given.json === true })

/** Adds `user` and everything below it. */
export function addUser(program: Command, io: Io, settle: Settle): void {
  const user = program.command('user').description('the people who may log in and publish')
  addUserAdd(user, io, settle)
  addUserSet(user, io, settle)
  addUserList(user, io, settle)
  addUserState(user, io, settle, 'disable')
  addUserState(user, io, settle, 'enable')
}

/** Adds `token` and everything below it. */
export function addToken(program: Command, io: Io, settle: Settle): void {
  const token = program.command('token').description('what programs show in place of a password')
  addTokenCreate(token, io, settle)
  addTokenList(token, io, settle)
  addTokenRevoke(token, io, settle)
}

function addPerson(command: Command): Command {
  return addConfigFlags(command)
    .argument('<name>')
    .option('--email <address>', 'shown to admins and to the person')
    .option('--password-file <file>', 'a file with the password; - is stdin')
    .option('--json', 'print as JSON')
}

function addUserAdd(user: Command, io: Io, settle: Settle): void {
  const command = addPerson(user.command('add'))
    .summary('add a person')
    .description('Asks for a password; without a terminal one is made, and printed once.')
    .option('--admin', 'may administer this registry')
    .action(async (name: string, given: Given<AddFlags>) => {
      const { userAdd } = await import('./user.ts')
      settle(await userAdd(flagsOf(given), name, given, shapeOf(given), io))
    })
  examples(command, ['user add ana', 'user add root --admin --password-file - < password.txt'])
}

function addUserSet(user: Command, io: Io, settle: Settle): void {
  const command = addPerson(user.command('set'))
    .summary('change a person')
    .description('Changes what is named. Another password ends what they have logged in with.')
    .addOption(new Option('--role <role>').choices(['member', 'admin']))
    .option('--new-password', 'ask for another password, or make one and print it once')
    .action(async (name: string, given: Given<SetFlags>) => {
      const { userSet } = await import('./user.ts')
      settle(await userSet(flagsOf(given), name, given, shapeOf(given), io))
    })
  examples(command, ['user set ana --role admin', 'user set ana --new-password'])
}

function addUserList(user: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(user.command('list'))
    .summary('list the people')
    .description('Lists names, roles and states. Passwords are kept as hashes and never shown.')
    .option('--json', 'print as JSON')
    .action(async (given: Given<object>) => {
      const { userList } = await import('./user.ts')
      settle(await userList(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['user list', 'user list --json'])
}

function addUserState(user: Command, io: Io, settle: Settle, verb: 'disable' | 'enable'): void {
  const isOff = verb === 'disable'
  const command = addConfigFlags(user.command(verb))
    .summary(isOff ? 'shut somebody out' : 'let somebody in again')
    .description(
      isOff
        ? 'From the next request on no token of theirs is taken. What they published stays.'
        : 'Their tokens count again, but for what they had logged in with.',
    )
    .argument('<name>')
    .option('--json', 'print as JSON')
    .action(async (name: string, given: Given<object>) => {
      const { userState } = await import('./user.ts')
      const state = isOff ? 'disabled' : 'active'
      settle(await userState(flagsOf(given), name, state, shapeOf(given), io))
    })
  examples(command, [`user ${verb} ana`])
}

function addTokenCreate(token: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(token.command('create'))
    .summary('make a token')
    .description('Prints its secret once. Without --user it belongs to the operator.')
    .option('--user <name>', 'the person whose rights it has, within its limits')
    .option('--name <name>', 'what it is for')
    .option(
      '--scope <scope...>',
      'read, publish, stage, account, team, admin:read, admin:write (default read)',
    )
    .option('--packages <pattern...>', 'a name, @scope/*, @*/* or ** (default **)')
    .option('--org <name...>', 'organisations it may manage (default: all of its person)')
    .option('--read-only', 'may change nothing')
    .option('--cidr <network...>', 'networks it may be used from')
    .option('--expires <when>', '12h, 30d, 2w or a date')
    .option('--view <name>', 'the view that it reads through')
    .option('--json', 'print as JSON, with the secret')
    .action(async (given: Given<CreateFlags>) => {
      const { tokenCreate } = await import('./token.ts')
      settle(await tokenCreate(flagsOf(given), given, shapeOf(given), io))
    })
  examples(command, [
    "token create --user ana --scope read publish --packages '@acme/*' --expires 30d",
    'token create --name ci --read-only --cidr 192.0.2.0/24',
  ])
}

function addTokenList(token: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(token.command('list'))
    .summary('list the tokens')
    .description('Lists tokens that were not revoked. Secrets are kept as hashes and never shown.')
    .option('--user <name>', 'of one person')
    .option('--json', 'print as JSON')
    .action(async (given: Given<{ user?: string }>) => {
      const { tokenList } = await import('./token.ts')
      settle(await tokenList(flagsOf(given), given, shapeOf(given), io))
    })
  examples(command, ['token list', 'token list --user ana --json'])
}

function addTokenRevoke(token: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(token.command('revoke'))
    .summary('end a token')
    .description('It is nobody from the next request on.')
    .argument('<id>', 'as `token list` shows it')
    .option('--json', 'print as JSON')
    .action(async (id: string, given: ConfigFlags & Json) => {
      const { tokenRevoke } = await import('./token.ts')
      settle(await tokenRevoke(flagsOf(given), id, shapeOf(given), io))
    })
  examples(command, ['token revoke 6f0c2d1e9b7a445f01'])
}
