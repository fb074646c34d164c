/**
 * `healthcheck`: asks the server on this machine whether it is ready (`/-/readyz`). Made for
 * service managers and containers that have no other program to ask with.
 * @module
 */
import { get as getPlain } from 'node:http'
import { get as getSecure } from 'node:https'
import { loadConfig, type Config, type Flags } from '../config.ts'
import { ConfigError, formatListen, localUrl, parseBaseUrl } from '../config-values.ts'
import { EXIT, type Io } from './io.ts'

/** A server that is well answers in milliseconds; container engines give up after 30 s. */
const ANSWER_MS_MAX = 5_000

/** An answer lists a few checks; whoever sends more is not our server. */
const ANSWER_CHARS_MAX = 2_000
const CHUNKS_MAX = 16

const PAUSE_MS = 250

/** Longer than any start takes; a longer wait is a fault to be told. */
const WAIT_SECONDS_MAX = 3_600

type Health = { status: 'ready' | 'not ready' | 'unreachable'; url: string; answer: string }

export async function healthcheck(
  flags: Flags,
  asked: { url: string | undefined; wait: string; json: boolean },
  io: Io,
): Promise<number> {
  const url = new URL('-/readyz', asked.url === undefined ? ownUrl(flags) : parseBaseUrl(asked.url))
  const deadline = performance.now() + waitMs(asked.wait)
  let health = await ask(url)
  while (health.status !== 'ready' && performance.now() < deadline) {
    await Bun.sleep(PAUSE_MS)
    health = await ask(url)
  }
  if (asked.json) io.out(`${JSON.stringify(health)}\n`)
  else io.out(`${health.status}${health.status === 'ready' ? '' : `: ${health.answer}`}\n`)
  if (health.status === 'ready') return EXIT.ok
  return health.status === 'not ready' ? EXIT.findings : EXIT.unreachable
}

/** The configured address, with the path that the public URL puts before every route. */
function ownUrl(flags: Flags): URL {
  const { config } = loadConfig(flags)
  if (config.listen.port === 0) {
    throw new ConfigError(`${formatListen(config.listen)} names no port; say which with --url`)
  }
  return new URL(prefixOf(config), localUrl(config.listen))
}

function prefixOf(config: Config): string {
  return new URL(config.publicUrl).pathname
}

function waitMs(text: string): number {
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (!(seconds <= WAIT_SECONDS_MAX)) {
    throw new ConfigError(`--wait: expected seconds up to ${WAIT_SECONDS_MAX}; got '${text}'`)
  }
  return seconds * 1000
}

/** Not by `fetch`: a proxy for the world outside (HTTP_PROXY) has no business in this. */
async function ask(url: URL): Promise<Health> {
  const get = url.protocol === 'https:' ? getSecure : getPlain
  const { promise, resolve } = Promise.withResolvers<Health>()
  const fail = (error: Error) =>
    resolve({ status: 'unreachable', url: url.href, answer: error.message })
  const request = get(url, { timeout: ANSWER_MS_MAX, agent: false }, response => {
    const chunks: string[] = []
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      if (chunks.length < CHUNKS_MAX) chunks.push(chunk)
    })
    response.on('error', fail)
    response.on('end', () => {
      const status = response.statusCode === 200 ? 'ready' : 'not ready'
      resolve({ status, url: url.href, answer: chunks.join('').slice(0, ANSWER_CHARS_MAX) })
    })
  })
  request.on('timeout', () => request.destroy(new Error(`no answer in ${ANSWER_MS_MAX} ms`)))
  request.on('error', fail)
  return promise
}
