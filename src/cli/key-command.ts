/**
 * The definitions of the `key` commands and of `upstream retire-key`: their flags, help and
 * examples.
 * @module
 */
import type { Command } from 'commander'
import {
  addConfigFlags,
  type ConfigFlags,
  examples,
  flagsOf,
  type Json,
  type Settle,
  shapeOf,
} from './command-parts.ts'
import type { Io } from './io.ts'

/** Adds `key` and everything below it. */
export function addKey(program: Command, io: Io, settle: Settle): void {
  const key = program.command('key').description('the keys of this registry')
  addShow(key, io, settle)
  addExport(key, io, settle)
  addRotate(key, io, settle)
}

function addShow(key: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(key.command('show'))
    .summary('print the public keys')
    .description(
      'Prints the public keys: of the log, and of what is signed here. It prints no private key.',
    )
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json) => {
      const { keyShow } = await import('./key-show.ts')
      settle(keyShow(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['key show', 'key show --data-dir ./data --json'])
}

function addExport(key: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(key.command('export'))
    .summary('export the keys')
    .description('Prints the public keys: a verifier key and a PEM.')
    .option('--private <file>', 'write the private keys into a new file, mode 0600')
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json & { private?: string }) => {
      const { keyExport } = await import('./key-export.ts')
      settle(keyExport(flagsOf(given), given.private, shapeOf(given), io))
    })
  examples(command, ['key export > keys.txt', 'key export --private keys-backup.json'])
}

function addRotate(key: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(key.command('rotate'))
    .summary('sign with another key from now on')
    .description(
      'Makes another signing key. What the old one signed stays good: its public half stays\n' +
        'published. Its private half is gone. The key of the log is never replaced.',
    )
    .option('--json', 'print as JSON')
    .action(async (given: ConfigFlags & Json) => {
      const { keyRotate } = await import('./key-rotate.ts')
      settle(await keyRotate(flagsOf(given), shapeOf(given), io))
    })
  examples(command, ['key rotate'])
}

/** Adds `upstream retire-key`. */
export function addRetireKey(upstream: Command, io: Io, settle: Settle): void {
  const command = addConfigFlags(upstream.command('retire-key'))
    .summary('end the trust in a key of a registry')
    .description(
      'It vouches for nothing that is not recorded yet, can never come back, and clients are no\n' +
        'longer told of it: audits fail on what it signed. For a key that leaked; a registry that\n' +
        'changes its keys needs nothing.',
    )
    .argument('<name>')
    .argument('<keyid>', 'its fingerprint, as `upstream keys` shows it')
    .option('--json', 'print the key as JSON')
    .action(async (name: string, keyid: string, given: ConfigFlags & Json) => {
      const { upstreamRetireKey } = await import('./key-rotate.ts')
      settle(await upstreamRetireKey(flagsOf(given), [name, keyid], shapeOf(given), io))
    })
  examples(command, ['upstream retire-key npm SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'])
}
