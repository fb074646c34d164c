/**
 * `serve`: builds the services, listens, says where, and stops in order on SIGINT or SIGTERM.
 * What it prints is its answer and goes to stdout; log lines go to stderr.
 * @module
 */
import type { Config, Flags } from '../config.ts'
import { loadConfig } from '../config.ts'
import { formatListen } from '../config-values.ts'
import { KeyFileError } from '../db/keys.ts'
import { LockedError } from '../db/lock.ts'
import { RestoringError } from '../db/restoring.ts'
import { LogFatalError } from '../log/log.ts'
import { version } from '../version.ts'
import { EXIT, type Io, type StopSignal } from './io.ts'

/** Requests under way get this long to end before the process goes. */
const STOP_MS_MAX = 10_000

/** What the banner says of an upstream. */
export type UpstreamSummary = {
  name: string
  url: string
  /** 'unknown' until the upstream was asked for its keys for the first time. */
  signs: 'yes' | 'no' | 'unknown'
}

/** What `serve` needs of `buildServices(config)`. Disposing ends requests, workers and files. */
export interface Serving extends AsyncDisposable {
  /** Whether this start made the data dir. */
  readonly dataDirIsNew: boolean
  /** Verifier key of the log, one line. */
  readonly logVkey: string
  /** Leaves in the log. */
  readonly logSize: number
  /** Where the first admin is made; null when there is one. */
  readonly setupUrl: string | null
  readonly upstreams: readonly UpstreamSummary[]
  /** Binds the address; throws when it cannot. */
  listen(): void | Promise<void>
}

export type Build = (config: Config) => Promise<Serving>

export async function serve(
  flags: Flags,
  shape: { json: boolean },
  io: Io,
  build: Build = buildServices,
): Promise<number> {
  const { config: asked, warnings } = loadConfig(flags)
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  const config = withPort(asked, flags)
  const stop = listenForStop(io)
  try {
    const serving = await build(config)
    try {
      await serving.listen()
    } catch (error) {
      await serving[Symbol.asyncDispose]()
      throw error
    }
    io.out(shape.json ? jsonBanner(config, serving) : textBanner(config, serving))
    if (!shape.json && serving.setupUrl !== null) io.err(setupText(serving.setupUrl))
    const code = exitCodeOf(await stop.first)
    await stopWithin(serving, stop.second, code, io)
    return code
  } catch (error) {
    const refusal = cannotStart(error, config)
    if (refusal === null) throw error
    io.err(`npmx-registry: ${refusal.sentence}\n`)
    return refusal.code
  }
}

async function buildServices(config: Config): Promise<Serving> {
  const services = await import('../services.ts')
  return services.buildServices(config)
}

/**
 * Port 0 asks for any free port. The public URL has to be known before anything is built, so the
 * port is found first; another process may take it in between, which ends as "in use" does.
 */
function withPort(config: Config, flags: Flags): Config {
  if (config.listen.port !== 0) return config
  const probe = Bun.listen({ hostname: config.listen.host, port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return loadConfig({ ...flags, listen: formatListen({ ...config.listen, port }) }).config
}

function listenForStop(io: Io): { first: Promise<StopSignal>; second: Promise<StopSignal> } {
  const first = Promise.withResolvers<StopSignal>()
  const second = Promise.withResolvers<StopSignal>()
  let heard = 0
  io.onStop(signal => {
    heard += 1
    if (heard === 1) first.resolve(signal)
    else second.resolve(signal)
  })
  return { first: first.promise, second: second.promise }
}

/** SIGTERM is how service managers end a service, and no fault; SIGINT is told as shells do. */
function exitCodeOf(signal: StopSignal): number {
  return signal === 'SIGINT' ? EXIT.interrupted : EXIT.ok
}

/** Ends the process by force when stopping takes too long or a second signal asks for it. */
async function stopWithin(
  serving: Serving,
  again: Promise<StopSignal>,
  code: number,
  io: Io,
): Promise<void> {
  io.err('stopping; requests under way are let finish\n')
  const late = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => late.resolve('late'), STOP_MS_MAX)
  const stopped = serving[Symbol.asyncDispose]()
  const outcome = await Promise.race([stopped, late.promise, again])
  clearTimeout(timer)
  if (outcome === undefined) return
  io.err(outcome === 'late' ? 'some requests did not end; stopping anyway\n' : 'stopping now\n')
  io.exit(code)
}

function textBanner(config: Config, serving: Serving): string {
  const upstreams = serving.upstreams.map(({ name, url, signs }) => {
    const told = { yes: 'signs its versions', no: 'does not sign', unknown: 'not asked yet' }
    return row('upstream', `${name} ${url} (${told[signs]})`)
  })
  const leaves = `${serving.logSize} ${serving.logSize === 1 ? 'entry' : 'entries'}`
  return [
    `npmx-registry ${version}`,
    row('data', `${config.dataDir}${serving.dataDirIsNew ? ' (new)' : ''}`),
    row('log key', serving.logVkey),
    ...upstreams,
    row('registry', config.publicUrl),
    row('log', `${config.publicUrl}-/sumdb/ (${leaves})`),
    '',
    'Point npm at it:',
    `  npm config set registry ${config.publicUrl}`,
    '',
  ].join('\n')
}

/** Not on stdout: what is kept of a server's answers should not open it. */
function setupText(url: string): string {
  return [
    'There is no admin yet. Make the first one; this link works once, until the next start:',
    `  ${url}`,
    '',
  ].join('\n')
}

function row(title: string, text: string): string {
  return `  ${title.padEnd(9)} ${text}`
}

function jsonBanner(config: Config, serving: Serving): string {
  const { dataDirIsNew, logVkey, logSize, setupUrl, upstreams } = serving
  return `${JSON.stringify({
    version,
    pid: process.pid,
    listen: formatListen(config.listen),
    registry: config.publicUrl,
    log: `${config.publicUrl}-/sumdb/`,
    logVkey,
    logSize,
    dataDir: config.dataDir,
    dataDirIsNew,
    setupUrl,
    upstreams,
  })}\n`
}

type Refusal = { code: number; sentence: string }

/** What to say about a fault of the configuration, the machine or the log; null for any other. */
function cannotStart(error: unknown, config: Config): Refusal | null {
  if (error instanceof LockedError) {
    const advice = 'Two servers on one log would fork it: stop the other or name another --data-dir'
    return { code: EXIT.usage, sentence: `${error.message}. ${advice}.` }
  }
  if (error instanceof RestoringError) return { code: EXIT.usage, sentence: error.message }
  if (error instanceof KeyFileError) return { code: EXIT.usage, sentence: error.message }
  if (error instanceof LogFatalError) {
    const advice = 'Nothing was signed. See docs/operating.md, "The log does not start".'
    return {
      code: EXIT.misbehaved,
      sentence: `the stored log is not whole: ${error.message}. ${advice}`,
    }
  }
  const sentence = systemSentence(systemCode(error), error, config)
  return sentence === null ? null : { code: EXIT.usage, sentence }
}

function systemSentence(code: string | null, error: unknown, config: Config): string | null {
  const address = formatListen(config.listen)
  switch (code) {
    case 'EADDRINUSE':
      return `${address} is in use. Stop what listens there or name another --listen.`
    case 'EADDRNOTAVAIL':
      return `${address} is no address of this machine.`
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
      return (
        `not permitted (${String(error)}). ` +
        `Is ${config.dataDir} ours to write, and ${address} ours to listen on?`
      )
    default:
      return null
  }
}

/** The operating system's own word for what went wrong, also below an error that wraps it. */
function systemCode(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && /^E[A-Z]+$/.test(cause.code)) {
      return cause.code
    }
  }
  return null
}
