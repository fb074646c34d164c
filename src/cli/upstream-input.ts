/**
 * What a command on upstreams takes in besides its flags: secrets, from files or from stdin, and a
 * yes or no from a person. Never from a flag: those are in the list of processes and in the
 * history of the shell.
 * @module
 */
import { readFileSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { ConfigError } from '../config-values.ts'
import type { UpstreamSecret } from '../registries/sources/upstream-secret.ts'

/** A bundle of certificates at most; upstream-secret.ts checks what is in it. */
const FILE_BYTES_MAX = 1024 * 1024
/** Names stdin where a file is asked for. */
const STDIN = '-'

/** The side of a terminal that a person types at. */
export type Input = {
  readonly isTty: boolean
  /** Everything on stdin, to its end. */
  readAll(): Promise<string>
  /** One line; an empty one when there is none. */
  ask(question: string): Promise<string>
}

/** Files with secrets, as flags name them. */
export type SecretFlags = {
  tokenFile?: string
  basicFile?: string
  caFile?: string
  certFile?: string
  keyFile?: string
}

export function processInput(): Input {
  return {
    isTty: process.stdin.isTTY,
    readAll: () => Bun.stdin.text(),
    async ask(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return await lines.question(question)
      } finally {
        lines.close()
      }
    },
  }
}

/** The secret that the flags name; undefined when they name none. @throws ConfigError */
export async function readSecret(
  flags: SecretFlags,
  input: Input,
): Promise<UpstreamSecret | undefined> {
  const { tokenFile, basicFile, caFile, certFile, keyFile } = flags
  const fromStdin = [tokenFile, basicFile, caFile, certFile, keyFile].filter(at => at === STDIN)
  if (fromStdin.length > 1) throw new ConfigError('stdin can be only one of the files')
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new ConfigError('--cert-file and --key-file belong together')
  }
  const secret: UpstreamSecret = {}
  if (tokenFile !== undefined) secret.token = (await read(tokenFile, input)).trim()
  if (basicFile !== undefined) secret.basic = parseBasic((await read(basicFile, input)).trim())
  if (caFile !== undefined) secret.ca = await read(caFile, input)
  if (certFile !== undefined && keyFile !== undefined) {
    secret.certificate = { cert: await read(certFile, input), key: await read(keyFile, input) }
  }
  return Object.keys(secret).length === 0 ? undefined : secret
}

/** `user:password`, as `curl -u` has it. */
function parseBasic(text: string): { user: string; password: string } {
  const colon = text.indexOf(':')
  if (colon < 1) throw new ConfigError('--basic-file: expected user:password on one line')
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

async function read(path: string, input: Input): Promise<string> {
  if (path === STDIN) return await input.readAll()
  try {
    if (statSync(path).size > FILE_BYTES_MAX)
      throw new ConfigError(`${path}: too large for a secret`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${path}: cannot be read (${String(error)})`, { cause: error })
  }
}
