/**
 * How the text of one setting becomes a value: each parser returns what it read or throws a
 * ConfigError that says what was expected. Pure; where a setting came from is `config.ts`'s part.
 * @module
 */
import { isAbsolute, resolve } from 'node:path'
import { RegistryError } from './registries/errors.ts'
import { checkCidrs } from './registries/accounts/token-network.ts'

/** The configuration cannot be used: a usage error, exit code 2. */
export class ConfigError extends Error {
  readonly code = 'config'
  override readonly name = 'ConfigError'
}

export type Listen = { host: string; port: number }

export type LogLevel = (typeof LOG_LEVELS)[number]

/** The levels of the server's own log lines, quietest first. */
const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const

export type Registration = (typeof REGISTRATIONS)[number]

const REGISTRATIONS = ['closed', 'open'] as const

/** Some 128 bits, also when a person chose it out of hexadecimal digits. */
const ADMIN_TOKEN_CHARS_MIN = 32
/** What fits an Authorization header (RFC 6750, section 2.1), and no more than any program makes. */
const ADMIN_TOKEN = /^[\w.~+/=-]{1,1024}$/

const PORT_MAX = 65_535

/** A DNS name or IPv4 address (RFC 1123, section 2.1), or an IPv6 address in brackets. */
const HOST = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/i

/** `127.0.0.1:6769`, `localhost:0`, `[::1]:6769`; the host in the one form that URLs have. */
export function parseListen(text: string): Listen {
  const cut = text.lastIndexOf(':')
  const [host, port] = [text.slice(0, Math.max(cut, 0)), text.slice(cut + 1)]
  const url = `http://${host}/`
  const good = HOST.test(host) && URL.canParse(url) && /^\d{1,5}$/.test(port)
  if (!good || Number(port) > PORT_MAX) {
    throw new ConfigError(
      `expected an address and a port, as 127.0.0.1:6769, 0.0.0.0:80 or [::1]:6769; got '${text}'`,
    )
  }
  return { host: new URL(url).hostname.replaceAll(/[[\]]/g, ''), port: Number(port) }
}

export function formatListen(listen: Listen): string {
  return `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`
}

/**
 * The URL under which this machine itself reaches an address. "Every address" (0.0.0.0, ::) is
 * nowhere one can connect to, so the loopback address stands for it.
 */
export function localUrl(listen: Listen): string {
  const loopback = new Map([
    ['0.0.0.0', '127.0.0.1'],
    ['::', '::1'],
  ])
  const host = loopback.get(listen.host) ?? listen.host
  return new URL(`http://${formatListen({ ...listen, host })}/`).href
}

/**
 * An http(s) URL of a registry, always ending in `/`. Credentials are refused: a URL is printed,
 * logged and shown to everybody.
 */
export function parseBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ConfigError(`expected a URL that begins with https:// or http://; got '${text}'`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new ConfigError('expected a URL without a user name and password')
  }
  if (text.includes('?') || text.includes('#')) {
    throw new ConfigError(`expected a URL without ? and #; got '${text}'`)
  }
  return url.href.endsWith('/') ? url.href : `${url.href}/`
}

/** A folder; a relative one is resolved from `from`. */
export function parseFolder(text: string, from: string): string {
  if (text === '' || text.includes('\0')) {
    throw new ConfigError(`expected the path of a folder; got '${text}'`)
  }
  return isAbsolute(text) ? resolve(text) : resolve(from, text)
}

export function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find(known => known === text)
  if (level === undefined) {
    throw new ConfigError(`expected one of ${LOG_LEVELS.join(', ')}; got '${text}'`)
  }
  return level
}

export function parseRegistration(text: string): Registration {
  const known = REGISTRATIONS.find(each => each === text)
  if (known === undefined) {
    throw new ConfigError(`expected one of ${REGISTRATIONS.join(', ')}; got '${text}'`)
  }
  return known
}

/** Networks with commas between them, brought into one form. */
export function parseNetworks(text: string): string {
  const parts = text.split(',').map(part => part.trim())
  try {
    return checkCidrs(parts.filter(part => part !== '')).join(',')
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    throw new ConfigError(error.message, { cause: error })
  }
}

/** Its text is in no message: it is a secret also when it cannot be used. */
export function parseAdminToken(text: string): string {
  if (text.length < ADMIN_TOKEN_CHARS_MIN) {
    throw new ConfigError(
      `expected at least ${ADMIN_TOKEN_CHARS_MIN} characters, got ${text.length}; ` +
        'make one with: openssl rand -hex 32',
    )
  }
  if (!ADMIN_TOKEN.test(text)) {
    throw new ConfigError('expected letters, digits and . _ ~ + / = - only, 1024 at most')
  }
  return text
}

/** The known word nearest to `word`, when it is near enough to be what was meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const farthest = Math.max(2, Math.floor(word.length / 3))
  const ranked = known
    .map(candidate => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ distance }) => distance <= farthest)
    .toSorted((a, b) => a.distance - b.distance)
  return ranked[0]?.candidate
}

/** Levenshtein's distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const kept = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(kept, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}

/** Keys of Standard Webhooks have 24 to 64 bytes; less than this can be guessed. */
const WEBHOOK_SECRET = /^[!-~]{16,256}$/

/** Where incidents are told: an http(s) URL without a user name. Its path may be a secret. */
export function parseWebhookUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ConfigError('expected a URL that begins with https:// or http://')
  }
  if (url.username !== '' || url.password !== '' || url.hash !== '') {
    throw new ConfigError('expected a URL without a user name, password and fragment')
  }
  return url.href
}

export function parseWebhookSecret(text: string): string {
  if (WEBHOOK_SECRET.test(text)) return text
  throw new ConfigError('expected 16 to 256 printable characters without a space')
}
