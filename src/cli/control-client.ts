/**
 * How a command reaches the operations: through the socket of the running server, or, when none
 * runs, in the data dir itself. Commands see one set of operations and do not know which.
 * @module
 */
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Flags, loadConfig } from '../config.ts'
import { KeyFileError } from '../db/keys.ts'
import { LockedError } from '../db/lock.ts'
import { registryPath } from '../db/open.ts'
import { RestoringError } from '../db/restoring.ts'
import { ERROR_CODES, RegistryError } from '../registries/errors.ts'
import type { Operations } from '../registries/operator/operations.ts'
import type { UpstreamOperations } from '../registries/operator/upstream-admin.ts'
import {
  KeyViewShape,
  ProbeViewShape,
  UpstreamViewShape,
} from '../registries/operator/upstream-view.ts'
import { controlPath } from '../services-admin.ts'
import { accountClient, type Call } from './control-accounts.ts'
import { APPLY, applyClient, operatorClients } from './control-operator.ts'
import { viewClient } from './control-views.ts'
import { EXIT, type Io } from './io.ts'

/** A probe of a registry that answers slowly takes a minute and a half. */
const ANSWER_MS_MAX = 120_000
/** Of a whole file: as many registries one after the other as there is patience for. */
const APPLY_ANSWER_MS_MAX = 15 * 60_000
/** Ten thousand patterns and their upstreams are below this. */
const ANSWER_CHARS_MAX = 16 * 1024 * 1024

const ErrorShape = Type.Object({ error: Type.String(), code: Type.String() })
/** The socket is there and nobody listens: its server was killed. */
const NOBODY = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTSOCK', 'FailedToOpenSocket'])

class NobodyListens extends Error {
  override readonly name = 'NobodyListens'
}

/** Runs `work` with the operations of a data dir; faults that people can act on become exit codes. */
export async function withUpstreams(
  flags: Flags,
  io: Io,
  work: (upstreams: UpstreamOperations) => Promise<number>,
): Promise<number> {
  return await withOperations(flags, io, ({ upstreams }) => work(upstreams))
}

/** As `withUpstreams`, with everything that there is to operate. */
export async function withOperations(
  flags: Flags,
  io: Io,
  work: (operations: Operations) => Promise<number>,
): Promise<number> {
  const { config, warnings } = loadConfig(flags)
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  const { dataDir } = config
  try {
    if (!existsSync(registryPath(dataDir))) {
      throw new RegistryError('bad-request', `${dataDir} holds no registry: run 'serve' once first`)
    }
    const path = controlPath(dataDir)
    const upstreams = new ControlClient(path)
    const here: Call = (name, args, shape) => call(path, name, args, shape)
    const others = {
      accounts: accountClient(here),
      views: viewClient(here),
      config: applyClient(here),
      ...operatorClients(here),
    }
    if (await upstreams.isThere()) return await work({ upstreams, ...others })
    const { openOperations } = await import('../services.ts')
    const warn = (text: string) => io.err(`warning: ${text}\n`)
    await using opened = await openOperations(config, warn)
    return await work(opened)
  } catch (error) {
    return told(error, io)
  }
}

function told(error: unknown, io: Io): number {
  if (error instanceof RegistryError) {
    io.err(`npmx-registry: ${error.message}\n`)
    return exitCodeOf(error)
  }
  if (error instanceof LockedError) {
    io.err(`npmx-registry: ${error.message}, and it has no control socket: stop it first\n`)
    return EXIT.usage
  }
  if (error instanceof KeyFileError || error instanceof RestoringError) {
    io.err(`npmx-registry: ${error.message}\n`)
    return EXIT.usage
  }
  throw error
}

/** What another server did or did not answer is "could not check"; the rest is what was asked. */
function exitCodeOf(error: RegistryError): number {
  switch (error.code) {
    case 'upstream-unreachable':
    case 'upstream-bad-answer':
    case 'too-large':
    case 'refused':
    case 'busy':
    case 'internal':
      return EXIT.unreachable
    default:
      return EXIT.usage
  }
}

/** The operations of a running server. */
class ControlClient implements UpstreamOperations {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Whether a server listens. */
  async isThere(): Promise<boolean> {
    try {
      await this.list()
      return true
    } catch (error) {
      if (error instanceof NobodyListens) return false
      throw error
    }
  }

  list() {
    return this.#call('list', {}, Type.Array(UpstreamViewShape))
  }

  show(name: string) {
    return this.#call('show', { name }, UpstreamViewShape)
  }

  probe(asked: Parameters<UpstreamOperations['probe']>[0]) {
    return this.#call('probe', asked, ProbeViewShape)
  }

  probeChange(...[name, settings]: Parameters<UpstreamOperations['probeChange']>) {
    const shape = Type.Union([ProbeViewShape, Type.Null()])
    return this.#call('probe-change', { name, settings }, shape)
  }

  add(...[asked, confirm]: Parameters<UpstreamOperations['add']>) {
    return this.#call('add', { asked, confirm }, UpstreamViewShape)
  }

  set(...[name, settings, confirm]: Parameters<UpstreamOperations['set']>) {
    return this.#call('set', { name, settings, confirm }, UpstreamViewShape)
  }

  remove(name: string) {
    return this.#call('remove', { name }, UpstreamViewShape)
  }

  keys(name: string) {
    return this.#call('keys', { name }, Type.Array(KeyViewShape))
  }

  approveKey(name: string, keyid: string) {
    return this.#call('approve-key', { name, keyid }, KeyViewShape)
  }

  async #call<Shape extends TSchema>(
    operation: string,
    args: object,
    shape: Shape,
  ): Promise<Static<Shape>> {
    return await call(this.#path, `upstream/${operation}`, args, shape)
  }
}

async function call<Shape extends TSchema>(
  path: string,
  operation: string,
  args: object,
  shape: Shape,
): Promise<Static<Shape>> {
  const waitMs = operation === APPLY ? APPLY_ANSWER_MS_MAX : ANSWER_MS_MAX
  const text = await post(path, `/${operation}`, JSON.stringify(args), waitMs)
  const answer: unknown = JSON.parse(text)
  if (Value.Check(shape, answer)) return answer
  throw errorIn(answer)
}

function errorIn(answer: unknown): RegistryError {
  if (!Value.Check(ErrorShape, answer)) {
    return new RegistryError(
      'internal',
      'the server answers in another form: another version of it?',
    )
  }
  const code = ERROR_CODES.find(known => known === answer.code) ?? 'internal'
  return new RegistryError(code, answer.error)
}

/** Not by `fetch`: a proxy for the world outside (HTTP_PROXY) has no business in this. */
async function post(
  socketPath: string,
  path: string,
  body: string,
  waitMs: number,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (error: Error & { code?: string }) => {
    if (NOBODY.has(error.code ?? '')) return reject(new NobodyListens(error.message))
    reject(
      new RegistryError('busy', `the server does not answer on ${socketPath}: ${error.message}`),
    )
  }
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const options = {
    socketPath,
    path,
    method: 'POST',
    headers,
    timeout: waitMs,
    agent: false,
  }
  const sent = request(options, response => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      text += chunk
      if (text.length > ANSWER_CHARS_MAX) sent.destroy(new Error('its answer is too long'))
    })
    response.on('error', fail)
    response.on('end', () => resolve(text))
  })
  sent.on('timeout', () => sent.destroy(new Error(`nothing in ${waitMs} ms`)))
  sent.on('error', fail)
  sent.end(body)
  return promise
}
